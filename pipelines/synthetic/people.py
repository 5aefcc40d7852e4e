"""People on foot and on bicycles, of tubes and balls; x forward, z up, feet on the ground."""

from __future__ import annotations

import math

import numpy as np

from .material import NUMBER
from .shapes import ball, box, loft, tube
from .surface import FloatArray, Surface, join

_SKIN = ((0.93, 0.74, 0.62), (0.80, 0.58, 0.44), (0.55, 0.38, 0.28), (0.96, 0.80, 0.70))
_HAIR = ((0.16, 0.12, 0.10), (0.35, 0.24, 0.15), (0.70, 0.58, 0.36), (0.55, 0.54, 0.53))


def _wardrobe(rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Colours of what is worn above and below."""
    above = rng.uniform(0.08, 0.95, 3)
    if rng.random() < 0.5:
        above = above.mean() + 0.35 * (above - above.mean())
    below = rng.uniform(0.12, 0.5) * np.array([0.85, 0.92, rng.uniform(0.9, 1.5)])
    return np.clip(above, 0, 1), np.clip(below, 0, 1)


def _limb(
    points: list[list[float]], radii: list[float], material: str, tint: FloatArray
) -> Surface:
    return tube(points, radii, NUMBER[material], tint, sides=6)


def pedestrian(rng: np.random.Generator, *, walking: bool) -> Surface:
    """Return someone of 1.75 m, in mid-stride or standing."""
    above, below = _wardrobe(rng)
    skin = np.array(_SKIN[int(rng.integers(len(_SKIN)))])
    hair = np.array(_HAIR[int(rng.integers(len(_HAIR)))])
    stride = rng.uniform(0.22, 0.34) if walking else rng.uniform(0.0, 0.05)
    bulk = rng.uniform(0.88, 1.2)
    coat = rng.random() < 0.3
    parts = []
    for sign in (-1.0, 1.0):
        y = 0.095 * sign
        foot = stride * sign
        lift = 0.10 if walking and sign < 0 else 0.0
        knee = [0.35 * foot + 0.05, y, 0.49]
        legs = [[0.0, y, 0.90], knee, [foot, y, 0.09 + lift]]
        parts.append(_limb(legs[:2], [0.095 * bulk, 0.07], "cloth", below))
        parts.append(_limb(legs[1:], [0.068, 0.05], "cloth", below))
        shoe = box(
            (foot - 0.09, y - 0.045, lift), (foot + 0.17, y + 0.045, lift + 0.09), NUMBER["trim"]
        )
        parts.append(shoe)
        swing = -0.8 * foot
        shoulder = [0.0, 0.20 * bulk * sign, 1.42]
        elbow = [0.35 * swing, 0.25 * bulk * sign, 1.14]
        hand = [swing + 0.08, 0.24 * bulk * sign, 0.90]
        parts.append(_limb([shoulder, elbow], [0.062 * bulk, 0.05], "cloth", above * 0.95))
        parts.append(_limb([elbow, hand], [0.05, 0.036], "cloth", above * 0.92))
        parts.append(ball(hand, (0.045, 0.035, 0.055), NUMBER["skin"], skin, sides=6, layers=4))
    parts.append(_torso(above, bulk, low=0.62 if coat else 0.84))
    parts.append(_limb([[0.0, 0.0, 1.42], [0.02, 0.0, 1.56]], [0.055, 0.05], "skin", skin))
    parts.append(ball((0.02, 0.0, 1.64), (0.10, 0.08, 0.125), NUMBER["skin"], skin))
    parts.append(ball((-0.01, 0.0, 1.675), (0.105, 0.09, 0.115), NUMBER["cloth"], hair))
    if rng.random() < 0.35:
        bag = np.clip(rng.uniform(0.1, 0.8, 3), 0, 1)
        parts.append(box((-0.30, -0.15, 1.00), (-0.12, 0.15, 1.42), NUMBER["cloth"], bag))
    return join(parts)


def _torso(tint: FloatArray, bulk: float, low: float) -> Surface:
    heights = np.array([low, 0.95, 1.12, 1.32, 1.44, 1.49])
    wide = bulk * np.array([0.18, 0.17, 0.155, 0.19, 0.17, 0.07])
    deep = bulk * np.array([0.13, 0.125, 0.11, 0.125, 0.10, 0.06])
    turn = 2.0 * math.pi * np.arange(9) / 8
    rings = np.stack(
        [
            deep[:, None] * np.cos(turn),
            wide[:, None] * np.sin(turn),
            np.broadcast_to(heights[:, None], (6, 9)),
        ],
        axis=-1,
    )
    return loft(rings, NUMBER["cloth"], tint)


def cyclist(rng: np.random.Generator) -> Surface:
    """Return someone riding a bicycle."""
    above, below = _wardrobe(rng)
    skin = np.array(_SKIN[int(rng.integers(len(_SKIN)))])
    frame = rng.uniform(0.1, 0.9, 3)
    parts = []
    turn = 2.0 * math.pi * np.arange(15) / 14
    for x in (-0.52, 0.53):
        centre = np.array([x, 0.0, 0.34])
        circle = np.stack([np.cos(turn), np.zeros(15), np.sin(turn)], axis=1)
        side = np.array([0.0, 0.02, 0.0])
        rings = [
            centre + 0.34 * circle,
            centre + 0.30 * circle - side,
            centre + 0.29 * circle,
            centre + 0.30 * circle + side,
            centre + 0.34 * circle,
        ]
        parts.append(loft(rings, NUMBER["tyre"], closed=False))
        for k in range(0, 14, 2):
            spoke = [centre, centre + 0.3 * circle[k]]
            parts.append(tube(spoke, 0.006, NUMBER["metal"], sides=3, closed=False))
    saddle, crank, head = [-0.24, 0.0, 0.92], [-0.08, 0.0, 0.30], [0.40, 0.0, 0.88]
    bars = [([-0.52, 0, 0.34], crank), (crank, saddle), (crank, head), ([-0.2, 0, 0.8], head)]
    bars += [(head, [0.53, 0, 0.34]), ([-0.52, 0, 0.34], [-0.2, 0, 0.8]), (head, [0.36, 0, 1.05])]
    parts += [tube(bar, 0.022, NUMBER["metal"], frame, sides=5) for bar in bars]
    parts.append(tube([[0.36, -0.26, 1.05], [0.36, 0.26, 1.05]], 0.018, NUMBER["trim"], sides=5))
    parts.append(box((-0.36, -0.07, 0.92), (-0.10, 0.07, 0.97), NUMBER["trim"]))
    for sign in (-1.0, 1.0):
        y = 0.10 * sign
        pedal = [-0.08 + 0.15 * sign, y, 0.30 + 0.06 * sign]
        knee = [0.20 + 0.05 * sign, y, 0.72 + 0.05 * sign]
        parts.append(_limb([[-0.22, y, 0.98], knee], [0.085, 0.065], "cloth", below))
        parts.append(_limb([knee, pedal], [0.062, 0.045], "cloth", below))
        shoe = np.array(pedal)
        parts.append(
            box(shoe - [0.08, 0.045, 0.07], shoe + np.array([0.17, 0.045, 0.02]), NUMBER["trim"])
        )
        shoulder = [0.13, 0.18 * sign, 1.42]
        elbow = [0.22, 0.25 * sign, 1.18]
        hand = [0.37, 0.23 * sign, 1.07]
        parts.append(_limb([shoulder, elbow], [0.058, 0.048], "cloth", above))
        parts.append(_limb([elbow, hand], [0.046, 0.035], "cloth", above))
        parts.append(ball(hand, (0.045, 0.04, 0.045), NUMBER["skin"], skin, sides=6, layers=4))
    parts.append(
        tube(
            [[-0.22, 0, 0.95], [-0.05, 0, 1.22], [0.14, 0, 1.46]],
            [0.15, 0.16, 0.13],
            NUMBER["cloth"],
            above,
        )
    )
    parts.append(ball((0.24, 0.0, 1.62), (0.10, 0.08, 0.125), NUMBER["skin"], skin))
    helmet = rng.uniform(0.2, 0.95, 3)
    parts.append(ball((0.22, 0.0, 1.68), (0.13, 0.10, 0.10), NUMBER["cloth"], helmet))
    return join(parts)
