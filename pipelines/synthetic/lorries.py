"""Lorries and buses; drawn about the middle of their length, x forward, z up from the ground."""

from __future__ import annotations

import numpy as np

from .material import NUMBER
from .shapes import box, box_corners, boxes, loft, quads
from .sheets import BOARDS
from .surface import Surface, join
from .vehicles import plates, wheels

_PAINT, _GLASS, _TRIM = NUMBER["car_paint"], NUMBER["car_glass"], NUMBER["trim"]


def box_truck(
    tint: tuple[float, float, float], load: tuple[float, float, float], plate: int
) -> Surface:
    """Return a lorry with a cab and a closed box."""
    w = 1.15
    cab_rings, charts = [], []
    for x, low, high in (
        (2.15, 0.45, 2.55),
        (2.6, 0.45, 2.62),
        (3.35, 0.45, 2.45),
        (3.75, 0.45, 1.45),
        (3.85, 0.5, 1.2),
    ):
        ring = np.array(
            [
                [x, -w, low],
                [x, w, low],
                [x, w, high - 0.15],
                [x, 0.9 * w, high],
                [x, -0.9 * w, high],
                [x, -w, high - 0.15],
                [x, -w, low],
            ]
        )
        cab_rings.append(ring)
        charts.append(np.stack([ring[:, 0], ring[:, 2] + 2.0], axis=1))
    parts = [loft(cab_rings, _PAINT, tint, uv=charts)]
    windscreen = [
        [3.755, -0.88 * w, 1.50],
        [3.755, 0.88 * w, 1.50],
        [3.39, 0.82 * w, 2.36],
        [3.39, -0.82 * w, 2.36],
    ]
    side = np.array(
        [
            [2.75, 1.01 * w, 1.5],
            [3.5, 1.01 * w, 1.5],
            [3.25, 1.01 * w, 2.15],
            [2.75, 1.01 * w, 2.15],
        ]
    )
    parts.append(
        quads(np.stack([np.array(windscreen), side[::-1], side * [1.0, -1.0, 1.0]]), _GLASS)
    )
    parts.append(box((-3.9, -1.2, 0.95), (2.0, 1.2, 3.35), NUMBER["metal"], load))
    name = np.array([[-2.6, -1.21, 1.3], [0.4, -1.21, 1.3], [0.4, -1.21, 2.9], [-2.6, -1.21, 2.9]])
    sides = np.stack([name, (name * [1.0, -1.0, 1.0])[[1, 0, 3, 2]]])
    parts.append(quads(sides, NUMBER["board"], uv=BOARDS.corners([plate, plate])))
    parts.append(box((-3.8, -0.9, 0.55), (2.2, 0.9, 0.95), _TRIM))
    parts += wheels((-2.4, 2.95), w, 0.45)
    lamps = box_corners(
        [[3.7, -1.05, 0.75], [3.7, 0.7, 0.75]], [[3.87, -0.7, 0.95], [3.87, 1.05, 0.95]]
    )
    tails = box_corners(
        [[-3.93, -1.1, 0.7], [-3.93, 0.8, 0.7]], [[-3.7, -0.8, 0.9], [-3.7, 1.1, 0.9]]
    )
    parts += [boxes(lamps, NUMBER["headlight"]), boxes(tails, NUMBER["taillight"])]
    parts.append(box((3.8, -0.6, 0.95), (3.862, 0.6, 1.15), _TRIM))
    parts.append(plates(3.89, 0.62, -3.94, 0.8, plate))
    return join(parts)


def bus(tint: tuple[float, float, float], plate: int) -> Surface:
    """Return a town bus of 10.5 m."""
    w, half, top = 1.25, 5.25, 3.0
    body = box((-half, -w, 0.3), (half, w, top), _PAINT, tint)
    parts = [body]
    panes = []
    for number in range(6):
        x = -half + 0.5 + 1.62 * number
        pane = np.array(
            [
                [x, -w - 0.01, 1.25],
                [x + 1.5, -w - 0.01, 1.25],
                [x + 1.5, -w - 0.01, 2.45],
                [x, -w - 0.01, 2.45],
            ]
        )
        panes += [pane, (pane * [1.0, -1.0, 1.0])[::-1]]
    f = half + 0.01
    panes.append(np.array([[f, -1.15, 1.0], [f, 1.15, 1.0], [f, 1.15, 2.5], [f, -1.15, 2.5]]))
    panes.append(np.array([[-f, 1.0, 1.6], [-f, -1.0, 1.6], [-f, -1.0, 2.4], [-f, 1.0, 2.4]]))
    parts.append(quads(panes, _GLASS))
    destination = [[f, -0.9, 2.58], [f, 0.9, 2.58], [f, 0.9, 2.88], [f, -0.9, 2.88]]
    parts.append(quads([destination], NUMBER["lamp"], (0.9, 0.6, 0.1)))
    parts += wheels((-2.9, 3.2), w, 0.48)
    lamps = box_corners(
        [[half - 0.1, -1.15, 0.6], [half - 0.1, 0.75, 0.6]],
        [[half + 0.02, -0.75, 0.8], [half + 0.02, 1.15, 0.8]],
    )
    tails = box_corners(
        [[-half - 0.02, -1.15, 0.8], [-half - 0.02, 0.9, 0.8]],
        [[-half + 0.1, -0.9, 1.2], [-half + 0.1, 1.15, 1.2]],
    )
    parts += [boxes(lamps, NUMBER["headlight"]), boxes(tails, NUMBER["taillight"])]
    parts.append(plates(half + 0.03, 0.5, -half - 0.03, 0.7, plate))
    parts.append(box((-2.0, -0.9, top), (2.5, 0.9, top + 0.22), _PAINT, tint))
    return join(parts)
