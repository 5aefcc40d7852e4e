"""Who moves and how: the ego, cars in both lanes, people; and who is parked or stands.

Everything is planned in street coordinates, where footprints are nearly upright rectangles. A
candidate that would come too close to what is there already, at any moment, is left out.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from .garage import Crowd, Garage
from .pavements import Taken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .garage import Body
    from .street import Street
    from .surface import FloatArray
    from .terrain import Side

STEP_S = 0.1
_EGO_HALF_M = (2.7, 1.05)
_EGO_AXLE_TO_CENTRE_M = 1.4


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Path:
    """A motion in street coordinates at the times of a plan.

    Attributes:
        s, d: (K,) metres.
        yaw: (K,) of the body against the street's direction, radians.
        half_s, half_d: half the footprint.
    """

    s: FloatArray
    d: FloatArray
    yaw: FloatArray
    half_s: float
    half_d: float

    def around(self) -> Taken:
        """Return the rectangle that the footprint never leaves."""
        return Taken(
            s=(float(self.s.min()) - self.half_s, float(self.s.max()) + self.half_s),
            d=(float(self.d.min()) - self.half_d, float(self.d.max()) + self.half_d),
        )

    def meets(self, other: Path | Taken, margin_s: float, margin_d: float) -> bool:
        """Tell whether the footprints ever come closer than the margins in both directions."""
        if isinstance(other, Taken):
            s, d = sum(other.s) / 2.0, sum(other.d) / 2.0
            half_s, half_d = (other.s[1] - other.s[0]) / 2.0, (other.d[1] - other.d[0]) / 2.0
            near_s = np.abs(self.s - s) < self.half_s + half_s + margin_s
            near_d = np.abs(self.d - d) < self.half_d + half_d + margin_d
        else:
            near_s = np.abs(self.s - other.s) < self.half_s + other.half_s + margin_s
            near_d = np.abs(self.d - other.d) < self.half_d + other.half_d + margin_d
        return bool((near_s & near_d).any())


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Drive:
    """A speed that swings about its mean: v = speed + swing sin(omega t + phase)."""

    speed: float
    swing: float
    omega: float
    phase: float

    @classmethod
    def drawn(cls, rng: np.random.Generator, low: float, high: float) -> Drive:
        """Draw a drive whose mean speed is between two values, m/s."""
        return cls(
            speed=float(rng.uniform(low, high)),
            swing=float(rng.uniform(0.3, 1.2)),
            omega=2.0 * math.pi / float(rng.uniform(9.0, 20.0)),
            phase=float(rng.uniform(0.0, 6.28)),
        )

    def travelled(self, t: FloatArray) -> FloatArray:
        """Return the metres covered since t = 0."""
        swung = np.cos(self.omega * t + self.phase) - math.cos(self.phase)
        total: FloatArray = self.speed * t - self.swing / self.omega * swung
        return total


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Mover:
    """A body and its motion, or where it rests (K = 1)."""

    body: Body
    path: Path
    upright: bool


def wander(rng: np.random.Generator, t: FloatArray, size_m: float) -> FloatArray:
    """Return a gentle weave about a lane's middle, metres."""
    total = np.zeros_like(t)
    for period in (7.0, 11.0):
        total += (
            size_m
            * 0.5
            * np.sin(2 * math.pi * t / (period * rng.uniform(0.8, 1.3)) + rng.uniform(0, 6.28))
        )
    return total


def headed(t: FloatArray, s: FloatArray, d: FloatArray, half: tuple[float, float]) -> Path:
    """Return the path of a body that looks where it goes; half: of its length and width."""
    ds, dd = np.gradient(s, t), np.gradient(d, t)
    return Path(s=s, d=d, yaw=np.arctan2(dd, ds), half_s=half[0], half_d=half[1])


class Traffic:
    """Plans all that could be labelled in one street.

    Args:
        rng: source of chance.
        street: where.
        ego: the ego's drive.
        t: (K,) times of the plan, seconds.
        taken: what stands on the pavements.
        drives: (s, d, sign) before houses where a car may stand.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        street: Street,
        ego: Path,
        t: FloatArray,
        *,
        taken: Sequence[Taken],
        drives: Sequence[tuple[float, float, float]],
    ) -> None:
        self._rng, self._street, self._t = rng, street, t
        self._ego = dataclasses.replace(
            ego,
            s=ego.s + _EGO_AXLE_TO_CENTRE_M,
            half_s=_EGO_HALF_M[0],
            half_d=_EGO_HALF_M[1],
        )
        self._garage, self._crowd = Garage(rng), Crowd(rng)
        self._taken = list(taken)
        self.moving: list[Mover] = []
        self.resting: list[Mover] = []
        self._park(drives)
        self._drive()
        self._cross()
        self._walk()
        self._stand()

    def _park(self, drives: Sequence[tuple[float, float, float]]) -> None:
        rng, street = self._rng, self._street
        low, high = street.road.s_range
        for (sign, side), allowed in zip(street.sides(), street.parking, strict=True):
            share = float(rng.uniform(0.45, 0.9)) if allowed else 0.0
            s = low + 6.0 + float(rng.uniform(0.0, 6.0))
            while s < high - 8.0 and allowed:
                body = self._garage.any(large=False)
                length, width = float(body.size_m[0]), float(body.size_m[1])
                if rng.random() < share and street.is_clear(s, side, 4.5 + length / 2.0):
                    out = side.kerb_m - 0.22 - width / 2.0 + float(rng.normal(0.0, 0.03))
                    about = sign > 0.0
                    if rng.random() < 0.15:
                        about = not about
                    yaw = (math.pi if about else 0.0) + float(rng.normal(0.0, 0.012))
                    self._rest(body, s, sign * out, yaw)
                s += length + float(rng.uniform(0.9, 1.8))
            for first, last in side.openings:
                for out in np.arange(side.plots_m + 7.0, side.plots_m + 26.0, 6.5):
                    body = self._garage.any(large=False)
                    if rng.random() < 0.5 * share + 0.15:
                        at = last - 1.1 if rng.random() < 0.5 else first + 1.1
                        self._rest(body, at, sign * float(out), sign * math.pi / 2.0)
        for s, d, sign in drives:
            if rng.random() < 0.6:
                self._rest(self._garage.any(large=False), s, d, sign * math.pi / 2.0)

    def _rest(self, body: Body, s: float, d: float, yaw: float) -> None:
        along, aside = abs(math.cos(yaw)), abs(math.sin(yaw))
        half = 0.5 * body.size_m
        half_s = along * half[0] + aside * half[1]
        half_d = aside * half[0] + along * half[1]
        spot = Taken(s=(s - half_s, s + half_s), d=(d - half_d, d + half_d))
        if any(spot.meets(other, 0.25) for other in self._taken):
            return
        self._taken.append(spot)
        path = Path(
            s=np.array([s]), d=np.array([d]), yaw=np.array([yaw]), half_s=half_s, half_d=half_d
        )
        self.resting.append(Mover(body=body, path=path, upright=body.category == "pedestrian"))

    def _offer(
        self, body: Body, path: Path, margin_s: float, margin_d: float, *, upright: bool
    ) -> None:
        low, high = self._street.road.s_range
        around = path.around()
        if around.s[0] < low + 1.0 or around.s[1] > high - 1.0:
            return
        others: list[Path | Taken] = [self._ego, *(mover.path for mover in self.moving)]
        if any(path.meets(other, margin_s, margin_d) for other in others):
            return
        near = (spot for spot in self._taken if around.meets(spot, 0.4))
        if any(path.meets(spot, 0.4, 0.1) for spot in near):
            return
        self.moving.append(Mover(body=body, path=path, upright=upright))

    def _drive(self) -> None:
        rng, street, t = self._rng, self._street, self._t
        lane = street.lane_m / 2.0
        places = [float(rng.uniform(13.0, 30.0)), -float(rng.uniform(11.0, 22.0))]
        places += [
            places[0] + float(rng.uniform(13.0, 28.0)),
            places[1] - float(rng.uniform(12.0, 25.0)),
        ]
        for place in places:
            if rng.random() < 0.35 + 0.5 * street.busy:
                body = self._garage.any(large=rng.random() < 0.3)
                gap = place + 1.2 * np.sin(
                    2 * math.pi * t / rng.uniform(12, 25) + rng.uniform(0, 6)
                )
                d = -lane + wander(rng, t, 0.10)
                self._vehicle(body, self._ego.s + gap, d)
        oncoming = Drive.drawn(rng, 5.0, 8.0)
        s = street.road.s_range[1] - 4.0 - float(rng.uniform(0.0, 10.0))
        travelled = oncoming.travelled(t) - oncoming.travelled(t[:1])
        while s > street.road.s_range[0]:
            body = self._garage.any(large=True)
            weave = 0.8 * np.sin(2 * math.pi * t / rng.uniform(12, 25) + rng.uniform(0, 6))
            self._vehicle(body, s - travelled + weave, lane + wander(rng, t, 0.10))
            s -= float(body.size_m[0]) + float(rng.uniform(7.0, 16.0 + 40.0 * (1.0 - street.busy)))

    def _vehicle(self, body: Body, s: FloatArray, d: FloatArray) -> None:
        half = (float(body.size_m[0]) / 2.0, float(body.size_m[1]) / 2.0)
        self._offer(body, headed(self._t, s, d, half), 3.0, 0.12, upright=False)

    def _cross(self) -> None:
        """People on the crossings, where the traffic leaves them time."""
        rng, t = self._rng, self._t
        left, right = self._street.road.left, self._street.road.right
        start, end = -right.kerb_m - 1.0, left.kerb_m + 1.0
        for middle in self._street.crossings:
            for _ in range(3):
                sign = float(rng.choice([-1.0, 1.0]))
                begin = float(rng.uniform(t[0], t[-1]))
                share = np.clip((t - begin) * rng.uniform(1.1, 1.6) / (end - start), 0.0, 1.0)
                share = share * share * (3.0 - 2.0 * share)
                d = start + share * (end - start) if sign > 0 else end - share * (end - start)
                s = np.full_like(t, middle + float(rng.uniform(-1.0, 1.0)))
                body = self._crowd.pedestrian(walking=True)
                reach = float(max(body.size_m[:2])) / 2.0
                yaw = np.full_like(t, sign * math.pi / 2.0)
                path = Path(s=s, d=d, yaw=yaw, half_s=reach, half_d=reach)
                self._offer(body, path, 2.0, 0.4, upright=True)

    def _walk(self) -> None:
        rng, street = self._rng, self._street
        low, high = street.road.s_range
        for sign, side in street.sides():
            for _ in range(int((high - low) / 14.0 * (0.4 + street.busy))):
                cycling = side.pavement_m > 3.3 and rng.random() < 0.18
                if cycling:
                    body = self._crowd.cyclist()
                    pace, out = float(rng.uniform(3.2, 5.2)), side.kerb_m + 1.45
                else:
                    body = self._crowd.pedestrian(walking=True)
                    pace, out = float(rng.uniform(0.9, 1.7)), self._track(side)
                pace *= float(rng.choice([-1.0, 1.0]))
                s = float(rng.uniform(low, high)) + pace * (self._t - self._t.mean())
                d = sign * out + wander(rng, self._t, 0.06)
                half = (float(body.size_m[0]) / 2.0, float(body.size_m[1]) / 2.0)
                path = headed(self._t, s, d, half)
                self._offer(body, path, 0.4, 0.12, upright=not cycling)

    def _stand(self) -> None:
        """People who wait or talk, out of everybody's way."""
        rng, street = self._rng, self._street
        low, high = street.road.s_range
        for sign, side in street.sides():
            for _ in range(int((high - low) / 22.0 * (0.4 + street.busy))):
                s, d = float(rng.uniform(low + 4, high - 4)), sign * self._track(side)
                body = self._crowd.pedestrian(walking=False)
                reach = float(max(body.size_m[:2])) / 2.0 + 0.1
                spot = Taken(s=(s - reach, s + reach), d=(d - reach, d + reach))
                if not any(mover.path.meets(spot, 0.3, 0.1) for mover in self.moving):
                    self._rest(body, s, d, float(rng.uniform(0.0, 6.28)))

    def _track(self, side: Side) -> float:
        return float(self._rng.uniform(side.kerb_m + 1.05, side.plots_m - 0.9))
