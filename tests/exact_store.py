"""A store in memory whose images show the coordinates of what is seen, block by block.

Every frame is a wall of blocks, each at a depth of its own: nothing about it can be told from the
place in the image. The colour of a pixel is the code of the point (x, y, z) behind it, so that an
encoder that reads colours knows all. The lidar is the camera, and a point lies at each pixel's
centre.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

from simipu.data.photometric import IMAGENET_MEAN, IMAGENET_STD

HEIGHT, WIDTH, BLOCK_PX = 32, 64, 8
FOCAL_PX = 32.0
NEAREST_M, FARTHEST_M = 4.0, 40.0
REACH_M = 48.0


@dataclass
class ExactStore:
    """Offers what simipu.evaluate uses of simipu.store.reader.Store."""

    frames: int = 12
    scene_length: int = 3
    equal: bool = False
    path: Path = Path("exact.zarr")
    fingerprint: str = "e7ac7"
    cameras: tuple[str, ...] = ("front",)

    def __post_init__(self):
        self.correspondence_policy = {}

    def __len__(self) -> int:
        return self.frames

    @property
    def scenes(self) -> tuple[SimpleNamespace, ...]:
        starts = range(0, self.frames, self.scene_length)
        return tuple(
            SimpleNamespace(name=f"s{n}", split="", start=start, stop=start + self.scene_length)
            for n, start in enumerate(starts)
        )

    def table(self, name: str) -> np.ndarray:
        if name == "frames/scene":
            return np.arange(self.frames) // self.scene_length
        if name == "lidar/start":
            return np.arange(self.frames) * HEIGHT * WIDTH
        assert name == "camera/valid"
        return np.ones((self.frames, 1), dtype=np.uint8)

    @property
    def point_columns(self) -> tuple[str, ...]:
        return Points.columns

    def array(self, path: str) -> SimpleNamespace:
        def read(start: int, stop: int) -> np.ndarray:
            frame, first = divmod(start, HEIGHT * WIDTH)
            return self[frame].points[path[-1]][first : first + stop - start]

        return SimpleNamespace(read=read)

    def __getitem__(self, frame: int) -> SimpleNamespace:
        xyz = wall(0 if self.equal else frame)
        v, u = np.mgrid[:HEIGHT, :WIDTH]
        found = SimpleNamespace(
            row=np.arange(HEIGHT * WIDTH, dtype=np.uint32),
            uv=np.stack([u, v], axis=-1).reshape(-1, 2).astype(np.float32),
            depth=xyz[..., 2].ravel().astype(np.float32),
            visible=np.ones(HEIGHT * WIDTH, dtype=bool),
        )
        columns = {"point": found.row, "u": found.uv[:, 0], "v": found.uv[:, 1]}
        columns |= {"depth": found.depth, "visible": found.visible}
        camera = SimpleNamespace(
            name="front",
            height=HEIGHT,
            width=WIDTH,
            correspondences=found,
            correspondence_column=columns.get,
            encoded=lambda: encode(xyz),
            where=f"frame {frame}",
        )
        points = Points(xyz.reshape(-1, 3).astype(np.float32))
        return SimpleNamespace(index=frame, points=points, cameras={"front": camera})


@dataclass
class Points:
    xyz: np.ndarray
    columns = ("x", "y", "z")

    def __getitem__(self, column: str) -> np.ndarray:
        return self.xyz[:, "xyz".index(column)]


def wall(frame: int) -> np.ndarray:
    """(H, W, 3) float64 camera coordinates of every pixel's point."""
    rng = np.random.default_rng(frame)
    blocks = (HEIGHT // BLOCK_PX, WIDTH // BLOCK_PX)
    depth = np.exp(rng.uniform(np.log(NEAREST_M), np.log(FARTHEST_M), blocks))
    z = np.kron(depth, np.ones((BLOCK_PX, BLOCK_PX)))
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    x = (u - WIDTH / 2 + 0.5) / FOCAL_PX * z
    y = (v - HEIGHT / 2 + 0.5) / FOCAL_PX * z
    return np.stack([x, y, z], axis=-1)


def encode(xyz: np.ndarray) -> bytes:
    share = np.log(xyz[..., 2] / NEAREST_M) / np.log(FARTHEST_M / NEAREST_M)
    levels = np.stack(
        [xyz[..., 0] / (2 * REACH_M) + 0.5, xyz[..., 1] / (2 * REACH_M) + 0.5, share], axis=-1
    )
    file = io.BytesIO()
    Image.fromarray((255 * levels).round().astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def decode(colours: torch.Tensor) -> torch.Tensor:
    """(..., 3) normalised colours to coordinates in metres."""
    levels = colours * torch.tensor(IMAGENET_STD) + torch.tensor(IMAGENET_MEAN)
    z = NEAREST_M * torch.exp(levels[..., 2] * np.log(FARTHEST_M / NEAREST_M))
    xy = (levels[..., :2] - 0.5) * 2 * REACH_M
    return torch.cat([xy, z[..., None]], dim=-1)
