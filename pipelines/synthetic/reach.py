"""Which rays may meet which balls: few rays are then cast at what a ball encloses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .rowwise import dot, taken

if TYPE_CHECKING:
    import numpy.typing as npt

    from simipu.records import FloatArray

    Rows = npt.NDArray[np.intp]
    Float32Array = npt.NDArray[np.float32]

_BUNDLE = 32
"""Rays that follow each other are mostly neighbours: so many are first tested as one cone."""

_SHEAF = 64
"""And before that, so many bundles as one."""

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
    ways = directions.astype(np.float32)
    bundles = _bundled(origins, ways)
    sheaves = bundles.grouped()
    sheaf, ball = (grid.ravel() for grid in np.indices((len(sheaves.apex), len(centres))))
    met = np.flatnonzero(sheaves.meet(sheaf, centres.take(ball, axis=0), radii.take(ball)))
    met = met[np.argsort(ball[met], kind="stable")]
    bundle, ball = _members(sheaf[met], ball[met], _SHEAF, len(bundles.apex))
    met = np.flatnonzero(bundles.meet(bundle, centres.take(ball, axis=0), radii.take(ball)))
    rows, ball = _members(bundle[met], ball[met], _BUNDLE, len(ways))
    if origins.ndim == 2:
        to_centre = taken(centres, ball) - taken(origins, rows)
        beyond = _beyond(to_centre, radii.take(ball))
    else:
        to_centre = taken(centres - origins, ball)
        beyond = _beyond(centres - origins, radii).take(ball)
    way = taken(ways, rows)
    ahead = dot(way, to_centre.astype(np.float32))
    meets = (ahead > 0.0) & (ahead * ahead >= beyond * dot(way, way))
    meets |= beyond <= 0.0
    return np.split(rows[meets], np.searchsorted(ball[meets], np.arange(1, len(centres))))


def _beyond(to_centre: FloatArray, radii: FloatArray) -> Float32Array:
    """Return the squared length of the tangents to balls, a little less for the rounding."""
    squared = dot(to_centre, to_centre)
    return ((1.0 - _SLACK) * squared - radii**2).astype(np.float32)


def _members(group: Rows, ball: Rows, size: int, count: int) -> tuple[Rows, Rows]:
    """Return the members of groups of some size, of which there are so many, each with its ball."""
    member = group[:, None] * size + np.arange(size)
    inside = member < count
    return member[inside], np.repeat(ball, size)[inside.ravel()]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Cones:
    """Cones that each hold some rays: (B, 3) float64 apex and axis, (B,) the others.

    The rays start within a distance `spread` of the apex.
    """

    apex: FloatArray
    spread: FloatArray
    axis: FloatArray
    half_angle: FloatArray

    def grouped(self) -> _Cones:
        """Return cones that each hold `_SHEAF` of these."""
        starts = np.arange(0, len(self.apex), _SHEAF)
        group = np.arange(len(self.apex)) // _SHEAF
        middle = (starts + np.minimum(starts + _SHEAF, len(self.apex)) - 1) // 2
        axis, apex = self.axis[middle], self.apex[middle]
        away = self.apex - apex[group]
        turn = np.arccos(np.clip(dot(self.axis, axis[group]), -1.0, 1.0))
        return _Cones(
            apex=apex,
            spread=np.maximum.reduceat(np.sqrt(dot(away, away)) + self.spread, starts),
            axis=axis,
            half_angle=np.maximum.reduceat(turn + self.half_angle, starts),
        )

    def meet(self, cone: Rows, centres: FloatArray, radii: FloatArray) -> npt.NDArray[np.bool_]:
        """Return (P,), whether cones of these numbers, (P,), may meet balls (P, 3), (P,)."""
        to_centre = centres - self.apex.take(cone, axis=0)
        distance = np.sqrt(dot(to_centre, to_centre))
        reach = radii + self.spread.take(cone)
        with np.errstate(divide="ignore", invalid="ignore"):
            cosine = dot(to_centre, self.axis.take(cone, axis=0)) / distance
            off_axis = np.arccos(np.clip(cosine, -1.0, 1.0))
            seen_under = np.arcsin(np.clip(reach / distance, 0.0, 1.0))
        meets: npt.NDArray[np.bool_] = (
            off_axis <= self.half_angle.take(cone) + seen_under + _SLACK_RAD
        )
        meets |= distance <= reach
        return meets


def _bundled(origins: FloatArray, ways: Float32Array) -> _Cones:
    starts = np.arange(0, len(ways), _BUNDLE)
    size = np.diff(np.append(starts, len(ways)))
    middle = starts + size // 2
    length = np.sqrt(dot(ways, ways))
    axis = ways[middle] / length[middle, None]
    cosine = dot(ways, np.repeat(axis.T, size, axis=1).T) / length
    if origins.ndim == 2:
        apex = origins[starts]
        away = origins - np.repeat(apex.T, size, axis=1).T
        spread = np.sqrt(np.maximum.reduceat(dot(away, away), starts))
    else:
        apex, spread = np.tile(origins, (len(starts), 1)), np.zeros(len(starts))
    return _Cones(
        apex=apex,
        spread=spread,
        axis=axis.astype(np.float64),
        half_angle=np.arccos(np.clip(np.minimum.reduceat(cosine, starts), -1.0, 1.0)),
    )
