"""What stands on pavements: lamps, signs, lights, bollards, bins, benches, shelters.

Each is drawn on the origin, x along the street in the sense of its traffic, y to the left of that,
which is towards the carriageway. Each is drawn once in a process.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from .material import NUMBER
from .shapes import box, box_corners, boxes, quads, triangles, tube
from .sheets import BOARDS, SIGNS
from .surface import Surface, join

Colour = tuple[float, float, float]
_GREY: Colour = (0.55, 0.57, 0.58)


@functools.cache
def lamp_post(height: float, reach: float, tint: Colour) -> Surface:
    """Return a street lamp whose arm reaches over the carriageway."""
    pole = tube(
        [[0, 0, -0.2], [0, 0, 1.2], [0, 0, height]], [0.09, 0.075, 0.05], NUMBER["metal"], tint
    )
    foot = tube([[0, 0, -0.2], [0, 0, 0.5]], 0.11, NUMBER["metal"], tint)
    arm = tube(
        [[0, 0, height - 0.05], [0, reach, height + 0.15]], 0.035, NUMBER["metal"], tint, sides=6
    )
    head = box(
        (-0.13, reach - 0.15, height + 0.09),
        (0.13, reach + 0.5, height + 0.2),
        NUMBER["metal"],
        tint,
    )
    glass = box(
        (-0.1, reach - 0.05, height + 0.05), (0.1, reach + 0.45, height + 0.09), NUMBER["lamp"]
    )
    return join([pole, foot, arm, head, glass])


@functools.cache
def traffic_sign(number: int, corners: int = 8, height: float = 2.3) -> Surface:
    """Return a sign on a pole, seen by those who drive along x.

    Args:
        number: which picture of the sheet.
        corners: of the plate: 3, 4 or 8.
        height: of the plate's centre.
    """
    pole = tube([[0, 0, -0.2], [0, 0, height + 0.33]], 0.032, NUMBER["metal"], _GREY, sides=6)
    turn = 2.0 * math.pi * (np.arange(corners + 1) / corners) + math.pi / 2.0
    turn += 0.0 if corners == 3 else math.pi / corners
    radius = {3: 0.42, 4: 0.44}.get(corners, 0.34)
    # Seen from -x, the right hand is -y.
    rim = np.stack(
        [np.full(corners + 1, -0.045), -radius * np.cos(turn), height + radius * np.sin(turn)],
        axis=1,
    )
    centre = np.broadcast_to([-0.045, 0.0, height], (corners, 3))
    front = np.stack([centre, rim[:-1], rim[1:]], axis=1)
    cell = SIGNS.corners(number)[0]
    middle, half = cell.mean(axis=0), 0.5 * (cell[2] - cell[0])
    on_rim = middle + half * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    chart = np.stack([np.broadcast_to(middle, (corners, 2)), on_rim[:-1], on_rim[1:]], axis=1)
    back = front[:, ::-1] + [0.012, 0.0, 0.0]
    plate = triangles(front, NUMBER["sign"], uv=chart)
    return join([pole, plate, triangles(back, NUMBER["metal"], _GREY)])


@functools.cache
def traffic_light(state: int, *, arm: float = 0.0) -> Surface:
    """Return a traffic light, red (0), amber (1) or green (2), with a second head on an arm."""
    height = 3.2 if not arm else 5.6
    dark = (0.22, 0.24, 0.24)
    pole = tube([[0, 0, -0.2], [0, 0, height]], [0.08, 0.06], NUMBER["metal"], _GREY)
    heads = [(0.0, 2.3)]
    parts = [pole]
    if arm:
        heads.append((arm, 4.9))
        parts.append(tube([[0, 0, 5.5], [0, arm, 5.55]], 0.05, NUMBER["metal"], _GREY, sides=6))
    colours = ((0.95, 0.12, 0.10), (0.98, 0.70, 0.10), (0.15, 0.90, 0.45))
    turn = 2.0 * math.pi * np.arange(9) / 8
    for y, z in heads:
        parts.append(
            box((-0.22, y - 0.16, z), (-0.02, y + 0.16, z + 0.95), NUMBER["trim"], (1.0, 1.0, 1.0))
        )
        for lens in range(3):
            at = z + 0.95 - 0.16 - 0.315 * lens
            ring = np.stack(
                [np.full(9, -0.225), y - 0.11 * np.cos(turn), at + 0.11 * np.sin(turn)], axis=1
            )
            middle = np.broadcast_to([-0.225, y, at], (8, 3))
            tint = np.array(colours[lens]) * (1.0 if lens == state else 0.22)
            parts.append(
                triangles(np.stack([middle, ring[:-1], ring[1:]], axis=1), NUMBER["lamp"], tint)
            )
    parts.append(box((-0.02, -0.2, 0.9), (0.02, 0.2, 0.92), NUMBER["metal"], dark))
    return join(parts)


@functools.cache
def bollard(tint: Colour) -> Surface:
    """Return a post of one metre."""
    post = tube([[0, 0, -0.1], [0, 0, 0.95]], [0.07, 0.055], NUMBER["metal"], tint, sides=8)
    band = tube([[0, 0, 0.72], [0, 0, 0.82]], 0.066, NUMBER["sign"], (1, 1, 1), sides=8)
    return join([post, band])


@functools.cache
def bin_on_wheels(tint: Colour) -> Surface:
    """Return a dustbin as stands before houses on collection day."""
    corners = box_corners((-0.26, -0.28, 0.08), (0.26, 0.28, 0.95))
    corners[:, :4, :2] *= 0.82
    lid = box_corners((-0.29, -0.31, 0.95), (0.29, 0.31, 1.04))
    wheels = tube([[-0.22, -0.25, 0.1], [-0.22, 0.25, 0.1]], 0.1, NUMBER["tyre"], sides=8)
    return join(
        [
            boxes(corners, NUMBER["cloth"], tint),
            boxes(lid, NUMBER["cloth"], np.array(tint) * 0.8, bottom=True),
            wheels,
        ]
    )


@functools.cache
def bench() -> Surface:
    """Return a bench that looks at the carriageway."""
    low = [[-0.9, -0.2 + 0.16 * k, 0.43] for k in range(3)]
    high = [[0.9, -0.07 + 0.16 * k, 0.47] for k in range(3)]
    low += [[-0.9, -0.25, 0.55 + 0.16 * k] for k in range(2)]
    high += [[0.9, -0.21, 0.67 + 0.16 * k] for k in range(2)]
    slats = boxes(box_corners(low, high), NUMBER["wood"], (0.62, 0.44, 0.28), bottom=True)
    legs = box_corners(
        [[-0.8, -0.25, -0.1], [0.74, -0.25, -0.1]], [[-0.74, 0.25, 0.43], [0.8, 0.25, 0.43]]
    )
    return join([slats, boxes(legs, NUMBER["metal"], (0.3, 0.3, 0.32))])


@functools.cache
def shelter(number: int) -> Surface:
    """Return a bus shelter, open towards the carriageway, with a poster at its end."""
    posts = box_corners(
        [[x, y, -0.2] for x in (-2.0, 1.94) for y in (-0.7, 0.64)],
        [[x + 0.06, y + 0.06, 2.4] for x in (-2.0, 1.94) for y in (-0.7, 0.64)],
    )
    roof = box((-2.15, -0.85, 2.4), (2.15, 0.9, 2.52), NUMBER["metal"], (0.4, 0.42, 0.45))
    panes = [
        [[-1.94, -0.68, 0.3], [1.94, -0.68, 0.3], [1.94, -0.68, 2.2], [-1.94, -0.68, 2.2]],
    ]
    poster = box_corners((1.92, -0.6, 0.3), (2.02, 0.6, 2.1))
    end = [
        [[1.91, 0.6, 0.4], [1.91, -0.6, 0.4], [1.91, -0.6, 2.0], [1.91, 0.6, 2.0]],
        [[2.03, -0.6, 0.4], [2.03, 0.6, 0.4], [2.03, 0.6, 2.0], [2.03, -0.6, 2.0]],
    ]
    return join(
        [
            boxes(posts, NUMBER["metal"], (0.4, 0.42, 0.45)),
            roof,
            quads(panes, NUMBER["car_glass"]),
            boxes(poster, NUMBER["metal"], (0.4, 0.42, 0.45), bottom=True),
            quads(end, NUMBER["board"], uv=BOARDS.corners([number, number + 5])),
            box((-1.6, -0.6, 0.45), (1.6, -0.25, 0.5), NUMBER["wood"], (0.6, 0.45, 0.3)),
        ]
    )


@functools.cache
def advert_column(number: int) -> Surface:
    """Return a round column with posters."""
    drum = tube([[0, 0, -0.2], [0, 0, 0.5]], 0.62, NUMBER["concrete"], sides=12)
    cap = tube(
        [[0, 0, 2.9], [0, 0, 3.1], [0, 0, 3.3]],
        [0.72, 0.72, 0.2],
        NUMBER["metal"],
        (0.3, 0.4, 0.35),
        sides=12,
    )
    turn = 2.0 * math.pi * np.arange(13) / 12
    x, y = 0.6 * np.cos(turn), 0.6 * np.sin(turn)
    faces, charts = [], []
    for poster in range(4):
        cell = BOARDS.corners(number + 3 * poster)[0]
        for part in range(3):
            k = 3 * poster + part
            faces.append(
                [
                    [x[k], y[k], 0.5],
                    [x[k + 1], y[k + 1], 0.5],
                    [x[k + 1], y[k + 1], 2.9],
                    [x[k], y[k], 2.9],
                ]
            )
            u0 = cell[0] + (cell[1] - cell[0]) * part / 3.0
            u1 = cell[0] + (cell[1] - cell[0]) * (part + 1) / 3.0
            rise = cell[3] - cell[0]
            charts.append([u0, u1, u1 + rise, u0 + rise])
    return join([drum, cap, quads(faces, NUMBER["board"], uv=np.array(charts))])
