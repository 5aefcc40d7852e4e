"""Waymo as a source of the converter: finding segments, options, and a store of either version."""

import os
import pickle
import shutil

import numpy as np
import pytest

import simipu
from folders import ONE_WORKER
from simipu.errors import IncompleteError, SourceError, UsageError
from simipu.pipelines.convert import convert
from simipu.pipelines.sources.waymo import Waymo
from simipu.pipelines.synthetic.waymo_v1 import as_record
from synthetic_waymo import by_name, frames, transform
from synthetic_world import generated

SMALL = {"image_scale": 0.05, "beams": 8, "columns": 100, "truth": False}
NAMES = [f"10000000000050000{scene:02d}_0_000_0_300" for scene in (0, 1)]


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """The same two segments, one for training and one for validation, in both versions."""
    folder = tmp_path_factory.mktemp("waymo")
    return {
        version: generated(
            folder / version, layout=f"waymo-{version}", scenes=2, frames=3, **SMALL
        )[0]
        for version in ("v1", "v2")
    }


@pytest.fixture(params=["v1", "v2"])
def root(request, roots):
    return roots[request.param]


@pytest.fixture
def copy(roots, tmp_path):
    """A copy of version 1 to spoil, and its two files."""
    root = tmp_path / "copy"
    shutil.copytree(roots["v1"], root)
    return root, *(next((root / split).iterdir()) for split in ("training", "validation"))


def test_segments_and_frames_are_found(root):
    scan = Waymo(root).scan()
    assert not scan.skipped
    assert [(s.name, s.split) for s in scan.scenes] == [
        (NAMES[0], "training"),
        (NAMES[1], "validation"),
    ]
    for scene in scan.scenes:
        assert scene.attributes == {
            "time_of_day": "Day",
            "location": "location_other",
            "weather": "sunny",
        }
        times = [int(ref.id.removeprefix(f"{scene.name}/")) for ref in scene.frames]
        assert np.diff(times).tolist() == [100_000, 100_000]


def test_a_split_can_be_the_root_or_be_chosen(root):
    for source in (Waymo(root / "validation"), Waymo(root, split="validation")):
        (scene,) = source.scan().scenes
        assert (scene.name, scene.split) == (NAMES[1], "validation")


def test_a_conversion_of_one_split_does_not_go_on_with_another(root, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("simipu.pipelines.convert.finalise", interrupt)
    with pytest.raises(IncompleteError):
        convert(Waymo(root, split="training"), tmp_path / "s", resources=ONE_WORKER, limit=1)
    monkeypatch.undo()
    with pytest.raises(UsageError, match="a conversion with another options was begun here"):
        convert(Waymo(root, split="validation"), tmp_path / "s", resources=ONE_WORKER, limit=1)


def test_bounds_hold_and_frames_are_read_after_pickling(root):
    source = Waymo(root)
    scan = source.scan()
    source = pickle.loads(pickle.dumps(source))
    for scene in scan.scenes:
        for ref in scene.frames:
            frame = source.read(ref)
            assert frame.id == ref.id == f"{scene.name}/{frame.timestamp_ns // 1000}"
            assert 0 < len(frame.lidar) <= ref.max_points
            assert 0 < sum(len(i.data) for i in frame.cameras.values()) <= ref.max_image_bytes
            assert {n: c.dtype.str for n, c in frame.lidar.columns.items()} == dict(
                source.info.point_columns
            )
    assert len(pickle.dumps(source)) < 10_000


def test_frames_of_one_worker_do_not_depend_on_another(root):
    whole, part = Waymo(root), Waymo(root)
    refs = [ref for scene in whole.scan().scenes for ref in scene.frames]
    for ref in refs:
        whole.read(ref)
    last, first = part.read(refs[-1]), part.read(refs[0])
    for frame, ref in ((last, refs[-1]), (first, refs[0])):
        assert frame.lidar.columns["x"].tobytes() == whole.read(ref).lidar.columns["x"].tobytes()


def test_stride_returns_and_lasers(root):
    source = Waymo(root, stride=2, returns=1, lasers=("REAR", "TOP"))
    (scene, _) = source.scan().scenes
    all_frames = Waymo(root).scan().scenes[0].frames
    assert [ref.id for ref in scene.frames] == [ref.id for ref in all_frames[::2]]
    columns = source.read(scene.frames[0]).lidar.columns
    assert np.unique(columns["laser"]).tolist() == [1, 5]
    assert np.unique(columns["return"]).tolist() == [1]
    assert source.info.options == {
        "split": None,
        "returns": 1,
        "lasers": ["TOP", "REAR"],
        "stride": 2,
    }


def test_lasers_stand_where_the_first_segment_says(root, roots):
    path = next((roots["v1"] / "training").iterdir())
    calibrations = by_name(frames(path)[0].context.laser_calibrations)
    expected = {number: transform(calibrations[number].extrinsic)[:3, 3] for number in range(1, 6)}
    found = Waymo(root).info.lidar_origins_m
    assert list(found) == [1, 2, 3, 4, 5]
    np.testing.assert_allclose([*found.values()], [*expected.values()], rtol=0, atol=0.0005)
    assert len(set(found.values())) == 5
    some = Waymo(root, lasers=("REAR", "TOP"), stride=2).info.lidar_origins_m
    assert some == {number: found[number] for number in (1, 5)}


def test_a_segment_without_a_whole_calibration_says_nothing_of_lasers(copy):
    root, training, validation = copy

    def place_top(path, transform):
        segment = frames(path)
        for frame in segment:
            top = by_name(frame.context.laser_calibrations)[1]
            top.extrinsic.transform[:] = transform
        path.write_bytes(b"".join(as_record(frame.SerializeToString()) for frame in segment))

    for number, path in enumerate((training, validation)):
        place_top(path, [1, 0, 0, number, 0, 1, 0, 0.1236, 0, 0, 1, 2, 0, 0, 0, 1])
    assert Waymo(root).info.lidar_origins_m[1] == (0.0, 0.124, 2.0)
    place_top(training, [])
    assert Waymo(root).info.lidar_origins_m[1] == (1.0, 0.124, 2.0)
    place_top(validation, [])
    assert Waymo(root).info.lidar_origins_m == {}


def test_both_versions_make_the_same_store(roots, tmp_path):
    stores = []
    for version, root in roots.items():
        convert(Waymo(root), tmp_path / version, resources=ONE_WORKER)
        stores.append(simipu.open_store(tmp_path / version))
    one, two = stores
    assert len(one) == len(two) == 6
    places = [store.attributes["source"]["lidar_origins_m"] for store in stores]
    assert places[0] == places[1]
    assert list(places[0]) == ["1", "2", "3", "4", "5"]
    for a, b in zip(one, two, strict=True):
        assert (a.id, a.split, a.timestamp_ns) == (b.id, b.split, b.timestamp_ns)
        assert len(a.points.columns) == 16
        for name in a.points.columns:
            assert a.points[name].tobytes() == b.points[name].tobytes()
        assert list(a.cameras) == list(b.cameras)
        for name, camera in a.cameras.items():
            other = b.cameras[name]
            assert camera.encoded() == other.encoded()
            np.testing.assert_array_equal(camera.T_camera_from_lidar, other.T_camera_from_lidar)
            for attribute in ("direction", "start_ns", "end_ns"):
                assert getattr(camera.shutter, attribute) == getattr(other.shutter, attribute)
            np.testing.assert_array_equal(
                camera.shutter.linear_velocity_m_s, other.shutter.linear_velocity_m_s
            )


def test_a_segment_that_repeats_is_left_out_and_named(copy):
    root, training, _ = copy
    (root / "more").mkdir()
    shutil.copy(training, root / "more" / "again.tfrecord")
    scan = Waymo(root).scan()
    assert [scene.name for scene in scan.scenes] == [NAMES[0], NAMES[1]]
    (fault,) = scan.skipped
    assert fault.frame_id == training.name
    assert "is the segment 1" in fault.reason
    assert "more/again.tfrecord too" in fault.reason


def test_a_truncated_segment_is_named_and_the_others_are_found(copy):
    root, training, _ = copy
    os.truncate(training, training.stat().st_size - 100)
    scan = Waymo(root).scan()
    assert [scene.name for scene in scan.scenes] == [NAMES[1]]
    (fault,) = scan.skipped
    assert fault.path == str(training)
    assert "record 2 at byte" in fault.reason
    assert not fault.expected


def test_a_frame_that_is_there_twice_or_of_another_segment_is_named(copy):
    root, training, validation = copy
    data = training.read_bytes()
    training.write_bytes(data + data)
    both = validation.read_bytes() + data
    validation.write_bytes(both)
    scan = Waymo(root).scan()
    assert not scan.scenes
    reasons = " ".join(fault.reason for fault in scan.skipped)
    assert "record 3 at byte" in reasons
    assert "is there twice" in reasons
    assert f"is a frame of the segment {NAMES[0]}, not of {NAMES[1]}" in reasons


def test_segments_are_scanned_without_their_payloads(copy):
    """All but the first bytes of the records may be wrong: that shows when they are read."""
    root, training, _ = copy
    source = Waymo(root, split="training")
    before = source.scan()
    data = bytearray(training.read_bytes())
    middle = before.scenes[0].frames[1].key[3][1] + 30_000
    data[middle : middle + 1000] = bytes(1000)
    training.write_bytes(data)
    assert source.scan() == before
    with pytest.raises(SourceError, match="the CRC of its data is wrong"):
        source.read(before.scenes[0].frames[1])


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"format": "v3"}, "there is no format 'v3'"),
        ({"split": "testing"}, "no segment is of the split 'testing'"),
        ({"lasers": ("TOP", "BACK")}, "there is no laser BACK"),
        ({"lasers": ()}, "no laser is chosen"),
        ({"returns": 3}, "returns is 3"),
        ({"stride": 0}, "stride 0"),
    ],
)
def test_options_that_cannot_be_met_are_refused(root, options, what):
    with pytest.raises(UsageError, match=what) as caught:
        Waymo(root, **options)
    assert caught.value.fix


def test_other_folders_are_no_roots(tmp_path, roots):
    with pytest.raises(SourceError, match="no segment of Waymo's perception data"):
        Waymo(tmp_path)
    with pytest.raises(SourceError, match="does not exist"):
        Waymo(tmp_path / "none")
    with pytest.raises(SourceError, match="no segment"):
        Waymo(roots["v1"], format="v2")
    both = tmp_path / "both"
    for version, root in roots.items():
        shutil.copytree(root, both / version)
    with pytest.raises(UsageError, match="both version 1 and version 2"):
        Waymo(both)
    assert [len(Waymo(both, format=v).scan().scenes) for v in ("v1", "v2")] == [2, 2]


@pytest.mark.parametrize("component", ["stats", "lidar_camera_projection", "lidar_pose"])
def test_version_2_without_a_component(roots, tmp_path, component):
    root = tmp_path / "copy"
    shutil.copytree(roots["v2"], root)
    for split in ("training", "validation"):
        shutil.rmtree(root / split / component)
    lasers = None
    if component == "lidar_pose":
        with pytest.raises(SourceError, match="TOP cannot be converted") as caught:
            Waymo(root)
        assert "FRONT, SIDE_LEFT, SIDE_RIGHT, REAR" in caught.value.fix
        lasers = ("FRONT", "SIDE_LEFT", "SIDE_RIGHT", "REAR")
    source = Waymo(root, lasers=lasers)
    scan = source.scan()
    frame = source.read(scan.scenes[0].frames[0])
    assert [note for note in source.info.notes if f"The component {component} is not there" in note]
    has_projections = component != "lidar_camera_projection"
    assert ("projection_x" in frame.lidar.columns) == has_projections
    assert ("projection_x" in source.info.point_columns) == has_projections
    assert (scan.scenes[0].attributes["weather"] == "") == (component == "stats")


def test_the_split_is_that_of_an_official_archive(copy):
    root, training, _ = copy
    training.parent.rename(root / "training_0003")
    (root / "validation").rename(root / "more")
    splits = {scene.name: scene.split for scene in Waymo(root).scan().scenes}
    assert splits == {NAMES[0]: "training", NAMES[1]: ""}
