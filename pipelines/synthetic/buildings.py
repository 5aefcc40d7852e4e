"""Houses: walls with recessed windows, doors, shop fronts, balconies, roofs, chimneys.

A building stands in a frame of its own: x along the front from left to right as seen from the
street, y away from the street, z up; the origin is in the middle of the front, on the ground.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from .material import NUMBER
from .roofs import flat_roof, pitched_roof
from .shapes import box_corners, boxes, quads, upright
from .sheets import BOARDS, DOORS, SHOPS, WINDOWS
from .surface import Surface, join

if TYPE_CHECKING:
    from .surface import FloatArray

Colour = tuple[float, float, float]

_BELOW_M = 4.0  # of wall under the ground, for slopes
_RECESS_M = 0.14
_PLASTER: tuple[Colour, ...] = (
    (0.96, 0.93, 0.84),
    (0.95, 0.85, 0.60),
    (0.93, 0.76, 0.66),
    (0.80, 0.86, 0.78),
    (0.97, 0.97, 0.96),
    (0.76, 0.82, 0.88),
    (0.86, 0.60, 0.46),
    (0.80, 0.78, 0.74),
    (0.90, 0.72, 0.48),
    (0.68, 0.72, 0.70),
)
_BRICK: tuple[Colour, ...] = (
    (0.86, 0.50, 0.40),
    (0.74, 0.42, 0.34),
    (0.90, 0.76, 0.56),
    (0.66, 0.50, 0.42),
    (0.80, 0.62, 0.50),
)
_DOORS: tuple[Colour, ...] = (
    (0.50, 0.20, 0.16),
    (0.20, 0.34, 0.26),
    (0.24, 0.30, 0.48),
    (0.55, 0.40, 0.26),
    (0.92, 0.92, 0.90),
    (0.35, 0.36, 0.38),
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a building is to be.

    Attributes:
        width, depth: of the ground plan, metres.
        floors: with the ground floor.
        floor_m: height of a floor.
        wall: name of the walls' material.
        tint: of the walls.
        pitched: whether the roof is pitched, else flat.
        shop: whether the ground floor is a shop.
        plain: whether it stands far from the street and needs no relief.
    """

    width: float
    depth: float
    floors: int
    floor_m: float
    wall: str
    tint: Colour
    pitched: bool
    shop: bool
    plain: bool = False


def draw_plan(rng: np.random.Generator, *, width: float, tall: bool, shops: float) -> Plan:
    """Draw what a building of a given width is like.

    Args:
        rng: source of chance.
        width: of the front, metres.
        tall: whether it belongs to a town's centre.
        shops: share of buildings with a shop.
    """
    wall = str(rng.choice(["brick", "plaster", "concrete", "stone"], p=[0.36, 0.46, 0.08, 0.10]))
    palette = {"brick": _BRICK, "plaster": _PLASTER}.get(wall, ((1.0, 0.98, 0.95),))
    tint = np.array(palette[int(rng.integers(len(palette)))]) * rng.uniform(0.88, 1.04)
    floors = int(rng.integers(3, 6)) if tall else int(rng.integers(1, 4))
    return Plan(
        width=width,
        depth=float(rng.uniform(8.0, 12.0)),
        floors=floors,
        floor_m=float(rng.uniform(2.7, 3.3)),
        wall=wall,
        tint=tuple(float(c) for c in np.clip(tint, 0.0, 1.0)),  # type: ignore[arg-type]
        pitched=bool(rng.random() < (0.5 if tall else 0.85)),
        shop=bool(rng.random() < shops),
    )


def building(rng: np.random.Generator, plan: Plan) -> Surface:
    """Return a building in its own frame."""
    top = plan.floors * plan.floor_m + 0.3
    parts = [_front(rng, plan, top), _sides(rng, plan, top)]
    parts += pitched_roof(rng, plan, top) if plan.pitched else flat_roof(rng, plan, top)
    return join(parts)


def _front(rng: np.random.Generator, plan: Plan, top: float) -> Surface:
    half = plan.width / 2.0
    wall = NUMBER[plan.wall]
    shift = rng.uniform(0.0, 8.0, 2)
    count = max(1, round((plan.width - 0.6) / rng.uniform(2.2, 3.2)))
    bay = plan.width / count
    wide = min(bay * rng.uniform(0.42, 0.66), 2.2)
    centres = -half + bay * (np.arange(count) + 0.5)
    left, right = centres - wide / 2.0, centres + wide / 2.0
    sill = rng.uniform(0.75, 0.95)
    head = min(plan.floor_m - 0.35, sill + rng.uniform(1.3, 1.7))
    piers = np.concatenate([[-half], right]), np.concatenate([left, [half]])
    kinds = rng.integers(0, 16, 3)
    walls: list[FloatArray] = []
    parts: list[Surface] = []
    openings: list[FloatArray] = []
    last = -_BELOW_M
    for floor in range(plan.floors):
        base = floor * plan.floor_m + 0.15
        if floor == 0 and plan.shop:
            parts += _shop_front(rng, half, base, plan.floor_m)
            ledge = np.array([base, base + plan.floor_m - 0.2])
            walls.append(
                upright(np.array([-half]), np.array([half]), np.array([last]), ledge[:1], 0.0)
            )
            ends = np.array([-half, half - 0.35]), np.array([-half + 0.35, half])
            walls.append(upright(*ends, ledge[:1], ledge[1:], 0.0))
            last = float(ledge[1])
            continue
        low, high = base + sill, base + head
        band = np.array([-half]), np.array([half])
        doorway = int(rng.integers(count)) if floor == 0 else -1
        walls.append(upright(*band, np.array([last]), np.array([low]), 0.0))
        walls.append(upright(*piers, np.array([low]), np.array([high]), 0.0))
        glazed = np.arange(count) != doorway
        window = upright(left[glazed], right[glazed], np.array([low]), np.array([high]), _RECESS_M)
        pick = (
            rng.integers(0, 3, len(window))
            if rng.random() < 0.4
            else rng.integers(0, 2, len(window))
        )
        parts.append(quads(window, NUMBER["window"], uv=WINDOWS.corners(kinds[pick])))
        openings.append(window)
        if doorway >= 0:
            parts += _doorway(rng, plan, centres[doorway], (low, high), (left, right), doorway)
            openings.append(
                upright(
                    left[[doorway]], right[[doorway]], np.array([low]), np.array([high]), _RECESS_M
                )
            )
        if floor > 0 and plan.floors > 2 and rng.random() < 0.35:
            parts.append(_balconies(rng, centres[rng.random(count) < 0.5], wide, base))
        last = high
    walls.append(
        upright(np.array([-half]), np.array([half]), np.array([last]), np.array([top]), 0.0)
    )
    if openings:
        frames = np.concatenate(openings)
        parts.append(_reveals(frames, wall, plan.tint))
        sills = np.stack(
            [frames[:, 0] - [0.06, _RECESS_M + 0.07, 0.06], frames[:, 1] + [0.06, 0.0, 0.0]]
        )
        parts.append(boxes(box_corners(*sills), NUMBER["concrete"], (1.0, 0.99, 0.96), bottom=True))
    face = np.concatenate(walls)
    parts.append(quads(face, wall, plan.tint, face[..., [0, 2]] + shift))
    plinth = box_corners(
        (-half - 0.02, -0.04, -_BELOW_M), (half + 0.02, 0.0, rng.uniform(0.2, 0.5))
    )
    parts.append(boxes(plinth, NUMBER["concrete"], (0.8, 0.79, 0.77)))
    if not plan.shop and rng.random() < 0.15:
        z = plan.floor_m * rng.uniform(0.35, 0.5)
        x = rng.choice(centres) + bay / 2.0
        poster = upright(
            np.array([x - 0.5]), np.array([x + 0.5]), np.array([z]), np.array([z + 1.1]), -0.02
        )
        if abs(x) < half - 0.6:
            parts.append(quads(poster, NUMBER["board"], uv=BOARDS.corners(rng.integers(16))))
    return join(parts)


def _reveals(openings: FloatArray, material: int, tint: Colour) -> Surface:
    """The four inner faces of recessed openings, (N, 4, 3)."""
    outer = openings - [0.0, _RECESS_M, 0.0]
    following = [1, 2, 3, 0]
    faces = np.stack([outer, outer[:, following], openings[:, following], openings], axis=2)
    return quads(faces.reshape(-1, 4, 3), material, np.array(tint) * 0.8)


def _doorway(
    rng: np.random.Generator,
    plan: Plan,
    centre: float,
    band: tuple[float, float],
    edges: tuple[FloatArray, FloatArray],
    number: int,
) -> list[Surface]:
    """A door in front of the wall below a window's place, and a fanlight in that place."""
    tint = _DOORS[int(rng.integers(len(_DOORS)))]
    garage = rng.random() < 0.2
    wide = min(2.5, edges[1][number] - edges[0][number] + 0.4) if garage else 1.0
    x0, x1 = np.array([centre - wide / 2]), np.array([centre + wide / 2])
    low, high = np.array([0.05]), np.array([2.15])
    leaf = upright(x0, x1, low, high, -0.015)
    picture = DOORS.corners(rng.integers(4) + (4 if garage else 0))
    parts = [quads(leaf, NUMBER["door"], tint, picture)]
    span = upright(
        edges[0][[number]], edges[1][[number]], np.array([band[0]]), np.array([band[1]]), _RECESS_M
    )
    parts.append(quads(span, NUMBER["window"], uv=WINDOWS.corners(rng.integers(16))))
    steps = box_corners((x0[0] - 0.2, -0.5, -1.0), (x1[0] + 0.2, 0.0, 0.1))
    parts.append(boxes(steps, NUMBER["concrete"], (0.9, 0.9, 0.88)))
    if rng.random() < 0.5:
        roof = box_corners((x0[0] - 0.25, -0.8, 2.45), (x1[0] + 0.25, 0.0, 2.55))
        parts.append(boxes(roof, NUMBER["wood"], np.array(tint), bottom=True))
    return parts


def _shop_front(
    rng: np.random.Generator, half: float, base: float, floor_m: float
) -> list[Surface]:
    count = max(1, round(2 * half / 5.5))
    x = np.linspace(-half + 0.35, half - 0.35, count + 1)
    height = floor_m - 0.2
    panes = upright(x[:-1], x[1:], np.array([base]), np.array([base + height]), 0.10)
    number = int(rng.integers(8))
    parts = [quads(panes, NUMBER["shop"], uv=SHOPS.corners(number + np.arange(count)))]
    if rng.random() < 0.5:
        z = base + 3.05  # above people's heads, on sloping pavements too
        colour = rng.uniform(0.2, 0.9, 3)
        slope = np.array(
            [
                [
                    [x[0], -1.3, z - 0.35],
                    [x[-1], -1.3, z - 0.35],
                    [x[-1], 0.0, z + 0.1],
                    [x[0], 0.0, z + 0.1],
                ]
            ]
        )
        parts.append(quads(slope, NUMBER["cloth"], colour))
        front = upright(x[[0]], x[[-1]], np.array([z - 0.55]), np.array([z - 0.35]), -1.3)
        parts.append(quads(front, NUMBER["cloth"], colour * 0.8))
    return parts


def _balconies(rng: np.random.Generator, centres: FloatArray, wide: float, base: float) -> Surface:
    out = 1.1
    low = np.stack(
        [centres - wide / 2 - 0.3, np.full_like(centres, -out), np.full_like(centres, base - 0.15)],
        axis=1,
    )
    size = np.array([wide + 0.6, out, 0.15])
    high = low + size
    slab = boxes(box_corners(low, high), NUMBER["concrete"], bottom=True)
    rail = boxes(
        box_corners(low + np.array([0, 0, 0.3]), low + np.array([wide + 0.6, 0.04, 1.05])),
        NUMBER["metal"],
        (0.45, 0.47, 0.5),
        bottom=True,
    )
    return join([slab, rail])


def _sides(rng: np.random.Generator, plan: Plan, top: float) -> Surface:
    half, deep = plan.width / 2.0, plan.depth
    wall = NUMBER[plan.wall]
    back = [[half, deep], [-half, deep]]
    runs = [[[half, 0.0], [half, deep]], back, [[-half, deep], [-half, 0.0]]]
    corners = []
    for (x0, y0), (x1, y1) in runs:
        corners.append([[x0, y0, -_BELOW_M], [x1, y1, -_BELOW_M], [x1, y1, top], [x0, y0, top]])
    face = np.array(corners)
    length = np.linalg.norm(face[:, 1] - face[:, 0], axis=1)
    chart = np.stack([[[0, -_BELOW_M], [w, -_BELOW_M], [w, top], [0, top]] for w in length])
    parts = [quads(face, wall, np.array(plan.tint) * 0.97, chart + rng.uniform(0, 8, 2))]
    windows = []
    for side in (-1.0, 1.0):
        for y in np.arange(2.0, deep - 1.5, rng.uniform(2.8, 4.5)):
            for floor in range(plan.floors):
                if rng.random() < 0.6:
                    z = floor * plan.floor_m + 1.1
                    x = side * (half + 0.02)
                    pane = [
                        [x, y - 0.5, z],
                        [x, y + 0.5, z],
                        [x, y + 0.5, z + 1.3],
                        [x, y - 0.5, z + 1.3],
                    ]
                    windows.append(pane if side > 0 else [pane[i] for i in (1, 0, 3, 2)])
    for floor in range(plan.floors):
        for x in np.arange(-half + 1.5, half - 1.0, 2.8):
            z = floor * plan.floor_m + 1.1
            y = deep + 0.02
            windows.append(
                [[x + 0.6, y, z], [x - 0.6, y, z], [x - 0.6, y, z + 1.3], [x + 0.6, y, z + 1.3]]
            )
    if windows:
        parts.append(
            quads(
                windows, NUMBER["window"], uv=WINDOWS.corners(rng.integers(16, size=len(windows)))
            )
        )
    return join(parts)
