"""Checking that a PNG is whole, without decoding it.

Format: W3C, Portable Network Graphics Specification (Third Edition), section 5.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from simipu.errors import SourceError

from .files import UNPACK_AGAIN

if TYPE_CHECKING:
    from pathlib import Path

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNK_OVERHEAD = 12  # length, type and CRC, four bytes each


def png_size(data: bytes, path: Path) -> tuple[int, int]:
    """Walk the chunks of a PNG, check each CRC, and return the image's size.

    Args:
        data: the whole file.
        path: where it came from, for the error.

    Returns:
        (width, height) in pixels.

    Raises:
        SourceError: the file is no PNG, ends early, or a chunk is damaged or missing.
    """
    if not data.startswith(SIGNATURE):
        kind = "a JPEG" if data.startswith(b"\xff\xd8\xff") else "no PNG"
        raise SourceError(
            f"is {kind}, though named .png",
            where=path,
            fix=f"This data set's images are PNG. {UNPACK_AGAIN}",
        )
    view = memoryview(data)
    size: tuple[int, int] | None = None
    has_pixels = False
    position = len(SIGNATURE)
    while position + _CHUNK_OVERHEAD <= len(data):
        length, kind_code = struct.unpack_from(">I4s", data, position)
        end = position + _CHUNK_OVERHEAD + length
        if end > len(data):
            break
        (expected,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(view[position + 4 : end - 4]) != expected:
            raise _damaged(f"its chunk at byte {position} has a wrong CRC", path)
        if size is None:
            if kind_code != b"IHDR" or length != 13:
                raise _damaged("it does not begin with a header (IHDR)", path)
            width, height = struct.unpack_from(">II", data, position + 8)
            if width == 0 or height == 0:
                raise _damaged(f"its header says {width} x {height} pixels", path)
            size = (width, height)
        elif kind_code == b"IDAT":
            has_pixels = True
        elif kind_code == b"IEND":
            if not has_pixels:
                raise _damaged("it has no pixels (no IDAT)", path)
            return size
        position = end
    raise _damaged(f"it is truncated: its {len(data)} bytes end before the last chunk (IEND)", path)


def _damaged(what: str, path: Path) -> SourceError:
    return SourceError(f"the PNG is damaged: {what}", where=path, fix=UNPACK_AGAIN)
