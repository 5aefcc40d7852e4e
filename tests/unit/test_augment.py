import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils.data import default_collate

from fake_store import COLOUR_PER_PX, FakeStore
from simipu.data.augment import (
    ImageView,
    SimilarityTransform,
    centre_view,
    random_similarity,
    random_view,
)
from simipu.data.config import SampleConfig, Selection
from simipu.data.dataset import PairDataset
from simipu.data.selection import select_images
from simipu.models.image import sample_features

sides = st.integers(40, 126)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.tuples(sides, sides), min_size=1, max_size=3),
    height=st.sampled_from([32, 64, 96]),
    width=st.sampled_from([32, 64, 128]),
    stride=st.sampled_from([1, 2, 4, 8]),
    seed=st.integers(0, 2**31),
    augment=st.booleans(),
)
def test_features_at_a_pixel_are_those_of_the_place_it_came_from(
    sizes, height, width, stride, seed, augment
):
    """Through the real data set, a batch of mixed sources, and feature maps of several strides."""
    store = FakeStore(frames=2, sizes={f"camera{i}": size for i, size in enumerate(sizes)})
    config = SampleConfig(height=height, width=width, pairs=32, cell_px=4, points=64)
    images = select_images(store, Selection(path="", frames=":2"))
    dataset = PairDataset([images], config, seed=seed, augment=augment)
    batch = default_collate([dataset[0, index] for index in range(len(dataset))])

    # An average over a cell is an ideal feature map: its value belongs to the cell's centre.
    features = F.avg_pool2d(batch.image.float(), stride)
    found = sample_features(features, batch.uv, (height, width))[..., :2] / COLOUR_PER_PX
    origin = batch.clean.xyz[:, : config.pairs, :2]

    # Beyond the outermost cell centres there is nothing to interpolate with.
    margin = stride / 2
    last = torch.tensor([width, height]) - 1 - margin
    inner = batch.valid & ((batch.uv >= margin) & (batch.uv <= last)).all(dim=-1)
    assert inner.any()
    # Half a pixel of the image that has the larger ones.
    largest_px = max(1.0, max(max(h / height, w / width) for h, w in sizes))
    assert (found - origin)[inner].abs().max() <= 0.5 * largest_px


def test_a_wrong_pixel_convention_would_be_noticed():
    """The tolerance above is fine enough to tell the two grid conventions apart."""
    store = FakeStore(frames=1, sizes={"only": (64, 64)})
    config = SampleConfig(height=64, width=64, pairs=32, cell_px=4, points=64)
    images = select_images(store, Selection(path="", frames=":1"))
    batch = default_collate([PairDataset([images], config, seed=0, augment=False)[0, 0]])
    features = F.avg_pool2d(batch.image.float(), 8)
    grid = batch.uv / 63 * 2 - 1  # corners of the map are the centres of the corner pixels
    wrong = F.grid_sample(features, grid[:, :, None], align_corners=True)[0, :2, :, 0].T
    error = (wrong / COLOUR_PER_PX - batch.clean.xyz[0, :32, :2]).abs()
    assert error.max() > 2


def test_views_by_hand():
    whole = ImageView(left=0, top=0, width=100, height=50, out_height=100, out_width=200)
    # The top left corner of the image stays its corner; pixel centres move off it.
    np.testing.assert_allclose(whole.map_uv(np.float32([[-0.5, -0.5]])), [[-0.5, -0.5]])
    np.testing.assert_allclose(whole.map_uv(np.float32([[0, 0]])), [[0.5, 0.5]])
    np.testing.assert_allclose(whole.map_uv(np.float32([[99.5, 49.5]])), [[199.5, 99.5]])
    crop = ImageView(left=10, top=5, width=4, height=4, out_height=4, out_width=4, mirrored=True)
    np.testing.assert_allclose(crop.map_uv(np.float32([[10, 5], [13, 8]])), [[3, 0], [0, 3]])


@given(height=st.integers(1, 2000), width=st.integers(1, 2000), seed=st.integers(0, 1000))
def test_windows_lie_inside_the_image_and_keep_its_aspect(height, width, seed):
    for view in (
        random_view(np.random.default_rng(seed), (height, width), (96, 320)),
        centre_view((height, width), (96, 320)),
    ):
        assert 0 <= view.left < view.left + view.width <= width
        assert 0 <= view.top < view.top + view.height <= height
        if view.height >= 20:  # below that, rounding to whole pixels shows
            change = (view.width / view.height) / (320 / 96)
            assert 1 / 1.2 < change < 1.2


def test_the_unaugmented_view_is_the_largest_centred_window():
    assert centre_view((375, 1242), (96, 320)) == ImageView(
        left=0, top=1, width=1242, height=373, out_height=96, out_width=320
    )
    view = centre_view((900, 1600), (96, 320))
    assert (view.left, view.width, view.height) == (0, 1600, 480)
    assert view.top == 210


def undo(transform, xyz_m):
    """By the inverse of the matrix, as the loader has it."""
    matrix = np.linalg.inv(transform.T_augmented_from_clean)
    return xyz_m @ matrix[:3, :3].T + matrix[:3, 3]


@given(seed=st.integers(0, 2**31))
def test_similarity_can_be_undone(seed):
    rng = np.random.default_rng(seed)
    xyz = rng.uniform(-80, 80, (50, 3)).astype(np.float32)
    transform = random_similarity(rng)
    moved = transform.apply(xyz)
    assert moved.dtype == np.float32
    distance = np.linalg.norm(xyz, axis=1, keepdims=True)
    # Relative to the distance: float32 keeps 80 m to no more than 4e-6 m.
    assert (np.abs(undo(transform, moved) - xyz) / distance).max() < 1e-6
    np.testing.assert_allclose(
        np.linalg.norm(moved, axis=1), transform.scale * np.linalg.norm(xyz, axis=1), rtol=1e-5
    )


def test_similarity_by_hand():
    quarter = SimilarityTransform(yaw_rad=math.pi / 2, scale=2.0, mirror_y=False)
    np.testing.assert_allclose(quarter.apply(np.float32([[1, 0, 3]])), [[0, 2, 6]], atol=1e-6)
    mirrored = SimilarityTransform(yaw_rad=0.0, scale=1.0, mirror_y=True)
    np.testing.assert_allclose(mirrored.apply(np.float32([[1, 2, 3]])), [[1, -2, 3]])


@pytest.mark.parametrize("mirrored", [False, True])
def test_an_image_at_its_own_size_is_unchanged(mirrored):
    image = torch.randint(0, 256, (3, 32, 64), dtype=torch.uint8)
    view = ImageView(
        left=0, top=0, width=64, height=32, out_height=32, out_width=64, mirrored=mirrored
    )
    assert torch.equal(view.apply(image), image.flip(-1) if mirrored else image)
