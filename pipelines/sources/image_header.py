"""The size of an encoded image from its header alone, whoever wrote it.

Formats: W3C, Portable Network Graphics (Third Edition), section 5; ITU-T T.81 (1992), annex B.
"""

from __future__ import annotations

import struct

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_JPEG = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_START_OF_SCAN = 0xDA
# SOF0 to SOF15, without DHT (C4), JPG (C8) and DAC (CC), which lie among them.
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def image_size(data: bytes) -> tuple[int, int]:
    """Return the size that a PNG or JPEG says it has.

    The ends are looked for from the back, so that the time does not grow with the image: that a
    chunk in the middle is whole is left to the reader of a data set.

    Args:
        data: the encoded image.

    Returns:
        (width, height) in pixels.

    Raises:
        ValueError: it is neither, its header is damaged, or it has no end; the message continues
            the name of the image.
    """
    if data.startswith(_PNG):
        size = _png_size(data)
        ended = data.rfind(_PNG_END) > 0
    elif data.startswith(_JPEG):
        size, pixels = _jpeg_size(data)
        ended = data.rfind(_JPEG_END) >= pixels
    else:
        raise ValueError(f"is neither a PNG nor a JPEG: it begins with {data[:4]!r}")
    if not ended:
        raise ValueError(f"is truncated: its {len(data):,} bytes have no end marker")
    if 0 in size:
        raise ValueError(f"says that it has {size[0]} x {size[1]} pixels")
    return size


def _png_size(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR" or len(data) < 24:
        raise ValueError("is a damaged PNG: it does not begin with its header (IHDR)")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg_size(data: bytes) -> tuple[tuple[int, int], int]:
    """Return the size, and where the pixels begin."""
    size = (0, 0)
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        code = data[position + 1]
        if code == 0xFF:  # a marker may be preceded by any number of these
            position += 1
            continue
        if code in _FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", data, position + 5)
            size = (width, height)
        position += 2 + int.from_bytes(data[position + 2 : position + 4])
        if code == _START_OF_SCAN:
            return size, position
    raise ValueError("is a damaged JPEG: its segments end before the pixels")
