"""Section by section, what the released code does to a sample."""

import math

import numpy as np
import pytest
import torch

from fake_store import FakeStore
from simipu.data.augment import ImageView
from simipu.data.config import SampleConfig, SampleRules, Selection
from simipu.data.dataset import PairDataset
from simipu.data.loader import collate
from simipu.data.photometric import prepare_images
from simipu.data.released import in_box, random_resize, random_similarity_ahead
from simipu.data.select import choose_views
from simipu.data.selection import select_images
from simipu.methods.config import PRESETS

RULES = PRESETS["compat"].sample_rules
CONFIG = SampleConfig(height=64, width=128, pairs=16, points=200)


def make_dataset(store=None, *, rules=RULES, config=CONFIG, augment=True):
    store = store or FakeStore(frames=6, points=900)
    images = [select_images(store, Selection(path=""))]
    return PairDataset(images, config, seed=0, augment=augment, rules=rules)


def test_sizes_are_those_of_the_released_configuration_at_kitti_size():
    rng = np.random.default_rng(0)
    views = [random_resize(rng, (375, 1242), (384, 1280)) for _ in range(4000)]
    scales = np.array([view.out_width / view.width for view in views])
    # min(640 / 1242, 192 / 375) = 0.512 and min(2400 / 1242, 720 / 375) = 1.92; mean 0.98.
    assert 0.505 < scales.min() < 0.54
    assert 1.85 < scales.max() < 1.925
    assert scales.mean() == pytest.approx(0.98, abs=0.02)
    for view in views:
        assert abs(view.out_height / 375 - view.out_width / 1242) < 1 / 375
        assert (view.left, view.top, view.width, view.height) == (0, 0, 1242, 375)
    assert np.mean([view.mirrored for view in views]) == pytest.approx(0.5, abs=0.03)


def test_the_released_pixel_mapping_by_hand():
    view = ImageView(left=0, top=0, width=100, height=50, out_height=25, out_width=50)
    uv = np.float32([[0, 0], [10, 20], [99, 49]])
    np.testing.assert_allclose(view.map_uv(uv, mapping="released"), uv / 2)
    flipped = ImageView(
        left=0, top=0, width=100, height=50, out_height=25, out_width=50, mirrored=True
    )
    expected = np.column_stack([50 - uv[:, 0] / 2, uv[:, 1] / 2])  # W - u, not W - 1 - u
    np.testing.assert_allclose(flipped.map_uv(uv, mapping="released"), expected)


@pytest.mark.parametrize("mirror", [False, True])
def test_a_cloud_goes_through_the_released_operations(mirror):
    """Subtract c, rotate, add c, scale about the origin, mirror y: one after the other."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        transform = random_similarity_ahead(rng, mirror_y=mirror)
        assert abs(transform.yaw_rad) <= math.pi / 2
        assert 0.75 <= transform.scale <= 1.25
        # What mirrors first has to turn the other way round.
        angle = -transform.yaw_rad if mirror else transform.yaw_rad
        c = (35.2, 0.0, -1.0)
        xyz = rng.uniform((0, -40, -3), (70, 40, 1), (30, 3)).astype(np.float32)
        for start, end in zip(xyz, transform.apply(xyz), strict=True):
            x, y, z = (float(p) - q for p, q in zip(start, c, strict=True))
            cos, sin = math.cos(angle), math.sin(angle)
            x, y = x * cos - y * sin, x * sin + y * cos
            x, y, z = (transform.scale * (p + q) for p, q in zip((x, y, z), c, strict=True))
            np.testing.assert_allclose(end, [x, -y if mirror else y, z], atol=2e-4)


def test_the_box_is_open():
    def inside(x, y, z):
        return bool(in_box([np.float32([value]) for value in (x, y, z)])[0])

    assert inside(1, 39.9, 0.9)
    assert inside(70.3, -39.9, -2.9)
    for point in ((0, 0, 0), (71, 0, 0), (1, 40, 0), (1, -40, 0), (1, 0, 1), (1, 0, -3)):
        assert not inside(*point), point


def test_both_views_have_the_same_points_each_in_an_order_of_its_own():
    dataset = make_dataset()
    for index in range(len(dataset)):
        sample = dataset[0, index]
        clean = sample.clean.xyz.numpy()
        assert (clean[:, 0] < 70.4).all()
        assert (clean[:, 1] < 40).all()
        undo = sample.T_clean_from_augmented.numpy()
        back = sample.augmented.xyz.numpy() @ undo[:3, :3].T + undo[:3, 3]
        assert not np.allclose(clean, back, atol=1)
        np.testing.assert_allclose(
            clean[np.argsort(clean[:, 0])], back[np.argsort(back[:, 0])], atol=1e-3
        )
        assert len(clean) == len(back) == CONFIG.points
        assert sample.clean.distinct.all()
        assert sample.valid.all()
        scale = sample.size[1] / 120
        u = sample.uv[:, 0]
        direct, mirrored = u / scale, (sample.size[1] - u) / scale
        is_direct = torch.allclose(direct, sample.clean.xyz[:, 0], atol=1e-3)
        is_mirrored = torch.allclose(mirrored, sample.clean.xyz[:, 0], atol=1e-3)
        assert is_direct != is_mirrored
        # One coin mirrors both: a cloud that is mirrored has a negative determinant.
        assert is_mirrored == bool(np.linalg.det(undo[:3, :3]) < 0)


def test_few_points_are_drawn_again_and_none_is_no_error():
    rng = np.random.default_rng(0)
    none = np.empty(0, dtype=np.intp)
    clean, augmented = choose_views(rng, 10, none, count=50, views="shuffled")
    assert sorted(clean) == sorted(augmented)
    assert len(clean) == 50
    assert set(clean) <= set(range(10))
    assert len(choose_views(rng, 0, none, count=50, views="shuffled")[0]) == 0
    sample = make_dataset(FakeStore(empty=(0,)))[0, 0]
    assert not sample.valid.any()
    assert not sample.clean.distinct.any()


@pytest.mark.parametrize("views", ["shared", "shuffled"])
def test_pairs_by_row_come_first_in_views_of_the_same_points(views):
    rng = np.random.default_rng(0)
    pairs = np.array([7, 2, 9])
    clean, augmented = choose_views(rng, 100, pairs, count=40, views=views)
    assert clean[:3].tolist() == augmented[:3].tolist() == pairs.tolist()
    assert len(set(clean)) == 40
    assert set(clean) == set(augmented)
    assert (clean.tolist() == augmented.tolist()) == (views == "shared")


def test_neither_colours_nor_noise_are_added():
    rules = SampleRules(augmentation="released", views="shared")
    sample = make_dataset(rules=rules)[0, 0]
    assert sample.jitter.tolist() == [1, 1, 1]
    undo = sample.T_clean_from_augmented
    back = sample.augmented.xyz @ undo[:3, :3].T + undo[:3, 3]
    torch.testing.assert_close(back, sample.clean.xyz, atol=2e-4, rtol=0)


def test_hidden_points_are_valid_where_asked_and_those_beside_the_window_never():
    valid = {}
    for visible_only in (False, True):
        rules = SampleRules(pairs="assignment", views="shuffled", visible_only=visible_only)
        sample = make_dataset(rules=rules)[0, 0]
        height, width = sample.size.tolist()
        u, v = sample.uv[sample.clean.distinct].T
        inside = (u >= -0.5) & (u < width - 0.5) & (v >= -0.5) & (v < height - 0.5)
        assert not inside.all()  # the crop leaves some out
        valid[visible_only] = sample.valid[sample.clean.distinct]
        assert not valid[visible_only][~inside].any()
    assert torch.equal(valid[False], inside)
    assert 0 < valid[True].sum() < valid[False].sum()


def test_a_batch_is_padded_to_its_largest_image_with_zeros_after_normalisation():
    dataset = make_dataset()
    samples = [dataset[0, index] for index in range(4)]
    batch = collate(samples)
    sizes = torch.stack([sample.size for sample in samples])
    assert len(sizes.unique(dim=0)) == 4
    height, width = batch.image.shape[2:]
    assert (height, width) == tuple((-(-sizes.amax(dim=0) // 32) * 32).tolist())
    assert batch.image.permute(0, 2, 3, 1).is_contiguous()
    prepared = prepare_images(batch.image, batch.jitter, batch.size)
    for image, sample in zip(prepared, samples, strict=True):
        h, w = sample.size.tolist()
        alone = prepare_images(sample.image[None], sample.jitter[None])[0]
        torch.testing.assert_close(image[:, :h, :w], alone)
        assert not image[:, h:].any()
        assert not image[:, :, w:].any()


def test_measurements_ignore_what_is_only_for_training():
    sample = make_dataset(rules=SampleRules(), augment=False)[0, 0]
    assert sample.size.tolist() == [64, 128]
    assert len(sample.uv) == CONFIG.pairs
    assert torch.equal(sample.T_clean_from_augmented, torch.eye(4))
