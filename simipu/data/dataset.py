"""Frames of a store as training samples: an image, two views of the points, and their pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from simipu.data.augment import (
    ImageView,
    SimilarityTransform,
    add_noise,
    centre_view,
    random_similarity,
    random_view,
)
from simipu.data.config import SampleRules
from simipu.data.decode import decode_rgb
from simipu.data.photometric import NO_JITTER, draw_jitter
from simipu.data.points import CameraPoints, standardised_intensity
from simipu.data.released import in_box, random_resize, random_similarity_ahead
from simipu.data.sample import Sample, SampleKey, filled_cloud
from simipu.data.select import choose_pairs, choose_views, is_inside
from simipu.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from simipu.data.config import SampleConfig
    from simipu.data.selection import Images
    from simipu.store.reader import Store
    from simipu.store.views import CameraView


class PairDataset(Dataset[Sample]):
    """Samples of images, those of one store after those of another.

    Points are those that project into the camera's image, hidden ones included: they are part of
    the scene's shape, but in a pair only where the rules allow it. A sample is a function of
    (seed, visit, index) alone, whatever process computes it.

    Args:
        parts: the images of each store.
        config: sizes of a sample.
        seed: of all random choices.
        augment: draw crops, mirroring, colour and point transforms; otherwise the image is shown
            whole (as far as its aspect allows) and only pairs and points are drawn.
        rules: how a sample is drawn; to measure on samples, leave them as they are.
    """

    def __init__(
        self,
        parts: Sequence[Images],
        config: SampleConfig,
        *,
        seed: int,
        augment: bool,
        rules: SampleRules = SampleRules(),  # noqa: B008  # it is frozen
    ) -> None:
        self.parts = tuple(parts)
        self.config = config
        self.rules = rules
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
        camera = store[frame_index].cameras[store.cameras[camera_index]]
        row, u, v, visible = map(camera.correspondence_column, ("point", "u", "v", "visible"))
        points, taken = CameraPoints(store, frame_index, row), np.arange(len(row))
        # Columns that lie together: NumPy is several times slower over a last dimension of two.
        source_uv = np.stack([u, v]).T
        config, rules = self.config, self.rules

        view = self._view(rng, camera)
        uv = view.map_uv(source_uv)
        kept = self._kept(points)
        if kept is not None:
            taken, uv, visible = taken[kept], uv[kept], visible[kept]
        size = (view.out_height, view.out_width)
        usable = visible if rules.visible_only else np.ones_like(visible)
        by_row = rules.pairs == "rows"
        if by_row:
            pairs = choose_pairs(
                rng, uv, usable, size=size, cell_px=config.cell_px, count=config.pairs
            )
        else:
            pairs = np.empty(0, dtype=np.intp)
            if rules.visible_only or rules.augmentation != "released":
                usable = usable & is_inside(uv, size)
        clean, augmented = choose_views(rng, len(uv), pairs, count=config.points, views=rules.views)

        feature = np.zeros((len(taken), 1), dtype=np.float32)
        if config.intensity:
            feature = standardised_intensity(points, taken)
        xyz, moved = points.coordinates(taken[clean], taken[augmented])
        transform, jitter = self._transform(rng, view), NO_JITTER
        if transform is not None:
            moved = transform.apply(moved)
            if rules.augmentation != "released":
                moved, jitter = add_noise(rng, moved), draw_jitter(rng)
        if rules.pixel_mapping == "released":
            uv = view.map_uv(source_uv if kept is None else source_uv[kept], mapping="released")
        listed, count = (pairs, config.pairs) if by_row else (clean, config.points)
        return Sample(
            image=view.apply(self._decode(store, camera)),
            size=torch.tensor(size),
            jitter=torch.from_numpy(jitter.copy()),
            uv=torch.from_numpy(_padded(uv[listed], count)),
            valid=torch.from_numpy(_padded(usable[listed], count)),
            clean=filled_cloud(xyz, feature[clean], config.points),
            augmented=filled_cloud(moved, feature[augmented], config.points),
            T_clean_from_augmented=_inverse(transform),
            store=torch.tensor(place),
            frame=torch.tensor(frame_index),
            camera=torch.tensor(camera_index),
        )

    def _locate(self, index: int) -> tuple[int, int, int]:
        """Store, frame and camera of an image."""
        place = int(np.searchsorted(self._ends, index, side="right"))
        part = self.parts[place]
        frame, camera = part.items[index - self._ends[place] + len(part)].tolist()
        return place, frame, camera

    def _view(self, rng: np.random.Generator, camera: CameraView) -> ImageView:
        source, target = (camera.height, camera.width), (self.config.height, self.config.width)
        if not self.augment or self.rules.augmentation == "whole":
            return centre_view(source, target)
        draw = random_resize if self.rules.augmentation == "released" else random_view
        return draw(rng, source, target)

    def _transform(self, rng: np.random.Generator, view: ImageView) -> SimilarityTransform | None:
        if not self.augment:
            return None
        if self.rules.augmentation == "released":
            return random_similarity_ahead(rng, mirror_y=view.mirrored)
        return random_similarity(rng)

    def _kept(self, points: CameraPoints) -> npt.NDArray[np.bool_] | None:
        """Which points take part; None for all."""
        least_m, most_m = self.config.min_range_m, self.config.max_range_m
        boxed = self.augment and self.rules.augmentation == "released"
        if not boxed and least_m <= 0 and most_m is None:
            return None
        columns = [points[name].astype(np.float32, copy=False) for name in "xyz"]
        squared = sum(column**2 for column in columns)
        kept = np.asarray(squared >= np.float32(least_m) ** 2)
        if most_m is not None:
            kept &= squared <= np.float32(most_m) ** 2
        return kept & in_box(columns) if boxed else kept

    def _decode(self, store: Store, camera: CameraView) -> Tensor:
        image = decode_rgb(camera.encoded(), where=camera.where)
        if image.shape[1:] != (camera.height, camera.width):
            raise StoreError(
                f"the image has {image.shape[2]} x {image.shape[1]} px, the store says "
                f"{camera.width} x {camera.height}",
                where=camera.where,
                fix=f"Check the store with: simipu-prep verify {store.path}",
            )
        return image


def _padded(values: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """``count`` rows, those missing zero."""
    out = np.zeros((count, *values.shape[1:]), dtype=values.dtype)
    out[: len(values)] = values
    return out


def _inverse(transform: SimilarityTransform | None) -> Tensor:
    matrix = np.eye(4) if transform is None else np.linalg.inv(transform.T_augmented_from_clean)
    return torch.from_numpy(matrix.astype(np.float32))
