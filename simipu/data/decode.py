"""Encoded images to tensors."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from simipu.errors import StoreError

_DEEP_MODES = ("I", "F")  # more than 8 bits per channel: Pillow would clip instead of scaling


def decode_rgb(data: bytes, *, where: str) -> Tensor:
    """Decode a PNG or JPEG file; a grey image gets three equal channels.

    Args:
        data: the file's bytes.
        where: what to call the image in an error.

    Returns:
        (3, height, width) uint8, RGB, channels last in memory, which resizing is fastest with.

    Raises:
        StoreError: the bytes are not an 8-bit image that can be decoded.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode.startswith(_DEEP_MODES):
                raise ValueError(f"mode {image.mode} has more than 8 bits per channel")
            pixels = np.array(image if image.mode == "RGB" else image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:  # Pillow: SyntaxError for a broken PNG
        raise StoreError(
            f"the image cannot be decoded ({error})",
            where=where,
            fix="Check the store with: simipu-prep verify PATH",
        ) from error
    return torch.from_numpy(pixels).permute(2, 0, 1)
