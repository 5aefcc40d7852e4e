"""Encoded images to tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from simipu.store.images import decode_image


def decode_rgb(data: bytes, *, where: str) -> Tensor:
    """Decode a PNG or JPEG file as `decode_image` does.

    Returns:
        (3, height, width) uint8, RGB, channels last in memory, which resizing is fastest with.
    """
    return torch.from_numpy(decode_image(data, where=where)).permute(2, 0, 1)
