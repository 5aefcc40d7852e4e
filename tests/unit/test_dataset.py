import dataclasses
import io
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fake_store import FakeStore
from simipu.data.augment import SCALE_RANGE
from simipu.data.dataset import PairDataset, SampleConfig
from simipu.data.decode import decode_rgb
from simipu.data.loader import BatchPlan, make_loader
from simipu.data.photometric import IMAGENET_MEAN, IMAGENET_STD, prepare_images
from simipu.data.select import choose_pairs, choose_views
from simipu.errors import StoreError, UsageError

CONFIG = SampleConfig(height=64, width=96, pairs=32, cell_px=6, points=100)
TWO_CAMERAS = {"left": (60, 120), "right": (100, 90)}


def flatten(sample):
    for item in sample:
        yield from item if isinstance(item, tuple) else (item,)


def assert_equal_samples(a, b):
    for x, y in zip(flatten(a), flatten(b), strict=True):
        assert torch.equal(x, y)


@pytest.fixture
def dataset():
    return PairDataset(FakeStore(sizes=TWO_CAMERAS), range(4), CONFIG, seed=3, augment=True)


def test_one_sample_for_each_frame_and_camera(dataset):
    assert len(dataset) == 8
    samples = [dataset[0, index] for index in range(8)]
    assert [(int(s.frame), int(s.camera)) for s in samples] == [
        (frame, camera) for frame in range(4) for camera in range(2)
    ]
    for sample in samples:
        assert sample.image.shape == (3, 64, 96)
        assert sample.image.dtype == torch.uint8
        assert sample.clean.xyz.shape == sample.augmented.xyz.shape == (100, 3)


def test_pairs_are_visible_inside_and_spread_and_come_first_in_both_views(dataset):
    for index in range(len(dataset)):
        sample = dataset[5, index]
        count = int(sample.valid.sum())
        assert 8 < count <= 32
        assert sample.valid[:count].all()
        uv = sample.uv[:count].numpy()
        assert ((uv >= -0.5) & (uv < np.array([95.5, 63.5]))).all()
        cells = np.floor((uv + 0.5) / CONFIG.cell_px)
        assert len(np.unique(cells, axis=0)) == count

        frame = dataset.store[int(sample.frame)]
        camera = list(frame.cameras.values())[int(sample.camera)]
        seen = frame.points.xyz[camera.correspondences.row[camera.correspondences.visible]]
        rows = {tuple(point) for point in seen.tolist()}
        assert {tuple(point) for point in sample.clean.xyz[:count].tolist()} <= rows
        # A similarity transform and 1 cm of noise keep ratios of distances.
        clean = torch.pdist(sample.clean.xyz[:count])
        ratio = (torch.pdist(sample.augmented.xyz[:count]) / clean)[clean > 5]
        assert SCALE_RANGE[0] - 0.02 < ratio.min()
        assert ratio.max() < SCALE_RANGE[1] + 0.02
        assert ratio.max() / ratio.min() < 1.02


def test_views_share_the_pairs_and_differ_in_the_rest():
    dataset = PairDataset(FakeStore(), range(4), CONFIG, seed=0, augment=False)
    sample = dataset[0, 0]
    count = int(sample.valid.sum())
    assert torch.equal(sample.clean.xyz[:count], sample.augmented.xyz[:count])
    clean, other = ({tuple(p) for p in view.xyz.tolist()} for view in sample[4:6])
    assert len(clean) == len(other) == CONFIG.points
    assert len(clean - other) > 20


def test_a_sample_depends_on_seed_epoch_and_index_alone(dataset):
    again = pickle.loads(pickle.dumps(dataset))
    again[0, 0]  # an earlier draw changes nothing
    assert_equal_samples(dataset[2, 5], again[2, 5])
    assert not torch.equal(dataset[2, 5].uv, dataset[3, 5].uv)
    reseeded = PairDataset(dataset.store, range(4), CONFIG, seed=4, augment=True)
    assert not torch.equal(dataset[2, 5].uv, reseeded[2, 5].uv)


@pytest.mark.slow
def test_worker_count_changes_nothing(dataset):
    plan = BatchPlan(samples=len(dataset), batch_size=3, seed=1, start=1, stop=6)
    loaders = [make_loader(dataset, plan, workers=n, pin_memory=False) for n in (0, 2)]
    batches = list(zip(*loaders, strict=True))
    assert len(batches) == 5
    for ours, theirs in batches:
        assert_equal_samples(ours, theirs)


def test_an_image_without_pairs_is_a_sample_without_valid_rows():
    dataset = PairDataset(FakeStore(empty=(1,)), range(4), CONFIG, seed=0, augment=True)
    sample = dataset[0, 1]
    assert not sample.valid.any()
    assert not sample.clean.distinct.any()
    assert all(torch.isfinite(item).all() for item in flatten(sample))


def test_a_small_cloud_is_filled_with_marked_copies():
    config = dataclasses.replace(CONFIG, points=300)
    dataset = PairDataset(FakeStore(points=120), range(4), config, seed=0, augment=True)
    sample = dataset[0, 0]
    cloud, pairs = sample.augmented, int(sample.valid.sum())
    count = pairs + (120 - pairs) // 2
    assert cloud.distinct.tolist() == [True] * count + [False] * (300 - count)
    assert len(torch.unique(cloud.xyz, dim=0)) == count
    assert torch.equal(cloud.xyz[count : 2 * count], cloud.xyz[:count])


def test_intensity_is_standardised_and_may_be_missing():
    config = dataclasses.replace(CONFIG, points=400)
    sample = PairDataset(FakeStore(), range(1), config, seed=0, augment=True)[0, 0]
    pairs = int(sample.valid.sum())
    clean, others = (view.feature[view.distinct] for view in (sample.clean, sample.augmented))
    whole = torch.cat([clean, others[pairs:]])  # but for one point where their number is odd
    assert abs(whole.mean()) < 0.01
    assert abs(whole.std(unbiased=False) - 1) < 0.01
    store = FakeStore(intensity=False)
    assert not PairDataset(store, range(1), config, seed=0, augment=True)[0, 0].clean.feature.any()


def test_the_control_image_is_another_frames():
    dataset = PairDataset(FakeStore(frames=5), range(5), CONFIG, seed=0, augment=False)
    seen = []
    dataset._decode = lambda camera, frame: (
        seen.append(frame) or torch.zeros(3, camera.height, camera.width, dtype=torch.uint8)
    )
    for index in range(5):
        dataset.other_image(index)
    assert seen == [2, 3, 4, 0, 1]
    alone = PairDataset(FakeStore(frames=1), range(1), CONFIG, seed=0, augment=False)
    assert alone.other_image(0) is None


def test_errors_name_the_way_out():
    store = FakeStore(correspondence_policy=None)
    with pytest.raises(StoreError, match=r"simipu-prep correspond fake\.zarr"):
        PairDataset(store, range(4), CONFIG, seed=0, augment=True)
    with pytest.raises(StoreError, match="no images in frames 2:2"):
        PairDataset(FakeStore(), range(2, 2), CONFIG, seed=0, augment=True)
    with pytest.raises(UsageError, match=r"height is 100 px, not a multiple of 32\n.*96 or 128"):
        SampleConfig(height=100)
    with pytest.raises(UsageError, match="more points or fewer pairs"):
        SampleConfig(pairs=128, points=100)
    with pytest.raises(UsageError, match="5 images do not fill one batch of 6"):
        BatchPlan(samples=5, batch_size=6, seed=0, start=0, stop=1)


def test_an_image_of_another_size_than_stored_is_refused():
    store = FakeStore(encoded_size=(60, 119))
    dataset = PairDataset(store, range(1), CONFIG, seed=0, augment=True)
    with pytest.raises(StoreError, match="frame 0, camera left: the image has 119 x 60 px"):
        dataset[0, 0]


@pytest.mark.parametrize(
    ("format", "mode"),
    [("PNG", "RGB"), ("PNG", "L"), ("PNG", "RGBA"), ("PNG", "P"), ("JPEG", "RGB"), ("JPEG", "L")],
)
def test_decoding_agrees_with_pillow(format, mode):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    file = io.BytesIO()
    image.save(file, format)
    decoded = decode_rgb(file.getvalue(), where="here").permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(decoded, np.asarray(Image.open(file).convert("RGB")))


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "deep"])
def test_what_is_no_image_is_refused(damage):
    file = io.BytesIO()
    deep = np.full((40, 40), 40000, dtype=np.uint16)
    Image.fromarray(deep if damage == "deep" else deep.astype(np.uint8)).save(file, "PNG")
    data = {
        "empty": b"",
        "cut": file.getvalue()[:60],
        "text": b"version https://git-lfs.github.com/spec/v1\n",
        "deep": file.getvalue(),
    }[damage]
    with pytest.raises(StoreError, match="frame 7: the image cannot be decoded"):
        decode_rgb(data, where="frame 7")


def test_images_without_jitter_are_only_normalised():
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    prepared = prepare_images(images, torch.ones(2, 3))
    mean, std = (torch.tensor(value)[:, None, None] for value in (IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(prepared, (images / 255 - mean) / std, atol=1e-5, rtol=1e-5)


def test_jitter_by_hand():
    image = torch.tensor([100.0, 150.0, 50.0]).to(torch.uint8)[None, :, None, None]
    rgb = image / 255
    grey = (0.299 * 100 + 0.587 * 150 + 0.114 * 50) / 255
    mean, std = (torch.tensor(value)[:, None, None] for value in (IMAGENET_MEAN, IMAGENET_STD))

    def colours(*factors):
        return prepare_images(image, torch.tensor([factors])) * std + mean

    torch.testing.assert_close(colours(1.2, 1.0, 1.0), rgb * 1.2)
    torch.testing.assert_close(colours(1.0, 1.3, 1.0), grey + 1.3 * (rgb - grey))
    torch.testing.assert_close(colours(1.0, 1.0, 0.7), grey + 0.7 * (rgb - grey))


@given(
    count=st.integers(0, 60),
    wanted=st.integers(1, 40),
    cell=st.integers(1, 9),
    seed=st.integers(0, 100),
)
def test_pairs_fill_as_many_cells_as_there_are(count, wanted, cell, seed):
    rng = np.random.default_rng(seed)
    uv = rng.uniform(-5, 35, (count, 2)).astype(np.float32)
    allowed = rng.random(count) < 0.7
    chosen = choose_pairs(rng, uv, allowed, size=(20, 30), cell_px=cell, count=wanted)
    cells = set()
    for (u, v), ok in zip(uv.tolist(), allowed, strict=True):
        if ok and -0.5 <= u < 29.5 and -0.5 <= v < 19.5:
            cells.add(((u + 0.5) // cell, (v + 0.5) // cell))
    assert len(chosen) == min(wanted, len(cells))
    assert len({tuple((uv[i] + 0.5) // cell) for i in chosen}) == len(chosen)
    assert allowed[chosen].all()


@given(total=st.integers(1, 50), share=st.floats(0, 1), count=st.integers(1, 60))
def test_views_share_the_pairs_and_nothing_else(total, share, count):
    rng = np.random.default_rng(0)
    pairs = rng.permutation(total)[: int(share * min(total, count))]
    views = choose_views(rng, total, pairs, count=count)
    others = [view[len(pairs) :].tolist() for view in views]
    for view in views:
        assert view[: len(pairs)].tolist() == pairs.tolist()
        assert len(view) == len(set(view.tolist()))
    assert not set(others[0]) & set(others[1])
    assert not (set(others[0]) | set(others[1])) & set(pairs.tolist())
    assert len(others[0]) == len(others[1])
    free = total - len(pairs)
    if total >= 2 * count:
        assert len(others[0]) == count - len(pairs)
    else:
        assert len(others[0]) == min(count - len(pairs), free // 2)


def test_every_point_has_the_same_chance_of_being_chosen():
    rng = np.random.default_rng(0)
    pairs = np.array([3, 4])
    drawn = [choose_views(rng, 20, pairs, count=8) for _ in range(3000)]
    for view in zip(*drawn, strict=True):
        share = np.bincount(np.concatenate([chosen[2:] for chosen in view]), minlength=20) / 3000
        assert not share[pairs].any()
        others = np.delete(share, pairs)
        np.testing.assert_allclose(others, 6 / 18, atol=0.05)


def test_the_plan_visits_every_sample_once_an_epoch_and_can_begin_anywhere():
    plan = BatchPlan(samples=10, batch_size=3, seed=0, start=0, stop=9)
    batches = list(plan)
    assert len(plan) == len(batches) == 9
    for epoch in range(3):
        keys = [key for batch in batches[3 * epoch : 3 * epoch + 3] for key in batch]
        assert len({index for _, index in keys}) == 9
        assert {own for own, _ in keys} == {epoch}
    for start in range(9):
        assert (
            list(BatchPlan(samples=10, batch_size=3, seed=0, start=start, stop=9))
            == (batches[start:])
        )
