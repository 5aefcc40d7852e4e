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
from simipu.pipelines.sources.kitti_raw import KittiRaw

SMALL_TASK = 3000  # about two frames of the small tree


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
