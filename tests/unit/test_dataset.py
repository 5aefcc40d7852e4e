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
from simipu.data.config import SampleConfig, Selection
from simipu.data.dataset import PairDataset
from simipu.data.decode import decode_rgb
from simipu.data.loader import make_loader
from simipu.data.photometric import IMAGENET_MEAN, IMAGENET_STD, prepare_images
from simipu.data.plan import BatchPlan, EpochOrder
from simipu.data.select import choose_pairs, choose_views
from simipu.data.selection import check_held_out, select_images
from simipu.errors import StoreError, UsageError

CONFIG = SampleConfig(height=64, width=96, pairs=32, cell_px=6, points=100)
TWO_CAMERAS = {"left": (60, 120), "right": (100, 90)}


def images(store, stop, **conditions):
    """The images of the frames up to ``stop`` of a store, and nothing else."""
    selection = Selection(path=store.path, frames=f":{stop}", **conditions)
    return [select_images(store, selection)]


def flatten(sample):
    for item in sample:
        yield from item if isinstance(item, tuple) else (item,)


def assert_equal_samples(a, b):
    for x, y in zip(flatten(a), flatten(b), strict=True):
        assert torch.equal(x, y)


@pytest.fixture
def dataset():
    return PairDataset(images(FakeStore(sizes=TWO_CAMERAS), 4), CONFIG, seed=3, augment=True)


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

        frame = dataset.parts[0].store[int(sample.frame)]
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
    dataset = PairDataset(images(FakeStore(), 4), CONFIG, seed=0, augment=False)
    sample = dataset[0, 0]
    count = int(sample.valid.sum())
    assert torch.equal(sample.clean.xyz[:count], sample.augmented.xyz[:count])
    clean, other = (
        {tuple(p) for p in view.xyz.tolist()} for view in (sample.clean, sample.augmented)
    )
    assert len(clean) == len(other) == CONFIG.points
    assert len(clean - other) > 20


def test_a_sample_depends_on_seed_epoch_and_index_alone(dataset):
    again = pickle.loads(pickle.dumps(dataset))
    again[0, 0]  # an earlier draw changes nothing
    assert_equal_samples(dataset[2, 5], again[2, 5])
    assert not torch.equal(dataset[2, 5].uv, dataset[3, 5].uv)
    reseeded = PairDataset(images(dataset.parts[0].store, 4), CONFIG, seed=4, augment=True)
    assert not torch.equal(dataset[2, 5].uv, reseeded[2, 5].uv)


@pytest.mark.slow
def test_worker_count_changes_nothing(dataset):
    plan = BatchPlan(EpochOrder(dataset.parts, seed=1), batch_size=3, start=1, stop=6)
    loaders = [make_loader(dataset, plan, workers=n, pin_memory=False) for n in (0, 2)]
    batches = list(zip(*loaders, strict=True))
    assert len(batches) == 5
    for ours, theirs in batches:
        assert_equal_samples(ours, theirs)


def test_an_image_without_pairs_is_a_sample_without_valid_rows():
    dataset = PairDataset(images(FakeStore(empty=(1,)), 4), CONFIG, seed=0, augment=True)
    sample = dataset[0, 1]
    assert not sample.valid.any()
    assert not sample.clean.distinct.any()
    assert all(torch.isfinite(item).all() for item in flatten(sample))


def test_a_small_cloud_is_filled_with_marked_copies():
    config = dataclasses.replace(CONFIG, points=300)
    dataset = PairDataset(images(FakeStore(points=120), 4), config, seed=0, augment=True)
    sample = dataset[0, 0]
    cloud, pairs = sample.augmented, int(sample.valid.sum())
    count = pairs + (120 - pairs) // 2
    assert cloud.distinct.tolist() == [True] * count + [False] * (300 - count)
    assert len(torch.unique(cloud.xyz, dim=0)) == count
    assert torch.equal(cloud.xyz[count : 2 * count], cloud.xyz[:count])


def test_intensity_is_standardised_and_may_be_missing():
    config = dataclasses.replace(CONFIG, points=400)
    sample = PairDataset(images(FakeStore(), 1), config, seed=0, augment=True)[0, 0]
    pairs = int(sample.valid.sum())
    clean, others = (view.feature[view.distinct] for view in (sample.clean, sample.augmented))
    whole = torch.cat([clean, others[pairs:]])  # but for one point where their number is odd
    assert abs(whole.mean()) < 0.01
    assert abs(whole.std(unbiased=False) - 1) < 0.01
    store = FakeStore(intensity=False)
    assert not PairDataset(images(store, 1), config, seed=0, augment=True)[0, 0].clean.feature.any()


def test_errors_name_the_way_out():
    store = FakeStore(correspondence_policy=None)
    with pytest.raises(StoreError, match=r"simipu-prep correspond fake\.zarr"):
        PairDataset(images(store, 4), CONFIG, seed=0, augment=True)
    with pytest.raises(StoreError, match=r"no images in frames 1:2"):
        select_images(FakeStore(missing=((1, 0),)), Selection(path="", frames="1:2"))
    with pytest.raises(UsageError, match=r"height is 100 px, not a multiple of 32\n.*96 or 128"):
        SampleConfig(height=100)
    with pytest.raises(UsageError, match="more points or fewer pairs"):
        SampleConfig(pairs=128, points=100)
    order = EpochOrder(images(FakeStore(frames=5), 5), seed=0)
    with pytest.raises(UsageError, match="5 images do not fill one batch of 6"):
        BatchPlan(order, batch_size=6, start=0, stop=1)
    with pytest.raises(
        UsageError, match=r"batch of 5 .* 2 processes, 2 times each\n.*multiple of 4"
    ):
        BatchPlan(order, batch_size=5, start=0, stop=1, parts=2, processes=2)


def test_an_image_of_another_size_than_stored_is_refused():
    store = FakeStore(encoded_size=(60, 119))
    dataset = PairDataset(images(store, 1), CONFIG, seed=0, augment=True)
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
    order = EpochOrder(images(FakeStore(frames=10), 10), seed=0)
    plan = BatchPlan(order, batch_size=3, start=0, stop=9)
    batches = list(plan)
    assert len(plan) == len(batches) == 9
    for epoch in range(3):
        keys = [key for batch in batches[3 * epoch : 3 * epoch + 3] for key in batch]
        assert len({index for _, index in keys}) == 9
        assert {own for own, _ in keys} == {epoch}
    for start in range(9):
        assert list(BatchPlan(order, batch_size=3, start=start, stop=9)) == batches[start:]


@pytest.mark.parametrize(("parts", "processes"), [(1, 2), (2, 1), (2, 2), (3, 4)])
def test_processes_and_parts_share_the_batches_out(parts, processes):
    order = EpochOrder(images(FakeStore(frames=40), 40), seed=0)
    whole = list(BatchPlan(order, batch_size=12, start=1, stop=5))
    shares = [
        list(
            BatchPlan(
                order, batch_size=12, start=1, stop=5, parts=parts, rank=rank, processes=processes
            )
        )
        for rank in range(processes)
    ]
    assert {len(share) for share in shares} == {4 * parts}
    for step, batch in enumerate(whole):
        joined = [
            key for part in range(parts) for share in shares for key in share[step * parts + part]
        ]
        assert joined == batch


def test_stores_are_mixed_by_weight_and_every_visit_is_another_sample():
    stores = [FakeStore(frames=8, path=name, fingerprint=name) for name in "abc"]
    parts = [
        select_images(store, Selection(path=store.path, weight=weight))
        for store, weight in zip(stores, (1.0, 2.5, 0.5), strict=True)
    ]
    order = EpochOrder(parts, seed=0)
    assert len(order) == 8 + 20 + 4
    keys = [tuple(key) for epoch in range(3) for key in order(epoch).tolist()]
    assert len(set(keys)) == len(keys) == 3 * len(order)
    counts = np.bincount([index for _, index in order(1).tolist()], minlength=24)
    assert counts[:8].tolist() == [1] * 8
    assert set(counts[8:16].tolist()) == {2, 3}
    assert sorted(counts[16:].tolist()) == [0] * 4 + [1] * 4
    assert sorted(order(1)[:, 1]) != sorted(order(2)[:, 1])  # others are left out
    dataset = PairDataset(parts, CONFIG, seed=0, augment=True)
    assert [int(dataset[0, index].store) for index in (0, 7, 8, 23)] == [0, 0, 1, 2]
    assert [int(dataset[0, index].frame) for index in (0, 7, 8, 23)] == [0, 7, 0, 7]


def test_an_epoch_shows_as_many_cameras_of_a_frame_as_asked_for():
    store = FakeStore(frames=6, sizes=TWO_CAMERAS | {"rear": (50, 50)}, missing=((2, 0), (2, 1)))
    parts = images(store, 6)
    order = EpochOrder(parts, seed=0, cameras_per_frame=2)
    assert len(order) == 5 * 2 + 1
    seen = set()
    for epoch in range(12):
        chosen = parts[0].items[order(epoch)[:, 1]]
        assert np.bincount(chosen[:, 0]).tolist() == [2, 2, 1, 2, 2, 2]
        seen |= {tuple(item) for item in chosen.tolist()}
    assert len(seen) == len(parts[0])


def test_selections_by_scene_split_frame_and_camera():
    store = FakeStore(frames=10, sizes=TWO_CAMERAS, scene_length=2)

    def chosen(**conditions):
        return select_images(store, Selection(path="", **conditions)).items.tolist()

    both = [[frame, camera] for frame in range(10) for camera in range(2)]
    assert chosen() == both
    assert chosen(scenes=("s1", "s3")) == [item for item in both if item[0] in (2, 3, 6, 7)]
    assert chosen(splits=("train",), frames="4:") == [i for i in both if i[0] in (4, 5, 8, 9)]
    assert chosen(cameras=("right",), frames="1:3") == [[1, 1], [2, 1]]
    for conditions, message in (
        ({"scenes": ("s11",)}, "no scene 's11'\n.*mean 's1'"),
        ({"splits": ("trian",)}, "no split 'trian'\n.*mean 'train'"),
        ({"cameras": ("xyz",)}, "no camera 'xyz'\n.*There are: 'left', 'right'"),
        ({"frames": "0:11"}, "has the frames 0:10"),
        ({"scenes": ("s0",), "frames": "5:"}, "no images in frames 5:10 of what is selected"),
    ):
        with pytest.raises((UsageError, StoreError), match=message):
            chosen(**conditions)
    for bad in ({"weight": 0}, {"weight": np.nan}, {"frames": "3"}):
        with pytest.raises(UsageError):
            Selection(path="", **bad)


def test_a_store_of_another_policy_is_refused():
    store = FakeStore(correspondence_policy={"occlusion": "none", "min_depth_m": 1.0})
    selection = Selection(path="")
    assert len(select_images(store, selection, policy={"min_depth_m": 1})) == 4
    with pytest.raises(
        StoreError, match=r"asked for: occlusion is none, not zbuffer\n.*correspond"
    ):
        select_images(store, selection, policy={"occlusion": "zbuffer"})
    with pytest.raises(UsageError, match=r"policy 'oclusion'\n.*mean 'occlusion'"):
        select_images(store, selection, policy={"oclusion": "zbuffer"})


def test_what_is_trained_on_is_not_measured_on():
    store = FakeStore(frames=8, scene_length=4)
    copy = FakeStore(frames=8, path="elsewhere.zarr")  # the same content
    other = FakeStore(frames=8, fingerprint="beef")

    def part(of, frames):
        return select_images(of, Selection(path="", frames=frames))

    assert check_held_out([part(store, ":4")], [part(store, "4:")]) == []
    assert check_held_out([part(store, ":4")], [part(other, ":4")]) == []
    for theirs in (store, copy):
        with pytest.raises(UsageError, match=r"2 frames .* as frame 2: .*overlap"):
            check_held_out([part(other, ":"), part(store, ":4")], [part(theirs, "2:")])
    (doubt,) = check_held_out([part(store, ":6")], [part(store, "6:")])
    assert "1 scenes are trained on and measured on, as 's1'" in doubt


def test_points_out_of_range_take_no_part():
    """In a fake store the coordinates are (u, v, camera), so that the range is known."""
    config = dataclasses.replace(CONFIG, min_range_m=30.0, max_range_m=70.0)
    sample = PairDataset(images(FakeStore(), 1), config, seed=0, augment=False)[0, 0]
    far = sample.clean.xyz.norm(dim=1)
    assert sample.valid.any()
    assert far.min() >= 30
    assert far.max() <= 70
    for bad in ({"min_range_m": -1.0}, {"min_range_m": 9.0, "max_range_m": 9.0}):
        with pytest.raises(UsageError, match=r"sample\.max_range_m"):
            SampleConfig(**bad)
