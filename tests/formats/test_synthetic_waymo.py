"""Version 1 of the Waymo layout, read slowly and compared with the exact truth."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from folders import contents
from simipu.errors import UsageError
from simipu.pipelines.synthetic import rigs
from simipu.pipelines.synthetic.caster import Caster
from simipu.pipelines.synthetic.generate import generate
from simipu.pipelines.synthetic.layouts import make_writer
from simipu.pipelines.synthetic.material import NUMBER
from simipu.pipelines.synthetic.motion import Trajectory
from simipu.pipelines.synthetic.options import Options
from simipu.pipelines.synthetic.shapes import box
from simipu.pipelines.synthetic.surface import join
from simipu.pipelines.synthetic.waymo_range_image import scan_at_once
from synthetic_waymo import (
    CAMERA_NAMES,
    POINT_ORDER,
    STAGE,
    TOP,
    by_name,
    cloud,
    crc32c,
    frames,
    matrix,
    project,
    rows_in_world,
    transform,
)
from synthetic_world import generated, truth_of

SMALL = {"image_scale": 0.1, "beams": 8, "columns": 200, "noise": False}
LASER_NAMES = {1: "TOP", 2: "FRONT", 3: "SIDE_LEFT", 4: "SIDE_RIGHT", 5: "REAR"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return generated(tmp_path_factory.mktemp("v1"), layout="waymo-v1", scenes=2, **SMALL)[0]


@pytest.fixture(scope="module")
def scenes(root):
    """The frames of both scenes."""
    paths = [*(root / "training").iterdir(), *(root / "validation").iterdir()]
    return [frames(path) for path in paths]


@pytest.fixture(scope="module")
def every_frame(root, scenes):
    """(frame, truth) of all."""
    return [
        (frame, truth_of(root, scene, k))
        for scene, found in enumerate(scenes)
        for k, frame in enumerate(found)
    ]


@pytest.fixture(scope="module")
def standing(every_frame):
    """Which returns, of each frame, are from what does not move."""
    found = []
    for scene in (0, 1):
        actors = STAGE(5, scene, 0.2).world.actors
        parked = [0] + [actor.object_id for actor in actors if actor.surface is None]
        found += [np.isin(truth.object_id, parked) for _, truth in every_frame[2 * scene :][:2]]
    return found


def test_the_tests_own_reader_agrees_with_the_official_code(sample_data):
    assert crc32c(b"123456789") == 0xE3069283
    folder = sample_data / "waymo"
    (path,) = (folder / "v1").iterdir()
    for k, frame in enumerate(frames(path)):
        expected = np.load(folder / "expected" / f"frame_{k}.npz")
        T = transform(frame.pose)
        rows = []
        for laser in POINT_ORDER:
            rows.append(expected[f"{LASER_NAMES[laser]}_r1_xyz64"] @ T[:3, :3].T + T[:3, 3])
            for which in (1, 2):
                found = cloud(frame, laser, which)
                xyz = (found.world - T[:3, 3]) @ T[:3, :3]
                official = expected[f"{LASER_NAMES[laser]}_r{which}_xyz64"]
                np.testing.assert_allclose(xyz, official, rtol=0, atol=1e-5)
        points = np.concatenate(rows)
        for image in frame.images:
            name = CAMERA_NAMES[image.name]
            calibration = by_name(frame.context.camera_calibrations)[image.name]
            for suffix, shutter, limit_px in (("", True, 0.7), ("_gs", False, 1e-3)):
                # The official code lets time run with the undistorted x, not with the column.
                official = expected[f"{name}_uv{suffix}"]
                inside = expected[f"{name}_trust"] & (official >= 0).all(axis=1)
                inside &= (official < [calibration.width, calibration.height]).all(axis=1)
                found = project(frame, image.name, points[inside], shutter=shutter)
                assert np.abs(found - official[inside]).max() < limit_px


def test_segments_have_the_official_names_and_order(root, scenes):
    names = [[path.name for path in (root / s).iterdir()] for s in ("training", "validation")]
    assert names == [
        [f"segment-10000000000050000{scene:02d}_0_000_0_200_with_camera_labels.tfrecord"]
        for scene in (0, 1)
    ]
    assert sorted(path.name for path in root.iterdir()) == ["training", "truth", "validation"]
    for (split,), found in zip(names, scenes, strict=True):
        first, second = found
        assert second.timestamp_micros - first.timestamp_micros == 100_000
        for frame in found:
            assert split == f"segment-{frame.context.name}_with_camera_labels.tfrecord"
            assert [image.name for image in frame.images] == [1, 2, 4, 3, 5]
            assert [laser.name for laser in frame.lasers] == [2, 5, 3, 4, 1]
            assert [c.name for c in frame.context.camera_calibrations] == [1, 2, 3, 4, 5]
            assert [c.name for c in frame.context.laser_calibrations] == [2, 5, 3, 4, 1]
            assert frame.context.stats.time_of_day == "Day"


@pytest.mark.parametrize(
    ("count", "training"), [(1, 1), (2, 1), (3, 2), (4, 3), (7, 6), (8, 6), (9, 7)]
)
def test_the_last_quarter_of_the_scenes_is_for_validation(tmp_path, count, training):
    writer = make_writer(tmp_path, Options(layout="waymo-v1", scenes=count, frames=1, seed=0))
    splits = [segment.split for segment in writer._segments]
    assert splits == ["training"] * training + ["validation"] * (count - training)


def test_points_by_the_official_formula_lie_on_what_was_hit(every_frame):
    for frame, truth in every_frame:
        points = rows_in_world(frame)
        assert np.linalg.norm(points, axis=1).min() > 10_000
        np.testing.assert_allclose(points, truth.surface, rtol=0, atol=1e-4)
        poses = matrix(by_name(frame.lasers)[TOP].ri_return1.range_image_pose_compressed)
        assert np.linalg.norm(poses[0, -1, 3:] - poses[0, 0, 3:]) > 0.3, "the car should drive"
        assert (poses == poses[:1]).all(), "beams fire together"
        count = [len(cloud(frame, laser).world) for laser in POINT_ORDER]
        assert min(count) > 50
        t_s = (truth.t_ns - frame.timestamp_micros * 1000) / 1e9
        column = cloud(frame, TOP).pixels[:, 1]
        np.testing.assert_allclose(t_s[: count[0]], 0.1 * (column + 0.5) / 200, atol=1e-8)
        front = by_name(frame.images)[1]
        assert transform(front.pose).tolist() == transform(frame.pose).tolist()
        frame_s = front.pose_timestamp - frame.timestamp_micros / 1e6
        np.testing.assert_allclose(t_s[count[0] :], frame_s, atol=1e-6)
        assert 0.045 < frame_s < 0.056


def test_empty_pixels_and_channels(every_frame):
    for frame, _ in every_frame:
        for laser in POINT_ORDER:
            shape = (8, 200) if laser == TOP else (25, 45)
            for which in (1, 2):
                found = cloud(frame, laser, which)
                assert found.image.shape == (*shape, 4)
                assert (found.image[found.image[..., 0] <= 0] == -1).all()
                row, column = found.pixels.T
                values = found.image[row, column]
                assert (values[:, 2:] == [0, -1]).all()
                assert ((values[:, 1] >= 0) & (values[:, 1] <= 1)).all()


def test_projections_are_the_true_pixels_of_the_first_two_cameras(every_frame, standing):
    several = 0
    for (frame, truth), still in zip(every_frame, standing, strict=True):
        found = np.concatenate([cloud(frame, laser).projections for laser in POINT_ORDER])
        expected = np.zeros_like(found)
        certain = still.copy()  # what moves does so after it was scanned, unknown to these
        for camera, name in CAMERA_NAMES.items():
            row, edge = truth.cameras[name].row, truth.cameras[name].uv + 0.5
            certain[row[np.abs(edge - np.round(edge)).min(axis=1) < 1e-3]] = False
            for r, (u, v) in zip(row, edge, strict=True):
                place = 0 if expected[r, 0] == 0 else 3
                if expected[r, place] == 0:
                    expected[r, place : place + 3] = camera, np.floor(u), np.floor(v)
        assert certain.mean() > 0.7
        np.testing.assert_array_equal(found[certain], expected[certain])
        several += (found[:, 3] > 0).sum()
    assert several > 0


def test_the_rolling_shutter_is_that_of_the_published_times(every_frame, standing):
    """Left over is what constant velocity misses in 25 ms: 0.02 px of the full-size image."""
    for (frame, truth), still in zip(every_frame, standing, strict=True):
        worst, counts = {}, {}
        for camera, name in CAMERA_NAMES.items():
            seen = truth.cameras[name]
            points = truth.surface[seen.row[still[seen.row]]]
            true = seen.uv[still[seen.row]] + 0.5
            rolling = np.abs(project(frame, camera, points) - true).max(axis=1)
            assert rolling.max(initial=0.0) < 0.01
            at_once = np.abs(project(frame, camera, points, shutter=False) - true).max(axis=1)
            worst[name], counts[name] = at_once.max(initial=0.0), len(true)
        assert max(worst["SIDE_LEFT"], worst["SIDE_RIGHT"]) > 1.0
        assert sum(counts.values()) > 500


def test_images_are_baseline_jpeg_and_show_what_the_points_hit(every_frame):
    agreeing, compared = 0, 0
    for frame, truth in every_frame:
        for image in frame.images:
            name = CAMERA_NAMES[image.name]
            calibration = by_name(frame.context.camera_calibrations)[image.name]
            assert image.image[:3] == b"\xff\xd8\xff"
            decoded = Image.open(io.BytesIO(image.image))
            assert decoded.size == (calibration.width, calibration.height)
            assert "progressive" not in decoded.info
            assert np.asarray(decoded).std() > 5
            seen = truth.cameras[name]
            depth = truth.depth(name)
            assert depth.shape == (calibration.height, calibration.width)
            u, v = np.floor(seen.uv[seen.reached] + 0.5).astype(int).T
            agreeing += np.isclose(depth[v, u], seen.depth[seen.reached], rtol=0.05).sum()
            compared += len(u)
    assert agreeing > 0.85 * compared


def test_velocities_are_those_of_the_poses(scenes):
    for first, second in scenes:
        for camera in CAMERA_NAMES:
            one, two = (by_name(frame.images)[camera] for frame in (first, second))
            T, U = transform(one.pose), transform(two.pose)
            step_s = two.pose_timestamp - one.pose_timestamp
            v = [[i.velocity.v_x, i.velocity.v_y, i.velocity.v_z] for i in (one, two)]
            w = [[i.velocity.w_x, i.velocity.w_y, i.velocity.w_z] for i in (one, two)]
            np.testing.assert_allclose((U - T)[:3, 3] / step_s, np.mean(v, axis=0), atol=5e-3)
            turn = (T[:3, :3].T @ U[:3, :3] - np.eye(3)) / step_s
            rate = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], 0]) / 2
            rate[2] = (turn[1, 0] - turn[0, 1]) / 2
            np.testing.assert_allclose(rate, np.mean(w, axis=0), atol=1e-4)
            assert np.linalg.norm(v[0]) > 3


def test_labels_follow_their_objects(scenes, every_frame):
    for first, second in scenes:
        before = {label.id: label for label in first.laser_labels}
        both = [(before[n.id], n) for n in second.laser_labels if n.id in before]
        assert both
        for old, new in both:
            places, v = [], []
            for frame, label in ((first, old), (second, new)):
                b, m = label.box, label.metadata
                places.append(transform(frame.pose) @ [b.center_x, b.center_y, b.center_z, 1])
                v.append([m.speed_x, m.speed_y, m.speed_z])
            moved = (places[1] - places[0])[:3]
            np.testing.assert_allclose(moved / 0.1, np.mean(v, axis=0), atol=0.05)
            sizes = [(n.box.length, n.box.width, n.box.height) for n in (old, new)]
            assert sizes[0] == sizes[1]
    for frame, truth in every_frame:
        ids, counts = np.unique(truth.object_id[truth.object_id > 0], return_counts=True)
        assert len(frame.laser_labels) >= len(ids)
        assert sum(n.num_lidar_points_in_box for n in frame.laser_labels) >= counts.sum()
        stats = {c.type: c.count for c in frame.context.stats.laser_object_counts}
        assert sum(stats.values()) == len(frame.laser_labels)


def test_returns_from_objects_that_stand_lie_in_their_boxes(every_frame):
    inside = 0
    for frame, truth in every_frame:
        points = (rows_in_world(frame) - transform(frame.pose)[:3, 3]) @ transform(frame.pose)[
            :3, :3
        ]
        for label in frame.laser_labels:
            if np.hypot(label.metadata.speed_x, label.metadata.speed_y) > 0:
                continue
            box = label.box
            offset = points - [box.center_x, box.center_y, box.center_z]
            cos, sin = np.cos(box.heading), np.sin(box.heading)
            along = np.abs(offset @ [[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
            held = (along <= np.array([box.length, box.width, box.height]) / 2 + 0.15).all(axis=1)
            own = truth.object_id[held & (truth.object_id > 0)]
            assert len(np.unique(own)) == 1
            assert (truth.object_id == own[0]).sum() == len(own)
            inside += len(own)
    assert inside > 0


def test_leaves_let_a_part_of_the_light_through():
    leaves = box((4.0, -9, -9), (4.1, 9, 9), NUMBER["foliage"], (1, 1, 1))
    wall = box((10.0, -9, -9), (10.1, 9, 9), NUMBER["brick"], (1, 1, 1))
    caster = Caster(SimpleNamespace(static=join([leaves, wall]), actors=()))
    laser = next(x for x in rigs.waymo(noise=False).lidars if x.name == "FRONT")
    ego = Trajectory.at_rest(np.eye(4))
    scan = scan_at_once(caster, laser, ego, 0.0, np.random.default_rng(1))
    images = scan.range_images()
    np.testing.assert_allclose(scan.points[1][:, 0], 10.0, atol=1e-5)
    np.testing.assert_allclose(scan.returns[1].surface, scan.points[1], atol=1e-5)
    both = images[1][..., 0] > 0
    assert (images[1][both, 0] > images[0][both, 0]).all()
    through = both.sum() / (images[0][..., 0] > 0).sum()
    assert 0.1 < through <= 0.32


def test_noise_is_in_the_ranges(tmp_path):
    root, _ = generated(tmp_path, layout="waymo-v1", **SMALL | {"noise": True})
    (path,) = (root / "training").iterdir()
    found = []
    for k, frame in enumerate(frames(path)):
        found.append(np.linalg.norm(rows_in_world(frame) - truth_of(root, 0, k).surface, axis=1))
        assert 0.009 < found[-1].mean() < 0.015  # of a normal deviation of 15 mm: 12 mm
    assert not np.isin(found[0], found[1]).any()


def test_the_bytes_do_not_depend_on_the_order_of_the_work(root, tmp_path):
    writer = make_writer(tmp_path, Options(layout="waymo-v1", scenes=1, frames=2, seed=5, **SMALL))
    for unit in (*reversed(writer.units), writer.units[1]):  # one twice, as after a killed run
        writer.write(unit, STAGE)
    writer.finish()
    writer.finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["training", "truth"]
    for folder in ("training", "truth/0000"):  # the first scene of two is for training as well
        assert contents(tmp_path / folder) == contents(root / folder)


def test_only_the_chosen_cameras_are_written_and_projected_to(tmp_path):
    root, _ = generated(
        tmp_path, layout="waymo-v1", cameras=("SIDE_LEFT", "FRONT"), truth=False, **SMALL
    )
    (path,) = (root / "training").iterdir()
    frame = frames(path)[1]
    assert [image.name for image in frame.images] == [1, 4]
    projections = np.concatenate([cloud(frame, laser).projections for laser in POINT_ORDER])
    assert np.unique(projections[:, [0, 3]]).tolist() == [0, 1, 4]
    assert sorted(path.name for path in (root / "truth").iterdir()) == ["world.json"]
    with pytest.raises(UsageError, match="REAR"):
        make_writer(
            Path(), Options(layout="waymo-v1", scenes=1, frames=1, seed=1, cameras=("REAR",))
        )


def test_a_missing_package_is_named_before_the_work_begins(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "waymo_open_dataset", None)
    with pytest.raises(UsageError, match="pip install --no-deps waymo-open-dataset") as caught:
        generate(tmp_path, Options(layout="waymo-v1", scenes=1, frames=1, seed=1))
    assert "simipu[waymo]" in caught.value.fix
    assert not [*tmp_path.iterdir()]
