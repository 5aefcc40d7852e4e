"""Checking that a JPEG is whole, without decoding it.

Format: ITU-T T.81 (1992), annex B.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simipu.errors import SourceError

from .files import UNPACK_AGAIN

if TYPE_CHECKING:
    from pathlib import Path

SIGNATURE = b"\xff\xd8"
_END = b"\xff\xd9"
_START_OF_SCAN = 0xDA
# SOF0 to SOF15, without DHT (C4), JPG (C8) and DAC (CC), which lie among them.
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_FRAME_HEADER_BYTES = 8  # length, precision, height, width, components


def jpeg_size(data: bytes, path: Path) -> tuple[int, int]:
    """Check that a JPEG is whole, and return its image's size.

    Args:
        data: the whole file.
        path: where it came from, for the error.

    Returns:
        (width, height) in pixels.

    Raises:
        SourceError: the file is no JPEG, ends early, or a segment is damaged.
    """
    if not data.startswith(SIGNATURE):
        kind = "a PNG" if data.startswith(b"\x89PNG") else "no JPEG"
        raise SourceError(
            f"is {kind}, though named {path.suffix}",
            where=path,
            fix=f"This data set's images are JPEG. {UNPACK_AGAIN}",
        )
    try:
        return parse_jpeg(data)
    except ValueError as error:
        raise SourceError(f"the JPEG is damaged: {error}", where=path, fix=UNPACK_AGAIN) from None


def parse_jpeg(data: bytes) -> tuple[int, int]:
    """Walk the segments of a JPEG up to its pixels, find its end marker, return the image's size.

    Args:
        data: what begins with `SIGNATURE`.

    Returns:
        (width, height) in pixels.

    Raises:
        ValueError: it ends early, or a segment is damaged; the message says how.
    """
    size: tuple[int, int] | None = None
    position = len(SIGNATURE)
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise ValueError(f"there is no marker at byte {position}")
        code = data[position + 1]
        if code == 0xFF:  # a marker may be preceded by any number of these
            position += 1
            continue
        length = int.from_bytes(data[position + 2 : position + 4])
        if code in _FRAME_HEADERS and length >= _FRAME_HEADER_BYTES:
            header = data[position + 5 : position + 9]
            size = (int.from_bytes(header[2:]), int.from_bytes(header[:2]))
        position += 2 + length
        if code == _START_OF_SCAN:
            break
    if position >= len(data):
        raise ValueError(f"it is truncated: its {len(data)} bytes end before the pixels")
    if size is None or 0 in size:
        raise ValueError("it does not say how large the image is before the pixels begin")
    # Among the pixels every byte FF is followed by 00 or by a marker, so this is not one of them.
    # It is looked for from the back: the time then does not grow with the image.
    if data.rfind(_END, position) < 0:
        raise ValueError(f"it is truncated: its {len(data)} bytes have no end marker (EOI)")
    return size
