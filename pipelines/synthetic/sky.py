"""The sky by direction: gradient, clouds, sun, and far hills at the horizon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .rowwise import power
from .tiles import CLOUDS

if TYPE_CHECKING:
    from .surface import Float32Array, FloatArray
    from .texture import Textures

_HILLS = 2048  # samples of the horizon's line


class Sky:
    """The sky over one world.

    Args:
        seed: (seed, scene) of the world.
        to_sun: (3,) unit vector.
        overcast: 0 for a clear day, 1 for a covered sky.
        textures: those of the world.
    """

    def __init__(
        self, seed: tuple[int, int], to_sun: FloatArray, overcast: float, textures: Textures
    ) -> None:
        rng = np.random.default_rng([*seed, 90])
        self._textures = textures
        self._to_sun = to_sun.astype(np.float32)
        grey = np.array([0.80, 0.82, 0.85])
        zenith = np.array([0.30, 0.50, 0.82]) * rng.uniform(0.85, 1.1)
        low = np.array([0.74, 0.83, 0.92]) + rng.uniform(-0.03, 0.03, 3)
        self._zenith = (zenith + overcast * (grey * 0.9 - zenith)).astype(np.float32)
        self.horizon: Float32Array = (low + overcast * (grey - low)).astype(np.float32)
        self._cloud = np.array([0.97, 0.97, 0.97], dtype=np.float32) * (1.0 - 0.13 * overcast)
        self._cover = np.float32(rng.uniform(-0.25, 0.15) + 0.35 * overcast)
        self._overcast = np.float32(overcast)
        turn = 2.0 * np.pi * np.arange(_HILLS) / _HILLS
        line = np.full(_HILLS, rng.uniform(0.008, 0.03))
        for wave in range(2, 40):
            line += rng.normal(0.0, 0.03) / wave**1.1 * np.sin(wave * turn + rng.uniform(0, 6.3))
        line += 0.004 * np.abs(np.sin(83.0 * turn) * np.sin(131.0 * turn))
        self._hills = np.clip(line, 0.004, 0.09).astype(np.float32)
        self._hill_colour = np.array([0.50, 0.58, 0.60], dtype=np.float32)

    def color(self, directions: FloatArray) -> Float32Array:
        """Return the (N, 3) float32 colour in [0, 1] seen along (N, 3) unit directions."""
        x, y, z = directions.T.astype(np.float32)
        up = np.maximum(z, np.float32(0.02))
        spread = np.float32(1.0) / (up + np.float32(0.08))
        place, blur = np.stack([x, y]) * spread, np.float32(0.004) * spread
        share = self._textures.sample(CLOUDS, place.T, blur)[:, 0] * np.float32(1.8 / 255.0)
        share = np.clip(share + self._cover - np.float32(0.55), 0.0, 1.0)
        share *= np.clip(up * np.float32(7.0), 0.0, 1.0)
        fade = np.sqrt(np.clip(z, 0.0, 1.0))
        towards_sun = x * self._to_sun[0] + y * self._to_sun[1] + z * self._to_sun[2]
        glow = power(np.clip(towards_sun, 0.0, 1.0), 24) * (np.float32(0.3) * (1 - self._overcast))
        glow += np.where(towards_sun > 0.9994, 1.0 - self._overcast, 0.0).astype(np.float32)
        colour = np.empty((len(z), 3), dtype=np.float32)
        for c in range(3):
            base = self.horizon[c] + fade * (self._zenith[c] - self.horizon[c])
            colour[:, c] = base + share * (self._cloud[c] - base) + glow
        azimuth = np.arctan2(y, x) * np.float32(_HILLS / (2.0 * np.pi))
        hidden = z < self._hills[azimuth.astype(np.int32) % _HILLS]
        colour[hidden] = 0.45 * self._hill_colour + 0.55 * self.horizon
        return np.clip(colour, 0.0, 1.0)
