"""Pixel features as the released code samples them, with its two faults."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_STRIDE = 32
"""Each image is padded to a multiple of it, before the batch is padded to its largest image."""


def sample_as_released(features: Tensor, uv: Tensor, size: Tensor) -> Tensor:
    """Interpolate a feature map at pixel coordinates, in the wrong places.

    An image's coordinates are divided by the size of that image, although the map is of the padded
    batch, so that they are stretched by the quotient; and the centres of the corner cells are taken
    for the image's corners, a shift of up to half a cell. Outside of the map features are zero.

    Args:
        features: (B, C, h, w) of the padded batch.
        uv: (B, N, 2) pixel coordinates by the released mapping.
        size: (B, 2) height and width of each image before any padding.

    Returns:
        (B, N, C) float32.
    """
    padded = (size + _STRIDE - 1) // _STRIDE * _STRIDE
    grid = 2 * uv / padded.flip(-1)[:, None].to(uv.dtype) - 1
    sampled = F.grid_sample(
        features.float(),
        grid[:, :, None],
        mode="bilinear",
        padding_mode="zeros",
        align_corners=True,
    )
    return torch.transpose(sampled[..., 0], 1, 2)
