"""What stands beside the pavements: rows of houses, gardens and their borders, open plots."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from .buildings import building, draw_plan
from .ground import Patch, snap
from .material import NUMBER
from .plants import broadleaf, bush, conifer
from .shapes import box_corners, boxes, loft
from .terrain import REACH_M

if TYPE_CHECKING:
    import numpy.typing as npt

    from .street import Street
    from .surface import Surface
    from .terrain import Road, Side

BROADLEAVES = 9
"""How many of `trees` are not firs."""
_BARE_M = 1.8  # of trunk, in gardens
_ROUGH_M = 0.05  # standard deviation of a hedge's unevenness
_PLANTS = 911  # purpose of random numbers
_TREES, _BUSHES = BROADLEAVES + 3, 6


@functools.cache
def trees(bare_m: float) -> tuple[Surface, ...]:
    """Return trees, firs last, of which every single one is a turned and scaled copy.

    They are drawn once in a process, from nothing but the height below which there are no leaves.
    """
    rng = np.random.default_rng([round(1000.0 * bare_m), 0, 0, 0, _PLANTS])
    found = [broadleaf(rng, bare=bare_m) for _ in range(BROADLEAVES)]
    return (*found, conifer(rng), conifer(rng), conifer(rng))


@functools.cache
def bushes() -> tuple[Surface, ...]:
    """Return bushes, drawn once in a process."""
    rng = np.random.default_rng([0, 1, 0, 0, _PLANTS])
    return tuple(bush(rng) for _ in range(_BUSHES))


def standing(
    rng: np.random.Generator,
    road: Road,
    shape: Surface,
    s: float,
    d: float,
    *,
    spread: float = 0.15,
) -> Surface:
    """Return a plant at a place, turned and scaled at random, never lower than drawn."""
    T = road.upright(s, d, float(rng.uniform(0.0, 6.28)))
    T[:3, :3] *= rng.uniform(1.0, 1.0 + 2.0 * spread)
    return shape.placed(T)


def along(
    road: Road,
    span: tuple[float, float],
    d: float,
    profile: npt.ArrayLike,
    material: str,
    tint: npt.ArrayLike,
    *,
    rough: np.random.Generator | None = None,
) -> Surface:
    """Return a wall or hedge that follows the street and its ground.

    Args:
        road: the street's shape.
        span: from and to, s.
        d: of its middle.
        profile: (M, 2) cross section: offsets in d and heights above the ground, metres.
        material: its name.
        tint: (3,).
        rough: source of chance for unevenness, as of a hedge; None for an even one.
    """
    outline = np.asarray(profile, dtype=np.float64)
    steps = max(2, math.ceil((span[1] - span[0]) / 1.0) + 1)
    s = np.linspace(*span, steps)[:, None]
    offset = np.broadcast_to(outline[:, 0], (steps, len(outline)))
    rise = np.broadcast_to(outline[:, 1], offset.shape)
    if rough is not None:
        offset = offset + rough.normal(0.0, _ROUGH_M, offset.shape)
        rise = rise + rough.normal(0.0, _ROUGH_M, offset.shape)
    place = d + offset
    ground = road.height(s, np.full_like(s, d))
    rings = np.concatenate(
        [road.xy(np.broadcast_to(s, place.shape), place), (ground + rise)[..., None]], axis=-1
    )
    chart = np.stack(
        [
            np.broadcast_to(s, place.shape),
            np.cumsum(np.abs(np.gradient(rise, axis=1)) + 0.2, axis=1),
        ],
        axis=-1,
    )
    return loft(rings, NUMBER[material], tint, uv=chart)


@dataclasses.dataclass(slots=True, eq=False)
class Plots:
    """Builds both sides of a street; afterwards `parts` and `patches` hold what came of it."""

    rng: np.random.Generator
    street: Street
    parts: list[Surface] = dataclasses.field(default_factory=list)
    patches: list[Patch] = dataclasses.field(default_factory=list)
    drives: list[tuple[float, float, float]] = dataclasses.field(default_factory=list)
    """(s, d, sign) of places before houses where a car may stand, nose to the house."""

    def build(self) -> None:
        """Fill both sides."""
        for sign, side in self.street.sides():
            self._row(sign, side)
            self._behind(sign, side)

    def _tree(self) -> Surface:
        return trees(_BARE_M)[int(self.rng.integers(_TREES))]

    def _bush(self) -> Surface:
        return bushes()[int(self.rng.integers(_BUSHES))]

    def _row(self, sign: float, side: Side) -> None:
        rng, street = self.rng, self.street
        road = street.road
        s, end = road.s_range[0] + 1.0, road.s_range[1] - 1.0
        while s < end - 7.0:
            width = float(rng.uniform(7.0, 13.0) if not street.tall else rng.uniform(8.0, 19.0))
            blocked = [b for a, b in side.openings if a - 1.2 < s + width and b + 1.2 > s]
            if blocked:
                first = min(a for a, b in side.openings if b in blocked)
                width = first - 1.2 - s
                if width < 6.5:
                    s = max(blocked) + 1.2
                    continue
            width = min(width, end - s)
            setback = max(
                0.0, street.setback_m + float(rng.normal(0.0, 0.15 if street.tall else 0.8))
            )
            d = sign * (side.plots_m + setback)
            scale = 1.0 - float(road.curvature(s + width / 2.0)) * d
            if rng.random() < (0.07 if street.tall else 0.10):
                self._open_plot(sign, side, (s, s + width))
            else:
                plan = draw_plan(
                    rng, width=width * min(scale, 1.05), tall=street.tall, shops=street.shops
                )
                yaw = 0.0 if sign > 0 else math.pi
                T = road.upright(s + width / 2.0, d, yaw)
                self.parts.append(building(rng, plan).placed(T))
                if setback > 2.0:
                    self._garden(sign, side, (s, s + width), setback)
            gap = 0.0 if street.tall and rng.random() < 0.8 else float(rng.uniform(1.5, 5.0))
            s += width + gap

    def _garden(
        self,
        sign: float,
        side: Side,
        span: tuple[float, float],
        setback: float,
    ) -> None:
        rng, road = self.rng, self.street.road
        gate = float(rng.uniform(span[0] + 1.5, span[1] - 4.5))
        wide = 1.5 if rng.random() < 0.5 else 3.0
        d0 = sign * side.plots_m
        near, far = sorted((d0, sign * (side.plots_m + setback + 0.5)))
        drive = snap(gate), snap(gate) + wide
        self.patches.append(
            Patch(s=drive, d=(near, far), material="paving", tint=(0.9, 0.86, 0.82))
        )
        if wide > 2.0 and setback > 5.6 and rng.random() < 0.7:
            self.drives.append((sum(drive) / 2.0, sign * (side.plots_m + setback - 2.7), sign))
        border = int(rng.integers(0, 5))
        for first, last in ((span[0], drive[0] - 0.1), (drive[1] + 0.1, span[1])):
            if last - first > 0.8 and border < 4:
                self._border(border, (first, last), d0 + sign * 0.3)
        for _ in range(int(rng.poisson(2.5 * self.street.green))):
            at = float(rng.uniform(*span))
            if not drive[0] - 1.0 < at < drive[1] + 1.0:
                out = side.plots_m + float(rng.uniform(1.2, max(1.3, setback - 1.0)))
                self.parts.append(standing(rng, road, self._bush(), at, sign * out))
        if setback > 4.0 and rng.random() < 0.4 * self.street.green:
            at = drive[1] + 1.8 if span[1] - drive[1] > drive[0] - span[0] else drive[0] - 1.8
            out = sign * (side.plots_m + 0.45 * setback)
            shape = self._tree()
            self.parts.append(standing(rng, road, shape, at, out, spread=0.05))

    def _border(self, kind: int, span: tuple[float, float], d: float) -> None:
        rng, road = self.rng, self.street.road
        if kind == 0:
            tall = float(rng.uniform(0.8, 1.7))
            profile = [
                [-0.3, -0.3],
                [-0.32, 0.5 * tall],
                [-0.22, tall],
                [0.22, tall],
                [0.32, 0.5 * tall],
                [0.3, -0.3],
            ]
            tint = rng.uniform(0.7, 1.0) * np.array([1.0, 1.0, 0.95])
            self.parts.append(along(road, span, d, profile, "hedge", tint, rough=rng))
        elif kind in (1, 2):
            tall = float(rng.uniform(0.5, 1.2))
            profile = [[-0.12, -0.4], [-0.12, tall], [0.12, tall], [0.12, -0.4]]
            material = str(rng.choice(["brick", "stone", "plaster"]))
            stone = {"brick": (0.8, 0.52, 0.44)}.get(material, (0.95, 0.93, 0.88))
            self.parts.append(along(road, span, d, profile, material, stone))
            cap = [[-0.16, tall], [-0.16, tall + 0.06], [0.16, tall + 0.06], [0.16, tall]]
            self.parts.append(along(road, span, d, cap, "concrete", (0.9, 0.9, 0.88)))
        else:
            self._fence(span, d)

    def _fence(self, span: tuple[float, float], d: float) -> None:
        """Upright boards with gaps, between two rails: beams see through it in part."""
        rng, road = self.rng, self.street.road
        tall = float(rng.uniform(0.9, 1.3))
        tint = rng.uniform(0.55, 1.0) * np.array([1.0, 0.95, 0.88])
        count = max(2, int((span[1] - span[0]) / 0.24))
        s = np.linspace(span[0], span[1], count)[:, None]
        low = np.concatenate([s - 0.055, np.full_like(s, d - 0.015), np.full_like(s, -0.1)], axis=1)
        high = low + np.array([0.11, 0.03, tall + 0.1])
        corners = box_corners(low, high)
        self.parts.append(boxes(_laid(road, corners), NUMBER["wood"], tint))
        for z in (0.25, tall - 0.25):
            rail = [[-0.05, z], [-0.05, z + 0.09], [-0.02, z + 0.09], [-0.02, z]]
            self.parts.append(along(road, span, d, rail, "wood", tint * 0.9))

    def _open_plot(
        self,
        sign: float,
        side: Side,
        span: tuple[float, float],
    ) -> None:
        """A small park, or a yard behind a wall."""
        rng, road = self.rng, self.street.road
        near, far = sorted((sign * side.plots_m, sign * (side.plots_m + 18.0)))
        ground = str(rng.choice(["grass", "grass", "soil"]))
        inner = snap(span[0]) + 1.5, snap(span[1]) - 1.5
        self.patches.append(Patch(s=inner, d=(near, far), material=ground))
        for _ in range(int(rng.integers(2, 5))):
            at, out = float(rng.uniform(*inner)), side.plots_m + float(rng.uniform(3.5, 16.0))
            shape = self._tree()
            self.parts.append(standing(rng, road, shape, at, sign * out))
        for _ in range(int(rng.integers(1, 6))):
            at, out = float(rng.uniform(*inner)), side.plots_m + float(rng.uniform(1.5, 15.0))
            self.parts.append(standing(rng, road, self._bush(), at, sign * out))
        self._border(int(rng.integers(0, 4)), span, sign * (side.plots_m + 0.3))

    def _behind(self, sign: float, side: Side) -> None:
        """A second row, seen through gaps and along side streets."""
        rng, road = self.rng, self.street.road
        s = road.s_range[0] + 2.0
        while s < road.s_range[1] - 14.0:
            width = float(rng.uniform(9.0, 16.0))
            out = side.plots_m + self.street.setback_m + float(rng.uniform(26.0, 36.0))
            turned = rng.random() < 0.4
            middle = s + width / 2.0
            room = 1.0 + (8.0 if turned else 0.0)
            clear = all(b + room < s or a - room > s + width for a, b in side.openings)
            if clear and out + 14.0 < REACH_M - 8.0:
                plan = draw_plan(rng, width=width, tall=self.street.tall, shops=0.0)
                far = dataclasses.replace(plan, plain=True)
                T = road.upright(middle, sign * out, 0.0 if sign > 0 else math.pi)
                self.parts.append(building(rng, far).placed(T))
            if rng.random() < 0.3 + 0.5 * self.street.green:
                shape = self._tree()
                at = sign * (out - float(rng.uniform(3.5, 7.0)))
                if all(b + 3.0 < s or a - 3.0 > s for a, b in side.openings):
                    self.parts.append(standing(rng, road, shape, s, at, spread=0.3))
            s += width + float(rng.uniform(3.0, 14.0))


def _laid(road: Road, corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Corners in (s, d, height above ground) as world coordinates."""
    points = road.points(corners[..., 0], corners[..., 1])
    points[..., 2] += corners[..., 2]
    return points
