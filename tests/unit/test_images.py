"""Images of a store, decoded for people and for networks."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from simipu.errors import StoreError
from simipu.store.images import decode_image


def encoded(pixels, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def png_header(width, height):
    content = b"IHDR" + struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + content
        + struct.pack(">I", zlib.crc32(content))
    )


PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_pixels_are_those_of_the_file():
    found = decode_image(encoded(PIXELS), where="here")
    assert np.array_equal(found, PIXELS)
    assert found.flags.writeable


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_smaller_size_shows_the_same(kind):
    ramp = np.repeat(np.linspace(0, 255, 60).astype(np.uint8)[None, :, None], 40, axis=0).repeat(
        3, 2
    )
    found = decode_image(encoded(ramp, kind), where="here", size=(15, 10))
    assert found.shape == (10, 15, 3)
    assert np.abs(found[:, :, 0] - np.linspace(6.5, 248.5, 15)).max() < 8


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encoded(PIXELS)[:-200], "image file is truncated"),
        (encoded(np.zeros((4, 4), dtype=np.uint16)), "mode I;16 has more than 8 bits per channel"),
        (png_header(30_000, 30_000) + encoded(PIXELS)[33:], "decompression bomb"),
        (b"no image", "cannot identify image file"),
    ],
)
def test_what_cannot_be_decoded_is_named(monkeypatch, data, reason):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10**8)  # other packages lift the limit
    with pytest.raises(StoreError, match=rf"(?s)frame 3.*cannot be decoded \(.*{reason}"):
        decode_image(data, where="a.zarr, frame 3")
