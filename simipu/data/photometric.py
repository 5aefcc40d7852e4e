"""Colour jitter and normalisation, on whole batches and on the training device.

They cost a worker more than the rest of its work and a GPU nothing; the factors are drawn by the
dataset like every other random choice, so that they depend on the sample alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

MAX_JITTER = 0.3
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601

NO_JITTER = np.ones(3, dtype=np.float32)


def draw_jitter(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Factors for brightness, contrast and saturation: (3,), each within 1 +- `MAX_JITTER`."""
    return rng.uniform(1 - MAX_JITTER, 1 + MAX_JITTER, size=3).astype(np.float32)


def prepare_images(images: Tensor, jitter: Tensor, size: Tensor | None = None) -> Tensor:
    """Jitter the colours, then normalise by the ImageNet statistics that backbones expect.

    Args:
        images: (B, 3, H, W) uint8, RGB.
        jitter: (B, 3) factors from `draw_jitter`; ones change nothing.
        size: (B, 2) height and width of each image; None where none is padded.

    Returns:
        (B, 3, H, W) float32, zero in the padding.
    """
    brightness, contrast, saturation = jitter[:, :, None, None, None].unbind(1)
    rgb = images.float().div_(255)
    luma = torch.tensor(_LUMA, device=rgb.device)
    grey = torch.einsum("bchw,c->bhw", rgb, luma).unsqueeze(1)
    mean_grey = grey.mean(dim=(2, 3), keepdim=True)
    # Saturation blends with the pixel's grey, contrast with the image's mean grey.
    rgb = grey + saturation * (rgb - grey)
    rgb = brightness * (mean_grey + contrast * (rgb - mean_grey))
    mean = torch.tensor(IMAGENET_MEAN, device=rgb.device)[:, None, None]
    std = torch.tensor(IMAGENET_STD, device=rgb.device)[:, None, None]
    prepared = (rgb.clamp_(0, 1) - mean) / std
    if size is not None:
        height, width = size[:, :, None, None].unbind(1)
        rows = torch.arange(images.shape[2], device=rgb.device)[:, None] < height
        columns = torch.arange(images.shape[3], device=rgb.device) < width
        prepared *= (rows & columns)[:, None]
    return prepared
