"""Procedural textures of grounds, walls and plants: each world draws its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .texture import Tile

if TYPE_CHECKING:
    from collections.abc import Callable

    from .surface import Float32Array
    from .texture import Noise

Colour = tuple[float, float, float]


def toned(value: Float32Array, colour: Colour) -> Float32Array:
    """Return (H, W, 3): a colour times a (H, W) brightness."""
    image = np.empty((*value.shape, 3), dtype=np.float32)
    for channel in range(3):
        np.multiply(value, np.float32(colour[channel]), out=image[..., channel])
    return image


def _grid(noise: Noise) -> tuple[Float32Array, Float32Array]:
    rows, columns = np.mgrid[: noise.size, : noise.size].astype(np.float32)
    return rows, columns


def _blend(first: Float32Array, second: Float32Array, share: Float32Array) -> Float32Array:
    return first + np.clip(share, 0.0, 1.0)[..., None] * (second - first)


def asphalt(noise: Noise, rng: np.random.Generator) -> Tile:
    """Dark, grainy, with a few cracks."""
    shade = rng.uniform(0.33, 0.42)
    value = shade + 0.022 * noise.field("coarse") + 0.018 * noise.field("fine")
    value += 0.035 * noise.field("grain")
    crack = (np.abs(noise.field("coarse")) < 0.012) & (noise.field("coarse") > 0.3)
    value = np.where(crack, value - 0.12, value)
    return Tile(image=toned(value, (1.0, 0.99, 0.98)), texel_m=0.016)


def asphalt_old(noise: Noise, rng: np.random.Generator) -> Tile:
    """Paler, stained and much cracked."""
    value = rng.uniform(0.42, 0.5) + 0.045 * noise.field("coarse") + 0.03 * noise.field("fine")
    value += 0.04 * noise.field("grain")
    for _ in range(2):
        value = np.where(np.abs(noise.field("coarse")) < 0.02, value - 0.12, value)
    return Tile(image=toned(value, (1.0, 0.98, 0.95)), texel_m=0.016)


def paint(noise: Noise, rng: np.random.Generator) -> Tile:
    """White, worn down to the asphalt here and there."""
    wear = rng.uniform(1.0, 1.7)
    worn = noise.field("fine") + 0.7 * noise.field("coarse") + 0.5 * noise.field("grain") > wear
    value = 0.86 + 0.03 * noise.field("coarse")
    return Tile(image=toned(np.where(worn, 0.5, value), (1.0, 1.0, 0.97)), texel_m=0.016)


def kerb(noise: Noise, rng: np.random.Generator) -> Tile:
    """Stones of one metre."""
    _, columns = _grid(noise)
    value = 0.60 + 0.04 * noise.field("coarse") + 0.05 * noise.field("grain")
    stone = rng.normal(0.0, 0.05, 8).astype(np.float32)
    value += stone[(columns // 64).astype(np.int64) % 8]
    value = np.where(columns % 64 < 2, 0.3, value)
    return Tile(image=toned(value, (1.0, 0.99, 0.96)), texel_m=0.016)


def paving(noise: Noise, rng: np.random.Generator) -> Tile:
    """Slabs or small stones in a bond."""
    rows, columns = _grid(noise)
    high = int(rng.choice([32, 64, 16]))
    wide = high * int(rng.choice([1, 2])) if high < 64 else 64
    row = (rows // high).astype(np.int64)
    shifted = columns + (row % 2) * (wide // 2)
    column = (shifted // wide).astype(np.int64) % (noise.size // wide)
    shade = rng.normal(0.0, 0.045, (noise.size // high, noise.size // wide)).astype(np.float32)
    value = rng.uniform(0.5, 0.64) + shade[row, column]
    value += 0.03 * noise.field("coarse") + 0.03 * noise.field("grain")
    joint = (rows % high < 1) | (shifted % wide < 1)
    value = np.where(joint, value - 0.16, value)
    hues: tuple[Colour, ...] = ((1.0, 0.98, 0.95), (1.0, 0.93, 0.85), (0.97, 0.98, 1.0))
    return Tile(image=toned(value, hues[int(rng.integers(3))]), texel_m=0.008)


def grass(noise: Noise, rng: np.random.Generator) -> Tile:
    """Blades, with dry places."""
    value = 0.42 + 0.05 * noise.field("coarse") + 0.06 * noise.field("fine")
    value += 0.06 * noise.field("grain")
    green = toned(value, (0.72, 1.0, 0.42))
    dry = toned(value + 0.1, (1.0, 0.93, 0.60))
    return Tile(image=_blend(green, dry, 0.25 * noise.field("coarse") + 0.1), texel_m=0.016)


def soil(noise: Noise, rng: np.random.Generator) -> Tile:
    """Earth and gravel."""
    value = 0.46 + 0.05 * noise.field("coarse") + 0.05 * noise.field("fine")
    value += 0.07 * noise.field("grain")
    return Tile(image=toned(value, (1.0, 0.87, 0.70)), texel_m=0.016)


def brick(noise: Noise, rng: np.random.Generator) -> Tile:
    """Stretcher bond with mortar; nearly grey, the wall's tint gives the hue."""
    rows, columns = _grid(noise)
    course = rows * (44.0 / noise.size)
    row = course.astype(np.int64)
    place = columns * (15.0 / noise.size) + 0.5 * (row % 2)
    column = place.astype(np.int64) % 15
    shade = rng.normal(0.0, 0.075, (44, 15)).astype(np.float32)
    value = 0.74 + shade[row, column] + 0.03 * noise.field("coarse") + 0.04 * noise.field("grain")
    warm = rng.normal(0.0, 0.06, (44, 15)).astype(np.float32)[row, column]
    image = toned(value, (1.0, 1.0, 1.0))
    image[..., 0] += warm
    image[..., 2] -= warm
    mortar = ((course % 1.0) < 0.14) | ((place % 1.0) < 0.05)
    image[mortar] = rng.uniform(0.72, 0.95)
    return Tile(image=image, texel_m=0.007)


def plaster(noise: Noise, rng: np.random.Generator) -> Tile:
    """Smooth, with stains and streaks that run down."""
    streak = noise.field("fine").mean(axis=0)
    streak = streak / max(float(np.abs(streak).max()), 1e-6)
    value = 0.88 + 0.028 * noise.field("coarse") + 0.02 * noise.field("fine")
    value += 0.03 * streak[None, :] + 0.012 * noise.field("grain")
    stain = noise.field("coarse") > 1.5
    value = np.where(stain, value - 0.05, value)
    return Tile(image=toned(value, (1.0, 1.0, 0.99)), texel_m=0.016)


def concrete(noise: Noise, rng: np.random.Generator) -> Tile:
    """Panels of 2.7 m with joints and streaks."""
    rows, columns = _grid(noise)
    third = noise.size // 3
    value = 0.66 + 0.04 * noise.field("coarse") + 0.02 * noise.field("grain")
    panel = rng.normal(0.0, 0.03, (4, 4)).astype(np.float32)
    value += panel[(rows // third).astype(np.int64), (columns // third).astype(np.int64)]
    joint = (rows % third < 2) | (columns % third < 2)
    return Tile(image=toned(np.where(joint, 0.42, value), (1.0, 1.0, 0.98)), texel_m=0.016)


def stone(noise: Noise, rng: np.random.Generator) -> Tile:
    """Rubble: courses of unequal stones."""
    rows, columns = _grid(noise)
    bent = rows + 3.0 * noise.field("coarse")
    row = (bent // 32).astype(np.int64) % 16
    offset = rng.integers(0, 64, 16)[row]
    along = columns + offset + 4.0 * noise.field("coarse")
    column = (along // 43).astype(np.int64) % 12
    shade = rng.normal(0.0, 0.09, (16, 12)).astype(np.float32)
    value = 0.60 + shade[row, column] + 0.05 * noise.field("fine") + 0.04 * noise.field("grain")
    joint = (bent % 32 < 3) | (along % 43 < 3)
    return Tile(image=toned(np.where(joint, 0.40, value), (1.0, 0.97, 0.91)), texel_m=0.008)


def roof_tile(noise: Noise, rng: np.random.Generator) -> Tile:
    """Rows of clay tiles, dark below each edge."""
    rows, columns = _grid(noise)
    row = (rows // 32).astype(np.int64)
    column = ((columns + 8 * (row % 2)) // 16).astype(np.int64) % 32
    shade = rng.normal(0.0, 0.05, (16, 32)).astype(np.float32)
    value = 0.66 + shade[row, column] + 0.05 * noise.field("coarse")
    value += 0.12 * ((rows % 32) / 32.0 - 0.5) + 0.06 * np.sin(columns * (np.pi / 8.0))
    return Tile(image=toned(np.where(rows % 32 < 3, value - 0.2, value), (1, 1, 1)), texel_m=0.010)


def roof_flat(noise: Noise, rng: np.random.Generator) -> Tile:
    """Felt or gravel."""
    value = 0.50 + 0.05 * noise.field("coarse") + 0.05 * noise.field("grain")
    return Tile(image=toned(value, (1.0, 0.99, 0.97)), texel_m=0.02)


def bark(noise: Noise, rng: np.random.Generator) -> Tile:
    """Furrows along the trunk."""
    _, columns = _grid(noise)
    wave = np.sin(columns * (2 * np.pi / 16.0) + 2.0 * noise.field("coarse"))
    value = 0.42 + 0.10 * wave + 0.05 * noise.field("grain")
    return Tile(image=toned(value, (1.0, 0.88, 0.74)), texel_m=0.008)


def foliage(noise: Noise, rng: np.random.Generator) -> Tile:
    """Leaves, dark between them."""
    value = 0.50 + 0.14 * noise.field("fine") + 0.06 * noise.field("grain")
    value += 0.05 * noise.field("coarse")
    return Tile(image=toned(np.clip(value, 0.08, 0.9), (0.74, 1.0, 0.44)), texel_m=0.012)


def hedge(noise: Noise, rng: np.random.Generator) -> Tile:
    """Denser and darker leaves."""
    value = 0.40 + 0.13 * noise.field("fine") + 0.08 * noise.field("grain")
    return Tile(image=toned(np.clip(value, 0.08, 0.9), (0.70, 1.0, 0.48)), texel_m=0.008)


def wood(noise: Noise, rng: np.random.Generator) -> Tile:
    """Upright planks."""
    _, columns = _grid(noise)
    plank = (columns // 16).astype(np.int64)
    shade = rng.normal(0.0, 0.07, noise.size // 16).astype(np.float32)
    grain = np.sin(columns * 1.3 + 1.5 * noise.field("coarse"))
    value = 0.74 + shade[plank] + 0.03 * grain + 0.03 * noise.field("fine")
    return Tile(image=toned(np.where(columns % 16 < 1, 0.3, value), (1.0, 1.0, 1.0)), texel_m=0.008)


def plain(level: float, spread: float, texel_m: float) -> Callable[..., Tile]:
    """Return a pattern of one brightness with some unevenness; the tint gives the colour."""

    def draw(noise: Noise, rng: np.random.Generator) -> Tile:
        value = level + spread * (0.6 * noise.field("coarse") + 0.4 * noise.field("fine"))
        return Tile(image=toned(value[::2, ::2], (1.0, 1.0, 1.0)), texel_m=texel_m)

    return draw


def large_scale(noise: Noise) -> Tile:
    """Return what darkens and lightens whole stretches of ground and wall: brightness about 0.5."""
    value = 0.5 + 0.05 * noise.field("coarse") + 0.04 * noise.field("fine")
    return Tile(image=toned(value, (1.0, 1.0, 1.0)), texel_m=0.20)


def clouds(noise: Noise) -> Tile:
    """Return the share of cloud in the sky, for directions cut with a plane at height 1."""
    value = 0.45 + 0.30 * noise.field("coarse") + 0.06 * noise.field("fine")
    return Tile(image=toned(np.clip(value, 0.0, 1.0), (1.0, 1.0, 1.0)), texel_m=0.02)
