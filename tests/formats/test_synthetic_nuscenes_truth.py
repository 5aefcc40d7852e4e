"""Points, projection and boxes of the synthetic nuScenes layout against the exact truth."""

import numpy as np
import pytest
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.geometry_utils import points_in_box

from simipu.pipelines.synthetic.generate import generate
from simipu.pipelines.synthetic.options import Options
from synthetic_nuscenes import (
    CAMERAS,
    COLUMNS,
    SCALE,
    SMALL,
    global_from_sensor,
    keyframes,
    matrix,
    rows_of,
)


@pytest.fixture(scope="module")
def nusc(tmp_path_factory) -> NuScenes:
    root = tmp_path_factory.mktemp("nuscenes")
    generate(root, Options(scenes=1, frames=3, noise=False, sweeps=False, **SMALL))
    return NuScenes("v1.0-mini", str(root), verbose=False)


def test_a_camera_fires_when_the_lidar_looks_along_its_axis(nusc):
    for sample, true in keyframes(nusc):
        for channel in CAMERAS:
            data = nusc.get("sample_data", sample["data"][channel])
            view = true.cameras[channel]
            passed = np.abs(true.t_ns[view.row] - data["timestamp"] * 1000)
            now = (passed < 0.6 * 50e6 / COLUMNS) & (view.depth > 8.0)
            if now.any():  # one of the columns is 3 degrees wide; the mounts lie a metre apart
                centre = data["width"] / 2
                assert np.abs(view.uv[now, 0] - centre).max() < 0.15 * data["width"]


def test_still_points_lie_where_they_were_hit_once_motion_is_undone(nusc):
    for sample, true in keyframes(nusc):
        data = nusc.get("sample_data", sample["data"]["LIDAR_TOP"])
        xyz = rows_of(nusc, data)[:, :3].astype(np.float64)
        T = global_from_sensor(nusc, data)
        still = true.object_id == 0
        away = xyz[still] @ T[:3, :3].T + T[:3, 3] - true.surface[still]
        assert still.sum() > 1000
        assert np.abs(away).max() < 2e-5  # metres: half a unit of float32 at 100 m, and rounding
        # Without a return: the place of the LiDAR itself, at most 50 ms earlier.
        none = true.object_id == -1
        assert none.any()
        assert np.isnan(true.surface[none]).all()
        assert np.linalg.norm(xyz[none], axis=1).max() < 1.5
        assert (np.diff(true.t_ns) >= 0).all()
        assert 0 < sample["timestamp"] * 1000 - true.t_ns[-1] < 50e6 / COLUMNS * 1.5
        assert sample["timestamp"] * 1000 - true.t_ns[0] <= 50e6


def project_slowly(nusc, lidar, camera):
    """Through the tables, in float64, with homogeneous coordinates: (N, 2) pixels, (N,) depth."""
    mount = nusc.get("calibrated_sensor", camera["calibrated_sensor_token"])
    points = rows_of(nusc, lidar)[:, :3].astype(np.float64)
    T = np.linalg.inv(global_from_sensor(nusc, camera)) @ global_from_sensor(nusc, lidar)
    seen = (T @ np.vstack([points.T, np.ones(len(points))]))[:3]
    pixels = np.array(mount["camera_intrinsic"]) @ seen
    with np.errstate(divide="ignore", invalid="ignore"):
        return (pixels[:2] / pixels[2]).T, seen[2]


@pytest.mark.parametrize("channel", CAMERAS)
def test_the_tables_lead_to_the_true_pixels(nusc, channel):
    checked = 0
    for sample, true in keyframes(nusc):
        lidar, camera = (nusc.get("sample_data", sample["data"][c]) for c in ("LIDAR_TOP", channel))
        uv, depth = project_slowly(nusc, lidar, camera)
        view = true.cameras[channel]
        still = true.object_id[view.row] == 0
        checked += int(still.sum())
        assert np.abs(uv[view.row[still]] - view.uv[still]).max() < 0.01 * SCALE
        assert np.abs(depth[view.row[still]] - view.depth[still]).max() < 1e-4
        size = (camera["width"], camera["height"])
        inside = (depth > 0) & (uv >= -0.5).all(axis=1) & (uv < np.subtract(size, 0.5)).all(axis=1)
        expected = np.flatnonzero(inside & (true.object_id == 0))
        edge = np.abs((uv + 0.5) % size).min(axis=1) < 1e-3
        missing = np.setxor1d(expected, view.row[still])
        assert edge[missing].all()
    assert checked > 500


@pytest.mark.parametrize("channel", CAMERAS)
def test_the_devkit_sees_the_same_points(nusc, channel):
    for sample, true in keyframes(nusc):
        lidar, camera = sample["data"]["LIDAR_TOP"], sample["data"][channel]
        found, depth, image = nusc.explorer.map_pointcloud_to_image(lidar, camera)
        image.close()
        view = true.cameras[channel]
        width, height = image.size
        u, v = view.uv.T
        still = true.object_id[view.row] == 0
        # The devkit leaves out a border, and says nothing of actors that move meanwhile.
        sure = (u > 1.01) & (u < width - 1.01) & (v > 1.01) & (v < height - 1.01)
        sure &= (view.depth > 1.001) & still
        gap = np.hypot(found[0][:, None] - u[sure], found[1][:, None] - v[sure])
        nearest = gap.argmin(axis=0)
        # Its float32 has steps of 0.12 mm in the global frame.
        limit = 0.06 * SCALE + 1266 * SCALE * 2.5e-4 / view.depth[sure]
        assert (gap[nearest, np.arange(sure.sum())] < limit).all()
        assert np.abs(depth[nearest] - view.depth[sure]).max() < 0.01
        others = np.setdiff1d(np.arange(len(depth)), nearest)
        unsure = int((~sure).sum()) + int((true.object_id > 0).sum())
        assert len(others) <= unsure


def box_in_lidar(nusc, sample, annotation):
    """The devkit's box in the frame of the points, and the rows of the points."""
    token = sample["data"]["LIDAR_TOP"]
    _, boxes, _ = nusc.get_sample_data(token, selected_anntokens=[annotation["token"]])
    return boxes[0], rows_of(nusc, nusc.get("sample_data", token))[:, :3].T


def attribute_of(nusc, annotation) -> str:
    return nusc.get("attribute", annotation["attribute_tokens"][0])["name"]


def test_true_pixels_of_moving_actors_are_those_of_the_exposure(nusc):
    checked = 0
    for sample, true in keyframes(nusc):
        for annotation in (nusc.get("sample_annotation", token) for token in sample["anns"]):
            velocity = nusc.box_velocity(annotation["token"])
            box, xyz = box_in_lidar(nusc, sample, annotation)
            ids = true.object_id[points_in_box(box, xyz, wlh_factor=1.02)]
            if attribute_of(nusc, annotation) != "vehicle.moving" or not (ids > 0).any():
                continue
            if not np.isfinite(velocity).all():
                continue
            for channel in CAMERAS:
                camera, view = (
                    nusc.get("sample_data", sample["data"][channel]),
                    true.cameras[channel],
                )
                own = true.object_id[view.row] == np.bincount(ids[ids > 0]).argmax()
                row = view.row[own]
                late_s = (camera["timestamp"] * 1000 - true.t_ns[row]) * 1e-9
                spots = np.c_[true.surface[row] + late_s[:, None] * velocity, np.ones(len(row))]
                seen = (np.linalg.inv(global_from_sensor(nusc, camera)) @ spots.T)[:3]
                mount = nusc.get("calibrated_sensor", camera["calibrated_sensor_token"])
                pixels = np.array(mount["camera_intrinsic"]) @ seen
                away = np.abs((pixels[:2] / pixels[2]).T - view.uv[own])
                # It may turn or change its speed, so its velocity is within 2 m/s of the average.
                limit = 1.6 * 1266 * SCALE / seen[2] * 2.0 * np.abs(late_s) + 1e-3
                assert (away.max(axis=1, initial=0) < limit).all()
                checked += len(row)
    assert checked > 100


def test_the_points_of_an_actor_at_rest_lie_in_its_box(nusc):
    checked = 0
    for sample, true in keyframes(nusc):
        counted = dict(zip(*np.unique(true.object_id, return_counts=True), strict=True))
        for annotation in (nusc.get("sample_annotation", token) for token in sample["anns"]):
            assert annotation["num_lidar_pts"] in counted.values()
            attribute = attribute_of(nusc, annotation)
            if attribute not in ("vehicle.parked", "pedestrian.standing"):
                continue
            box, xyz = box_in_lidar(nusc, sample, annotation)
            ids = true.object_id[points_in_box(box, xyz, wlh_factor=1.02)]
            actor = np.bincount(ids[ids > 0]).argmax()
            assert (ids == actor).sum() == annotation["num_lidar_pts"] == counted[actor]
            checked += 1
    assert checked >= 4


def test_annotations_are_of_all_that_was_hit_nearby_and_move_as_they_say(nusc):
    moving = 0
    for sample, true in keyframes(nusc):
        ego = matrix(nusc.get("ego_pose", sample["data"]["LIDAR_TOP"]))[:3, 3]
        annotations = [nusc.get("sample_annotation", token) for token in sample["anns"]]
        away = [np.linalg.norm(np.subtract(a["translation"], ego)) for a in annotations]
        assert max(away) <= 80.0
        near = np.linalg.norm(true.surface - ego, axis=1) < 70.0
        assert len(annotations) >= len(np.unique(true.object_id[near & (true.object_id > 0)]))
        for annotation in annotations:
            attribute = attribute_of(nusc, annotation)
            kind = annotation["category_name"].split(".")[-1]
            part = {"adult": "pedestrian", "bicycle": "cycle"}.get(kind, "vehicle")
            assert attribute.split(".")[0] == part
            speed = np.linalg.norm(nusc.box_velocity(annotation["token"]))
            if attribute.endswith(".moving") and np.isfinite(speed):
                assert speed > 0.1
                moving += 1
            elif attribute.endswith((".parked", ".standing")) and np.isfinite(speed):
                assert speed < 1e-6
    assert moving >= 1


def test_visibility_agrees_with_the_depth_images(nusc):
    """Coarsely: a spot of the box counts as seen where nothing is in front of the whole box."""
    steps = np.linspace(-0.4, 0.4, 5)
    told, found = [], []
    for sample, true in keyframes(nusc):
        for annotation in (nusc.get("sample_annotation", token) for token in sample["anns"]):
            width, length, height = annotation["size"]
            grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
            spots = matrix(annotation) @ np.c_[grid * (length, width, height), np.ones(125)].T
            seen = np.zeros(125, dtype=bool)
            for channel in CAMERAS:
                camera = nusc.get("sample_data", sample["data"][channel])
                mount = nusc.get("calibrated_sensor", camera["calibrated_sensor_token"])
                x, y, z = (np.linalg.inv(global_from_sensor(nusc, camera)) @ spots)[:3]
                K, depth = np.array(mount["camera_intrinsic"]), true.depth(channel)
                with np.errstate(divide="ignore", invalid="ignore"):
                    u = np.floor(K[0, 0] * x / z + K[0, 2] + 0.5)
                    v = np.floor(K[1, 1] * y / z + K[1, 2] + 0.5)
                ok = (z > 0) & (u >= 0) & (v >= 0) & (u < depth.shape[1]) & (v < depth.shape[0])
                there = depth[v[ok].astype(int), u[ok].astype(int)]
                seen[ok] |= there > z.min() - 0.3
            told.append(int(annotation["visibility_token"]))
            found.append(1 + sum(seen.mean() >= level for level in (0.4, 0.6, 0.8)))
    assert len(set(told)) > 1
    assert np.mean(np.abs(np.subtract(told, found)) <= 1) > 0.8
