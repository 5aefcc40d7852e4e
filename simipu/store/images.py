"""Encoded images to pixels."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from simipu.errors import StoreError

if TYPE_CHECKING:
    import numpy.typing as npt

_DEEP_MODES = ("I", "F")  # more than 8 bits per channel: Pillow would clip instead of scaling


def decode_image(
    data: bytes, *, where: str, size: tuple[int, int] | None = None
) -> npt.NDArray[np.uint8]:
    """Decode a PNG or JPEG file; a grey image gets three equal channels.

    Args:
        data: the file's bytes.
        where: what to call the image in an error.
        size: (width, height) to resize it to; a JPEG is then decoded no larger than is needed.

    Returns:
        (height, width, 3) uint8, RGB, writable.

    Raises:
        StoreError: the bytes are not an 8-bit image that can be decoded.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode.startswith(_DEEP_MODES):
                raise ValueError(f"mode {image.mode} has more than 8 bits per channel")
            if size is not None:
                image.draft("RGB", size)
            pixels = image if image.mode == "RGB" else image.convert("RGB")
            if size is not None:
                pixels = pixels.resize(size, Image.Resampling.BILINEAR)
            return np.array(pixels)
    # Pillow: SyntaxError for a broken PNG, a bomb for a header that promises too much.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise StoreError(
            f"the image cannot be decoded ({error})",
            where=where,
            fix="Check the store with simipu-prep verify PATH. If it is as it was converted, so is "
            "the data set's own file: replace it, or leave its frame out.",
        ) from error
