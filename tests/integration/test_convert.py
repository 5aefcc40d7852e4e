"""A store against its source, whatever happened on the way."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import kitti_tree
import simipu
from folders import ONE_WORKER, contents
from simipu.correspond.policy import Policy
from simipu.errors import IncompleteError, SimipuError, SourceError, StoreError, UsageError
from simipu.pipelines import correspond as correspond_module
from simipu.pipelines.convert import Resources, convert
from simipu.pipelines.correspond import correspond_store
from simipu.pipelines.sources.kitti_object import KittiObject
from simipu.pipelines.sources.kitti_raw import KittiRaw
from simipu.store import schema
from simipu.store.verify import verify

PREP = Path(sys.executable).with_name("simipu-prep")
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


class Interrupted(KittiRaw):
    """Reads as many frames as it is told to, then raises."""

    def __init__(self, root, frames, error):
        super().__init__(root)
        self.left = frames
        self.error = error

    def read(self, ref):
        if self.left == 0:
            raise self.error
        self.left -= 1
        return super().read(ref)


@pytest.mark.parametrize("frames", [0, 1, 5, 10])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyboardInterrupt(), r"stopped: \d+ of 11 frames"),
        (OSError(28, "No space left on device"), r"no space is left.*\d+ of 11 frames"),
    ],
)
def test_stopped_anywhere_and_run_again_it_ends_the_same(
    raw_root, tmp_path, frames, error, message
):
    convert(KittiRaw(raw_root), tmp_path / "a", resources=ONE_WORKER, task_bytes=SMALL_TASK)
    with pytest.raises(IncompleteError, match=message) as caught:
        convert(
            Interrupted(raw_root, frames, error),
            tmp_path / "b",
            resources=ONE_WORKER,
            task_bytes=SMALL_TASK,
        )
    assert "same command again" in str(caught.value)
    with pytest.raises(IncompleteError, match="has not ended"):
        simipu.open_store(tmp_path / "b")
    convert(KittiRaw(raw_root), tmp_path / "b", resources=ONE_WORKER, task_bytes=SMALL_TASK)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_blocks_that_are_done_are_not_done_again(raw_root, tmp_path):
    source = Interrupted(raw_root, 10, KeyboardInterrupt())
    with pytest.raises(IncompleteError):
        convert(source, tmp_path / "s", resources=ONE_WORKER, task_bytes=SMALL_TASK)
    rest = Interrupted(raw_root, 3, AssertionError("read again"))
    convert(rest, tmp_path / "s", resources=ONE_WORKER, task_bytes=SMALL_TASK)
    assert verify(tmp_path / "s") == []


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_stopped_correspondences_go_on(raw_root, raw_store, tmp_path, monkeypatch, allowed):
    out = tmp_path / "s"
    convert(KittiRaw(raw_root), out, resources=ONE_WORKER)
    before = contents(out)
    compute = correspond_module.frame_correspondences
    calls = []

    def interrupted(frame, policy):
        if len(calls) == allowed:
            raise KeyboardInterrupt
        calls.append(frame)
        return compute(frame, policy)

    monkeypatch.setattr(correspond_module, "frame_correspondences", interrupted)
    with pytest.raises(IncompleteError):
        correspond_store(out, Policy(), resources=ONE_WORKER)
    kept = {path: digest for path, digest in contents(out).items() if path in before}
    assert kept == before
    assert simipu.open_store(out).correspondence_policy is None
    monkeypatch.undo()
    correspond_store(out, Policy(), resources=ONE_WORKER)
    assert contents(out) == contents(raw_store)


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


def test_another_command_on_an_unfinished_store_is_refused_by_name(raw_root, tmp_path):
    source = Interrupted(raw_root, 5, KeyboardInterrupt())
    with pytest.raises(IncompleteError):
        convert(source, tmp_path / "s", resources=ONE_WORKER, task_bytes=SMALL_TASK)
    with pytest.raises(UsageError, match="another limit"):
        convert(
            KittiRaw(raw_root), tmp_path / "s", resources=ONE_WORKER, limit=2, task_bytes=SMALL_TASK
        )


def test_overwrite_replaces_a_store_and_resumes_itself(raw_root, raw_store, tmp_path):
    out = tmp_path / "s"
    convert(KittiRaw(raw_root), out, resources=ONE_WORKER, limit=2)
    source = Interrupted(raw_root, 8, KeyboardInterrupt())
    with pytest.raises(IncompleteError):
        convert(source, out, resources=ONE_WORKER, overwrite=True, task_bytes=SMALL_TASK)
    rest = Interrupted(raw_root, 5, AssertionError("read again"))
    convert(rest, out, resources=ONE_WORKER, overwrite=True, task_bytes=SMALL_TASK)
    convert(KittiRaw(raw_root), tmp_path / "t", resources=ONE_WORKER, task_bytes=SMALL_TASK)
    assert contents(out) == contents(tmp_path / "t")


def test_limit_keeps_the_first_frames(raw_root, tmp_path):
    convert(KittiRaw(raw_root), tmp_path / "s", resources=ONE_WORKER, limit=5)
    store = simipu.open_store(tmp_path / "s")
    assert [len(scene) for scene in store.scenes] == [4, 1]


def damage(root: Path, drive: str, index: int) -> Path:
    path = root / drive / "velodyne_points" / "data" / f"{index:010d}.bin"
    data = np.fromfile(path, "<f4")
    data[5] = np.nan
    data.tofile(path)
    return path


def test_a_bad_frame_stops_the_conversion_and_a_mended_one_resumes_it(tmp_path):
    root = kitti_tree.write_raw_tree(tmp_path / "raw")
    good = (root / kitti_tree.DRIVE_2 / "velodyne_points/data/0000000001.bin").read_bytes()
    convert(KittiRaw(root), tmp_path / "a", resources=ONE_WORKER, task_bytes=SMALL_TASK)
    path = damage(root, kitti_tree.DRIVE_2, 1)
    with pytest.raises(SourceError, match=path.name):
        convert(KittiRaw(root), tmp_path / "b", resources=ONE_WORKER, task_bytes=SMALL_TASK)
    path.write_bytes(good)
    convert(KittiRaw(root), tmp_path / "b", resources=ONE_WORKER, task_bytes=SMALL_TASK)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_files_replaced_while_stopped_are_taken_up(tmp_path):
    """Whatever changed between two runs, the end is that of one run on what is there now."""
    root = kitti_tree.write_raw_tree(tmp_path / "raw")
    damage(root, kitti_tree.DRIVE_3, 1)
    with pytest.raises(SourceError):
        convert(KittiRaw(root), tmp_path / "s", resources=ONE_WORKER, task_bytes=SMALL_TASK)
    changed = root / kitti_tree.DRIVE_2 / "velodyne_points/data/0000000001.bin"  # converted already
    changed.write_bytes(np.ones((7, 4), "<f4").tobytes())
    for path in (root / kitti_tree.DRIVE_1 / "oxts" / "data").iterdir():
        path.unlink()
    calibration = root / "2011_09_26" / "calib_velo_to_cam.txt"
    calibration.write_text(re.sub(r"(?m)^T: \S+", "T: 1.500000e-01", calibration.read_text()))
    kitti_tree.write_scan(
        root / kitti_tree.DRIVE_3 / "velodyne_points/data/0000000001.bin",
        90,
        np.random.default_rng(0),
    )
    (root / kitti_tree.DRIVE_3 / "velodyne_points/data/0000000002.bin").unlink()
    convert(KittiRaw(root), tmp_path / "s", resources=ONE_WORKER, task_bytes=SMALL_TASK)
    convert(KittiRaw(root), tmp_path / "t", resources=ONE_WORKER, task_bytes=SMALL_TASK)
    assert contents(tmp_path / "s") == contents(tmp_path / "t")
    # ... and the same command finds it complete.
    convert(KittiRaw(root), tmp_path / "s", resources=ONE_WORKER, task_bytes=SMALL_TASK)


def test_frames_skipped_by_an_earlier_run_are_read_again_without_skip_bad(tmp_path):
    root = kitti_tree.write_raw_tree(tmp_path / "raw")
    path = damage(root, kitti_tree.DRIVE_1, 0)

    class Stopped(KittiRaw):
        def read(self, ref):
            if "drive_0027" in ref.id:
                raise KeyboardInterrupt
            return super().read(ref)

    arguments = {"resources": ONE_WORKER, "task_bytes": SMALL_TASK}
    with pytest.raises(IncompleteError):
        convert(Stopped(root), tmp_path / "s", skip_bad=True, **arguments)
    with pytest.raises(SourceError, match=path.name):
        convert(KittiRaw(root), tmp_path / "s", **arguments)


def test_a_passing_fault_stops_the_conversion_even_with_skip_bad(raw_root, tmp_path, monkeypatch):
    read_bytes = Path.read_bytes

    def stale(self):
        if self.name == "0000000001.bin":
            raise OSError(116, "Stale file handle")
        return read_bytes(self)

    monkeypatch.setattr(Path, "read_bytes", stale)
    with pytest.raises(SimipuError, match="Stale file handle"):
        convert(KittiRaw(raw_root), tmp_path / "s", resources=ONE_WORKER, skip_bad=True)
    monkeypatch.undo()
    convert(KittiRaw(raw_root), tmp_path / "s", resources=ONE_WORKER, skip_bad=True)
    assert len(simipu.open_store(tmp_path / "s")) == 11


def test_skip_bad_leaves_frames_out_and_lists_them(tmp_path):
    root = kitti_tree.write_raw_tree(tmp_path / "raw")
    paths = [damage(root, kitti_tree.DRIVE_1, 0), damage(root, kitti_tree.DRIVE_3, 2)]
    empty = root / kitti_tree.DRIVE_1 / "velodyne_points/data/0000000003.bin"
    empty.write_bytes(b"")
    with pytest.raises(SourceError, match=empty.name):
        convert(KittiRaw(root), tmp_path / "s", resources=ONE_WORKER)
    assert not (tmp_path / "s").exists()
    convert(KittiRaw(root), tmp_path / "s", resources=ONE_WORKER, skip_bad=True)
    store = simipu.open_store(tmp_path / "s")
    assert [len(scene) for scene in store.scenes] == [2, 5, 2]
    skipped = {root / entry["path"] for entry in store.attributes["skipped"]}
    assert skipped == {*paths, empty}
    ids = {frame.id for frame in store}
    assert not ids & {entry["frame_id"] for entry in store.attributes["skipped"]}


def test_a_scene_of_which_nothing_is_left_is_not_in_the_store(tmp_path):
    root = kitti_tree.write_raw_tree(tmp_path / "raw")
    for index in range(4):
        damage(root, kitti_tree.DRIVE_1, index)
    convert(KittiRaw(root), tmp_path / "s", resources=ONE_WORKER, skip_bad=True, task_bytes=1)
    store = simipu.open_store(tmp_path / "s")
    assert [scene.name for scene in store.scenes] == [kitti_tree.DRIVE_2, kitti_tree.DRIVE_3]
    assert store[0].scene == kitti_tree.DRIVE_2
    assert store[-1].scene == kitti_tree.DRIVE_3


def run_prep(root: Path, out: Path, workers: int) -> subprocess.Popen:
    command = [PREP, "kitti-raw", "--root", root, "--out", out, "--task-mib", "1"]
    return subprocess.Popen(
        [*command, "--workers", str(workers)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.mark.slow
def test_killed_at_twenty_random_moments_and_run_again_it_is_byte_identical(tmp_path):
    root = kitti_tree.write_raw_tree(
        tmp_path / "raw", drives={kitti_tree.DRIVE_1: 14, kitti_tree.DRIVE_3: 6}, points=30_000
    )
    begin = time.monotonic()
    assert run_prep(root, tmp_path / "whole", 1).wait() == 0
    duration = time.monotonic() - begin
    expected = contents(tmp_path / "whole")
    rng = random.Random(5)
    unfinished = 0
    for attempt in range(20):
        out = tmp_path / f"killed{attempt}"
        workers = 2 if attempt % 5 == 4 else 1
        process = run_prep(root, out, workers)
        if attempt % 2:  # early in the work, however busy the machine is
            while not (out / ".simipu").exists() and process.poll() is None:
                time.sleep(0.005)
            time.sleep(rng.uniform(0.0, 0.1))
        else:
            time.sleep(rng.uniform(0.1, 1.0) * duration * (2 if workers == 2 else 1))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        unfinished += not (out / "zarr.json").exists()
        assert run_prep(root, out, 1).wait() == 0
        assert contents(out) == expected, attempt
    assert unfinished > 3, "the kills came too late to mean anything"


def test_a_second_writer_is_refused_and_harms_nothing(raw_root, raw_store, tmp_path):
    class Second(KittiRaw):
        """Tries to convert to the same place in the middle of a conversion."""

        def read(self, ref):
            with pytest.raises(UsageError, match="another process is writing"):
                convert(KittiRaw(raw_root), tmp_path / "s", resources=ONE_WORKER)
            return super().read(ref)

    convert(Second(raw_root), tmp_path / "s", resources=ONE_WORKER)
    correspond_store(tmp_path / "s", Policy(), resources=ONE_WORKER)
    assert contents(tmp_path / "s") == contents(raw_store)


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


def test_a_shard_lost_before_the_end_is_noticed(raw_root, tmp_path):
    class Losing(KittiRaw):
        def read(self, ref):
            if ref.id.endswith("drive_0027_sync/0000000002"):
                (tmp_path / "s" / "lidar" / "points" / "x" / "c" / "0").unlink()
            return super().read(ref)

    with pytest.raises(StoreError, match="lidar/points/x/c/0"):
        convert(Losing(raw_root), tmp_path / "s", resources=ONE_WORKER)
    assert not (tmp_path / "s" / "zarr.json").exists()


@pytest.mark.parametrize("content", [None, b"", b"PK"])
def test_lost_work_is_noticed_and_done_again(raw_root, tmp_path, content, monkeypatch):
    arguments = {"resources": ONE_WORKER, "task_bytes": SMALL_TASK}
    convert(KittiRaw(raw_root), tmp_path / "a", **arguments)
    monkeypatch.setattr("simipu.pipelines.convert.finalise", interrupt)
    with pytest.raises(IncompleteError):
        convert(KittiRaw(raw_root), tmp_path / "b", **arguments)
    monkeypatch.undo()
    victim = sorted(tmp_path.glob("b/.simipu/convert/*.npz"))[2]

    class Losing(KittiRaw):
        def scan(self):
            victim.unlink() if content is None else victim.write_bytes(content)
            return super().scan()

    convert(Losing(raw_root), tmp_path / "b", **arguments)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_converting_again_keeps_begun_correspondences(raw_root, raw_store, tmp_path, monkeypatch):
    out = tmp_path / "s"
    monkeypatch.setattr(correspond_module, "plan_tasks", small_tasks)
    convert(KittiRaw(raw_root), out, resources=ONE_WORKER)
    compute = correspond_module.frame_correspondences
    calls = []

    def interrupted(frame, policy):
        if len(calls) == 4:
            raise KeyboardInterrupt
        calls.append(frame.index)
        return compute(frame, policy)

    monkeypatch.setattr(correspond_module, "frame_correspondences", interrupted)
    with pytest.raises(IncompleteError, match="4 of 11 frames"):
        correspond_store(out, Policy(), resources=ONE_WORKER)
    assert verify(out) == []
    convert(KittiRaw(raw_root), out, resources=ONE_WORKER)
    calls.clear()
    monkeypatch.setattr(
        correspond_module,
        "frame_correspondences",
        lambda f, p: calls.append(f.index) or compute(f, p),
    )
    correspond_store(out, Policy(), resources=ONE_WORKER)
    assert calls == list(range(4, 11))
    assert not (out / ".simipu").exists()


def small_tasks(store):
    """As the real one, with two frames a task."""
    rows = schema.PAIRS_PER_SHARD
    tasks = [
        correspond_module.CorrespondTask(
            name=str(index),
            frames=range(2 * index, min(2 * index + 2, len(store))),
            rows=range(index * rows, (index + 1) * rows),
        )
        for index in range(-(-len(store) // 2))
    ]
    return tasks, len(tasks) * rows


def test_work_of_a_store_converted_anew_is_not_taken_up(raw_root, raw_store, tmp_path, monkeypatch):
    out = tmp_path / "s"
    convert(KittiRaw(raw_root), out, resources=ONE_WORKER)
    monkeypatch.setattr(correspond_module, "_finalise", interrupt)
    with pytest.raises(IncompleteError):
        correspond_store(out, Policy(), resources=ONE_WORKER)
    monkeypatch.undo()
    convert(KittiRaw(raw_root), out, resources=ONE_WORKER, overwrite=True)
    correspond_store(out, Policy(), resources=ONE_WORKER)
    assert contents(out) == contents(raw_store)


def interrupt(*_):
    raise KeyboardInterrupt


def test_a_full_disk_at_the_very_end_can_be_continued(raw_root, raw_store, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("simipu.pipelines.convert.finalise", full)
    with pytest.raises(IncompleteError, match="11 of 11 frames are done"):
        convert(KittiRaw(raw_root), tmp_path / "s", resources=ONE_WORKER)
    monkeypatch.undo()
    convert(KittiRaw(raw_root), tmp_path / "s", resources=ONE_WORKER)
    correspond_store(tmp_path / "s", Policy(), resources=ONE_WORKER)
    assert contents(tmp_path / "s") == contents(raw_store)
