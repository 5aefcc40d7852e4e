"""What every source promises: ours keep it, and each way to break it is told."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import kitti_tree
import nuscenes_tree
import rig_source
from simipu.pipelines.sources.contract import ContractError, Report, check_source
from simipu.pipelines.sources.kitti_object import KittiObject
from simipu.pipelines.sources.kitti_raw import KittiRaw
from simipu.pipelines.sources.nuscenes import NuScenes
from simipu.pipelines.sources.waymo import Waymo
from synthetic_world import generated


def kitti_object(folder):
    return KittiObject(kitti_tree.write_object_tree(folder, splits={"train": [0, 2]}))


def kitti_raw(folder):
    return KittiRaw(kitti_tree.write_raw_tree(folder, missing_scans=[(kitti_tree.DRIVE_2, 2)]))


def nuscenes(folder):
    return NuScenes(nuscenes_tree.write_tree(folder))


def nuscenes_sweeps(folder):
    return NuScenes(nuscenes_tree.write_tree(folder), sweeps=True, accumulate=2)


@pytest.mark.parametrize("make", [kitti_object, kitti_raw, nuscenes, nuscenes_sweeps])
def test_the_built_in_sources_keep_the_contract(make, tmp_path):
    assert check_source(make(tmp_path / "data")).read >= 6


@pytest.mark.parametrize("layout", ["waymo-v1", "waymo-v2"])
def test_waymo_keeps_it_though_many_frames_share_a_file(layout, tmp_path):
    size = {"image_scale": 0.1, "beams": 8, "columns": 90, "noise": False}
    root, _ = generated(tmp_path / "data", layout=layout, frames=3, **size)
    assert check_source(Waymo(root), frames_share_files=True).read == 3


@pytest.mark.parametrize(
    ("source", "folder"),
    [(KittiObject, "kitti_object"), (KittiRaw, "kitti_raw"), (NuScenes, "nuscenes")],
)
def test_they_keep_it_on_real_data(source, folder, sample_data):
    if not (sample_data / folder).is_dir():
        pytest.skip(f"no {folder} in {sample_data}")
    check_source(source(sample_data / folder), frames=4)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_waymo_keeps_it_on_real_data(version, sample_data):
    folder = sample_data / "waymo" / version
    if not folder.is_dir():
        pytest.skip(f"no Waymo sample at {folder}")
    assert check_source(Waymo(folder), frames_share_files=True).read == 3
    if version == "v1":  # Parquet files are not opened through Python
        with pytest.raises(ContractError, match="the scan opens files of frames"):
            check_source(Waymo(folder))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return rig_source.write_rig(tmp_path_factory.mktemp("rig") / "data")


def test_the_rig_that_the_others_break_keeps_it(root):
    report = check_source(rig_source.Rig(root), frames=None)
    assert report == Report(frames=8, read=8, pickled_bytes=report.pickled_bytes)
    assert check_source(rig_source.Rig(root), frames=2).read == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Lambda", "cannot be pickled: .*lambda"),
        ("Table", r"has 1,573,\d+ bytes when pickled"),
        ("Shuffled", "scanning again found something else: FrameRef.*, then FrameRef"),
        ("SameIds", "the ids of the frames must be unique, but 2 are '0'"),
        ("LowBound", "frame 'one/0': lidar has 120 points, more than ref.max_points, 119"),
        ("ReadsInScan", r"the scan calls read\(\), 8 times"),
        ("OpensInScan", "the scan opens files of frames, such as .*/one/0.f4, .*/one/0.png"),
        ("Drifting", r"read again differs in cameras\['front'\].timestamp_ns: 17\d+, then 17\d+"),
        ("OneThread", r"'one/0' read in one of 4 threads differs in attributes\['weather'\]"),
        ("OneProcess", r"'one/0' read in another process differs in attributes\['weather'\]"),
        ("Loaded", "in another process it failed: .*the tables are not loaded"),
        ("Nameless", "one/0.f4 is missing, the error is 'a file could not be read'"),
        ("Raw", "one/0.png is missing, the error is .FileNotFoundError"),
        ("Backwards", "frame 'one/1' is not later than 'one/0'"),
        ("Microseconds", "frames follow each other after 100000 ns"),
        ("OtherClock", "the image of front is -1.7e.* s from the sweep"),
        ("LongSweep", r"its sweep lasts 1.7e\+09 s"),
        ("Inverted", "no point of 8 frames lies in an image of front"),
        ("Millimetres", "T_camera_from_lidar of front moves by 300 m"),
        ("MillimetreClouds", r"half of its points are farther away than \d+.\d m"),
        ("Unscaled", r"the principal point of front, \(64, 48\), is outside"),
        ("FocalInMillimetres", "focal lengths of front, 4 and 4, do not fit its width of 64"),
        ("FourDigits", "T_camera_from_lidar of front is orthonormal to 2.0e-04 only"),
        ("NoMotion", "T_camera_from_lidar of front differs by 0.2 from what the other poses say"),
        ("Empty", "the scan found no frame"),
        ("Crashing", "rig_source:Crashing: frame 'one/2': KeyError: 'calibration'"),
        ("Silent", r"frame 'one/3': cameras\['front'\].T_camera_from_lidar has NaN"),
        ("ScanFails", r"scan\(\): ValueError: no such index \(rig_source.py, line \d+\)"),
        ("Half", "it has no scan, read"),
    ],
)
def test_what_is_broken_is_told(root, name, message):
    with pytest.raises(ContractError, match=re.compile(message, re.DOTALL)) as told:
        check_source(getattr(rig_source, name)(root))
    assert isinstance(told.value, AssertionError)
    assert "\n  " in str(told.value)  # what to do


def test_a_class_is_no_source():
    with pytest.raises(ContractError, match="takes an instance"):
        check_source(rig_source.Rig)


def test_it_works_in_a_plain_script_with_the_source_in_a_module(root, tmp_path):
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from rig_source import Rig\n"
        "from simipu.pipelines.sources.contract import check_source\n"
        "class Inside(Rig): pass\n"
        "print(check_source(Rig(Path(sys.argv[2]))))\n"
        "check_source(Inside(Path(sys.argv[2])))\n"
    )
    (tmp_path / "script.py").write_text(script)
    folder = Path(rig_source.__file__).parent
    result = subprocess.run(
        [sys.executable, tmp_path / "script.py", folder, root],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Report(frames=8, read=8, pickled_bytes=" in result.stdout, result.stderr
    assert "put it into a module" in result.stderr
