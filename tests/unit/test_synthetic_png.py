"""Images as PNG files: what is read back is what was written."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from simipu.pipelines.synthetic.kitti_frame import png_bytes


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 1, 3), (31, 45, 3)])
def test_an_image_comes_back_exactly(shape):
    rgb = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with Image.open(io.BytesIO(png_bytes(rgb))) as image:
        image.load()
        assert (image.format, image.mode) == ("PNG", "RGB")
        np.testing.assert_array_equal(np.asarray(image), rgb)


def test_a_grey_image_is_the_usual_mean_of_the_channels():
    rgb = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(png_bytes(rgb, grey=True))) as image:
        assert image.mode == "L"
        weights = np.array([0.299, 0.587, 0.114])
        np.testing.assert_allclose(np.asarray(image), rgb @ weights, atol=1.0)
