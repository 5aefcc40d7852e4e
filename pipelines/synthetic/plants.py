"""Trees with porous crowns, conifers, bushes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .material import NUMBER
from .shapes import loft, quads, tube
from .surface import Surface, join

if TYPE_CHECKING:
    from .surface import FloatArray

_HUES = (
    (1.0, 1.0, 1.0),
    (0.92, 0.90, 0.95),
    (1.15, 1.02, 0.9),
    (0.85, 0.95, 1.0),
    (1.25, 0.95, 0.6),
)


def broadleaf(rng: np.random.Generator, *, bare: float = 2.0) -> Surface:
    """Return a tree of 6 to 11 m on the origin: trunk, limbs, and some hundred clusters of leaves.

    Args:
        rng: source of chance.
        bare: height below which nothing but the trunk is, metres.
    """
    height = bare + rng.uniform(4.0, 7.5)
    radius = rng.uniform(0.10, 0.19)
    lean = rng.normal(0.0, 0.12, 2)
    fork = np.array([lean[0], lean[1], bare + 0.5])
    trunk = np.array([[0.0, 0.0, -0.3], [0.3 * lean[0], 0.3 * lean[1], 0.5 * bare], [*fork]])
    parts = [tube(trunk, [radius * 1.25, radius, 0.85 * radius], NUMBER["bark"], sides=7)]
    spread = rng.uniform(1.5, 2.5)
    middle = 0.5 * (bare + height)
    tall = 0.5 * (height - bare)
    count = int(rng.integers(5, 8))
    angles = 2.0 * math.pi * (np.arange(count) + rng.uniform(0.0, 1.0)) / count
    blobs = np.stack(
        [
            fork[0] + 0.55 * spread * np.cos(angles),
            fork[1] + 0.55 * spread * np.sin(angles),
            middle + tall * rng.uniform(-0.35, 0.5, count),
        ],
        axis=1,
    )
    for end in blobs[:4]:
        limb = [fork - [0, 0, 0.3], 0.5 * (fork + end) + rng.normal(0, 0.1, 3), end]
        parts.append(
            tube(limb, [0.5 * radius, 0.35 * radius, 0.12 * radius], NUMBER["bark"], sides=5)
        )
    crown = np.concatenate([blobs, [[fork[0], fork[1], height - 0.75 * spread]]])
    sizes = np.append(rng.uniform(0.5, 0.68, count), 0.72) * spread
    hue = np.array(_HUES[int(rng.integers(len(_HUES)))]) * rng.uniform(0.8, 1.0)
    per_blob = int(420 / len(crown))
    leaves = join(
        [
            _leaves(rng, centre, np.array([size, size, 0.85 * size]), per_blob, hue, 0.42)
            for centre, size in zip(crown, sizes, strict=True)
        ]
    )
    low = leaves.vertices[:, 2].reshape(-1, 4).min(axis=1)
    leaves.vertices[:, 2] += np.repeat(
        np.maximum(bare + rng.uniform(0, 0.4, len(low)) - low, 0.0), 4
    )
    return join([*parts, leaves])


def conifer(rng: np.random.Generator) -> Surface:
    """Return a fir of 5 to 9 m on the origin."""
    height = rng.uniform(5.0, 9.0)
    trunk = tube([[0, 0, -0.3], [0, 0, 0.9 * height]], [0.14, 0.03], NUMBER["bark"], sides=6)
    count = 420
    up = 1.0 - np.sqrt(rng.random(count))
    z = 0.9 + up * (height - 0.9)
    reach = (1.0 - up) * 0.24 * height * rng.uniform(0.55, 1.0, count)
    turn = rng.uniform(0.0, 2 * math.pi, count)
    centre = np.stack([reach * np.cos(turn), reach * np.sin(turn), z], axis=1)
    out = np.stack([np.cos(turn), np.sin(turn), np.full(count, -0.5)], axis=1)
    side = np.stack([-np.sin(turn), np.cos(turn), np.zeros(count)], axis=1)
    size = rng.uniform(0.25, 0.5, count)[:, None]
    corners = np.stack(
        [
            centre - 0.8 * size * out,
            centre + 0.7 * size * side,
            centre + size * out,
            centre - 0.7 * size * side,
        ],
        axis=1,
    )
    shade = rng.uniform(0.45, 0.75, count)[:, None] * np.array([0.75, 0.95, 0.9])
    return join([trunk, quads(corners, NUMBER["foliage"], shade)])


def bush(rng: np.random.Generator) -> Surface:
    """Return a bush of about 1 m on the origin: a dense core in loose leaves."""
    radii = rng.uniform(0.4, 0.8, 3) * [1.0, 1.0, 0.8]
    polar = np.linspace(math.pi, 0.0, 6)
    turn = np.linspace(0.0, 2 * math.pi, 8)
    bumps = 0.8 * rng.uniform(0.85, 1.1, (6, 8))
    bumps[:, -1] = bumps[:, 0]
    unit = np.stack(
        [
            np.outer(np.sin(polar), np.cos(turn)),
            np.outer(np.sin(polar), np.sin(turn)),
            np.outer(np.cos(polar), np.ones(8)),
        ],
        axis=-1,
    )
    centre = np.array([0.0, 0.0, 0.75 * radii[2]])
    hue = np.array(_HUES[int(rng.integers(len(_HUES)))]) * rng.uniform(0.65, 0.95)
    bumpy = centre + unit * bumps[..., None] * radii
    core = loft(bumpy, NUMBER["hedge"], np.minimum(hue, 1.0), closed=False)
    return join([core, _leaves(rng, centre, radii, 90, hue, 0.16)])


def _leaves(
    rng: np.random.Generator,
    centre: FloatArray,
    radii: FloatArray,
    count: int,
    hue: FloatArray,
    size_m: float,
) -> Surface:
    """Bent quads about the skin of an ellipsoid, brighter outside and above."""
    out = rng.standard_normal((count, 3))
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    depth = rng.uniform(0.45, 1.0, count) ** 0.5
    place = centre + out * depth[:, None] * radii
    facing = out + rng.normal(0.0, 0.55, (count, 3)) + [0.0, 0.0, 0.4]
    facing /= np.linalg.norm(facing, axis=1, keepdims=True)
    first = np.cross(facing, rng.standard_normal((count, 3)))
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(facing, first)
    size = (size_m * rng.uniform(0.5, 1.1, count))[:, None]
    sag = facing * size * 0.35
    corners = np.stack(
        [
            place - size * first,
            place - 0.7 * size * second - sag * rng.uniform(-1, 1, (count, 1)),
            place + size * first,
            place + 0.7 * size * second - sag * rng.uniform(-1, 1, (count, 1)),
        ],
        axis=1,
    )
    light = 0.62 + 0.22 * depth + 0.14 * out[:, 2] + rng.normal(0.0, 0.07, count)
    tint = np.clip(light[:, None] * hue * rng.uniform(0.92, 1.05, (count, 3)), 0.05, 1.0)
    chart = rng.uniform(0.0, 6.0, (count, 1, 2)) + size[:, :, None] * np.array(
        [[[-1.0, 0.0], [0.0, -0.7], [1.0, 0.0], [0.0, 0.7]]]
    )
    return quads(corners, NUMBER["foliage"], tint, chart)
