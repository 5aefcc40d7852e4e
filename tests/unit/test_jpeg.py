"""The size of a JPEG, and whether it is whole, without decoding it."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simipu.errors import SourceError
from simipu.pipelines.sources.jpeg import jpeg_size

PATH = Path("a.jpg")


def encode(size=(37, 21), mode="RGB", **options) -> bytes:
    pixels = np.random.default_rng(3).integers(0, 255, (size[1], size[0], 3), np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(encoded, format="JPEG", **options)
    return encoded.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"optimize": True}, {"comment": b"\xff\xd9 \xff\xc0"}]
)
def test_size_is_the_decoders(mode, options):
    assert jpeg_size(encode(mode=mode, **options), PATH) == (37, 21)


def test_a_preview_inside_does_not_count():
    data = encode(exif=b"Exif\0\0" + encode((5, 6)))
    assert b"\xff\xd9" in data[: len(data) // 2]
    assert jpeg_size(data, PATH) == (37, 21)
    with pytest.raises(SourceError, match="no end marker"):
        jpeg_size(data[:-2], PATH)


def test_padding_before_a_marker_and_after_the_end():
    data = encode()
    assert jpeg_size(data[:2] + b"\xff\xff" + data[2:] + b"\0\0", PATH) == (37, 21)


def test_every_cut_is_found():
    data = encode()
    for length in range(2, len(data)):
        with pytest.raises(SourceError, match="JPEG is damaged"):
            jpeg_size(data[:length], PATH)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "is no JPEG, though named .jpg"),
        (b"GIF89a", "is no JPEG, though named .jpg"),
        (b"\x89PNG\r\n\x1a\n", "is a PNG, though named .jpg"),
        (b"\xff\xd8\xff\xe0\x00\x04abXY12", "no marker at byte 8"),
        (b"\xff\xd8\xff\xda\x00\x02ab\xff\xd9", "does not say how large"),
        (encode().replace(b"\x00\x15\x00\x25", b"\x00\x00\x00\x25", 1), "does not say how large"),
    ],
)
def test_damage_is_named(data, fault):
    with pytest.raises(SourceError, match=fault) as caught:
        jpeg_size(data, PATH)
    assert caught.value.where == "a.jpg"
    assert caught.value.fix is not None
