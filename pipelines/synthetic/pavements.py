"""What stands on the pavements and along the kerb, and where: nothing overlaps."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from . import furniture
from .plots import BROADLEAVES, standing, trees

if TYPE_CHECKING:
    from .street import Street
    from .surface import Surface
    from .terrain import Side

_POST: furniture.Colour = (0.30, 0.34, 0.33)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """A rectangle of street coordinates where something stands."""

    s: tuple[float, float]
    d: tuple[float, float]

    def meets(self, other: Taken, margin: float = 0.0) -> bool:
        """Tell whether two rectangles come closer than a margin in both directions."""
        apart_s = self.s[0] > other.s[1] + margin or other.s[0] > self.s[1] + margin
        apart_d = self.d[0] > other.d[1] + margin or other.d[0] > self.d[1] + margin
        return not (apart_s or apart_d)


@dataclasses.dataclass(slots=True, eq=False)
class Pavements:
    """Furnishes both pavements; afterwards `parts` and `taken` hold what came of it."""

    rng: np.random.Generator
    street: Street
    parts: list[Surface] = dataclasses.field(default_factory=list)
    taken: list[Taken] = dataclasses.field(default_factory=list)

    def furnish(self) -> None:
        """Place everything: what must stand somewhere first, what fits in after."""
        rng, street = self.rng, self.street
        reach = float(rng.choice([1.2, 1.8]))
        height = float(rng.choice([5.5, 6.2, 7.0]))
        self._at_crossings()
        lamps = float(rng.uniform(24.0, 36.0))
        avenue = trees(3.4)  # high enough for lorries
        for sign, side in street.sides():
            post = furniture.lamp_post(height, reach, _POST)
            first = street.road.s_range[0] + float(rng.uniform(5.0, lamps))
            for s in np.arange(first, street.road.s_range[1] - 3.0, lamps):
                self._place(post, float(s), sign, side, size=(0.3, 0.3))
            self._signs(sign, side)
            if rng.random() < 0.3 + 0.7 * street.green and side.kerb_m > 4.0:
                step = float(rng.uniform(9.0, 17.0))
                start = street.road.s_range[0] + float(rng.uniform(3.0, step))
                for s in np.arange(start, street.road.s_range[1] - 3.0, step):
                    if rng.random() < 0.8:
                        self._tree(avenue[int(rng.integers(BROADLEAVES))], float(s), sign, side)
            self._small_things(sign, side)

    def _at_crossings(self) -> None:
        rng, street = self.rng, self.street
        lit = rng.random() < 0.5
        for middle in street.crossings:
            state = int(rng.choice([0, 2]))
            for sign, side in street.sides():
                before = middle - (-sign) * 2.6  # where those who drive on this side arrive
                shape = furniture.traffic_sign(2, 4)
                if lit:
                    shape = furniture.traffic_light(state, arm=3.0 if rng.random() < 0.5 else 0.0)
                self._place(shape, before, sign, side, size=(0.5, 0.5), anywhere=True)
                for offset in (3.6, 5.0):
                    if rng.random() < 0.5:
                        self._place(
                            furniture.bollard(_POST), middle + offset, sign, side, size=(0.2, 0.2)
                        )

    def _signs(self, sign: float, side: Side) -> None:
        rng, street = self.rng, self.street
        s = street.road.s_range[0] + float(rng.uniform(8.0, 40.0))
        while s < street.road.s_range[1] - 5.0:
            number = int(rng.integers(16))
            corners = 4 if number % 4 >= 2 else 8
            if number % 4 == 3 and rng.random() < 0.4:
                corners = 3
            shape = furniture.traffic_sign(number, corners, float(rng.choice([2.2, 2.5])))
            self._place(shape, s, sign, side, size=(0.4, 0.9))
            s += float(rng.uniform(18.0, 60.0))

    def _small_things(self, sign: float, side: Side) -> None:
        rng, road = self.rng, self.street.road
        colours = ((0.15, 0.16, 0.17), (0.18, 0.36, 0.22), (0.20, 0.26, 0.45), (0.42, 0.30, 0.20))
        for s in rng.uniform(
            road.s_range[0] + 4.0,
            road.s_range[1] - 4.0,
            int((road.s_range[1] - road.s_range[0]) / 16.0),
        ):
            kind = int(rng.integers(0, 12))
            if kind <= 5:
                shape = furniture.bin_on_wheels(colours[int(rng.integers(4))])
                self._place(shape, float(s), sign, side, size=(0.7, 0.7))
            elif kind == 6:
                self._place(furniture.bench(), float(s), sign, side, size=(2.0, 0.6))
            elif kind == 7 and side.pavement_m > 3.2:
                shape = furniture.shelter(int(rng.integers(16)))
                self._place(shape, float(s), sign, side, size=(4.4, 1.8))
            elif kind == 8 and side.pavement_m > 3.2:
                shape = furniture.advert_column(int(rng.integers(16)))
                self._place(shape, float(s), sign, side, size=(1.5, 1.5))
            else:
                for k in range(int(rng.integers(2, 5))):
                    post = furniture.bollard(_POST)
                    self._place(post, float(s) + 1.5 * k, sign, side, size=(0.2, 0.2))

    def _place(
        self,
        shape: Surface,
        s: float,
        sign: float,
        side: Side,
        *,
        size: tuple[float, float],
        anywhere: bool = False,
    ) -> None:
        """Put something beside the kerb, unless something else or a side street is there."""
        out = side.kerb_m + 0.25 + size[1] / 2.0
        spot = self._spot(s, sign, out, size)
        free = anywhere or self.street.is_clear(s, side, 0.3 + size[0] / 2.0)
        if free and not any(spot.meets(other, 0.1) for other in self.taken):
            self.taken.append(spot)
            yaw = 0.0 if sign < 0 else math.pi
            self.parts.append(shape.placed(self.street.road.upright(s, sign * out, yaw)))

    def _tree(self, shape: Surface, s: float, sign: float, side: Side) -> None:
        out = side.kerb_m + 0.65
        spot = self._spot(s, sign, out, (0.7, 0.7))
        free = self.street.is_clear(s, side, 2.5)
        if free and not any(spot.meets(other, 0.6) for other in self.taken):
            self.taken.append(spot)
            self.parts.append(
                standing(self.rng, self.street.road, shape, s, sign * out, spread=0.1)
            )

    @staticmethod
    def _spot(s: float, sign: float, out: float, size: tuple[float, float]) -> Taken:
        d = sorted((sign * (out - size[1] / 2.0), sign * (out + size[1] / 2.0)))
        return Taken(s=(s - size[0] / 2.0, s + size[0] / 2.0), d=(d[0], d[1]))
