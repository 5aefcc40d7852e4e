"""The plan of a street: widths, bends, side streets, crossings, and what is painted on the road."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from .ground import Patch, snap
from .terrain import REACH_M, Road, Side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .surface import FloatArray

_LINE_M = 0.06  # half the width of a line


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Street:
    """What is decided about a street before anything is built.

    Attributes:
        road: course and shape.
        lane_m: width of each of the two lanes.
        parking: whether cars can park along the (left, right) side.
        tall: whether it is a town's centre with closed rows of houses.
        setback_m: of the houses, typically.
        shops: share of houses with a shop.
        green: how much grows along the street, [0, 1].
        busy: how many cars and people there are, [0, 1].
        crossings: middle of each zebra crossing, s.
        patches: what is painted on the ground.
        lines_m: lines of d at which the carriageway's look changes.
        pavement, plots: the default grounds beside the carriageway.
    """

    road: Road
    lane_m: float
    parking: tuple[bool, bool]
    tall: bool
    setback_m: float
    shops: float
    green: float
    busy: float
    crossings: tuple[float, ...]
    patches: tuple[Patch, ...]
    lines_m: tuple[float, ...]
    pavement: Patch
    plots: Patch

    def sides(self) -> tuple[tuple[float, Side], tuple[float, Side]]:
        """Return the sign of d and the shape of the left and of the right side."""
        return (1.0, self.road.left), (-1.0, self.road.right)

    def is_clear(self, s: float, side: Side, margin: float) -> bool:
        """Tell whether there is neither a side street on this side nor a crossing near s."""
        near_crossing = any(abs(s - middle) < 2.0 + margin for middle in self.crossings)
        in_opening = any(a - margin < s < b + margin for a, b in side.openings)
        return not (near_crossing or in_opening)


def plan_street(rng: np.random.Generator, s_range: tuple[float, float]) -> Street:
    """Draw a street.

    Args:
        rng: source of chance.
        s_range: first and last s, metres.
    """
    tall = bool(rng.random() < 0.45)
    lane = float(rng.uniform(2.9, 3.5))
    parking = (bool(rng.random() < 0.6), bool(rng.random() < 0.75))
    crossings = _crossings(rng, s_range)
    lowered = tuple((snap(s) - 2.25, snap(s) + 2.25) for s in crossings)
    shapes = []
    openings_before: tuple[tuple[float, float], ...] = ()
    for has_parking in parking:
        openings = _openings(rng, s_range, crossings, openings_before)
        openings_before = openings
        shapes.append(
            Side(
                kerb_m=lane + 0.35 + (2.15 if has_parking else 0.0),
                pavement_m=float(rng.uniform(2.4, 4.4)),
                openings=openings,
                lowered=lowered,
                rise=float(rng.choice([0.0, 0.02, 0.05, 0.09]) * rng.uniform(0.4, 1.0)),
            )
        )
    left, right = shapes
    sharpest = rng.uniform(0.003, 0.008)
    mix = rng.dirichlet([1.0, 1.0])
    wave = rng.uniform(0.6, 1.3)
    road = Road(
        s_range,
        bends=[
            (float(sharpest * mix[0]), float(rng.uniform(120, 200)), float(rng.uniform(0, 6.28))),
            (float(sharpest * mix[1]), float(rng.uniform(220, 420)), float(rng.uniform(0, 6.28))),
        ],
        hills=[
            (float(0.55 * wave), float(rng.uniform(150, 240)), float(rng.uniform(0, 6.28))),
            (float(1.1 * wave), float(rng.uniform(320, 480)), float(rng.uniform(0, 6.28))),
        ],
        banks=[
            (
                float(rng.uniform(0.0, 0.025)),
                float(rng.uniform(160, 320)),
                float(rng.uniform(0, 6.28)),
            )
        ],
        left=left,
        right=right,
        crown=float(rng.uniform(0.01, 0.025)),
    )
    lines = _lines(lane, left, right, crossings)
    pavement = Patch(
        s=(0, 0),
        d=(0, 0),
        material=str(rng.choice(["paving", "paving", "asphalt_old"])),
        tint=_greyish(rng, 0.85, 1.0),
    )
    plots = Patch(
        s=(0, 0), d=(0, 0), material="paving" if tall else "grass", tint=_greyish(rng, 0.8, 1.0)
    )
    patches = _repairs(rng, s_range, lane)
    patches += _side_streets(left, right)
    patches += _markings(rng, road, lane, parking, crossings)
    return Street(
        road=road,
        lane_m=lane,
        parking=parking,
        tall=tall,
        setback_m=float(rng.uniform(0.0, 1.0) if tall else rng.uniform(3.0, 8.0)),
        shops=float(rng.uniform(0.3, 0.8) if tall else rng.uniform(0.0, 0.15)),
        green=float(rng.uniform(0.2, 0.6) if tall else rng.uniform(0.5, 1.0)),
        busy=float(rng.uniform(0.35, 1.0)),
        crossings=crossings,
        patches=tuple(patches),
        lines_m=tuple(lines),
        pavement=pavement,
        plots=plots,
    )


def _greyish(rng: np.random.Generator, low: float, high: float) -> tuple[float, float, float]:
    value = rng.uniform(low, high) * np.array([1.0, rng.uniform(0.97, 1.0), rng.uniform(0.93, 1.0)])
    return float(value[0]), float(value[1]), float(value[2])


def _crossings(rng: np.random.Generator, s_range: tuple[float, float]) -> tuple[float, ...]:
    found = []
    s = s_range[0] + rng.uniform(50.0, 150.0)
    while s < s_range[1] - 30.0:
        found.append(snap(float(s)))
        s += rng.uniform(110.0, 260.0)
    return tuple(found)


def _openings(
    rng: np.random.Generator,
    s_range: tuple[float, float],
    crossings: Sequence[float],
    others: Sequence[tuple[float, float]],
) -> tuple[tuple[float, float], ...]:
    """Side streets of one side; some face one across the road."""
    found: list[tuple[float, float]] = []
    s = s_range[0] + rng.uniform(20.0, 80.0)
    while s < s_range[1] - 20.0:
        across = [a for a, _ in others if abs(a - s) < 25.0]
        start = snap(across[0]) if across and rng.random() < 0.6 else snap(float(s))
        span = (start, start + float(rng.choice([6.0, 7.5])))
        if all(c < span[0] - 9.0 or c > span[1] + 9.0 for c in crossings):
            found.append(span)
        s += rng.uniform(60.0, 130.0)
    return tuple(found)


def _lines(lane: float, left: Side, right: Side, crossings: Sequence[float]) -> list[float]:
    lines = [-_LINE_M, _LINE_M, -0.75 * lane, 0.75 * lane, -0.3 * lane, 0.3 * lane]
    for sign, side in ((1.0, left), (-1.0, right)):
        lines += [sign * (lane + 0.15 - _LINE_M), sign * (lane + 0.15 + _LINE_M)]
        if side.kerb_m > lane + 1.0:
            lines += [sign * (lane + 0.35)]
    if crossings:
        lines += list(_stripes(lane).ravel())
    return lines


def _stripes(lane: float) -> FloatArray:
    """The (from, to) in d of a crossing's stripes."""
    start = np.arange(-lane + 0.1, lane - 0.3, 1.0)
    return np.stack([start, start + 0.5], axis=1)


def _markings(
    rng: np.random.Generator,
    road: Road,
    lane: float,
    parking: tuple[bool, bool],
    crossings: Sequence[float],
) -> list[Patch]:
    low, high = road.s_range
    dash, period = ((3.0, 9.0), (4.5, 9.0), (3.0, 6.0))[int(rng.integers(3))]
    patches = [
        Patch(s=(s, s + dash), d=(-_LINE_M, _LINE_M), material="paint")
        for s in np.arange(snap(low), high, period)
    ]
    lined = rng.random() < 0.8
    for (sign, side), parked in zip(((1.0, road.left), (-1.0, road.right)), parking, strict=True):
        if not (lined or parked):
            continue
        edge = sorted((sign * (lane + 0.15 - _LINE_M), sign * (lane + 0.15 + _LINE_M)))
        patches.append(Patch(s=(low, high), d=(edge[0], edge[1]), material="paint"))
        for first, last in side.openings:
            patches.append(Patch(s=(first, last), d=(edge[0], edge[1]), material="asphalt"))
            patches += [
                Patch(s=(s, s + 1.5), d=(edge[0], edge[1]), material="paint")
                for s in np.arange(first, last, 3.0)
            ]
    for middle in crossings:
        span = (middle - 1.5, middle + 1.5)
        whole = (-lane - 0.3, lane + 0.3)
        patches.append(
            Patch(s=(span[0] - 3.0, span[1] + 3.0), d=(-_LINE_M, _LINE_M), material="paint")
        )
        patches.append(Patch(s=span, d=whole, material="asphalt"))
        patches += [Patch(s=span, d=(a, b), material="paint") for a, b in _stripes(lane)]
        patches.append(
            Patch(s=(span[0] - 3.0, span[0] - 1.5), d=(-lane, -_LINE_M), material="paint")
        )
        patches.append(Patch(s=(span[1] + 1.5, span[1] + 3.0), d=(_LINE_M, lane), material="paint"))
    return patches


def _repairs(rng: np.random.Generator, s_range: tuple[float, float], lane: float) -> list[Patch]:
    """Stretches of another age, patches over trenches."""
    columns = [-lane, -0.75 * lane, -0.3 * lane, 0.3 * lane, 0.75 * lane, lane]
    patches = []
    s = s_range[0]
    while s < s_range[1]:
        length = float(rng.uniform(25.0, 110.0))
        shade = _greyish(rng, 0.78, 1.0)
        kind = str(rng.choice(["asphalt", "asphalt_old"]))
        whole = (-REACH_M, REACH_M)
        span = (snap(s), snap(s + length))
        patches.append(Patch(s=span, d=whole, material=kind, tint=shade, road_only=True))
        s += length
    for _ in range(int((s_range[1] - s_range[0]) / 16.0)):
        start = snap(float(rng.uniform(*s_range)))
        first = int(rng.integers(0, 4))
        last = first + int(rng.integers(1, 3))
        patches.append(
            Patch(
                s=(start, start + 1.5 * float(rng.integers(1, 6))),
                d=(columns[first], columns[min(last, 5)]),
                material=str(rng.choice(["asphalt", "asphalt_old"])),
                tint=_greyish(rng, 0.65, 1.0),
            )
        )
    return patches


def _side_streets(left: Side, right: Side) -> list[Patch]:
    patches = []
    for sign, side in ((1.0, left), (-1.0, right)):
        for span in side.openings:
            d = sorted((sign * side.kerb_m, sign * REACH_M))
            patches.append(Patch(s=span, d=(d[0], d[1]), material="asphalt"))
    return patches
