"""The size of an encoded image from its header alone, whoever wrote it.

Format of PNG: W3C, Portable Network Graphics (Third Edition), section 5.
"""

from __future__ import annotations

import struct

from . import jpeg, png

_PNG_END = b"IEND\xaeB`\x82"


def image_size(data: bytes) -> tuple[int, int]:
    """Return the size that a PNG or JPEG says it has.

    Only its header and its end are looked at: that a chunk in the middle is whole is left to the
    reader of a data set.

    Args:
        data: the encoded image.

    Returns:
        (width, height) in pixels.

    Raises:
        ValueError: it is neither, its header is damaged, or it has no end; the message continues
            the name of the image.
    """
    if data.startswith(png.SIGNATURE):
        return _png_size(data)
    if data.startswith(jpeg.SIGNATURE):
        try:
            return jpeg.parse_jpeg(data)
        except ValueError as error:
            raise ValueError(f"is a damaged JPEG: {error}") from None
    raise ValueError(f"is neither a PNG nor a JPEG: it begins with {data[:4]!r}")


def _png_size(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR" or len(data) < 24:
        raise ValueError("is a damaged PNG: it does not begin with its header (IHDR)")
    if data.rfind(_PNG_END) < 0:
        raise ValueError(f"is a damaged PNG: it is truncated, its {len(data)} bytes have no end")
    width, height = struct.unpack_from(">II", data, 16)
    if not (width and height):
        raise ValueError(f"is a damaged PNG: it says that it has {width} x {height} pixels")
    return width, height
