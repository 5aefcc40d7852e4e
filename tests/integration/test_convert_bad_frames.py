"""Frames that cannot be converted: named, mended, or left out and listed."""

import re
from pathlib import Path

import numpy as np
import pytest

import kitti_tree
import simipu
from folders import ONE_WORKER, contents
from simipu.errors import IncompleteError, SimipuError, SourceError
from simipu.pipelines.convert import convert
from simipu.pipelines.sources.kitti_object import KittiObject
from simipu.pipelines.sources.kitti_raw import KittiRaw

SMALL_TASK = 3000  # about two frames of the small tree


class Stopped(KittiRaw):
    """Is interrupted when the first two drives are converted."""

    def read(self, ref):
        if "drive_0027" in ref.id:
            raise KeyboardInterrupt
        return super().read(ref)


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


def test_files_that_are_put_back_while_stopped_are_taken_up(tmp_path):
    """What an earlier run left of the same state of the source may have been overwritten since."""
    root = kitti_tree.write_raw_tree(tmp_path / "raw")
    arguments = {"resources": ONE_WORKER, "task_bytes": SMALL_TASK}
    image = root / kitti_tree.DRIVE_1 / "image_02/data/0000000000.png"
    original = image.read_bytes()
    with pytest.raises(IncompleteError):
        convert(Stopped(root), tmp_path / "s", **arguments)
    kitti_tree.write_png(image, kitti_tree.RAW_SIZE, "L", np.random.default_rng(0))
    assert len(image.read_bytes()) != len(original)
    with pytest.raises(IncompleteError):
        convert(Stopped(root), tmp_path / "s", **arguments)
    image.write_bytes(original)
    convert(KittiRaw(root), tmp_path / "s", **arguments)
    convert(KittiRaw(root), tmp_path / "t", **arguments)
    assert contents(tmp_path / "s") == contents(tmp_path / "t")


def test_a_calibration_replaced_while_stopped_is_taken_up(tmp_path):
    class StoppedObject(KittiObject):
        def read(self, ref):
            if ref.id == "training/000003":
                raise KeyboardInterrupt
            return super().read(ref)

    root = kitti_tree.write_object_tree(tmp_path / "kitti")
    arguments = {"resources": ONE_WORKER, "task_bytes": 1}
    with pytest.raises(IncompleteError):
        convert(StoppedObject(root), tmp_path / "s", **arguments)
    calibration = root / "training" / "calib" / "000001.txt"
    text = calibration.read_text()
    calibration.write_text(re.sub(r"(?m)^P2: \S", "P2: 3", text))
    assert calibration.read_text() != text
    convert(KittiObject(root), tmp_path / "s", **arguments)
    convert(KittiObject(root), tmp_path / "t", **arguments)
    assert contents(tmp_path / "s") == contents(tmp_path / "t")


@pytest.mark.parametrize("packet", [0, 2])
def test_a_pose_replaced_while_stopped_is_taken_up(tmp_path, packet):
    """The first packet is the origin of all of the drive's poses."""
    root = kitti_tree.write_raw_tree(tmp_path / "raw")
    arguments = {"resources": ONE_WORKER, "task_bytes": 1}
    with pytest.raises(IncompleteError):
        convert(Stopped(root), tmp_path / "s", **arguments)
    kitti_tree.write_oxts(root / kitti_tree.DRIVE_1 / f"oxts/data/{packet:010d}.txt", 3, 1)
    convert(KittiRaw(root), tmp_path / "s", **arguments)
    convert(KittiRaw(root), tmp_path / "t", **arguments)
    assert contents(tmp_path / "s") == contents(tmp_path / "t")


def test_frames_skipped_by_an_earlier_run_are_read_again_without_skip_bad(tmp_path):
    root = kitti_tree.write_raw_tree(tmp_path / "raw")
    path = damage(root, kitti_tree.DRIVE_1, 0)

    arguments = {"resources": ONE_WORKER, "task_bytes": SMALL_TASK}
    with pytest.raises(IncompleteError):
        convert(Stopped(root), tmp_path / "s", skip_bad=True, **arguments)
    with pytest.raises(SourceError, match=path.name):
        convert(KittiRaw(root), tmp_path / "s", **arguments)


def test_frames_mended_while_stopped_are_read_again_with_skip_bad(tmp_path):
    root = kitti_tree.write_raw_tree(tmp_path / "raw")
    scan = root / kitti_tree.DRIVE_1 / "velodyne_points/data/0000000000.bin"
    good = scan.read_bytes()
    assert damage(root, kitti_tree.DRIVE_1, 0) == scan
    arguments = {"resources": ONE_WORKER, "task_bytes": SMALL_TASK, "skip_bad": True}
    with pytest.raises(IncompleteError):
        convert(Stopped(root), tmp_path / "s", **arguments)
    scan.write_bytes(good)
    convert(KittiRaw(root), tmp_path / "s", **arguments)
    convert(KittiRaw(root), tmp_path / "t", **arguments)
    assert simipu.open_store(tmp_path / "s").attributes["skipped"] == []
    assert contents(tmp_path / "s") == contents(tmp_path / "t")


def test_where_no_frame_could_be_read_the_same_command_does_it_once_they_are_mended(tmp_path):
    root = kitti_tree.write_raw_tree(tmp_path / "raw", drives={kitti_tree.DRIVE_1: 1})
    scan = root / kitti_tree.DRIVE_1 / "velodyne_points/data/0000000000.bin"
    good = scan.read_bytes()
    damage(root, kitti_tree.DRIVE_1, 0)
    with pytest.raises(SourceError, match="run the same command again"):
        convert(KittiRaw(root), tmp_path / "s", resources=ONE_WORKER, skip_bad=True)
    scan.write_bytes(good)
    convert(KittiRaw(root), tmp_path / "s", resources=ONE_WORKER, skip_bad=True)
    assert len(simipu.open_store(tmp_path / "s")) == 1


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
    with pytest.raises(SourceError, match="also beyond --limit"):
        convert(KittiRaw(root), tmp_path / "s", resources=ONE_WORKER, limit=1)
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
