"""Every fault of a KITTI raw root is named with its file and a way out."""

import re

import numpy as np
import pytest

from kitti_tree import DRIVE_1, DRIVE_3, write_raw_tree
from simipu.errors import SourceError
from simipu.pipelines.sources.kitti_raw import KittiRaw

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0f\nsize 886551\n"
DATE_1 = DRIVE_1.split("/")[0]


@pytest.fixture
def root(tmp_path):
    return write_raw_tree(
        tmp_path, drives={DRIVE_1: 3, DRIVE_3: 2}, cameras=("image_00", "image_02")
    )


def assert_skipped(root, file, *texts, indices=(1,)):
    """The scan leaves out these frames of the first drive, for this file, with these words."""
    scan = KittiRaw(root).scan()
    assert [s.frame_id for s in scan.skipped] == [f"{DRIVE_1}/{i:010d}" for i in indices]
    for skipped in scan.skipped:
        assert skipped.path == str(root / file)
        assert not skipped.expected
        for text in texts:
            assert text in skipped.reason
    assert sum(len(scene.frames) for scene in scan.scenes) == 5 - len(indices)


def assert_unreadable(root, file, *texts):
    """The scan lists frame 1 of the first drive; reading it fails for this file, so worded."""
    source = KittiRaw(root)
    scan = source.scan()
    assert scan.skipped == ()
    with pytest.raises(SourceError) as caught:
        source.read(scan.scenes[0].frames[1])
    assert caught.value.where == str(root / file)
    for text in texts:
        assert text in str(caught.value)
    source.read(scan.scenes[1].frames[1])


SCAN_1 = f"{DRIVE_1}/velodyne_points/data/0000000001.bin"
IMAGE_1 = f"{DRIVE_1}/image_02/data/0000000001.png"


def test_scan_without_image(root):
    for camera in ("image_00", "image_02"):
        (root / DRIVE_1 / camera / "data/0000000001.png").unlink()
    assert_skipped(root, SCAN_1, "scan without image", "Unpack")


def test_drive_without_scans_is_no_expected_gap(root):
    for path in (root / DRIVE_1 / "velodyne_points/data").iterdir():
        path.unlink()
    scan = KittiRaw(root).scan()
    assert [skipped.expected for skipped in scan.skipped] == [False] * 3
    assert all("the whole drive has no scans" in skipped.reason for skipped in scan.skipped)


@pytest.mark.parametrize("file", [SCAN_1, IMAGE_1])
def test_empty_file(root, file):
    (root / file).write_bytes(b"")
    assert_skipped(root, file, "the file is empty", "Unpack")


@pytest.mark.parametrize("file", [SCAN_1, IMAGE_1])
def test_git_lfs_pointer(root, file):
    (root / file).write_text(POINTER)
    assert_skipped(root, file, "Git LFS pointer", "git lfs pull")


def test_truncated_scan(root):
    (root / SCAN_1).write_bytes((root / SCAN_1).read_bytes()[:-1])
    assert_skipped(root, SCAN_1, "multiple of 16", "Unpack")


def test_point_that_is_not_finite(root):
    points = np.fromfile(root / SCAN_1, dtype="<f4")
    points[4 * 9 + 2] = np.nan
    points.tofile(root / SCAN_1)
    assert_unreadable(root, SCAN_1, "1 of 61 points", "the first in row 9", "Unpack")


def test_truncated_image(root):
    (root / IMAGE_1).write_bytes((root / IMAGE_1).read_bytes()[:-30])
    assert_unreadable(root, IMAGE_1, "truncated", "Unpack")


@pytest.mark.parametrize("file", [SCAN_1, IMAGE_1, f"{DRIVE_1}/oxts/data/0000000001.txt"])
def test_file_that_vanished_after_the_scan(root, file):
    source = KittiRaw(root)
    ref = source.scan().scenes[0].frames[1]
    (root / file).unlink()
    with pytest.raises(SourceError, match=rf"(?s){re.escape(file)}: the file is missing.*Unpack"):
        source.read(ref)


def test_damaged_oxts(root):
    file = f"{DRIVE_1}/oxts/data/0000000001.txt"
    (root / file).write_text("49.0 8.4 116.4\n")
    assert_unreadable(root, file, "has 3 values, not 30", "remove the drive's oxts folder")


@pytest.mark.parametrize(
    "name", ["calib_cam_to_cam.txt", "calib_velo_to_cam.txt", "calib_imu_to_velo.txt"]
)
@pytest.mark.parametrize("content", [None, b"", POINTER.encode()])
def test_calibration_file_missing_or_empty(root, name, content):
    path = root / DATE_1 / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    fault = "missing" if content is None else "Git LFS pointer" if content else "empty"
    assert_skipped(root, f"{DATE_1}/{name}", fault, indices=range(3))


@pytest.mark.parametrize(
    ("name", "pattern", "new", "fault"),
    [
        ("cam_to_cam", r"^P_rect_02:.*\n", "", "P_rect_02 is missing"),
        ("cam_to_cam", r"^R_rect_00:.*\n", "", "R_rect_00 is missing"),
        ("cam_to_cam", r"^(P_rect_00:.*) \S+$", r"\1", "P_rect_00 has 11 values, not 12"),
        ("cam_to_cam", r"^(P_rect_02:) \S+", r"\1 0", "P_rect_02 is no pinhole projection"),
        ("cam_to_cam", r"^(R_rect_00:) \S+", r"\1 0.9", "R_rect_00 is not orthonormal"),
        ("velo_to_cam", r"^T:.*\n", "", "T is missing"),
        ("velo_to_cam", r"^(R:) \S+", r"\1 abc", "R has a value that is no number"),
        ("velo_to_cam", r"^(T:) \S+", r"\1 inf", "T has a value that is NaN or infinite"),
        ("imu_to_velo", r"^(R:) \S+", r"\1 -9.999976e-01", "R is not orthonormal"),
        ("imu_to_velo", r"^calib_time", "calib_tim\xe9", "not plain text: byte 0xe9 in line 1"),
    ],
)
def test_damaged_calibration(root, name, pattern, new, fault):
    path = root / DATE_1 / f"calib_{name}.txt"
    text = re.sub(pattern, new, path.read_text(), flags=re.MULTILINE)
    assert text != path.read_text()
    path.write_bytes(text.encode("latin-1"))
    assert_skipped(root, f"{DATE_1}/calib_{name}.txt", fault, "Unpack", indices=range(3))


def test_repaired_calibration_is_read_again(root):
    source = KittiRaw(root)
    ref = source.scan().scenes[0].frames[0]
    before = source.read(ref).cameras["image_02"].K[0, 0]
    path = root / DATE_1 / "calib_cam_to_cam.txt"
    path.write_text(re.sub(r"(P_rect_02:) \S+", r"\1 9.0e+01", path.read_text()))
    source.scan()
    assert before != source.read(ref).cameras["image_02"].K[0, 0] == 90.0


@pytest.mark.parametrize("file", ["velodyne_points/timestamps_end.txt", "image_02/timestamps.txt"])
def test_fewer_times_than_frames(root, file):
    path = root / DRIVE_1 / file
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:1]))
    assert_skipped(root, f"{DRIVE_1}/{file}", "has 1 lines, too few for frame", indices=(1, 2))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe2011-09-26"])
def test_unreadable_times(root, content):
    file = f"{DRIVE_1}/image_02/timestamps.txt"
    (root / file).write_bytes(content)
    assert_skipped(root, file, "is", "Unpack", indices=range(3))


def test_damaged_time(root):
    file = f"{DRIVE_1}/velodyne_points/timestamps_start.txt"
    lines = (root / file).read_text().splitlines()
    lines[1] = lines[1].replace(":", ".")
    (root / file).write_text("\n".join(lines))
    assert_unreadable(root, file, "line 2 is not a time such as", "Unpack")


def test_only_unsynchronised_drives(tmp_path):
    drive = DRIVE_1.replace("sync", "extract")
    write_raw_tree(tmp_path, drives={drive: 1})
    with pytest.raises(SourceError, match=r"(?s)no synchronised drive.*_extract.*cannot be used"):
        KittiRaw(tmp_path).scan()
