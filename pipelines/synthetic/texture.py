"""Textures as mip pyramids in one flat array, read by integer gathers."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .surface import Float32Array, IntArray

_LEVELS = 16  # room for them in the tables


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tile:
    """One texture, which repeats in both directions.

    Attributes:
        image: (H, W, 3) float32 in [0, 1]; H and W are powers of two; row 0 is at v = 0.
        texel_m: size of a texel, metres.
    """

    image: Float32Array
    texel_m: float


_HALF = np.uint64(0x0002_0002_0002_0002)
_KEEP = np.uint64(0x3FFF_3FFF_3FFF_3FFF)


def pyramid(image: Float32Array) -> list[npt.NDArray[np.uint8]]:
    """Return an image, (H, W, 3) in [0, 1], and its halves down to one texel wide or high.

    Every texel is the mean of the four that it stands for.

    Returns:
        (H, W, 4) uint8 and its halves: red, green, blue, zero.
    """
    channels = np.zeros((*image.shape[:2], 4), dtype=np.uint16)
    # Six bits after the point, so that rounding does not add up; four of the greatest still fit.
    channels[..., :3] = np.clip(image, 0.0, 1.0) * np.float32(255 * 64)
    levels = [((channels + np.uint16(32)) >> 6).astype(np.uint8)]
    texels = channels.view(np.uint64)[..., 0]
    while min(texels.shape) > 1:
        rows = texels[0::2] + texels[1::2]
        texels = ((rows[:, 0::2] + rows[:, 1::2] + _HALF) >> np.uint64(2)) & _KEEP
        channels = np.ascontiguousarray(texels).view(np.uint16).reshape(*texels.shape, 4)
        levels.append(((channels + np.uint16(32)) >> 6).astype(np.uint8))
    return levels


class Textures:
    """Several tiles with all their levels, to be read at many places at once.

    Args:
        tiles: numbered by their place in the sequence.
    """

    def __init__(self, tiles: Sequence[Tile]) -> None:
        keys = len(tiles) * _LEVELS
        self._offset = np.zeros(keys, dtype=np.int32)
        self._columns = np.zeros(keys, dtype=np.int32)
        self._rows = np.zeros(keys, dtype=np.int32)
        self._shift = np.zeros(keys, dtype=np.int32)
        self._last = np.zeros(len(tiles), dtype=np.int32)
        self._per_m = np.array([1.0 / tile.texel_m for tile in tiles], dtype=np.float32)
        parts: list[npt.NDArray[np.uint8]] = []
        total = 0
        for number, tile in enumerate(tiles):
            levels = pyramid(tile.image)
            self._last[number] = len(levels) - 1
            for level, image in enumerate(levels):
                key = number * _LEVELS + level
                height, width = image.shape[:2]
                self._offset[key] = total
                self._columns[key], self._rows[key] = width - 1, height - 1
                self._shift[key] = width.bit_length() - 1
                parts.append(image.reshape(-1, 4))
                total += height * width
        # Four bytes a texel: one gather of a word instead of three of a byte.
        self._texels = np.concatenate(parts).view(np.uint32).ravel()

    def sample(
        self, number: IntArray | int, uv: Float32Array, footprint_m: Float32Array
    ) -> npt.NDArray[np.uint8]:
        """Return colours.

        Args:
            number: (N,) of the tile, or one for all.
            uv: (N, 2) place, metres.
            footprint_m: (N,) size over which to average, metres; above 0.

        Returns:
            (N, 4) uint8: red, green, blue, zero.
        """
        number = np.asarray(number, dtype=np.intp)
        per_m = self._per_m.take(number)
        # The level is the base-2 logarithm, rounded, of the size in texels. A float32 has it in
        # its bits from 23 up, with 127 added.
        level = (footprint_m * (per_m * np.float32(np.sqrt(2.0)))).view(np.int32) >> 23
        level -= 127
        np.clip(level, 0, self._last.take(number), out=level)
        key = level.astype(np.intp)
        key += number * _LEVELS
        column = np.floor(uv[:, 0] * per_m).astype(np.int32)
        row = np.floor(uv[:, 1] * per_m).astype(np.int32)
        column >>= level
        row >>= level
        column &= self._columns.take(key)
        row &= self._rows.take(key)
        row <<= self._shift.take(key)
        row += column
        row += self._offset.take(key)
        colour: npt.NDArray[np.uint8] = self._texels.take(row).view(np.uint8).reshape(-1, 4)
        return colour


class Noise:
    """Tileable random fields, (size, size) float32 with mean 0 and deviation about 1.

    A few are made, and handed out shifted: making is slow, shifting is not.
    """

    def __init__(self, rng: np.random.Generator, size: int = 512) -> None:
        self._rng = rng
        self.size = size
        self._bank = {
            "coarse": [self._fractal((4, 8, 16, 32), 0.6) for _ in range(3)],
            "fine": [self._fractal((32, 64, 128), 0.9) for _ in range(2)],
            "grain": [
                rng.standard_normal((size, size), dtype=np.float32).clip(-2.5, 2.5)
                for _ in range(2)
            ],
        }

    def field(self, kind: str) -> Float32Array:
        """Return a "coarse", "fine" or "grain" field, never the same twice."""
        bank = self._bank[kind]
        chosen = bank[int(self._rng.integers(len(bank)))]
        down, right = (int(n) for n in self._rng.integers(0, self.size, 2))
        return np.roll(chosen, (down, right), axis=(0, 1))

    def _fractal(self, cells: Sequence[int], gain: float) -> Float32Array:
        total = np.zeros((self.size, self.size), dtype=np.float32)
        for octave, count in enumerate(cells):
            grid = self._rng.standard_normal((count, count), dtype=np.float32)
            total += np.float32(gain**octave) * _enlarged(grid, self.size)
        scaled: Float32Array = (total / total.std()).astype(np.float32)
        return scaled


def _enlarged(grid: Float32Array, size: int) -> Float32Array:
    """Smooth interpolation of a grid that goes round in both directions."""
    count = len(grid)
    place = np.arange(size, dtype=np.float32) * np.float32(count / size)
    cell = place.astype(np.int64)
    t = place - cell
    t = t * t * (3.0 - 2.0 * t)
    following = (cell + 1) % count
    rows = grid[cell] + t[:, None] * (grid[following] - grid[cell])
    columns = rows.T
    return np.ascontiguousarray(
        (columns[cell] + t[:, None] * (columns[following] - columns[cell])).T
    )
