"""A store against its source, whatever happened on the way."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import kitti_tree
import simipu
from folders import ONE_WORKER, contents
from simipu.correspond.policy import Policy
from simipu.errors import IncompleteError, UsageError
from simipu.pipelines.convert import Resources, convert
from simipu.pipelines.correspond import correspond_store
from simipu.pipelines.sources.kitti_object import KittiObject
from simipu.pipelines.sources.kitti_raw import KittiRaw
from simipu.store.verify import verify

SMALL_TASK = 3000  # about two frames of the small tree


def assert_equal_or_none(found, expected):
    if expected is None:
        assert found is None
    else:
        np.testing.assert_array_equal(found, expected)


def assert_frame_equals(found, expected):
    assert found.id == expected.id
    assert found.timestamp_ns == expected.timestamp_ns
    assert_equal_or_none(found.T_world_from_ego, expected.T_world_from_ego)
    assert len(found.points) == len(expected.lidar)
    for name in expected.lidar.columns:
        assert found.points[name].tobytes() == expected.lidar.columns[name].tobytes()
    for name in ("timestamp_ns", "timestamp_start_ns", "timestamp_end_ns", "T_ego_from_lidar"):
        assert_equal_or_none(getattr(found.points, name), getattr(expected.lidar, name))
    assert list(found.cameras) == [name for name in found.store.cameras if name in expected.cameras]
    for name, image in expected.cameras.items():
        camera = found.cameras[name]
        assert camera.encoded() == image.data
        for field in (
            "width", "height", "K", "distortion", "timestamp_ns",
            "T_camera_from_lidar", "T_ego_from_camera", "T_world_from_ego",
        ):  # fmt: skip
            assert_equal_or_none(getattr(camera, field), getattr(image, field))


@pytest.mark.parametrize("task_bytes", [1, SMALL_TASK, 1 << 27])
def test_every_value_of_every_frame_is_the_sources(raw_root, tmp_path, task_bytes):
    source = KittiRaw(raw_root)
    convert(source, tmp_path / "s.zarr", resources=ONE_WORKER, task_bytes=task_bytes)
    store = simipu.open_store(tmp_path / "s.zarr")
    scan = source.scan()
    refs = [(scene, ref) for scene in scan.scenes for ref in scene.frames]
    assert len(store) == len(refs) == 4 + 4 + 3
    assert [scene.name for scene in store.scenes] == [scene.name for scene in scan.scenes]
    for frame, (scene, ref) in zip(store, refs, strict=True):
        assert frame.scene == scene.name
        assert_frame_equals(frame, source.read(ref))
    for scene in store.scenes:
        assert {frame.scene for frame in store[scene.start : scene.stop]} == {scene.name}
    assert verify(store.path) == []


def test_object_frames_with_a_camera_missing(tmp_path):
    root = kitti_tree.write_object_tree(tmp_path / "kitti", splits={"train": [0, 2], "val": [1]})
    source = KittiObject(root)
    convert(source, tmp_path / "s.zarr", resources=ONE_WORKER, task_bytes=1)
    store = simipu.open_store(tmp_path / "s.zarr")
    refs = [ref for scene in source.scan().scenes for ref in scene.frames]
    for frame, ref in zip(store, refs, strict=True):
        assert_frame_equals(frame, source.read(ref))
    assert {scene.split for scene in store.scenes} == {"train", "val", "", "test"}


def test_the_sample_frames_are_bit_identical(sample_data, tmp_path):
    source = KittiRaw(sample_data / "kitti_raw")
    convert(source, tmp_path / "s.zarr", resources=ONE_WORKER)
    store = simipu.open_store(tmp_path / "s.zarr")
    refs = [ref for scene in source.scan().scenes for ref in scene.frames]
    for frame, ref in zip(store, refs, strict=True):
        assert_frame_equals(frame, source.read(ref))
    replaced = sum(ref.max_image_bytes + 16 * ref.max_points for ref in refs)
    size = sum(path.stat().st_size for path in store.path.rglob("*") if path.is_file())
    assert size <= 1.05 * replaced


def test_the_number_of_workers_does_not_change_a_byte(raw_root, raw_store, tmp_path):
    for name, workers in (("one", 1), ("two", 2)):
        out = tmp_path / name
        convert(
            KittiRaw(raw_root), out, resources=Resources(workers=workers), task_bytes=SMALL_TASK
        )
        correspond_store(out, Policy(), resources=Resources(workers=workers))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_running_dask_scheduler_does_the_same(raw_root, tmp_path):
    from distributed import LocalCluster

    convert(KittiRaw(raw_root), tmp_path / "a", resources=ONE_WORKER, task_bytes=SMALL_TASK)
    with LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None, processes=True
    ) as cluster:
        resources = Resources(scheduler=cluster.scheduler_address)
        convert(KittiRaw(raw_root), tmp_path / "b", resources=resources, task_bytes=SMALL_TASK)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_no_scheduler_is_an_error_that_says_so(raw_root, tmp_path, monkeypatch):
    monkeypatch.setattr("simipu.pipelines.cluster.CONNECT_TIMEOUT", "1s")
    with pytest.raises(IncompleteError, match="no dask scheduler answers"):
        convert(
            KittiRaw(raw_root), tmp_path / "s", resources=Resources(scheduler="tcp://127.0.0.1:9")
        )


def test_another_policy_takes_the_place_of_the_first(raw_root, raw_store, tmp_path):
    out = tmp_path / "s"
    convert(KittiRaw(raw_root), out, resources=ONE_WORKER)
    correspond_store(out, Policy(min_depth_m=9.0, occlusion="none"), resources=ONE_WORKER)
    store = simipu.open_store(out)
    pairs = [camera.correspondences for frame in store for camera in frame.cameras.values()]
    assert all(pair.visible.all() and (pair.depth >= 9.0).all() for pair in pairs)
    assert sum(map(len, pairs)) == store.attributes["correspondence"]["pairs"] > 0
    correspond_store(out, Policy(), resources=ONE_WORKER)
    assert contents(out) == contents(raw_store)


def test_the_same_command_again_changes_nothing(raw_root, raw_store):
    before = contents(raw_store)
    convert(KittiRaw(raw_root), raw_store, resources=ONE_WORKER)
    correspond_store(raw_store, Policy(), resources=ONE_WORKER)
    assert contents(raw_store) == before


def test_another_command_on_a_finished_store_is_refused(raw_root, raw_store):
    before = contents(raw_store)
    with pytest.raises(UsageError, match="made with another limit"):
        convert(KittiRaw(raw_root), raw_store, resources=ONE_WORKER, limit=2)
    assert contents(raw_store) == before


def test_limit_keeps_the_first_frames(raw_root, tmp_path):
    convert(KittiRaw(raw_root), tmp_path / "s", resources=ONE_WORKER, limit=5)
    store = simipu.open_store(tmp_path / "s")
    assert [len(scene) for scene in store.scenes] == [4, 1]


@pytest.mark.parametrize("content", ["folder", "file", "zarr", "staging", "store"])
def test_what_is_not_a_stores_is_never_written_to(raw_root, raw_store, tmp_path, content):
    out = tmp_path / "mine"
    if content == "file":
        out.write_text("precious")
    else:
        if content == "store":
            shutil.copytree(raw_store, out)
        elif content == "staging":  # a conversion that was killed at once, then used as a folder
            (out / ".simipu").mkdir(parents=True)
        else:
            out.mkdir()
        name = "zarr.json" if content == "zarr" else "precious.txt"
        (out / name).write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    before = contents(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="exists and"):
            convert(KittiRaw(raw_root), out, resources=ONE_WORKER, overwrite=overwrite)
    assert contents(tmp_path) == before


def test_the_place_of_the_data_is_no_part_of_the_store(raw_root, tmp_path, monkeypatch):
    elsewhere = shutil.copytree(raw_root, tmp_path / "elsewhere")
    convert(KittiRaw(raw_root), tmp_path / "a", resources=ONE_WORKER)
    convert(KittiRaw(elsewhere), tmp_path / "b", resources=ONE_WORKER)
    monkeypatch.chdir(tmp_path)
    convert(KittiRaw(Path("elsewhere")), tmp_path / "a", resources=ONE_WORKER)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
