"""The PNG check, against Pillow's decoder and exhaustively damaged files."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simipu.errors import SourceError
from simipu.pipelines.sources.png import SIGNATURE, png_size

NAME = Path("000007.png")


def encode(mode="RGB", size=(7, 5), **options) -> bytes:
    rng = np.random.default_rng(0)
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(file, "PNG", **options)
    return file.getvalue()


def chunk(kind: bytes, payload: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + payload))
    return struct.pack(">I", len(payload)) + kind + payload + crc


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (300, 201)])
def test_size_is_what_the_decoder_says(mode, size):
    data = encode(mode, size)
    with Image.open(io.BytesIO(data)) as image:
        assert png_size(data, NAME) == image.size == size


def test_real_images_pass(sample_data):
    for path in sorted(sample_data.glob("kitti_*/**/*.png")):
        with Image.open(path) as image:
            assert png_size(path.read_bytes(), path) == image.size


def test_every_truncation_is_found():
    data = encode()
    for length in range(len(data)):
        with pytest.raises(SourceError, match=r"000007\.png"):
            png_size(data[:length], NAME)


def test_every_flipped_byte_is_found():
    data = encode()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        with pytest.raises(SourceError):
            png_size(bytes(damaged), NAME)


def test_truncated_file_says_so_and_what_to_do():
    with pytest.raises(SourceError, match=r"(?s)000007\.png.*truncated.*Unpack") as caught:
        png_size(encode()[:-20], NAME)
    assert caught.value.where == "000007.png"


def test_wrong_crc_names_the_place():
    data = bytearray(encode())
    data[8 + 25 + 8 + 3] ^= 1  # in the second chunk, which starts after the signature and IHDR
    with pytest.raises(SourceError, match="chunk at byte 33 has a wrong CRC"):
        png_size(bytes(data), NAME)


HEADER = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 8, 2, 0, 0, 0))
PIXELS = chunk(b"IDAT", zlib.compress(bytes(3 * (1 + 12))))
END = chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"\xff\xd8\xff\xe0" + bytes(100), "is a JPEG, though named .png"),
        (b"GIF89a" + bytes(100), "is no PNG"),
        (SIGNATURE, "truncated"),
        (SIGNATURE + HEADER + PIXELS, "truncated"),
        (SIGNATURE + HEADER + END, "no pixels"),
        (SIGNATURE + PIXELS + END, "does not begin with a header"),
        (SIGNATURE + chunk(b"IHDR", bytes(13)) + PIXELS + END, "0 x 0 pixels"),
    ],
)
def test_wrong_structure(data, fault):
    assert png_size(SIGNATURE + HEADER + PIXELS + END, NAME) == (4, 3)
    with pytest.raises(SourceError, match=fault):
        png_size(data, NAME)
