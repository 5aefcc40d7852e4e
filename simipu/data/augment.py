"""Augmentations whose effect on coordinates is known exactly.

An image augmentation is a window of the source image shown at a fixed size, perhaps mirrored: an
affine map of pixel coordinates. A point augmentation is a similarity transform: it can be undone.
Integer pixel coordinates are pixel centres, as everywhere in simipu.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor

Float32Array = npt.NDArray[np.float32]

MIN_CROP_AREA = 0.5
MAX_ASPECT_CHANGE = 1.15
MAX_YAW_RAD = math.pi / 2
SCALE_RANGE = (0.75, 1.25)
NOISE_STD_M = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageView:
    """A window of the source image, resized to a fixed size and perhaps mirrored.

    Attributes:
        left, top, width, height: the window, in whole source pixels.
        out_height, out_width: size of the result in pixels.
        mirrored: left and right are swapped, after resizing.
    """

    left: int
    top: int
    width: int
    height: int
    out_height: int
    out_width: int
    mirrored: bool = False

    def apply(self, image: Tensor) -> Tensor:
        """Show ``image``, (3, H, W) uint8, through this view: (3, out_height, out_width) uint8.

        It is fastest with channels last in memory, and leaves them so.
        """
        window = image[:, self.top : self.top + self.height, self.left : self.left + self.width]
        # PyTorch resizes channels last several times faster, but only without gaps between rows.
        window = window[None].contiguous(memory_format=torch.channels_last)
        size = (self.out_height, self.out_width)
        shown = F.interpolate(window, size=size, mode="bilinear", antialias=True)[0]
        return shown.flip(-1) if self.mirrored else shown

    def map_uv(self, uv: Float32Array, *, mapping: str = "exact") -> Float32Array:
        """Carry (..., 2) source pixel coordinates to those of the view; they may lie outside.

        The ``mapping`` "released" scales them as if the first pixel's centre were the image's
        border, as the released code does.
        """
        border = 0.5 if mapping == "exact" else 0.0  # from the first pixel's centre to it
        out = np.empty_like(uv)
        for axis, (corner, size, out_size) in enumerate(
            ((self.left, self.width, self.out_width), (self.top, self.height, self.out_height))
        ):
            scale = out_size / size
            offset = (border - corner) * scale - border
            if self.mirrored and axis == 0:
                scale, offset = -scale, out_size - 2 * border - offset
            # Column by column: NumPy is several times slower over a last dimension of two.
            np.multiply(uv[..., axis], np.float32(scale), out=out[..., axis])
            out[..., axis] += np.float32(offset)
        return out


def centre_view(source_size: tuple[int, int], out_size: tuple[int, int]) -> ImageView:
    """The largest centred window with the aspect of ``out_size``; sizes are (height, width)."""
    return _fit_view(source_size, out_size, offset=(0.5, 0.5))


def random_view(
    rng: np.random.Generator, source_size: tuple[int, int], out_size: tuple[int, int]
) -> ImageView:
    """A random resized crop, mirrored half of the time; sizes are (height, width).

    The window has nearly the aspect of the result and half to all of the area of the largest such
    window that fits the image, so that no image, however tall or wide, is distorted much.
    """
    log_change = math.log(MAX_ASPECT_CHANGE)
    return _fit_view(
        source_size,
        out_size,
        offset=(rng.random(), rng.random()),
        area=rng.uniform(MIN_CROP_AREA, 1.0),
        aspect_change=math.exp(rng.uniform(-log_change, log_change)),
        mirrored=bool(rng.random() < 0.5),
    )


def _fit_view(
    source_size: tuple[int, int],
    out_size: tuple[int, int],
    *,
    offset: tuple[float, float],
    area: float = 1.0,
    aspect_change: float = 1.0,
    mirrored: bool = False,
) -> ImageView:
    source_height, source_width = source_size
    out_height, out_width = out_size
    aspect = out_width / out_height * aspect_change
    largest_height = min(source_height, source_width / aspect)
    height = max(1, min(source_height, round(largest_height * math.sqrt(area))))
    width = max(1, min(source_width, round(largest_height * aspect * math.sqrt(area))))
    return ImageView(
        left=round(offset[1] * (source_width - width)),
        top=round(offset[0] * (source_height - height)),
        width=width,
        height=height,
        out_height=out_height,
        out_width=out_width,
        mirrored=mirrored,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SimilarityTransform:
    """Mirror y, then rotate about a vertical axis, then scale about the origin of the frame.

    Attributes:
        yaw_rad: counter-clockwise rotation seen from above.
        scale: positive factor.
        mirror_y: y becomes -y before the rotation.
        axis_m: (x, y) where the axis of the rotation stands.
    """

    yaw_rad: float
    scale: float
    mirror_y: bool
    axis_m: tuple[float, float] = (0.0, 0.0)

    @property
    def T_augmented_from_clean(self) -> npt.NDArray[np.float64]:
        """(4, 4) the whole transform."""
        # Written out: every sample needs it, and products of small matrices take far longer.
        scale, side = self.scale, -1.0 if self.mirror_y else 1.0
        cos, sin = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        x, y = self.axis_m
        return np.array(
            [
                [scale * cos, -scale * sin * side, 0.0, scale * (x - (cos * x - sin * y))],
                [scale * sin, scale * cos * side, 0.0, scale * (y - (sin * x + cos * y))],
                [0.0, 0.0, scale, 0.0],
                [0.0, 0.0, 0.0, 1.0],
            ]
        )

    def apply(self, xyz_m: Float32Array) -> Float32Array:
        """Transform (N, 3) points."""
        matrix = self.T_augmented_from_clean.astype(np.float32)
        moved: Float32Array = xyz_m @ matrix[:3, :3].T + matrix[:3, 3]
        return moved


def random_similarity(rng: np.random.Generator) -> SimilarityTransform:
    """Draw yaw, scale and mirroring."""
    return SimilarityTransform(
        yaw_rad=rng.uniform(-MAX_YAW_RAD, MAX_YAW_RAD),
        scale=rng.uniform(*SCALE_RANGE),
        mirror_y=bool(rng.random() < 0.5),
    )


def add_noise(rng: np.random.Generator, xyz_m: Float32Array) -> Float32Array:
    """Move every coordinate by Gaussian noise of one centimetre."""
    return xyz_m + np.float32(NOISE_STD_M) * rng.standard_normal(xyz_m.shape, dtype=np.float32)
