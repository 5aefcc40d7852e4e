"""Waymo's frames against the results of the official code, and against the exact truth."""

import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from simipu.geometry import shutter
from simipu.pipelines.sources import waymo_v1, waymo_v2
from simipu.pipelines.sources.tfrecord import index_records
from simipu.pipelines.sources.waymo_calibration import READ_OUTS
from simipu.pipelines.sources.waymo_frame import Assembly, nanoseconds
from simipu.pipelines.sources.waymo_parts import CAMERAS, LASERS, Image
from synthetic_waymo import STAGE, by_name, cloud, frames, transform
from synthetic_world import generated, truth_of

SEGMENT = "1024360143612057520_3580_000_3600_000"
SMALL = {"image_scale": 0.2, "beams": 16, "columns": 400, "noise": False}
ALL_COLUMNS = [
    "x",
    "y",
    "z",
    "intensity",
    "elongation",
    "laser",
    "return",
    "no_label_zone",
    "range_row",
    "range_column",
    "projection_camera",
    "projection_x",
    "projection_y",
    "projection2_camera",
    "projection2_x",
    "projection2_y",
]


@pytest.fixture(scope="module")
def sample(sample_data):
    folder = sample_data / "waymo"
    if not folder.is_dir():
        pytest.skip(f"no Waymo sample at {folder}")
    return folder


@pytest.fixture(scope="module")
def expected(sample):
    return [np.load(sample / "expected" / f"frame_{k}.npz") for k in range(3)]


@pytest.fixture(scope="module")
def sample_parts(sample):
    (path,) = (sample / "v1").iterdir()
    return [waymo_v1.read_frame(path, record)[0] for record in index_records(path)]


@pytest.fixture(scope="module")
def sample_frames(sample, sample_parts):
    return [Assembly().frame(parts, str(k), sample) for k, parts in enumerate(sample_parts)]


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """The same world in both versions of the format: (folder of v1, folder of v2)."""
    folder = tmp_path_factory.mktemp("waymo")
    return tuple(
        generated(folder / version, layout=f"waymo-{version}", frames=3, **SMALL)[0]
        for version in ("v1", "v2")
    )


def v1_frames(root, **options):
    (path,) = root.rglob("*.tfrecord")
    found = []
    for record in index_records(path):
        parts, stats = waymo_v1.read_frame(path, record)
        found.append((Assembly(**options).frame(parts, str(parts.timestamp_us), path), stats))
    return found


def v2_frames(folder, context, **options):
    segment = waymo_v2.Segment(folder, context)
    assert list(segment.timestamps) == sorted(segment.timestamps)
    return [
        (Assembly(**options).frame(segment.read_frame(t), str(t), segment.path), segment.stats)
        for t in segment.timestamps
    ]


def points_of(frame, laser, which):
    columns = frame.lidar.columns
    own = (columns["laser"] == laser) & (columns["return"] == which)
    return {name: column[own] for name, column in columns.items()}


def xyz_of(columns):
    return np.stack([columns[axis] for axis in "xyz"], axis=1)


def project(image, points, **options):
    return shutter.project(
        points,
        T_camera_from_lidar=image.T_camera_from_lidar,
        T_ego_from_camera=image.T_ego_from_camera,
        K=image.K,
        distortion=image.distortion,
        width=image.width,
        height=image.height,
        shutter=image.shutter,
        timestamp_ns=image.timestamp_ns,
        **options,
    )


def assert_equal(one, other):
    """Two frames, or parts of them, are equal bit for bit."""
    if isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key, value in one.items():
            assert_equal(value, other[key])
    elif hasattr(one, "__dataclass_fields__"):
        assert type(one) is type(other)
        for name in one.__dataclass_fields__:
            assert_equal(getattr(one, name), getattr(other, name))
    else:
        assert type(one) is type(other)
        assert one == other


@pytest.mark.parametrize("which", [1, 2])
@pytest.mark.parametrize(("laser", "name"), LASERS.items())
@pytest.mark.parametrize("k", [0, 1, 2])
def test_points_are_those_of_the_official_code(sample_frames, expected, k, laser, name, which):
    found, official = points_of(sample_frames[k], laser, which), expected[k]
    prefix = f"{name}_r{which}"
    assert len(found["x"]) == len(official[f"{prefix}_xyz64"]) > 0
    np.testing.assert_allclose(xyz_of(found), official[f"{prefix}_xyz64"], rtol=0, atol=1e-5)
    rie, nlz = official[f"{prefix}_rie"], official[f"{prefix}_nlz"]
    assert found["intensity"].tobytes() == rie[:, 1].tobytes()
    assert found["elongation"].tobytes() == rie[:, 2].tobytes()
    np.testing.assert_array_equal(found["no_label_zone"], nlz == 1)
    pixels = np.stack([found["range_row"], found["range_column"]], axis=1)
    np.testing.assert_array_equal(pixels, official[f"{prefix}_rowcol"])
    names = [name for name in ALL_COLUMNS if name.startswith("projection")]
    projections = np.stack([found[name] for name in names], axis=1)
    np.testing.assert_array_equal(projections, official[f"{prefix}_cp"])


def test_the_sample_has_what_the_tests_want(expected):
    zones = [e[f"{name}_r1_nlz"] for e in expected for name in LASERS.values()]
    assert {-1, 1} <= set(np.concatenate(zones).tolist())


def test_v1_and_v2_of_the_sample_are_equal(sample, sample_frames):
    stats = ("Day", "location_sf", "sunny")
    found = v2_frames(sample / "v2", SEGMENT)
    assert len(found) == len(sample_frames) == 3
    for k, (frame, segment) in enumerate(found):
        assert_equal(replace(frame, id=str(k)), sample_frames[k])
        assert segment == (SEGMENT, *stats)


@pytest.mark.parametrize("k", [0, 1, 2, "whatif"])
def test_pixels_are_those_of_the_official_code(sample, sample_parts, sample_frames, expected, k):
    """Its lines are evenly spaced in directions. Anything else is tenths of pixels off."""
    frame, official, rows = sample_frames[k if k != "whatif" else 0], None, slice(None)
    if k == "whatif":
        official = np.load(sample / "expected" / "frame_0_whatif_moving.npz")
        images = {
            name: what_if(official[f"{name}_meta"], sample_parts[0].images[name].jpeg)
            for name in CAMERAS.values()
        }
        frame = Assembly().frame(replace(sample_parts[0], images=images), "what if", sample)
        rows = official["point_index"]
    official = expected[k] if official is None else official
    first = frame.lidar.columns["return"] == 1
    points = xyz_of(frame.lidar.columns)[first][rows]
    cameras = [name for name in CAMERAS.values() if f"{name}_uv" in official]
    assert list(frame.cameras) == cameras
    for name in cameras:
        image = frame.cameras[name]
        edge = official[f"{name}_uv"]
        trusted = official[f"{name}_trust"] & (edge >= 0).all(axis=1)
        trusted &= (edge < [image.width, image.height]).all(axis=1)
        assert trusted.sum() > 600
        row, uv, depth = project(image, points, timing="directions")
        ours = np.full((len(points), 2), np.nan)
        ours[row] = uv + 0.5
        assert np.abs(ours[trusted] - edge[trusted]).max() < 0.005
        if k != "whatif":
            np.testing.assert_allclose(
                depth, official[f"{name}_depth"][row], rtol=0, atol=1e-3 if k else 1e-5
            )
        # By the times of a sensor's columns, which the official code does not use.
        row, uv, _ = project(image, points)
        ours[row] = uv + 0.5
        assert np.abs(ours[trusted] - edge[trusted]).max() < (1.0 if k else 0.004)


def what_if(meta, jpeg):
    return Image(
        jpeg=jpeg,
        T_world_from_ego=meta[:16].reshape(4, 4),
        velocity_m_s=meta[16:19],
        angular_velocity_rad_s=meta[19:22],
        pose_s=meta[22],
        shutter_s=meta[23],
        trigger_s=meta[24],
        readout_done_s=meta[25],
    )


def test_waymos_own_projections_are_where_route_b_is(sample_frames):
    agree = []
    for frame in sample_frames:
        columns = frame.lidar.columns
        for number, name in CAMERAS.items():
            if name not in frame.cameras:
                continue
            row, uv, _ = project(frame.cameras[name], xyz_of(columns), timing="directions")
            for prefix in ("projection", "projection2"):
                own = columns[f"{prefix}_camera"][row] == number
                theirs = np.stack([columns[f"{prefix}_{axis}"][row[own]] for axis in "xy"], axis=1)
                agree.append((np.floor(uv[own] + 0.5) == theirs).all(axis=1))
    assert len(np.concatenate(agree)) > 20_000
    assert np.concatenate(agree).mean() > 0.999


def test_the_sample_is_read_as_it_is(sample_frames, sample_parts, expected):
    frame, parts = sample_frames[0], sample_parts[0]
    assert frame.lidar.columns.keys() == set(ALL_COLUMNS)
    assert frame.timestamp_ns == frame.lidar.timestamp_start_ns == 1553735853462203000
    np.testing.assert_array_equal(frame.T_world_from_ego, expected[0]["frame_pose"])
    np.testing.assert_array_equal(frame.lidar.T_ego_from_lidar, np.eye(4))
    assert list(sample_frames[1].cameras) == ["FRONT", "SIDE_LEFT"]
    for name, image in frame.cameras.items():
        assert image.data == parts.images[name].jpeg
        meta = expected[0][f"{name}_meta"]
        assert abs(image.timestamp_ns * 1e-9 - meta[22]) < 1e-6
        assert image.shutter.direction == "left_to_right"
        readout_ns = image.shutter.end_ns - image.shutter.start_ns
        assert readout_ns * 1e-9 == pytest.approx(meta[25] - meta[24] - meta[23], abs=1e-9)
        # The camera looks where its name says.
        axis = image.T_ego_from_camera[:3, 2]
        heading = {"FRONT": 0, "FRONT_LEFT": 45, "FRONT_RIGHT": -45}
        heading |= {"SIDE_LEFT": 90, "SIDE_RIGHT": -90}
        assert np.degrees(np.arctan2(axis[1], axis[0])) == pytest.approx(heading[name], abs=3)
        assert image.T_ego_from_camera[2, 1] == pytest.approx(-1, abs=0.01)  # y points down


def test_nanoseconds_are_rounded_once():
    for seconds in (1553735853.462203, 1550000000.0625, 1e-9 / 3):
        assert nanoseconds(seconds) == round(Decimal(seconds) * 10**9)
    assert nanoseconds(1.5e9, 2.5e-10) == 1_500_000_000_000_000_000
    assert nanoseconds(1.5e9, 7.5e-10) == 1_500_000_000_000_000_001


def test_v1_and_v2_of_a_synthetic_world_are_equal(worlds):
    one, two = worlds
    (path,) = one.rglob("*.tfrecord")
    context = path.name.removeprefix("segment-").removesuffix("_with_camera_labels.tfrecord")
    expected = v1_frames(one)
    found = v2_frames(two / "training", context)
    assert len(found) == len(expected) == 3
    for (frame, stats), (its_frame, its_stats) in zip(found, expected, strict=True):
        assert_equal(frame, its_frame)
        assert stats == its_stats == (context, "Day", "location_other", "sunny")


def test_synthetic_points_are_those_of_the_slow_reader(worlds):
    (path,) = worlds[0].rglob("*.tfrecord")
    for (frame, _), message in zip(v1_frames(worlds[0]), frames(path), strict=True):
        T = transform(message.pose)
        order = [(which, laser) for which in (1, 2) for laser in LASERS]
        assert np.unique(frame.lidar.columns["return"]).tolist() == [1, 2]
        rows = [cloud(message, laser, which) for which, laser in order]
        expected = np.concatenate([found.world for found in rows])
        np.testing.assert_allclose(
            xyz_of(frame.lidar.columns), (expected - T[:3, 3]) @ T[:3, :3], rtol=0, atol=1e-5
        )
        laser = np.concatenate(
            [
                np.full(len(found.world), laser)
                for (_, laser), found in zip(order, rows, strict=True)
            ]
        )
        np.testing.assert_array_equal(frame.lidar.columns["laser"], laser)
        for name, image in by_name(message.images).items():
            assert frame.cameras[CAMERAS[name]].data == image.image


def test_synthetic_pixels_are_the_true_ones(worlds):
    """Of what stands still; the car drives and turns. Constant velocity is not all of the truth."""
    actors = STAGE(5, 0, 0.3).world.actors
    parked = [0] + [actor.object_id for actor in actors if actor.surface is None]
    compared, shifts = 0, []
    for k, (frame, _) in enumerate(v1_frames(worlds[0], returns=1)):
        truth = truth_of(worlds[0], 0, k)
        points = xyz_of(frame.lidar.columns)
        assert len(points) == len(truth.object_id)
        still = np.isin(truth.object_id, parked)
        for name, image in frame.cameras.items():
            exact = truth.cameras[name]
            row, uv, depth = project(image, points)
            both, ours, theirs = np.intersect1d(row, exact.row, return_indices=True)
            near_edge = (
                np.minimum(exact.uv + 0.5, [image.width, image.height] - exact.uv - 0.5).min(axis=1)
                < 0.1
            )
            missing = ~np.isin(exact.row, row) & still[exact.row] & ~near_edge
            assert not missing.any()
            chosen = still[both]
            off = np.abs(uv[ours] - exact.uv[theirs]).max(axis=1)[chosen]
            assert off.max() < 0.05
            np.testing.assert_allclose(
                depth[ours][chosen], exact.depth[theirs][chosen], rtol=0, atol=5e-3
            )
            compared += chosen.sum()
            standing = replace(
                image.shutter,
                linear_velocity_m_s=np.zeros(3),
                angular_velocity_rad_s=np.zeros(3),
            )
            row, at_once, _ = project(replace(image, shutter=standing), points)
            _, ours, theirs = np.intersect1d(row, exact.row, return_indices=True)
            shifts.append(np.abs(at_once[ours] - exact.uv[theirs]).max(axis=1).max())
    assert compared > 2000
    assert max(shifts) > 3


def test_lasers_and_returns_can_be_chosen(worlds):
    every, _ = v1_frames(worlds[0])[0]
    chosen, _ = v1_frames(worlds[0], returns=1, lasers=("REAR", "FRONT"), projections=False)[0]
    assert list(chosen.lidar.columns) == ALL_COLUMNS[:10]
    own = np.isin(every.lidar.columns["laser"], [2, 5]) & (every.lidar.columns["return"] == 1)
    for name, column in chosen.lidar.columns.items():
        np.testing.assert_array_equal(column, every.lidar.columns[name][own])


def test_the_names_are_those_of_the_official_enumerations():
    from waymo_open_dataset import dataset_pb2

    official = {
        number: name
        for name, number in dataset_pb2.CameraCalibration.RollingShutterReadOutDirection.items()
    }
    assert {n: f"{official[n]}" for n in READ_OUTS} == {
        n: name.upper() for n, name in READ_OUTS.items()
    }
    cameras = {number: name for name, number in dataset_pb2.CameraName.Name.items()}
    lasers = {number: name for name, number in dataset_pb2.LaserName.Name.items()}
    assert {number: cameras[number] for number in CAMERAS} == CAMERAS
    assert {number: lasers[number] for number in LASERS} == LASERS
    assert max(LASERS) == max(lasers)


def test_tensorflow_is_never_loaded(worlds):
    """Not even looked for: it must not matter whether it is installed, or broken."""
    (path,) = worlds[0].rglob("*.tfrecord")
    (lidar,) = worlds[1].glob("training/lidar/*.parquet")
    code = f"""
import sys
from pathlib import Path

asked = []

class Spy:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "tensorflow_probability"):
            asked.append(name)

sys.meta_path.insert(0, Spy())
from simipu.pipelines.sources import waymo_v1, waymo_v2
from simipu.pipelines.sources.tfrecord import index_records
from simipu.pipelines.sources.waymo_calibration import READ_OUTS
from simipu.pipelines.sources.waymo_frame import Assembly, nanoseconds

assert "waymo_open_dataset" not in sys.modules and "pyarrow" not in sys.modules
path = Path({str(path)!r})
parts, _ = waymo_v1.read_frame(path, index_records(path)[0])
assert len(Assembly().frame(parts, "a", path).lidar)
segment = waymo_v2.Segment(Path({str(lidar.parents[1])!r}), {lidar.stem!r})
assert len(Assembly().frame(segment.read_frame(segment.timestamps[0]), "a", path).lidar)
assert not asked and "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
