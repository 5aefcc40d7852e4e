"""The size of an image from its header, against Pillow, and what is no whole image."""

import io

import numpy as np
import pytest
from PIL import Image

from simipu.pipelines.sources.image_header import image_size


def encode(size, kind, **saving):
    pixels = np.random.default_rng(size).integers(0, 256, (size[1], size[0], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **saving)
    return file.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (17, 300), (300, 17), (1600, 9)])
@pytest.mark.parametrize(
    ("kind", "saving"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"exif": b"Exif\0\0" + bytes(5000), "icc_profile": bytes(9000)}),
        ("JPEG", {"comment": b"\xff\xd9 is no end here", "optimize": True}),
    ],
)
def test_the_size_is_the_decoders(size, kind, saving):
    data = encode(size, kind, **saving)
    assert image_size(data) == Image.open(io.BytesIO(data)).size == size


def test_fill_bytes_before_a_marker_are_skipped():
    data = encode((20, 10), "JPEG")
    assert image_size(data[:2] + b"\xff\xff" + data[2:]) == (20, 10)


def test_a_thumbnail_is_not_the_image_nor_its_end():
    thumbnail = encode((8, 6), "JPEG")
    data = encode((20, 10), "JPEG", exif=b"Exif\0\0" + thumbnail)
    assert image_size(data) == (20, 10)
    with pytest.raises(ValueError, match="truncated"):
        image_size(data[:-60])


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_what_follows_the_end_does_not_matter(kind):
    assert image_size(encode((20, 10), kind) + bytes(100)) == (20, 10)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_every_truncation_is_noticed(kind):
    data = encode((20, 10), kind)
    for length in range(len(data) - 1):
        with pytest.raises(ValueError, match=r"truncated|damaged|neither"):
            image_size(data[:length])


@pytest.mark.parametrize("data", [b"", b"BM" + bytes(90), b"<html>", b"RIFF0000WEBP"])
def test_other_formats_are_refused(data):
    with pytest.raises(ValueError, match="neither a PNG nor a JPEG"):
        image_size(data)


def test_an_image_without_pixels_is_refused():
    data = bytearray(encode((20, 10), "PNG"))
    data[16:20] = bytes(4)
    with pytest.raises(ValueError, match="0 x 10 pixels"):
        image_size(bytes(data))
