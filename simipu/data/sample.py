"""What a sample is: an image, two views of the points, and their pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

import numpy as np
import torch

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

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
    Where pairs are left to the method, N is P, and it belongs to row k of ``clean`` alone.

    Attributes:
        image: (3, H, W) uint8, RGB; channels last in memory. In a batch, zeros beyond its own size.
        size: (2,) int64, H and W of the image itself.
        jitter: (3,) float32 colour factors for `simipu.data.photometric.prepare_images`.
        uv: (N, 2) float32 pixel coordinates in ``image``; zeros where not valid.
        valid: (N,) bool; False where the image has fewer than N pairs.
        clean: the points in the lidar frame.
        augmented: the points of the pairs, and mostly other ones, transformed by a random
            similarity.
        T_clean_from_augmented: (4, 4) float32, which undoes it.
        store: index among the data set's stores.
        frame: index of the frame in the store.
        camera: index in ``store.cameras``.
    """

    image: Tensor
    size: Tensor
    jitter: Tensor
    uv: Tensor
    valid: Tensor
    clean: Cloud
    augmented: Cloud
    T_clean_from_augmented: Tensor
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


def filled_cloud(
    xyz_m: npt.NDArray[np.float32], feature: npt.NDArray[np.float32], count: int
) -> Cloud:
    """A cloud of exactly ``count`` points; missing ones are copies of its own, and marked."""
    own = len(xyz_m)
    if own < count:
        xyz_m, feature = np.resize(xyz_m, (count, 3)), np.resize(feature, (count, 1))
    return Cloud(
        xyz=torch.from_numpy(xyz_m),
        feature=torch.from_numpy(feature),
        distinct=torch.arange(count) < own,
    )
