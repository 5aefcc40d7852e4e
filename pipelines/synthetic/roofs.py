"""Roofs of buildings: gables, hips, dormers and chimneys, or flat with a parapet.

Frames as in `buildings`; `top` is the height of the walls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .material import NUMBER
from .shapes import box_corners, boxes, quads, triangles, upright
from .sheets import WINDOWS

if TYPE_CHECKING:
    from .buildings import Colour, Plan
    from .surface import Surface

_CHIMNEY: Colour = (0.74, 0.42, 0.34)
_ROOFS: tuple[Colour, ...] = (
    (0.86, 0.48, 0.36),
    (0.70, 0.40, 0.32),
    (0.52, 0.50, 0.52),
    (0.62, 0.46, 0.38),
)


def pitched_roof(rng: np.random.Generator, plan: Plan, top: float) -> list[Surface]:
    """Return a roof with its ridge along the front."""
    half, deep, wall = plan.width / 2.0, plan.depth, NUMBER[plan.wall]
    tint = _ROOFS[int(rng.integers(len(_ROOFS)))]
    ridge = top + rng.uniform(0.55, 0.9) * deep / 2.0
    middle, over = deep / 2.0, 0.35
    drop = over * (ridge - top) / middle
    end = half + (0.0 if plan.width > 14 else 0.2)
    inset = rng.choice([0.0, 0.0, min(2.5, 0.3 * plan.width)])
    eaves = [[-end, -over, top - drop], [end, -over, top - drop]]
    back = [[end, deep + over, top - drop], [-end, deep + over, top - drop]]
    peak = [[-end + inset, middle, ridge], [end - inset, middle, ridge]]
    slopes = [[*eaves, peak[1], peak[0]], [*back, peak[0], peak[1]]]
    parts = [quads(slopes, NUMBER["roof_tile"], tint)]
    gables = [
        [[-half, deep, top], [-half, 0.0, top], [-half, middle, ridge - 0.02]],
        [[half, 0.0, top], [half, deep, top], [half, middle, ridge - 0.02]],
    ]
    if inset:
        hips = [[back[1], eaves[0], peak[0]], [eaves[1], back[0], peak[1]]]
        parts.append(triangles(hips, NUMBER["roof_tile"], tint))
    else:
        parts.append(triangles(gables, wall, plan.tint))
    gutter = box_corners(
        (-end, -over - 0.06, top - drop - 0.06), (end, -over + 0.06, top - drop + 0.04)
    )
    parts.append(boxes(gutter, NUMBER["metal"], (0.45, 0.46, 0.47), bottom=True))
    chimney_x = rng.uniform(-0.7, 0.7, int(rng.integers(0, 3))) * half
    if len(chimney_x):
        low = np.stack(
            [chimney_x - 0.35, np.full_like(chimney_x, middle + 0.3), np.full_like(chimney_x, top)],
            axis=1,
        )
        parts.append(
            boxes(
                box_corners(low, low + np.array([0.7, 0.6, ridge - top + 0.9])),
                NUMBER["brick"],
                _CHIMNEY,
            )
        )
    if plan.width > 7 and rng.random() < 0.5 and not plan.plain:
        rise = (ridge - top) / middle
        for x in np.arange(-half + 2.2, half - 1.6, rng.uniform(3.0, 5.0)):
            y = middle * 0.25
            z = top + rise * y
            dormer = box_corners((x - 0.7, y, z - 0.3), (x + 0.7, middle * 0.75, z + 1.35))
            parts.append(boxes(dormer, NUMBER["plaster"], (0.9, 0.88, 0.84)))
            pane = upright(
                np.array([x - 0.5]),
                np.array([x + 0.5]),
                np.array([z + 0.15]),
                np.array([z + 1.2]),
                y - 0.02,
            )
            parts.append(quads(pane, NUMBER["window"], uv=WINDOWS.corners(rng.integers(16))))
    return parts


def flat_roof(rng: np.random.Generator, plan: Plan, top: float) -> list[Surface]:
    """Return a flat roof with a parapet."""
    half, deep = plan.width / 2.0, plan.depth
    roof = [[-half, 0.0, top], [half, 0.0, top], [half, deep, top], [-half, deep, top]]
    lip = rng.uniform(0.3, 0.8)
    low = [[-half - 0.05, -0.12, top - 0.15], [-half - 0.05, 0.0, top], [half - 0.2, 0.0, top]]
    high = [
        [half + 0.05, 0.15, top + lip],
        [-half + 0.2, deep, top + lip],
        [half + 0.05, deep, top + lip],
    ]
    parts = [
        quads([roof], NUMBER["roof_flat"]),
        boxes(box_corners(low, high), NUMBER["concrete"], np.array(plan.tint) * 0.85, bottom=True),
    ]
    if rng.random() < 0.6:
        x = rng.uniform(-0.5, 0.5) * half
        hut = box_corners((x - 1.5, 3.0, top), (x + 1.5, 6.0, top + 2.0))
        parts.append(boxes(hut, NUMBER["concrete"], (0.8, 0.8, 0.8)))
    return parts
