"""All textures of one world: one for each material, then those of the world at large."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import patterns, sheets
from .material import MATERIALS
from .texture import Noise, Textures, Tile

if TYPE_CHECKING:
    from collections.abc import Callable

LARGE_SCALE = len(MATERIALS)
"""Number of the tile that makes places differ: a brightness about one half."""
CLOUDS = LARGE_SCALE + 1
"""Number of the tile with the share of cloud in the sky."""

_DRAW: dict[str, Callable[[Noise, np.random.Generator], Tile]] = {
    "asphalt": patterns.asphalt,
    "asphalt_old": patterns.asphalt_old,
    "paint": patterns.paint,
    "kerb": patterns.kerb,
    "paving": patterns.paving,
    "grass": patterns.grass,
    "soil": patterns.soil,
    "brick": patterns.brick,
    "plaster": patterns.plaster,
    "concrete": patterns.concrete,
    "stone": patterns.stone,
    "roof_tile": patterns.roof_tile,
    "roof_flat": patterns.roof_flat,
    "window": sheets.window,
    "door": sheets.door,
    "shop": sheets.shop,
    "sign": sheets.sign,
    "board": sheets.board,
    "metal": patterns.plain(0.85, 0.04, 0.01),
    "car_paint": sheets.car_paint,
    "car_glass": sheets.car_glass,
    "tyre": patterns.plain(0.13, 0.02, 0.005),
    "trim": patterns.plain(0.12, 0.02, 0.005),
    "headlight": sheets.headlight,
    "taillight": sheets.taillight,
    "plate": sheets.plate,
    "bark": patterns.bark,
    "foliage": patterns.foliage,
    "hedge": patterns.hedge,
    "wood": patterns.wood,
    "cloth": patterns.plain(0.85, 0.08, 0.006),
    "skin": patterns.plain(0.85, 0.03, 0.004),
    "lamp": patterns.plain(0.97, 0.01, 0.01),
}

_SMALL = frozenset(
    (
        *("kerb", "soil", "grass", "bark", "foliage", "hedge", "wood", "roof_flat", "metal"),
        *("car_glass", "tyre", "trim", "cloth", "skin", "lamp"),
    )
)
"""What is never seen so large that half the size would show."""


def draw_textures(seed: int, scene: int) -> Textures:
    """Draw the textures of a world, numbered as its materials, then LARGE_SCALE and CLOUDS."""
    noise = Noise(np.random.default_rng([seed, scene, 100]))
    small = Noise(np.random.default_rng([seed, scene, 99]), size=256)
    tiles = []
    for number, material in enumerate(MATERIALS):
        rng = np.random.default_rng([seed, scene, 101 + number])
        tiles.append(_DRAW[material.name](small if material.name in _SMALL else noise, rng))
    tiles.append(patterns.large_scale(noise))
    tiles.append(patterns.clouds(noise))
    return Textures(tiles)
