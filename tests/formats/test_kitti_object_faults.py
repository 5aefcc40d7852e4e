"""Every fault of a KITTI object root is named with its file and a way out."""

import math
import re

import numpy as np
import pytest

from kitti_tree import write_object_tree
from simipu.errors import SourceError
from simipu.pipelines.sources.kitti_object import KittiObject

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0f\nsize 886551\n"


@pytest.fixture
def root(tmp_path):
    return write_object_tree(tmp_path, training=3, testing=0)


def assert_skipped(root, file, *texts):
    """Frame 000001 alone is left out by the scan, for this file and with these words."""
    scan = KittiObject(root).scan()
    (skipped,) = scan.skipped
    assert skipped.frame_id == "training/000001"
    assert skipped.path == str(root / file)
    assert not skipped.expected
    for text in texts:
        assert text in skipped.reason
    assert [r.id for s in scan.scenes for r in s.frames] == ["training/000000", "training/000002"]


def assert_unreadable(root, file, *texts):
    """The scan lists frame 000001, and reading it fails for this file and with these words."""
    source = KittiObject(root)
    scan = source.scan()
    assert scan.skipped == ()
    ref = scan.scenes[0].frames[1]
    with pytest.raises(SourceError) as caught:
        source.read(ref)
    assert caught.value.where == str(root / file)
    for text in texts:
        assert text in str(caught.value)
    source.read(scan.scenes[0].frames[0])


@pytest.mark.parametrize(
    ("file", "fault", "advice"),
    [
        ("velodyne/000001.bin", "image without scan", "Unpack data_object_velodyne.zip again"),
        ("image_2/000001.png", "scan without image", "Unpack data_object_image_2.zip again"),
        ("image_3/000001.png", "scan without image", "Unpack data_object_image_3.zip again"),
        ("calib/000001.txt", "frame without calibration", "Unpack data_object_calib.zip again"),
    ],
)
def test_missing_file(root, file, fault, advice):
    (root / "training" / file).unlink()
    assert_skipped(root, f"training/{file}", fault, advice)


FILES = ("velodyne/000001.bin", "image_2/000001.png", "image_3/000001.png", "calib/000001.txt")


@pytest.mark.parametrize("file", FILES)
def test_empty_file(root, file):
    (root / "training" / file).write_bytes(b"")
    assert_skipped(root, f"training/{file}", "the file is empty", "Unpack")


@pytest.mark.parametrize("file", FILES)
def test_git_lfs_pointer(root, file):
    (root / "training" / file).write_text(POINTER)
    assert_skipped(root, f"training/{file}", "Git LFS pointer", "git lfs pull")


@pytest.mark.parametrize("file", FILES)
def test_broken_link(root, file):
    path = root / "training" / file
    path.unlink()
    path.symlink_to("/nowhere/at/all")
    assert_skipped(root, f"training/{file}", "link to /nowhere/at/all", "Unpack")


def test_truncated_scan(root):
    path = root / "training/velodyne/000001.bin"
    path.write_bytes(path.read_bytes()[:-3])
    assert_skipped(root, "training/velodyne/000001.bin", "973 bytes", "multiple of 16", "Unpack")


def test_image_and_scan_of_different_frames(root):
    (root / "training/velodyne/000001.bin").rename(root / "training/velodyne/000009.bin")
    scan = KittiObject(root).scan()
    assert [(s.frame_id, s.path) for s in scan.skipped] == [
        ("training/000001", str(root / "training/velodyne/000001.bin")),
        ("training/000009", str(root / "training/image_2/000009.png")),
    ]


def test_whole_folder_missing(root):
    for path in (root / "training/velodyne").iterdir():
        path.unlink()
    scan = KittiObject(root).scan()
    assert scan.scenes == ()
    assert len(scan.skipped) == 3
    assert all("data_object_velodyne.zip" in skipped.reason for skipped in scan.skipped)


def test_scans_without_any_image_folder(tmp_path):
    root = write_object_tree(tmp_path, training=1, testing=0, cameras=())
    (skipped,) = KittiObject(root).scan().skipped
    assert skipped.path == str(root / "training/image_2/000000.png")
    assert "scan without image" in skipped.reason


def test_empty_folders(tmp_path):
    (tmp_path / "training/velodyne").mkdir(parents=True)
    with pytest.raises(SourceError, match=r"(?s)the data set is empty.*data_object_velodyne\.zip"):
        KittiObject(tmp_path).scan()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("column", range(4))
def test_point_that_is_not_finite(root, value, column):
    path = root / "training/velodyne/000001.bin"
    points = np.fromfile(path, dtype="<f4").reshape(-1, 4)
    points[[17, 40], column] = value
    points.tofile(path)
    fault = "2 of 61 points are NaN or infinite, the first in row 17"
    assert_unreadable(root, "training/velodyne/000001.bin", fault, "Unpack")


def test_truncated_image(root):
    path = root / "training/image_3/000001.png"
    path.write_bytes(path.read_bytes()[:-100])
    assert_unreadable(root, "training/image_3/000001.png", "truncated", "Unpack")


def test_damaged_image(root):
    path = root / "training/image_2/000001.png"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert_unreadable(root, "training/image_2/000001.png", "wrong CRC", "Unpack")


@pytest.mark.parametrize("file", FILES)
def test_file_that_vanished_after_the_scan(root, file):
    source = KittiObject(root)
    ref = source.scan().scenes[0].frames[1]
    (root / "training" / file).unlink()
    with pytest.raises(SourceError, match=rf"(?s){re.escape(file)}: the file is missing.*Unpack"):
        source.read(ref)


def replace(pattern, new):
    return lambda text: re.sub(pattern, new, text, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (replace(r"^P2:.*\n", ""), "P2 is missing"),
        (replace(r"^P3:.*\n", ""), "P3 is missing"),
        (replace(r"^R0_rect:.*\n", ""), "R0_rect is missing"),
        (replace(r"^Tr_velo_to_cam:.*\n", ""), "Tr_velo_to_cam is missing"),
        (replace(r"^(P2:.*) \S+$", r"\1"), "P2 has 11 values, not 12"),
        (replace(r"^(R0_rect:.*)$", r"\1 0.0"), "R0_rect has 10 values, not 9"),
        (
            replace(r"^(Tr_velo_to_cam:) \S+", r"\1 7.53e-x"),
            "Tr_velo_to_cam has a value that is no",
        ),
        (replace(r"^(Tr_velo_to_cam:) \S+", r"\1 nan"), "Tr_velo_to_cam has a value that is NaN"),
        (replace(r"^(R0_rect:) \S+", r"\1 9.9e-01"), "rotation of R0_rect is not orthonormal"),
        (replace(r"^(Tr_imu_to_velo:) \S+", r"\1 0.5"), "rotation of Tr_imu_to_velo is not orth"),
        # Orthonormal, but it mirrors: the first row changes sign.
        (
            replace(r"^R0_rect:.*$", "R0_rect: -1 0 0 0 1 0 0 0 1"),
            "rotation of R0_rect is not orthonormal with determinant +1",
        ),
        (replace(r"^(P2:) \S+", r"\1 0.0"), "P2 is no pinhole projection"),
        (replace(r"^P2:.*$", "P2:" + " 0" * 12), "P2 is no pinhole projection"),
        (replace(r"^P1:", "P1"), "line 2 is not of the form 'KEY: values'"),
        (replace(r"^P1:", "Pé:"), "is not plain text: byte 0xc3 in line 2"),
    ],
)
def test_damaged_calibration(root, edit, fault):
    path = root / "training/calib/000001.txt"
    text = path.read_text()
    assert edit(text) != text
    path.write_text(edit(text))
    assert_unreadable(root, "training/calib/000001.txt", fault, "damaged. Unpack")


def test_printed_precision_is_tolerated(root):
    path = root / "training/calib/000001.txt"
    numbers = re.compile(r"-?\d\.\d+e[+-]\d+")
    path.write_text(numbers.sub(lambda m: f"{float(m[0]):.4f}", path.read_text()))
    source = KittiObject(root)
    source.read(source.scan().scenes[0].frames[1])


@pytest.mark.parametrize(
    ("lists", "file", "fault"),
    [
        ({"train": "000000\n0001\n"}, "train.txt", "line 2 is not a frame number of 6 digits"),
        ({"val": "000000\n../../x\n"}, "val.txt", "line 2 is not a frame number of 6 digits"),
        ({"train": "000000\n", "val": "000000\n"}, "val.txt", "frame 000000 is in train.txt as"),
        ({"train": ""}, "train.txt", "the file is empty"),
    ],
)
def test_damaged_image_sets(root, lists, file, fault):
    (root / "ImageSets").mkdir()
    for split, text in lists.items():
        (root / "ImageSets" / f"{split}.txt").write_text(text)
    with pytest.raises(SourceError, match=fault) as caught:
        KittiObject(root).scan()
    assert caught.value.where == str(root / "ImageSets" / file)
    assert caught.value.fix is not None
