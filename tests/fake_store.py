"""A store in memory whose images and clouds tell where everything belongs.

Pixel (u, v) of an image has the colour (2u, 2v, 0), and the point that projects to (u, v) has the
coordinates (u, v, number of the camera): wherever a sample puts a pixel or a point, its value says
where it came from. Images must therefore be smaller than 128 px.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
from PIL import Image

COLOUR_PER_PX = 2


@dataclass
class FakeStore:
    """Offers what simipu.data and simipu.train use of simipu.store.reader.Store.

    Attributes:
        frames: number of frames.
        sizes: camera -> (height, width).
        points: points of each camera in a frame.
        visible: share of the points that their camera sees.
        empty: frames whose cameras see no point.
        encoded_size: (height, width) of all images, whatever their cameras say.
        scene_length: frames of each scene; the scenes are called s0, s1, ..., those with an even
            number belong to the split "train", the others to "val".
        missing: (frame, camera) of images that do not exist.
        telling: the intensity of a point is the red of its pixel, so that pixel and point can be
            matched; else it is the number of its row.
    """

    frames: int = 4
    sizes: dict[str, tuple[int, int]] = field(default_factory=lambda: {"left": (60, 120)})
    points: int = 400
    visible: float = 0.8
    empty: tuple[int, ...] = ()
    intensity: bool = True
    encoded_size: tuple[int, int] | None = None
    path: str = "fake.zarr"
    fingerprint: str = "f00d"
    correspondence_policy: dict | None = field(default_factory=lambda: {"min_depth_m": 1.0})
    scene_length: int = 2
    missing: tuple[tuple[int, int], ...] = ()
    telling: bool = False

    @property
    def cameras(self) -> tuple[str, ...]:
        return tuple(self.sizes)

    def __len__(self) -> int:
        return self.frames

    @property
    def scenes(self) -> tuple[SimpleNamespace, ...]:
        return tuple(
            SimpleNamespace(
                name=f"s{number}",
                split=("train", "val")[number % 2],
                start=start,
                stop=min(start + self.scene_length, self.frames),
            )
            for number, start in enumerate(range(0, self.frames, self.scene_length))
        )

    @property
    def point_columns(self) -> tuple[str, ...]:
        return ("x", "y", "z", "intensity") if self.intensity else ("x", "y", "z")

    def array(self, path: str) -> FakeColumn:
        return FakeColumn(self, path.removeprefix("lidar/points/"))

    def table(self, name: str) -> np.ndarray:
        if name == "frames/scene":
            return np.arange(self.frames) // self.scene_length
        if name == "lidar/start":
            return np.arange(self.frames) * self.points * len(self.sizes)
        assert name == "camera/valid"
        valid = np.ones((self.frames, len(self.sizes)), dtype=np.uint8)
        for frame, camera in self.missing:
            valid[frame, camera] = 0
        return valid

    def __getitem__(self, index: int) -> SimpleNamespace:
        rng = np.random.default_rng(index)
        xyz, cameras = [], {}
        for number, (name, (height, width)) in enumerate(self.sizes.items()):
            uv = rng.uniform(-0.5, (width - 0.5, height - 0.5), (self.points, 2))
            uv = uv.astype(np.float32)
            seen = 0 if index in self.empty else self.points
            found = SimpleNamespace(
                row=np.arange(seen, dtype=np.uint32) + number * self.points,
                uv=uv[:seen],
                depth=10 + uv[:seen, 1],
                visible=rng.random(seen) < self.visible,
            )
            xyz.append(np.column_stack([uv, np.full(self.points, number)]).astype(np.float32))
            if (index, number) in self.missing:
                continue
            cameras[name] = FakeCamera(
                name=name,
                height=height,
                width=width,
                correspondences=found,
                encoded_size=self.encoded_size or (height, width),
                where=f"{self.path}, frame {index}, camera {name}",
            )
        cloud = FakeCloud(np.concatenate(xyz), self.point_columns, self.telling)
        return SimpleNamespace(index=index, points=cloud, cameras=cameras)


@dataclass
class FakeColumn:
    """A column of the points of all frames, of which rows of one frame can be read."""

    store: FakeStore
    name: str

    def read(self, start: int, stop: int) -> np.ndarray:
        starts = self.store.table("lidar/start")
        frame = int(np.searchsorted(starts, start, side="right")) - 1
        return self.store[frame].points[self.name][start - starts[frame] : stop - starts[frame]]


@dataclass
class FakeCloud:
    xyz: np.ndarray
    columns: tuple[str, ...]
    telling: bool

    def __getitem__(self, column: str) -> np.ndarray:
        if column == "intensity":
            if self.telling:
                return (COLOUR_PER_PX * self.xyz[:, 0]).clip(0, 255).astype(np.uint8)
            return np.arange(len(self.xyz), dtype=np.uint8)
        return self.xyz[:, "xyz".index(column)]


@dataclass
class FakeCamera:
    name: str
    height: int
    width: int
    correspondences: SimpleNamespace
    encoded_size: tuple[int, int]
    where: str

    def correspondence_column(self, name: str) -> np.ndarray:
        found = self.correspondences
        u, v = found.uv.T
        return {"point": found.row, "u": u, "v": v, "visible": found.visible}[name]

    def encoded(self) -> bytes:
        v, u = np.mgrid[: self.encoded_size[0], : self.encoded_size[1]]
        colours = np.stack([COLOUR_PER_PX * u, COLOUR_PER_PX * v, 0 * u], axis=-1)
        file = io.BytesIO()
        Image.fromarray(colours.astype(np.uint8)).save(file, "PNG")
        return file.getvalue()
