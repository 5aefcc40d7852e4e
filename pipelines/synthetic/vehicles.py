"""Cars and vans as hulls of a few hundred triangles.

All are drawn about the middle of their length, x forward, z up from the ground.
"""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np

from .material import NUMBER
from .shapes import box, box_corners, boxes, loft, quads, triangles, tube
from .surface import Surface, join

_PAINT, _GLASS, _TRIM = NUMBER["car_paint"], NUMBER["car_glass"], NUMBER["trim"]
_PLATES_IN_TEXTURE = 16


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Measures:
    """Of a car or van, metres; places along x count from the middle of the length.

    Attributes:
        category: what the label says.
        length, width, height: outer measures.
        bonnet: height at the front end and at the windscreen's base.
        tail: height at the rear end.
        cabin: x of the rear window's base and top, and of the windscreen's top and base.
        axles: x of the rear and the front axle.
        wheel: its radius.
        windows: shares of the cabin's side, from the rear, that are glass.
        clearance: below the hull.
        roof: half width of the roof, as a share of the half width.
    """

    category: str
    length: float
    width: float
    height: float
    bonnet: tuple[float, float]
    tail: float
    cabin: tuple[float, float, float, float]
    axles: tuple[float, float]
    wheel: float = 0.32
    windows: tuple[tuple[float, float], ...] = ((0.12, 0.30), (0.33, 0.58), (0.62, 0.92))
    clearance: float = 0.20
    roof: float = 0.74


BODIES: dict[str, Measures] = {
    "hatchback": Measures(
        category="car",
        length=4.0,
        width=1.76,
        height=1.48,
        bonnet=(0.70, 0.95),
        tail=0.94,
        cabin=(-1.90, -1.50, 0.20, 1.02),
        axles=(-1.25, 1.27),
        windows=((0.14, 0.44), (0.48, 0.90)),
    ),
    "saloon": Measures(
        category="car",
        length=4.65,
        width=1.82,
        height=1.44,
        bonnet=(0.70, 0.93),
        tail=0.98,
        cabin=(-1.62, -1.02, 0.28, 1.10),
        axles=(-1.38, 1.40),
        windows=((0.20, 0.50), (0.54, 0.90)),
    ),
    "estate": Measures(
        category="car",
        length=4.72,
        width=1.83,
        height=1.50,
        bonnet=(0.70, 0.94),
        tail=0.96,
        cabin=(-2.25, -1.90, 0.30, 1.12),
        axles=(-1.36, 1.42),
        windows=((0.08, 0.32), (0.35, 0.60), (0.63, 0.92)),
    ),
    "suv": Measures(
        category="car",
        length=4.50,
        width=1.88,
        height=1.70,
        bonnet=(0.88, 1.10),
        tail=1.08,
        cabin=(-2.12, -1.80, 0.25, 1.00),
        axles=(-1.32, 1.36),
        wheel=0.37,
        clearance=0.26,
        windows=((0.07, 0.30), (0.33, 0.59), (0.62, 0.92)),
        roof=0.78,
    ),
    "small": Measures(
        category="car",
        length=3.55,
        width=1.64,
        height=1.50,
        bonnet=(0.72, 0.98),
        tail=0.95,
        cabin=(-1.70, -1.42, 0.32, 1.05),
        axles=(-1.15, 1.18),
        wheel=0.29,
        windows=((0.12, 0.40), (0.44, 0.90)),
    ),
    "van": Measures(
        category="van",
        length=5.1,
        width=1.94,
        height=2.02,
        bonnet=(0.92, 1.20),
        tail=1.16,
        cabin=(-2.50, -2.42, 1.05, 1.88),
        axles=(-1.55, 1.55),
        wheel=0.34,
        windows=((0.70, 0.95),),
        roof=0.88,
        clearance=0.24,
    ),
    "minibus": Measures(
        category="van",
        length=4.95,
        width=1.92,
        height=1.94,
        bonnet=(0.90, 1.16),
        tail=1.10,
        cabin=(-2.42, -2.30, 1.00, 1.80),
        axles=(-1.52, 1.52),
        wheel=0.34,
        windows=((0.04, 0.34), (0.37, 0.66), (0.69, 0.95)),
        roof=0.86,
        clearance=0.24,
    ),
}


def passenger_car(body: Measures, tint: tuple[float, float, float], plate: int) -> Surface:
    """Return a car or van with a bonnet.

    Args:
        body: its measures.
        tint: of the paint.
        plate: which number plate, any whole number.
    """
    half, w = body.length / 2.0, body.width / 2.0
    rear, front = body.cabin[0], body.cabin[3]
    belt = (body.tail, body.bonnet[1])
    x = np.array([-half, -half + 0.10, -half + 0.35, rear, front, half - 0.55, half - 0.12, half])
    x[3] = max(x[3], x[2] + 0.02)
    tops = [
        body.tail - 0.10,
        body.tail - 0.01,
        body.tail,
        body.tail,
        belt[1],
        body.bonnet[0] + 0.08,
        body.bonnet[0],
        body.bonnet[0] - 0.14,
    ]
    widths = w * np.array([0.84, 0.93, 0.985, 1.0, 1.0, 0.985, 0.90, 0.78])
    lows = body.clearance + np.array([0.14, 0.02, 0.0, 0.0, 0.0, 0.0, 0.02, 0.10])
    z = np.array(tops)
    ring_y = np.array([0.0, 0.86, 0.985, 1.0, 0.97, 0.88, 0.45, 0.0])
    share_z = np.array([0.0, 0.0, 0.14, 0.52, 0.90, 0.985, 1.0, 1.0])
    bulge = np.array([0, 0, 0, 0, 0, 0, 0.02, 0.03])
    y_half = widths[:, None] * ring_y
    z_half = lows[:, None] + (z - lows)[:, None] * share_z + bulge
    left = np.stack([np.broadcast_to(x[:, None], y_half.shape), y_half, z_half], axis=-1)
    right = left[:, -2::-1] * [1.0, -1.0, 1.0]
    # The chart is (x, z) on the flanks, where the texture has doors, and runs on over the top.
    inward = np.clip(0.88 - ring_y, 0.0, None) * (np.arange(8) > 4)
    v = z_half + w * inward + np.where(inward > 0, 1.4, 0.0)
    v[:, 0] = 3.0
    chart = np.stack([left[..., 0], v], axis=-1)
    rings = np.concatenate([left, right], axis=1)[:, ::-1]
    uv = np.concatenate([chart, chart[:, -2::-1]], axis=1)[:, ::-1]
    parts = [loft(rings, _PAINT, tint, uv=uv), *_cabin(body, tint)]
    parts += wheels(body.axles, w, body.wheel)
    nose, back = body.bonnet[0], body.tail
    lamps = box_corners(
        [[half - 0.30, -0.86 * w, nose - 0.16], [half - 0.30, 0.50 * w, nose - 0.16]],
        [[half + 0.005, -0.50 * w, nose - 0.03], [half + 0.005, 0.86 * w, nose - 0.03]],
    )
    lamps[:, [1, 3, 5, 7], 0] -= np.abs(lamps[:, [1, 3, 5, 7], 1]) * 0.10
    tails = box_corners(
        [[-half - 0.004, -0.90 * w, back - 0.30], [-half - 0.004, 0.62 * w, back - 0.30]],
        [[-half + 0.22, -0.62 * w, back - 0.12], [-half + 0.22, 0.90 * w, back - 0.12]],
    )
    parts += [boxes(lamps, NUMBER["headlight"]), boxes(tails, NUMBER["taillight"])]
    grille = box((half - 0.2, -0.42 * w, 0.42), (half + 0.012, 0.42 * w, nose - 0.08), _TRIM)
    low = body.clearance + 0.02
    bumpers = boxes(
        box_corners(
            [[half - 0.3, -0.80 * w, low], [-half - 0.03, -0.82 * w, low]],
            [[half + 0.03, 0.80 * w, low + 0.16], [-half + 0.3, 0.82 * w, low + 0.18]],
        ),
        _TRIM,
        bottom=True,
    )
    parts += [grille, bumpers, plates(half + 0.036, 0.42, -half - 0.036, 0.60, plate)]
    base = body.cabin[3] - 0.28
    side = box_corners(
        [[base, w - 0.02, belt[1] + 0.02], [base, -w - 0.12, belt[1] + 0.02]],
        [[base + 0.12, w + 0.12, belt[1] + 0.16], [base + 0.12, -w + 0.02, belt[1] + 0.16]],
    )
    parts.append(boxes(side, _PAINT, tint, bottom=True))
    return join(parts)


def _cabin(body: Measures, tint: tuple[float, float, float]) -> list[Surface]:
    rear0, rear1, front1, front0 = body.cabin
    w = body.width / 2.0
    base, roof = 0.89 * w, body.roof * w
    low = np.array([body.tail - 0.02, body.bonnet[1] - 0.02])
    top = body.height - 0.05

    def flank(share: float, up: float, sign: float) -> list[float]:
        x = (1 - up) * (rear0 + share * (front0 - rear0)) + up * (rear1 + share * (front1 - rear1))
        z = (1 - up) * (low[0] + share * (low[1] - low[0])) + up * top
        bow = 0.05 * w * math.sin(math.pi * up)
        return [x, sign * ((1 - up) * base + up * roof + bow), z]

    edges = sorted({0.0, 1.0, *(edge for window in body.windows for edge in window)})
    ups = [0.0, 0.10, 0.55, 0.88, 1.0]
    cells: dict[int, list[list[list[float]]]] = {_PAINT: [], _GLASS: []}
    for first, last in itertools.pairwise(edges):
        glazed = any(a <= first and last <= b for a, b in body.windows)
        for lower, upper in itertools.pairwise(ups):
            material = _GLASS if glazed and lower >= 0.1 and upper <= 0.88 else _PAINT
            corners = [(first, lower), (last, lower), (last, upper), (first, upper)]
            cells[material].append([flank(*corner, -1.0) for corner in corners])
            cells[material].append([flank(*corner, 1.0) for corner in corners[::-1]])
    rear_glass = len(body.windows) != 1
    for share, glazed in ((1.0, True), (0.0, rear_glass)):
        for lower, upper in itertools.pairwise(ups):
            glass = glazed and lower >= 0.1 and upper <= 0.88
            lines = []
            for up in (lower, upper):
                right = np.array(flank(share, up, -1.0))
                left = np.array(flank(share, up, 1.0))
                out = np.array([0.06 if share else -0.03, 0.0, 0.0])
                shares = (0.0, 0.06, 0.5, 0.94, 1.0)
                lines.append([right + k * (left - right) + 4 * k * (1 - k) * out for k in shares])
            for k in range(4):
                corners_at = [lines[0][k], lines[0][k + 1], lines[1][k + 1], lines[1][k]]
                if not share:
                    corners_at = corners_at[::-1]
                kind = _GLASS if glass and k in (1, 2) else _PAINT
                cells[kind].append([list(corner) for corner in corners_at])
    for sign in (-1.0, 1.0):
        edge = [[rear1, sign * roof, top], [front1, sign * roof, top]]
        ridge = [[rear1 - 0.03, 0.0, top], [front1 + 0.06, 0.0, top]]
        crown = [
            [rear1 + 0.3, sign * 0.5 * roof, body.height],
            [front1 - 0.3, sign * 0.5 * roof, body.height],
        ]
        ridge_top = [[rear1 + 0.3, 0.0, body.height], [front1 - 0.3, 0.0, body.height]]
        cells[_PAINT] += [
            [edge[0], edge[1], crown[1], crown[0]],
            [crown[0], crown[1], ridge_top[1], ridge_top[0]],
            [edge[0], crown[0], ridge_top[0], ridge[0]],
            [edge[1], crown[1], ridge_top[1], ridge[1]],
        ]
    painted = np.array(cells[_PAINT])
    chart = np.stack([painted[..., 0], painted[..., 2] + 2.0], axis=-1)
    return [quads(painted, _PAINT, tint, chart), quads(cells[_GLASS], _GLASS)]


def wheels(axles: tuple[float, ...], half_width: float, radius: float) -> list[Surface]:
    """Return a pair of wheels in dark arches for each axle, at half the width from the middle."""
    turn = 2.0 * math.pi * np.arange(13) / 12
    parts = []
    for x in axles:
        for sign in (-1.0, 1.0):
            outer = sign * (half_width + 0.012)
            path = [[x, outer - sign * 0.22, radius], [x, outer, radius]]
            parts.append(tube(path, radius, NUMBER["tyre"], sides=12, closed=False))
            circle = np.stack([np.cos(turn), np.zeros(13), np.sin(turn)], axis=1)
            centre = np.array([x, outer, radius])
            wall = loft(
                [centre + radius * circle, centre + 0.62 * radius * circle],
                NUMBER["tyre"],
                closed=False,
            )
            hub = centre - [0.0, sign * 0.03, 0.0]
            fan = np.stack(
                [
                    np.broadcast_to(hub, (12, 3)),
                    centre + 0.62 * radius * circle[:-1],
                    centre + 0.62 * radius * circle[1:],
                ],
                axis=1,
            )
            shade = np.where(np.arange(12) % 2, 0.95, 0.45)[:, None] * np.ones(3)
            rim = triangles(fan, NUMBER["metal"], shade)
            arch_y = sign * (half_width + 0.006)
            up = turn[:7]
            arc = np.stack(
                [
                    x + 1.17 * radius * np.cos(up),
                    np.full(7, arch_y),
                    radius + 1.17 * radius * np.sin(up),
                ],
                axis=1,
            )
            middle = np.broadcast_to([x, arch_y, radius], (6, 3))
            arch = triangles(np.stack([middle, arc[:-1], arc[1:]], axis=1), _TRIM)
            parts += [wall, rim, arch]
    return parts


def plates(front_x: float, front_z: float, rear_x: float, rear_z: float, plate: int) -> Surface:
    """Return the number plates in front and behind; which: any whole number."""
    w, h = 0.26, 0.055
    corners = [
        [
            [front_x, -w, front_z - h],
            [front_x, w, front_z - h],
            [front_x, w, front_z + h],
            [front_x, -w, front_z + h],
        ],
        [
            [rear_x, w, rear_z - h],
            [rear_x, -w, rear_z - h],
            [rear_x, -w, rear_z + h],
            [rear_x, w, rear_z + h],
        ],
    ]
    # Sixteen plates of 0.51 m by 0.128 m lie below each other in the texture.
    v = 0.128 * (plate % _PLATES_IN_TEXTURE)
    chart = [[0.0, v], [0.512, v], [0.512, v + 0.128], [0.0, v + 0.128]]
    return quads(corners, NUMBER["plate"], uv=chart)
