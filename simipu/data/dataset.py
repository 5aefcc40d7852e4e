"""Frames of a store as training samples: an image, two views of the points, and their pairs."""

from __future__ import annotations

from dataclasses import dataclass
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
from simipu.errors import StoreError, UsageError

if TYPE_CHECKING:
    from simipu.store.reader import Store
    from simipu.store.views import CameraView, PointCloud

Float32Array = npt.NDArray[np.float32]
IMAGE_STRIDE = 32  # of the coarsest feature map of the usual backbones


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleConfig:
    """Sizes of a sample.

    Attributes:
        height, width: of the image that the network sees, in pixels; multiples of 32.
        pairs: pixel-point pairs per image.
        cell_px: of each square of this many pixels at most one pair is taken.
        points: points in each view of the cloud, those of the pairs among them.
    """

    height: int = 96
    width: int = 320
    pairs: int = 128
    cell_px: int = 6
    points: int = 2048

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            value = getattr(self, name)
            if value <= 0 or value % IMAGE_STRIDE:
                below = max(1, value // IMAGE_STRIDE) * IMAGE_STRIDE
                raise UsageError(
                    f"the image {name} is {value} px, not a multiple of {IMAGE_STRIDE}",
                    fix=f"Take {below} or {below + IMAGE_STRIDE}.",
                )
        if self.pairs < 2:
            raise UsageError(
                f"{self.pairs} pairs per image leave nothing to tell apart", fix="Take 2 or more."
            )
        if self.cell_px < 1:
            raise UsageError(f"a cell of {self.cell_px} px is none", fix="Take 1 or more.")
        if self.points < self.pairs:
            raise UsageError(
                f"{self.points} points cannot hold the points of {self.pairs} pairs",
                fix="Take more points or fewer pairs.",
            )


SampleKey: TypeAlias = tuple[int, int]
"""(epoch, index): what every random choice of a sample is derived from, beside the seed."""


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
        image: (3, H, W) uint8, RGB.
        jitter: (3,) float32 colour factors for `simipu.data.photometric.prepare_images`.
        uv: (N, 2) float32 pixel coordinates in ``image``; zeros where not valid.
        valid: (N,) bool; False where the image has fewer than N pairs.
        clean: the points in the lidar frame.
        augmented: other points (the pairs' apart), transformed by a random similarity.
        frame: index of the frame in the store.
        camera: index in ``store.cameras``.
    """

    image: Tensor
    jitter: Tensor
    uv: Tensor
    valid: Tensor
    clean: Cloud
    augmented: Cloud
    frame: Tensor
    camera: Tensor

    def to(self, device: torch.device) -> Self:
        """Copy to ``device``; from pinned memory the copy overlaps with computation."""

        def moved(item: Any) -> Any:
            if isinstance(item, Cloud):
                return Cloud(*map(moved, item))
            return item.to(device, non_blocking=True)

        return type(self)(*map(moved, self))


class PairDataset(Dataset[Sample]):
    """Samples of the images of ``frames``, one for each camera.

    Points are those that project into the camera's image, hidden ones included: they are part of
    the scene's shape, but never one of a pair. A sample is a function of (seed, epoch, index)
    alone, whatever process computes it.

    Args:
        store: an open store with correspondences.
        frames: indices of the frames to use.
        config: sizes of a sample.
        seed: of all random choices.
        augment: draw crops, mirroring, colour and point transforms; otherwise the image is shown
            whole (as far as its aspect allows) and only pairs and points are drawn.

    Raises:
        StoreError: the store has no correspondences, or no image in ``frames``.
    """

    def __init__(
        self, store: Store, frames: range, config: SampleConfig, *, seed: int, augment: bool
    ) -> None:
        if store.correspondence_policy is None:
            raise StoreError(
                "the store has no correspondences to train on",
                where=store.path,
                fix=f"Compute them with: simipu-prep correspond {store.path}",
            )
        self.store = store
        self.config = config
        self.seed = seed
        self.augment = augment
        camera_index = {name: index for index, name in enumerate(store.cameras)}
        # Two columns, frame and camera; an array because it is sent to every worker.
        self.items = np.array(
            [(index, camera_index[name]) for index in frames for name in store[index].cameras],
            dtype=np.int32,
        ).reshape(-1, 2)
        if not len(self.items):
            raise StoreError(
                f"no images in frames {frames.start}:{frames.stop}",
                where=store.path,
                fix=f"The store has {len(store)} frames; choose among them.",
            )

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: SampleKey) -> Sample:
        """The sample of ``(epoch, index)``."""
        epoch, index = key
        rng = np.random.default_rng([self.seed, epoch, index])
        frame_index, camera_index = (int(value) for value in self.items[index])
        frame = self.store[frame_index]
        camera = frame.cameras[self.store.cameras[camera_index]]
        found = camera.correspondences
        config = self.config
        size = (config.height, config.width)

        view = self._view(rng, camera)
        uv = view.map_uv(found.uv)
        pairs = choose_pairs(
            rng, uv, found.visible, size=size, cell_px=config.cell_px, count=config.pairs
        )
        clean, augmented = choose_views(rng, len(uv), pairs, count=config.points)

        feature = _standardised_intensity(frame.points, found.row)
        kept, moved = _coordinates(frame.points, found.row[clean], found.row[augmented])
        if self.augment:
            moved = add_noise(rng, random_similarity(rng).apply(moved))
        uv_of_pairs = np.zeros((config.pairs, 2), dtype=np.float32)
        uv_of_pairs[: len(pairs)] = uv[pairs]
        jitter = draw_jitter(rng) if self.augment else NO_JITTER
        return Sample(
            image=view.apply(self._decode(camera, frame_index)),
            jitter=torch.from_numpy(jitter.copy()),
            uv=torch.from_numpy(uv_of_pairs),
            valid=torch.arange(config.pairs) < len(pairs),
            clean=_cloud(kept, feature[clean], config.points),
            augmented=_cloud(moved, feature[augmented], config.points),
            frame=torch.tensor(frame_index),
            camera=torch.tensor(camera_index),
        )

    def other_image(self, index: int) -> Tensor | None:
        """Another frame's image of the same camera, from half of the store's length away.

        What can still be matched with it needs no image: the control of every retrieval number.

        Returns:
            (3, H, W) uint8, not augmented, or None if no other frame has this camera.
        """
        frame_index, camera_index = (int(value) for value in self.items[index])
        name = self.store.cameras[camera_index]
        count = len(self.store)
        opposite = frame_index + count // 2
        for step in range(count):
            other = (opposite + step) % count
            cameras = self.store[other].cameras
            if other != frame_index and name in cameras:
                view = self._view(None, cameras[name])
                return view.apply(self._decode(cameras[name], other))
        return None

    def _view(self, rng: np.random.Generator | None, camera: CameraView) -> ImageView:
        source, target = (camera.height, camera.width), (self.config.height, self.config.width)
        if rng is not None and self.augment:
            return random_view(rng, source, target)
        return centre_view(source, target)

    def _decode(self, camera: CameraView, frame_index: int) -> Tensor:
        where = f"{self.store.path}, frame {frame_index}, camera {camera.name}"
        image = decode_rgb(camera.encoded(), where=where)
        if image.shape[1:] != (camera.height, camera.width):
            raise StoreError(
                f"the image has {image.shape[2]} x {image.shape[1]} px, the store says "
                f"{camera.width} x {camera.height}",
                where=where,
                fix=f"Check the store with: simipu-prep verify {self.store.path}",
            )
        return image


def _coordinates(points: PointCloud, *rows: npt.NDArray[np.uint32]) -> list[Float32Array]:
    """(n, 3) coordinates of each selection of rows, without an (N, 3) copy of the whole cloud."""
    columns = [points[name] for name in "xyz"]
    return [
        np.stack([column[chosen] for column in columns], axis=1).astype(np.float32, copy=False)
        for chosen in rows
    ]


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
    return Cloud(
        xyz=torch.from_numpy(np.resize(xyz_m, (count, 3))),
        feature=torch.from_numpy(np.resize(feature, (count, 1))),
        distinct=torch.arange(count) < len(xyz_m),
    )
