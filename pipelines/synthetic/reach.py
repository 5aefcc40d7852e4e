"""Which rays may meet which balls: few rays are then cast at what a ball encloses."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from .rowwise import dot, taken

if TYPE_CHECKING:
    import numpy.typing as npt

    from simipu.records import FloatArray

    Rows = npt.NDArray[np.intp]
    Float32Array = npt.NDArray[np.float32]

_BUNDLE = 16
"""Rays that follow each other are mostly neighbours: so many are first tested as one cone."""

_SLACK = 3e-6
"""More than what float32 may be wrong by, relative to squares of distances."""


def meeting(
    origins: FloatArray,
    directions: FloatArray,
    within: FloatArray,
    centres: FloatArray,
    radii: FloatArray,
) -> list[Rows]:
    """Find the rays that meet each ball before something else.

    Args:
        origins: (N, 3), or (3,) for all.
        directions: (N, 3) of any length but 0.
        within: (N,) distance to what else they meet, or inf, in units of the directions' lengths.
        centres: (M, 3) of the balls.
        radii: (M,) of the balls.

    Returns:
        M arrays of rows of rays, ascending: all that do, and some that nearly do.
    """
    if not len(directions) or not len(centres):
        return [np.empty(0, dtype=np.intp) for _ in centres]
    ways = directions.astype(np.float32)
    ball, bundle = np.nonzero(_cones_meet(origins, ways, centres, radii))
    rows = bundle[:, None] * _BUNDLE + np.arange(_BUNDLE)
    inside = rows < len(directions)
    ball, rows = np.repeat(ball, _BUNDLE)[inside.ravel()], rows[inside]
    if origins.ndim == 2:
        to_centre = taken(centres, ball) - taken(origins, rows)
        beyond = _beyond(to_centre, radii.take(ball))
    else:
        to_centre = taken(centres - origins, ball)
        beyond = _beyond(centres - origins, radii).take(ball)
    way = taken(ways, rows)
    ahead = dot(way, to_centre.astype(np.float32))
    squared = dot(way, way)
    # Of the ray's part inside the ball, half the length.
    half = ahead * ahead - beyond * squared
    meets = np.flatnonzero(((ahead > 0.0) & (half >= 0.0)) | (beyond <= 0.0))
    rows, ball, enters = rows[meets], ball[meets], ahead[meets] - np.sqrt(half[meets])
    nearer = within.take(rows) * squared[meets] * (1.0 + _SLACK) >= enters * (1.0 - _SLACK)
    rows = rows[nearer]
    ends = np.searchsorted(ball[nearer], np.arange(len(centres) + 1))
    return [rows[start:end] for start, end in pairwise(ends.tolist())]


def _beyond(to_centre: FloatArray, radii: FloatArray) -> Float32Array:
    """Return the squared length of the tangents to balls, a little less for the rounding."""
    squared = dot(to_centre, to_centre)
    return ((1.0 - _SLACK) * squared - radii**2).astype(np.float32)


def _cones_meet(
    origins: FloatArray, ways: Float32Array, centres: FloatArray, radii: FloatArray
) -> npt.NDArray[np.bool_]:
    """Return (M, B): whether each ball may meet a cone around each bundle of rays.

    A cone opens by an angle of which `cosine` and `sine` are known; seen from its apex, a point is
    so far `ahead` along the axis and so far `aside`; its distance from the cone follows.
    """
    starts = np.arange(0, len(ways), _BUNDLE)
    size = np.diff(np.append(starts, len(ways)))
    middle = starts + size // 2
    length = np.sqrt(dot(ways, ways))
    axis = taken(ways, middle) / length[middle, None]
    off_axis = dot(ways, np.repeat(axis.T, size, axis=1).T) / length
    cosine = np.minimum.reduceat(off_axis, starts) - np.float32(_SLACK)
    sine = np.sqrt(np.maximum(np.float32(1.0) - cosine * cosine, 0.0))
    # Counted from one of the rays' origins: float32 is exact enough for what is near.
    near = origins[0] if origins.ndim == 2 else origins
    reach = radii.astype(np.float32)[:, None]
    to_centre = (centres - near).astype(np.float32)[:, None]
    if origins.ndim == 2:
        apex = taken(origins, starts)
        away = origins - np.repeat(apex.T, size, axis=1).T
        reach = reach + np.sqrt(np.maximum.reduceat(dot(away, away), starts)).astype(np.float32)
        to_centre = to_centre - (apex - near).astype(np.float32)
    ahead = dot(to_centre, axis)
    squared = dot(to_centre, to_centre)
    squared *= np.float32(1.0 - _SLACK)
    aside = np.sqrt(np.maximum(squared - ahead * ahead, np.float32(0.0)))
    aside *= cosine
    ahead *= sine
    aside -= ahead
    meets: npt.NDArray[np.bool_] = aside <= reach * np.float32(1.0 + _SLACK)
    meets |= cosine <= 0.0
    return meets
