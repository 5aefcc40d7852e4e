"""The road's course over rolling ground: from street coordinates (s, d) to the world and back.

s runs along the centre line, metres; d to the left of it, metres. The ego drives towards growing s.
The height of the ground is one formula of (s, d), used by the mesh and by all that stands on it.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .surface import FloatArray

_STEP_M = 0.25
_RAMP_M = 1.5  # over which a kerb goes down to a crossing or a side street
KERB_M = 0.12
LOWERED_KERB_M = 0.02
KERB_WIDTH_M = 0.15
REACH_M = 92.0  # of the ground to either side


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One side of the street, measured away from the centre line.

    Attributes:
        kerb_m: where the carriageway ends and the kerb begins.
        pavement_m: width of the pavement, from the kerb's front on.
        openings: (from, to) in s: side streets, where the kerb is down to the road.
        lowered: (from, to) in s: where the kerb is lowered for those on foot.
        rise: slope of the plots, away from the street.
    """

    kerb_m: float
    pavement_m: float
    openings: tuple[tuple[float, float], ...]
    lowered: tuple[tuple[float, float], ...]
    rise: float

    @property
    def plots_m(self) -> float:
        """Where the plots begin."""
        return self.kerb_m + self.pavement_m


class Road:
    """Course and height of the street.

    Args:
        s_range: first and last s of the world; s = 0 is near its middle.
        bends: (amplitude 1/m, wavelength m, phase) of the curvature's sine waves.
        hills: (amplitude m, wavelength m, phase) of the height's sine waves along s.
        banks: (slope, wavelength m, phase) of the cross slope's sine waves along s.
        left: the side of positive d.
        right: the side of negative d.
        crown: slope of the carriageway from the centre line to its edges.
    """

    def __init__(
        self,
        s_range: tuple[float, float],
        *,
        bends: Sequence[tuple[float, float, float]],
        hills: Sequence[tuple[float, float, float]],
        banks: Sequence[tuple[float, float, float]],
        left: Side,
        right: Side,
        crown: float,
    ) -> None:
        self.s_range = s_range
        self.left, self.right = left, right
        self._bends, self._hills, self._banks = tuple(bends), tuple(hills), tuple(banks)
        self._crown = crown
        count = math.ceil((s_range[1] - s_range[0]) / _STEP_M) + 1
        self._s = s_range[0] + _STEP_M * np.arange(count)
        heading = self.heading(self._s)
        middle = self.heading(self._s[:-1] + _STEP_M / 2)
        self._x = _integral(np.cos(heading), np.cos(middle))
        self._y = _integral(np.sin(heading), np.sin(middle))
        centre = int(np.abs(self._s).argmin())
        self._x -= self._x[centre]
        self._y -= self._y[centre]
        self._kerbs = _kerb_table(self._s, left), _kerb_table(self._s, right)

    def heading(self, s: npt.ArrayLike) -> FloatArray:
        """Return the direction of the centre line, radians from the world's x axis.

        Its mean is 0: rays are cast fastest where walls and kerbs run along the axes.
        """
        s = np.asarray(s, dtype=np.float64)
        total = np.zeros_like(s)
        for amplitude, wavelength, phase in self._bends:
            k = 2.0 * math.pi / wavelength
            total -= amplitude / k * np.cos(k * s + phase)
        return total

    def curvature(self, s: npt.ArrayLike) -> FloatArray:
        """Return the derivative of `heading` by s, 1/m."""
        s = np.asarray(s, dtype=np.float64)
        return sum(
            (a * np.sin(2.0 * math.pi / w * s + p) for a, w, p in self._bends), np.zeros_like(s)
        )

    def xy(self, s: npt.ArrayLike, d: npt.ArrayLike) -> FloatArray:
        """Return (..., 2) world coordinates of street coordinates."""
        s, d = np.asarray(s, np.float64), np.asarray(d, np.float64)
        heading = self.heading(s)
        # A cubic through points and directions: a chord would cut bends by millimetres.
        cell = np.clip(((s - self._s[0]) / _STEP_M).astype(np.int64), 0, len(self._s) - 2)
        t = (s - self._s[cell]) / _STEP_M
        here, there = self.heading(self._s[cell]), self.heading(self._s[cell + 1])
        t2, t3 = t * t, t * t * t
        weights = (2 * t3 - 3 * t2 + 1, t3 - 2 * t2 + t, 3 * t2 - 2 * t3, t3 - t2)

        def along(points: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
            place: FloatArray = weights[0] * points[cell] + weights[2] * points[cell + 1]
            place += _STEP_M * (weights[1] * first + weights[3] * second)
            return place

        x = along(self._x, np.cos(here), np.cos(there)) - d * np.sin(heading)
        y = along(self._y, np.sin(here), np.sin(there)) + d * np.cos(heading)
        return np.stack([x, y], axis=-1)

    def height(self, s: npt.ArrayLike, d: npt.ArrayLike) -> FloatArray:
        """Return the ground's height; on a kerb's front face, that of its top."""
        s, d = np.asarray(s, np.float64), np.asarray(d, np.float64)
        z = self.base(s, d)
        for sign, side in ((1.0, self.left), (-1.0, self.right)):
            beyond = sign * d >= side.kerb_m - 1e-9
            if beyond.any():
                z = z + np.where(beyond, self.kerb_height(s, sign), 0.0)
        return z

    def base(self, s: FloatArray, d: FloatArray) -> FloatArray:
        """Return the ground's height without the step of the kerbs, which is smooth along s."""
        z = sum(
            (a * np.sin(2.0 * math.pi / w * s + p) for a, w, p in self._hills), np.zeros_like(s)
        )
        bank = sum(
            (a * np.sin(2.0 * math.pi / w * s + p) for a, w, p in self._banks), np.zeros_like(s)
        )
        z = z + bank * np.clip(d, -30.0, 30.0)
        for sign, side in ((1.0, self.left), (-1.0, self.right)):
            out = sign * d
            z = z - self._crown * np.clip(out, 0.0, side.kerb_m)
            z = z + 0.015 * np.clip(out - side.kerb_m, 0.0, side.pavement_m)
            z = z + side.rise * np.clip(out - side.plots_m, 0.0, 40.0)
        return z

    def kerb_height(self, s: npt.ArrayLike, sign: float) -> FloatArray:
        """Return the kerb's height above the carriageway, lowered where people cross.

        Args:
            s: where.
            sign: 1 for the left side, -1 for the right.
        """
        table = self._kerbs[0 if sign > 0.0 else 1]
        return np.interp(np.asarray(s, dtype=np.float64), self._s, table)

    def points(self, s: npt.ArrayLike, d: npt.ArrayLike) -> FloatArray:
        """Return (..., 3) world coordinates of the ground at street coordinates."""
        return np.concatenate([self.xy(s, d), self.height(s, d)[..., None]], axis=-1)

    def upright(self, s: float, d: float, yaw: float = 0.0, lift: float = 0.0) -> FloatArray:
        """Return the (4, 4) pose of something that stands upright on the ground.

        Args:
            s: where, along the street.
            d: where, across it.
            yaw: of its x axis against the street's direction, radians, to the left.
            lift: of its origin above the ground, metres.
        """
        T = np.eye(4)
        angle = float(self.heading(s)) + yaw
        T[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        T[:3, 3] = self.points(s, d)
        T[2, 3] += lift
        return T

    def resting(
        self, s: npt.ArrayLike, d: npt.ArrayLike, yaw: npt.ArrayLike = 0.0, *, base_m: float = 2.6
    ) -> FloatArray:
        """Return (N, 4, 4) poses of vehicles whose wheels rest on the ground.

        Args:
            s: (N,) where the origin is, along the street.
            d: (N,) where it is across.
            yaw: (N,) of the x axis against the street's direction, radians, to the left.
            base_m: distance over which pitch is measured (half of it over which roll is).
        """
        s, d, yaw = np.broadcast_arrays(*(np.atleast_1d(np.asarray(a, float)) for a in (s, d, yaw)))
        cos, sin = np.cos(yaw), np.sin(yaw)
        half, side = base_m / 2.0, base_m / 4.0
        # A step along the street is shorter or longer off the centre line.
        scale = 1.0 / (1.0 - self.curvature(s) * d)
        front = self.points(s + half * cos * scale, d + half * sin)
        back = self.points(s - half * cos * scale, d - half * sin)
        left = self.points(s - side * sin * scale, d + side * cos)
        right = self.points(s + side * sin * scale, d - side * cos)
        x = front - back
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        y = left - right
        y -= (x * y).sum(axis=1, keepdims=True) * x
        y /= np.linalg.norm(y, axis=1, keepdims=True)
        T = np.zeros((len(s), 4, 4))
        T[:, :3, 0], T[:, :3, 1], T[:, :3, 2] = x, y, np.cross(x, y)
        T[:, :3, 3] = self.points(s, d)
        T[:, 2, 3] = (front + back + left + right)[:, 2] / 4.0
        T[:, 3, 3] = 1.0
        return T


def _integral(ends: FloatArray, middles: FloatArray) -> FloatArray:
    """Simpson's rule, cumulated."""
    steps = _STEP_M / 6.0 * (ends[:-1] + 4.0 * middles + ends[1:])
    return np.concatenate([[0.0], np.cumsum(steps)])


def _kerb_table(s: FloatArray, side: Side) -> FloatArray:
    height = np.full(s.shape, KERB_M)
    for spans, low in ((side.lowered, LOWERED_KERB_M), (side.openings, 0.005)):
        for first, last in spans:
            away = np.clip(np.maximum(first - s, s - last) / _RAMP_M, 0.0, 1.0)
            smooth = away * away * (3.0 - 2.0 * away)
            height = np.minimum(height, low + (KERB_M - low) * smooth)
    return height
