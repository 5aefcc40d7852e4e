"""Textures that hold many different pictures side by side: windows, doors, shops, signs, plates."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .texture import Tile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .surface import Float32Array
    from .texture import Noise


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """How the pictures lie in a texture.

    Attributes:
        columns, rows: number of pictures.
        width_px, height_px: of one picture.
        texel_m: size of a texel in the chart, metres.
    """

    columns: int
    rows: int
    width_px: int
    height_px: int
    texel_m: float

    def corners(self, number: npt.ArrayLike) -> Float32Array:
        """Return the (N, 4, 2) chart of quads (bottom left, bottom right, top right, top left).

        Args:
            number: (N,) which picture, any whole number.
        """
        chosen = np.atleast_1d(np.asarray(number, dtype=np.int64)) % (self.columns * self.rows)
        u = (chosen % self.columns) * self.width_px
        v = (chosen // self.columns) * self.height_px
        edge = 0.5  # inside the picture, so that its neighbours do not show
        left, right = u + edge, u + self.width_px - edge
        low, high = v + edge, v + self.height_px - edge
        chart = np.stack([left, low, right, low, right, high, left, high], axis=1)
        metres: Float32Array = (chart.reshape(-1, 4, 2) * self.texel_m).astype(np.float32)
        return metres

    def tile(self, pictures: Sequence[Float32Array]) -> Tile:
        """Return the texture of pictures, (height_px, width_px, 3), drawn top row first."""
        shape = (self.rows * self.height_px, self.columns * self.width_px, 3)
        image = np.zeros(shape, dtype=np.float32)
        for number, picture in enumerate(pictures):
            row, column = divmod(number, self.columns)
            low, left = row * self.height_px, column * self.width_px
            image[low : low + self.height_px, left : left + self.width_px] = picture[::-1]
        return Tile(image=np.clip(image, 0.0, 1.0), texel_m=self.texel_m)


WINDOWS = Sheet(columns=4, rows=4, width_px=128, height_px=128, texel_m=0.010)
DOORS = Sheet(columns=4, rows=2, width_px=64, height_px=128, texel_m=0.016)
SHOPS = Sheet(columns=2, rows=4, width_px=256, height_px=128, texel_m=0.016)
SIGNS = Sheet(columns=4, rows=4, width_px=64, height_px=64, texel_m=0.010)
BOARDS = Sheet(columns=4, rows=4, width_px=128, height_px=128, texel_m=0.012)
PLATES = Sheet(columns=1, rows=16, width_px=128, height_px=32, texel_m=0.004)


def window(noise: Noise, rng: np.random.Generator) -> Tile:
    """Sashes, with curtains, blinds or a dark room behind, and the sky in the panes."""
    frames = np.array(
        [[0.93, 0.93, 0.92], [0.93, 0.93, 0.92], [0.36, 0.26, 0.18], [0.3, 0.32, 0.34]]
    )
    return WINDOWS.tile([_window(rng, frames[rng.integers(4)]) for _ in range(16)])


def _window(rng: np.random.Generator, frame: Float32Array) -> Float32Array:
    n = 128
    rows, columns = np.mgrid[:n, :n].astype(np.float32) / n
    room = np.array([0.16, 0.18, 0.21], dtype=np.float32) * rng.uniform(0.7, 1.4)
    image = np.ones((n, n, 3), dtype=np.float32) * room * (1.3 - 0.6 * rows[..., None])
    kind = int(rng.integers(4))
    cloth = rng.uniform(0.6, 0.95, 3) * np.array([1.0, 0.98, 0.93])
    if kind == 0:
        width = rng.uniform(0.12, 0.3)
        pleats = 0.85 + 0.15 * np.sin(columns * rng.uniform(60, 110))
        drawn = (columns < width) | (columns > 1 - width)
        image = np.where(drawn[..., None], pleats[..., None] * cloth, image)
    elif kind == 1:
        down = rng.uniform(0.25, 0.95)
        slats = 0.75 + 0.25 * (np.sin(rows * 130.0) > -0.3)
        image = np.where((rows < down)[..., None], slats[..., None] * cloth, image)
    elif kind == 2:
        sheer = 0.45 + 0.1 * np.sin(columns * 50.0)
        image = image * 0.5 + 0.5 * sheer[..., None] * cloth
        pot = (rows > 0.8) & (np.abs(columns - rng.uniform(0.3, 0.7)) < 0.08)
        image[pot] = [0.25, 0.35, 0.15]
    slope = rng.uniform(0.3, 0.9)
    band = np.abs(columns + slope * rows - rng.uniform(0.4, 1.2)) < rng.uniform(0.1, 0.3)
    sky = np.array([0.62, 0.72, 0.85], dtype=np.float32)
    share = np.where(band, 0.35, 0.12)[..., None] * (1.2 - rows[..., None])
    image = image * (1 - share) + sky * share
    bar = 6
    edges = np.zeros((n, n), dtype=bool)
    edges[:bar], edges[-bar:], edges[:, :bar], edges[:, -bar:] = True, True, True, True
    uprights: tuple[float, ...] = ((), (0.5,), (0.33, 0.67))[int(rng.integers(3))]
    for share_at in uprights:
        edges[:, int(share_at * n) - 3 : int(share_at * n) + 3] = True
    if rng.random() < 0.5:
        across = int(n * rng.choice([0.33, 0.5]))
        edges[across - 3 : across + 3] = True
    image[edges] = frame
    image[bar : bar + 3, bar:-bar] *= 0.6
    drawn_image: Float32Array = image.astype(np.float32)
    return drawn_image


def door(noise: Noise, rng: np.random.Generator) -> Tile:
    """House doors and, in the second row, garage doors; the tint gives the colour."""
    pictures = []
    rows, columns = np.mgrid[:128, :64]
    for number in range(8):
        image = np.full((128, 64, 3), 0.82, dtype=np.float32)
        if number >= 4:
            step = int(rng.choice([8, 12, 16]))
            lines = rows % step < 2 if number % 2 else columns % step < 2
            image[lines] = 0.55
        else:
            for top, low in ((8, 52), (62, 118)):
                for left in (7, 35):
                    image[top:low, left : left + 22] = 0.66
                    image[top + 2 : low - 2, left + 2 : left + 20] = 0.78
            if number % 2:
                image[8:52, 7:57] = [0.30, 0.36, 0.42]
            image[62:68, 55:60] = [0.9, 0.85, 0.6]
        image[:3], image[:, :3], image[:, -3:] = 0.45, 0.45, 0.45
        pictures.append(image)
    return DOORS.tile(pictures)


def shop(noise: Noise, rng: np.random.Generator) -> Tile:
    """Shop fronts: a name on a coloured board, glass with goods behind, a door."""
    return SHOPS.tile([_shop(rng) for _ in range(8)])


def _shop(rng: np.random.Generator) -> Float32Array:
    image = np.zeros((128, 256, 3), dtype=np.float32)
    colour = _vivid(rng)
    image[:] = colour * 0.55
    image[:30] = colour
    _write(image, rng, top=6, left=int(rng.integers(10, 60)), size=3, colour=_contrast(colour))
    image[36:122, 8:180] = np.linspace(0.30, 0.16, 86)[:, None, None] * [0.9, 1.0, 1.1]
    for _ in range(int(rng.integers(6, 16))):
        x, h, w = int(rng.integers(10, 165)), int(rng.integers(8, 46)), int(rng.integers(5, 18))
        image[118 - h : 118, x : min(x + w, 180)] = rng.uniform(0.15, 0.85, 3)
    image[36:122, 190:248] = [0.25, 0.30, 0.34]
    image[40:118, 196:242] = [0.34, 0.40, 0.45]
    rows, columns = np.mgrid[:128, :256]
    shine = (np.abs(columns + rows - rng.integers(60, 240)) < 22) & (rows > 36) & (rows < 122)
    image[shine] = 0.72 * image[shine] + 0.25 * np.array([0.7, 0.8, 0.9], dtype=np.float32)
    image[36:122, 92:95] = colour * 0.4
    image[122:] = 0.25
    return image


def sign(noise: Noise, rng: np.random.Generator) -> Tile:
    """Traffic signs; round ones are cut out as octagons, so their rim fills the corners."""
    return SIGNS.tile([_sign(rng, number) for number in range(16)])


def _sign(rng: np.random.Generator, number: int) -> Float32Array:
    rows, columns = (np.mgrid[:64, :64].astype(np.float32) - 31.5) / 32.0
    radius = np.sqrt(rows * rows + columns * columns)
    red, blue = np.array([0.80, 0.08, 0.10]), np.array([0.08, 0.22, 0.65])
    white = np.array([0.95, 0.95, 0.95])
    image = np.zeros((64, 64, 3), dtype=np.float32)
    kind = number % 4
    if kind == 0:  # a limit
        image[:] = red
        image[radius < 0.72] = white
        black = np.array([0.05, 0.05, 0.05], dtype=np.float32)
        _write(image, rng, top=21, left=14, size=4, colour=black, letters=2)
    elif kind == 1:  # no stopping
        image[:] = red
        image[radius < 0.78] = blue
        image[(np.abs(rows - columns) < 0.16)] = red
        if number > 6:
            image[(np.abs(rows + columns) < 0.16)] = red
    elif kind == 2:  # blue, with an arrow or a letter
        image[:] = blue
        image[(radius > 0.88)] = white
        shaft = (np.abs(columns) < 0.12) & (np.abs(rows) < 0.5)
        head = (rows < -0.1) & (np.abs(columns) < 0.55 + rows) & (rows > -0.6)
        image[shaft | head] = white
    else:  # yellow or white boards with text
        image[:] = [0.95, 0.78, 0.15] if number > 7 else white
        for top in (10, 28, 44):
            _write(image, rng, top=top, left=6, size=2, colour=np.full(3, 0.1), letters=6)
    return image


def board(noise: Noise, rng: np.random.Generator) -> Tile:
    """Posters, name boards and graffiti."""
    return BOARDS.tile([_board(rng) for _ in range(16)])


def _board(rng: np.random.Generator) -> Float32Array:
    rows, columns = np.mgrid[:128, :128].astype(np.float32) / 128.0
    first, second = _vivid(rng), _vivid(rng)
    image = np.ones((128, 128, 3), dtype=np.float32) * first
    angle = rng.uniform(0, np.pi)
    across = np.cos(angle) * columns + np.sin(angle) * rows
    image[across > rng.uniform(0.2, 0.9)] = second
    for _ in range(int(rng.integers(2, 5))):
        y, x = rng.uniform(0.1, 0.9, 2)
        blob = (rows - y) ** 2 + (columns - x) ** 2 * rng.uniform(0.4, 2.0) < rng.uniform(
            0.1, 0.25
        ) ** 2
        image[blob] = _vivid(rng)
    for _ in range(int(rng.integers(1, 4))):
        top, size = int(rng.integers(5, 95)), int(rng.integers(2, 5))
        _write(image, rng, top=top, left=8, size=size, colour=_contrast(first), letters=7)
    image[:3], image[-3:], image[:, :3], image[:, -3:] = 0.9, 0.9, 0.9, 0.9
    return image


def plate(noise: Noise, rng: np.random.Generator) -> Tile:
    """Number plates with a blue field."""
    pictures = []
    for number in range(16):
        image = np.full((32, 128, 3), 0.93, dtype=np.float32)
        if number % 4 == 3:
            image[:] = [0.95, 0.80, 0.20]
        image[:, :12] = [0.10, 0.20, 0.60]
        ink = np.full(3, 0.08, dtype=np.float32)
        _write(image, rng, top=6, left=18, size=4, colour=ink, letters=7)
        image[:2], image[-2:] = 0.2, 0.2
        pictures.append(image)
    return PLATES.tile(pictures)


def car_paint(noise: Noise, rng: np.random.Generator) -> Tile:
    """The flank of a car: seams of doors, handles, dirt below; chart (x, height)."""
    image = np.full((512, 1024, 3), 0.92, dtype=np.float32)
    dirt = np.clip(1.0 - np.arange(512) / 70.0, 0.0, 1.0)[:, None] * (0.25 + 0.1 * np.arange(1))
    grime = dirt[:, :1] * np.ones((1, 1024))
    image *= (1.0 - grime)[..., None].astype(np.float32)
    for x in (-1.05, -0.05, 1.0):  # the chart repeats: x < 0 lies at its right end
        column = int(x / 0.008) % 1024
        image[32:118, column : column + 2] = 0.45
    for x in (-0.25, 0.80):
        column = int(x / 0.008) % 1024
        image[98:102, column - 18 : column] = 0.5
    image[68:71] *= 0.8
    image[31:33] *= 0.6
    return Tile(image=image, texel_m=0.008)


def car_glass(noise: Noise, rng: np.random.Generator) -> Tile:
    """Dark glass with smears of reflected houses and trees."""
    value = 0.14 + 0.05 * noise.field("coarse") + 0.02 * noise.field("fine")
    image = np.clip(value[::2, ::2], 0.03, 0.4)[..., None] * np.array([0.95, 1.05, 1.1])
    return Tile(image=image.astype(np.float32), texel_m=0.02)


def headlight(noise: Noise, rng: np.random.Generator) -> Tile:
    """Clear glass over a reflector."""
    rows, columns = np.mgrid[:32, :32]
    value = 0.72 + 0.2 * (((rows // 4) + (columns // 4)) % 2)
    image = value[..., None] * np.array([1.0, 1.0, 1.03])
    return Tile(image=np.clip(image, 0, 1).astype(np.float32), texel_m=0.02)


def taillight(noise: Noise, rng: np.random.Generator) -> Tile:
    """Red, with a pale strip."""
    image = np.zeros((32, 32, 3), dtype=np.float32)
    image[:] = [0.66, 0.05, 0.06]
    image[20:25] = [0.85, 0.45, 0.40]
    return Tile(image=image, texel_m=0.012)


def _vivid(rng: np.random.Generator) -> Float32Array:
    colour = rng.uniform(0.1, 0.95, 3)
    colour[int(rng.integers(3))] *= 0.35
    return colour.astype(np.float32)


def _contrast(colour: Float32Array) -> Float32Array:
    return np.full(3, 0.95 if colour.mean() < 0.55 else 0.06, dtype=np.float32)


def _write(
    image: Float32Array,
    rng: np.random.Generator,
    *,
    top: int,
    left: int,
    size: int,
    colour: Float32Array,
    letters: int = 8,
) -> None:
    """Write made-up letters of three by five dots of `size` texels."""
    for number in range(letters):
        dots = rng.random((5, 3)) < 0.55
        dots[:, 0] |= rng.random() < 0.7
        glyph = np.kron(dots, np.ones((size, size), dtype=bool))
        x = left + number * 4 * size
        area = image[top : top + 5 * size, x : x + 3 * size]
        area[glyph[: area.shape[0], : area.shape[1]]] = colour
