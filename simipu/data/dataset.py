"""Frames of a store as training samples: an image, two views of the points, and their pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from simipu.data.augment import (
    ImageView,
    add_noise,
    centre_view,
    random_similarity,
    random_view,
)
from simipu.data.decode import decode_rgb
from simipu.data.photometric import NO_JITTER, draw_jitter
from simipu.data.select import choose_pairs, choose_views
from simipu.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simipu.data.config import SampleConfig
    from simipu.data.selection import Images
    from simipu.store.reader import Store
    from simipu.store.views import CameraView, PointCloud

Float32Array = npt.NDArray[np.float32]


SampleKey: TypeAlias = tuple[int, int]
"""(visit, index): what every random choice of a sample is derived from, beside the seed.

The visit counts how often the image may have been seen before: the epoch, unless its weight is more
than one.
"""


class Cloud(NamedTuple):
    """One view of a point cloud; as a batch, every array has a leading dimension B.

    Attributes:
        xyz: (P, 3) float32, metres.
        feature: (P, 1) float32, intensity standardised over the camera's points; zeros without it.
        distinct: (P,) bool; False marks copies that fill up a cloud of fewer than P points.
    """

    xyz: Tensor
    feature: Tensor
    distinct: Tensor


class Sample(NamedTuple):
    """One image with its points; as a batch, every array has a leading dimension B.

    Row k of ``uv`` and ``valid`` belongs to row k of both clouds: the rows of the pairs come first.

    Attributes:
        image: (3, H, W) uint8, RGB; channels last in memory.
        jitter: (3,) float32 colour factors for `simipu.data.photometric.prepare_images`.
        uv: (N, 2) float32 pixel coordinates in ``image``; zeros where not valid.
        valid: (N,) bool; False where the image has fewer than N pairs.
        clean: the points in the lidar frame.
        augmented: other points (the pairs' apart), transformed by a random similarity.
        store: index among the data set's stores.
        frame: index of the frame in the store.
        camera: index in ``store.cameras``.
    """

    image: Tensor
    jitter: Tensor
    uv: Tensor
    valid: Tensor
    clean: Cloud
    augmented: Cloud
    store: Tensor
    frame: Tensor
    camera: Tensor

    def to(self, device: torch.device) -> Self:
        """Copy to ``device``; from pinned memory the copy overlaps with computation."""

        def moved(item: Any) -> Any:
            if isinstance(item, Cloud):
                return Cloud(*map(moved, item))
            return item.to(device, non_blocking=True)

        return type(self)(*map(moved, self))

    def record_stream(self, stream: torch.cuda.Stream) -> None:
        """Keep the memory of all tensors until ``stream`` has done what it is given so far."""
        for item in self:
            for tensor in item if isinstance(item, Cloud) else (item,):
                tensor.record_stream(stream)


class PairDataset(Dataset[Sample]):
    """Samples of images, those of one store after those of another.

    Points are those that project into the camera's image, hidden ones included: they are part of
    the scene's shape, but never one of a pair. A sample is a function of (seed, visit, index)
    alone, whatever process computes it.

    Args:
        parts: the images of each store.
        config: sizes of a sample.
        seed: of all random choices.
        augment: draw crops, mirroring, colour and point transforms; otherwise the image is shown
            whole (as far as its aspect allows) and only pairs and points are drawn.
    """

    def __init__(
        self, parts: Sequence[Images], config: SampleConfig, *, seed: int, augment: bool
    ) -> None:
        self.parts = tuple(parts)
        self.config = config
        self.seed = seed
        self.augment = augment
        self._ends = np.cumsum([len(part) for part in self.parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, key: SampleKey) -> Sample:
        """The sample of ``(visit, index)``."""
        visit, index = key
        rng = np.random.default_rng([self.seed, visit, index])
        place, frame_index, camera_index = self._locate(index)
        store = self.parts[place].store
        frame = store[frame_index]
        camera = frame.cameras[store.cameras[camera_index]]
        found = camera.correspondences
        row = found.row
        config = self.config
        size = (config.height, config.width)

        view = self._view(rng, camera)
        uv = view.map_uv(found.uv)
        visible = found.visible
        points = frame.points
        if config.min_range_m > 0 or config.max_range_m is not None:
            near = _in_range(points, row, config.min_range_m, config.max_range_m)
            row, uv, visible = row[near], uv[near], visible[near]
        pairs = choose_pairs(
            rng, uv, visible, size=size, cell_px=config.cell_px, count=config.pairs
        )
        clean, augmented = choose_views(rng, len(uv), pairs, count=config.points)

        feature = _standardised_intensity(points, row)
        kept, moved = _coordinates(points, row[clean], row[augmented])
        if self.augment:
            moved = add_noise(rng, random_similarity(rng).apply(moved))
        uv_of_pairs = np.zeros((config.pairs, 2), dtype=np.float32)
        uv_of_pairs[: len(pairs)] = uv[pairs]
        jitter = draw_jitter(rng) if self.augment else NO_JITTER
        return Sample(
            image=view.apply(self._decode(store, camera, frame_index)),
            jitter=torch.from_numpy(jitter.copy()),
            uv=torch.from_numpy(uv_of_pairs),
            valid=torch.arange(config.pairs) < len(pairs),
            clean=_cloud(kept, feature[clean], config.points),
            augmented=_cloud(moved, feature[augmented], config.points),
            store=torch.tensor(place),
            frame=torch.tensor(frame_index),
            camera=torch.tensor(camera_index),
        )

    def other_image(self, index: int) -> Tensor | None:
        """Another frame's image of the same camera, from half of the store's length away.

        What can still be matched with it needs no image: the control of every retrieval number.

        Returns:
            (3, H, W) uint8, not augmented, or None if no other frame has this camera.
        """
        place, frame_index, camera_index = self._locate(index)
        store = self.parts[place].store
        count = len(store)
        has_camera = store.table("camera/valid")[:, camera_index]
        for step in range(count):
            other = (frame_index + count // 2 + step) % count
            if other != frame_index and has_camera[other]:
                camera = store[other].cameras[store.cameras[camera_index]]
                return self._view(None, camera).apply(self._decode(store, camera, other))
        return None

    def _locate(self, index: int) -> tuple[int, int, int]:
        """Store, frame and camera of an image."""
        place = int(np.searchsorted(self._ends, index, side="right"))
        part = self.parts[place]
        frame, camera = part.items[index - self._ends[place] + len(part)].tolist()
        return place, frame, camera

    def _view(self, rng: np.random.Generator | None, camera: CameraView) -> ImageView:
        source, target = (camera.height, camera.width), (self.config.height, self.config.width)
        if rng is not None and self.augment:
            return random_view(rng, source, target)
        return centre_view(source, target)

    def _decode(self, store: Store, camera: CameraView, frame_index: int) -> Tensor:
        where = f"{store.path}, frame {frame_index}, camera {camera.name}"
        image = decode_rgb(camera.encoded(), where=where)
        if image.shape[1:] != (camera.height, camera.width):
            raise StoreError(
                f"the image has {image.shape[2]} x {image.shape[1]} px, the store says "
                f"{camera.width} x {camera.height}",
                where=where,
                fix=f"Check the store with: simipu-prep verify {store.path}",
            )
        return image


def _in_range(
    points: PointCloud, rows: npt.NDArray[np.uint32], least_m: float, most_m: float | None
) -> npt.NDArray[np.bool_]:
    """Which of ``rows`` are so far from the lidar."""
    squared = np.zeros(len(rows), dtype=np.float32)
    for name in "xyz":
        squared += points[name][rows].astype(np.float32, copy=False) ** 2
    near = squared >= np.float32(least_m) ** 2
    if most_m is not None:
        near &= squared <= np.float32(most_m) ** 2
    return near


def _coordinates(points: PointCloud, *rows: npt.NDArray[np.uint32]) -> list[Float32Array]:
    """(n, 3) coordinates of each selection of rows, without an (N, 3) copy of the whole cloud."""
    chosen = [np.empty((len(part), 3), dtype=np.float32) for part in rows]
    for axis, name in enumerate("xyz"):
        column = points[name]
        for out, part in zip(chosen, rows, strict=True):
            out[:, axis] = column[part]
    return chosen


def _standardised_intensity(points: PointCloud, rows: npt.NDArray[np.uint32]) -> Float32Array:
    """Intensity with mean 0 and deviation 1 over ``rows``: every sensor has its own unit."""
    if "intensity" not in points.columns:
        return np.zeros((len(rows), 1), dtype=np.float32)
    values = points["intensity"][rows].astype(np.float32)[:, None]
    if len(values):
        values -= values.mean()
        values /= max(values.std(), np.float32(1e-6))
    return values


def _cloud(xyz_m: Float32Array, feature: Float32Array, count: int) -> Cloud:
    """A cloud of exactly ``count`` points; missing ones are copies of its own, and marked."""
    own = len(xyz_m)
    if own < count:
        xyz_m, feature = np.resize(xyz_m, (count, 3)), np.resize(feature, (count, 1))
    return Cloud(
        xyz=torch.from_numpy(xyz_m),
        feature=torch.from_numpy(feature),
        distinct=torch.arange(count) < own,
    )
