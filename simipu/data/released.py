"""The augmentation of the released code, as far as it differs.

Its ranges are in docs/method.md. Resizing and padding to the largest image of a batch belong
together: what the padding does to the pixels' coordinates is `simipu.methods.pixels`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from simipu.data.augment import (
    MAX_YAW_RAD,
    SCALE_RANGE,
    ImageView,
    SimilarityTransform,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

BOX_M = ((0.0, 70.4), (-40.0, 40.0), (-3.0, 1.0))
"""Bounds of x, y and z in KITTI's lidar frame."""

AXIS_M = (35.2, 0.0)
RESIZE_RANGE = (0.5, 1.875)
"""Of 384 x 1280 px, about KITTI's size, that is 192 to 720 and 640 to 2400."""


def in_box(columns: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.bool_]:
    """Which points, given by their x, y and z, lie within `BOX_M`."""
    inside = np.ones(len(columns[0]), dtype=np.bool_)
    for column, (low, high) in zip(columns, BOX_M, strict=True):
        inside &= (column > low) & (column < high)
    return inside


def random_resize(
    rng: np.random.Generator, source_size: tuple[int, int], nominal_size: tuple[int, int]
) -> ImageView:
    """The whole image at a random size, mirrored half of the time; sizes are (height, width).

    Long and short edge of a frame are drawn apart, each within `RESIZE_RANGE` of the nominal one;
    the image is as large as fits in that frame either way round.
    """
    edges = [
        int(rng.integers(round(low * edge), round(high * edge), endpoint=True))
        for edge in (max(nominal_size), min(nominal_size))
        for low, high in [RESIZE_RANGE]
    ]
    height, width = source_size
    scale = min(max(edges) / max(source_size), min(edges) / min(source_size))
    return ImageView(
        left=0,
        top=0,
        width=width,
        height=height,
        out_height=int(height * scale + 0.5),
        out_width=int(width * scale + 0.5),
        mirrored=bool(rng.random() < 0.5),
    )


def random_similarity_ahead(rng: np.random.Generator, *, mirror_y: bool) -> SimilarityTransform:
    """Draw yaw and scale; the released code mirrors last, which is the same law."""
    return SimilarityTransform(
        yaw_rad=rng.uniform(-MAX_YAW_RAD, MAX_YAW_RAD),
        scale=rng.uniform(*SCALE_RANGE),
        mirror_y=mirror_y,
        axis_m=AXIS_M,
    )
