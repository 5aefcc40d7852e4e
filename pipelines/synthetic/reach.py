"""Which rays may meet which balls: few rays are then cast at what a ball encloses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .rowwise import dot

if TYPE_CHECKING:
    import numpy.typing as npt

    from simipu.records import FloatArray

    Rows = npt.NDArray[np.intp]

_BUNDLE = 32
"""Rays that follow each other are mostly neighbours: so many are first tested as one cone."""

_SLACK = 3e-6
"""More than what float32 may be wrong by, relative to squares of distances."""

_SLACK_RAD = 2e-3
"""And, at the cosines of small angles, by its square root."""


def meeting(
    origins: FloatArray, directions: FloatArray, centres: FloatArray, radii: FloatArray
) -> list[Rows]:
    """Find the rays that meet each ball.

    Args:
        origins: (N, 3), or (3,) for all.
        directions: (N, 3) of any length but 0.
        centres: (M, 3) of the balls.
        radii: (M,) of the balls.

    Returns:
        M arrays of rows of rays, ascending: all that meet the ball, and some that nearly do.
    """
    if not len(directions) or not len(centres):
        return [np.empty(0, dtype=np.intp) for _ in centres]
    short = directions.astype(np.float32)
    ball, bundle = np.nonzero(_cones_meet(origins, short, centres, radii).T)
    rows = bundle[:, None] * _BUNDLE + np.arange(_BUNDLE)
    inside = rows < len(directions)
    ball, rows = np.repeat(ball, _BUNDLE)[inside.ravel()], rows[inside]
    ways = short.take(rows, axis=0)
    if origins.ndim == 2:
        to_centre = centres.take(ball, axis=0) - origins.take(rows, axis=0)
        beyond = _beyond(to_centre, radii.take(ball))
    else:
        to_centre = (centres - origins).take(ball, axis=0)
        beyond = _beyond(centres - origins, radii).take(ball)
    ahead = dot(ways, to_centre.astype(np.float32))
    meets = (ahead > 0.0) & (ahead * ahead >= beyond * dot(ways, ways))
    meets |= beyond <= 0.0
    return np.split(rows[meets], np.searchsorted(ball[meets], np.arange(1, len(centres))))


def _beyond(to_centre: FloatArray, radii: FloatArray) -> npt.NDArray[np.float32]:
    """Return the squared length of the tangents to balls, a little less for the rounding."""
    squared = dot(to_centre, to_centre)
    return ((1.0 - _SLACK) * squared - radii**2).astype(np.float32)


def _cones_meet(
    origins: FloatArray, directions: npt.NDArray[np.float32], centres: FloatArray, radii: FloatArray
) -> npt.NDArray[np.bool_]:
    """Return (B, M): whether a cone around each bundle of rays meets each ball."""
    starts = np.arange(0, len(directions), _BUNDLE)
    bundle = np.arange(len(directions)) // _BUNDLE
    unit = directions / np.sqrt(dot(directions, directions))[:, None]
    axis = np.add.reduceat(unit, starts, axis=0)
    axis /= np.maximum(np.sqrt(dot(axis, axis)), 1e-12)[:, None].astype(np.float32)
    opening = np.minimum.reduceat(dot(unit, axis[bundle]), starts)
    if origins.ndim == 2:
        apex = origins[starts]
        away = origins - apex[bundle]
        spread = np.sqrt(np.maximum.reduceat(dot(away, away), starts))[:, None]
    else:
        apex, spread = origins[None], np.zeros((1, 1))
    to_centre = centres[None] - apex[:, None]
    distance = np.sqrt(dot(to_centre, to_centre))
    reach = radii + spread
    with np.errstate(divide="ignore", invalid="ignore"):
        off_axis = np.arccos(np.clip(dot(to_centre, axis[:, None]) / distance, -1.0, 1.0))
        seen_under = np.arcsin(np.clip(reach / distance, 0.0, 1.0))
    half_angle = np.arccos(np.clip(opening, -1.0, 1.0))[:, None]
    meets: npt.NDArray[np.bool_] = off_axis <= half_angle + seen_under + _SLACK_RAD
    meets |= distance <= reach
    return meets
