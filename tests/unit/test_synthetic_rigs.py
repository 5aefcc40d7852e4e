"""Rigs: KITTI's matrices exactly, real mounting and timing of the others."""

from __future__ import annotations

import numpy as np
import pytest

from simipu.errors import UsageError
from simipu.geometry.projection import project
from simipu.geometry.se3 import is_rigid
from simipu.pipelines.synthetic import rigs

# As printed in KITTI's calibration files of 2011_09_26.
P2 = """7.215377000000e+02 0.0 6.095593000000e+02 4.485728000000e+01 0.0 7.215377000000e+02
 1.728540000000e+02 2.163791000000e-01 0.0 0.0 1.0 2.745884000000e-03"""
P3 = """7.215377000000e+02 0.0 6.095593000000e+02 -3.395242000000e+02 0.0 7.215377000000e+02
 1.728540000000e+02 2.199936000000e+00 0.0 0.0 1.0 2.729905000000e-03"""
R0 = """9.999239e-01 9.837760e-03 -7.445048e-03 -9.869795e-03 9.999421e-01 -4.278459e-03
 7.402527e-03 4.351614e-03 9.999631e-01"""
VELO_TO_CAM = """7.533745e-03 -9.999714e-01 -6.166020e-04 -4.069766e-03 1.480249e-02 7.280733e-04
 -9.998902e-01 -7.631618e-02 9.998621e-01 7.523790e-03 1.480755e-02 -2.717806e-01"""
IMU_TO_VELO = """9.999976e-01 7.553071e-04 -2.035826e-03 -8.086759e-01 -7.854027e-04 9.998898e-01
 -1.482298e-02 3.195559e-01 2.024406e-03 1.482454e-02 9.998881e-01 -7.997231e-01"""


def matrix(text, rows):
    return np.array([float(word) for word in text.split()]).reshape(rows, -1)


def square(upper):
    T = np.eye(4)
    T[: upper.shape[0], : upper.shape[1]] = upper
    return T


@pytest.fixture(scope="module", params=[1.0, 0.5, 0.31])
def scaled(request):
    return request.param, rigs.kitti(image_scale=request.param)


def test_kitti_projects_as_its_files_say(scaled):
    scale, rig = scaled
    points = np.random.default_rng(0).uniform([3, -20, -2], [60, 20, 6], (500, 3))
    chain = square(matrix(R0, 3)) @ square(matrix(VELO_TO_CAM, 3))
    for number, text in ((2, P2), (3, P3)):
        image = matrix(text, 3) @ chain @ np.column_stack([points, np.ones(500)]).T
        expected = (image[:2] / image[2]).T
        camera = rig.cameras[number]
        assert camera.name == f"image_{number:02d}"
        T = np.linalg.inv(camera.T_ego_from_camera) @ rig.lidars[0].T_ego_from_lidar
        uv, depth = project(points, T, camera.K, camera.distortion)
        np.testing.assert_allclose(depth, image[2], atol=1e-12)
        # Of a smaller image, the matrix is rounded to the digits that files have.
        error_px = 1e-9 if scale == 1.0 else 1e-3
        np.testing.assert_allclose(uv, scale * (expected + 0.5) - 0.5, atol=error_px)
        from_files = rig.P[number] @ square(rig.R0_rect) @ square(rig.Tr_velo_to_cam)
        again = from_files @ np.column_stack([points, np.ones(500)]).T
        np.testing.assert_allclose(uv, (again[:2] / again[2]).T, atol=1e-9)
    assert (rig.cameras[2].width, rig.cameras[2].height) == (
        round(1242 * scale),
        round(375 * scale),
    )


def test_kitti_is_printed_without_loss(scaled):
    rig = scaled[1]
    for values in (rig.P, rig.R0_rect, rig.Tr_velo_to_cam, rig.Tr_imu_to_velo):
        for value in values.ravel():
            assert float(f"{value:.6e}") == value
    np.testing.assert_array_equal(rig.R0_rect, matrix(R0, 3))
    np.testing.assert_array_equal(rig.Tr_velo_to_cam, matrix(VELO_TO_CAM, 3))
    np.testing.assert_array_equal(rig.Tr_imu_to_velo, matrix(IMU_TO_VELO, 3))


def test_kitti_stands_on_the_road(scaled):
    rig = scaled[1]
    T = rig.lidars[0].T_ego_from_lidar
    np.testing.assert_allclose(T[:3, 3], [0.76, 0.0, 1.73], atol=1e-12)
    assert is_rigid(T)
    assert np.degrees(np.arccos(T[2, 2])) < 1.0  # level but for the calibration
    np.testing.assert_allclose(rig.T_ego_from_imu, T @ square(matrix(IMU_TO_VELO, 3)), atol=1e-12)
    np.testing.assert_array_equal(rig.T_ego_from_imu[:3, :3], np.eye(3))
    for camera in rig.cameras:
        assert is_rigid(camera.T_ego_from_camera)
        assert camera.T_ego_from_camera[0, 2] > 0.999  # looks ahead
        assert 1.5 < camera.T_ego_from_camera[2, 3] < 1.8


def test_kittis_velodyne_faces_forward_in_mid_sweep():
    velodyne = rigs.kitti().lidars[0]
    columns = np.arange(velodyne.columns)
    assert (len(velodyne.elevations_rad), velodyne.columns) == (64, 2083)
    assert (np.diff(velodyne.elevations_rad) < 0).all()
    forward = np.argmin(np.abs(np.angle(np.exp(1j * velodyne.azimuth_rad(columns)))))
    assert velodyne.time_s(columns)[forward] == pytest.approx(0.05, abs=3e-5)
    assert (np.diff(velodyne.azimuth_rad(columns)) > 0).all()  # counter-clockwise
    assert 0 < velodyne.time_s(0) < velodyne.time_s(2082) < 0.1


# Milliseconds from the end of the sweep, as in the real data.
@pytest.mark.parametrize(
    ("name", "before_ms"),
    [("CAM_FRONT", 35.5), ("CAM_FRONT_LEFT", 43.1), ("CAM_BACK", 10.4), ("CAM_BACK_LEFT", 0.5)],
)
def test_nuscenes_lidar_passes_the_cameras_when_the_real_one_does(name, before_ms):
    rig = rigs.nuscenes()
    lidar = rig.lidars[0]
    axis = next(c.T_ego_from_camera[:3, 2] for c in rig.cameras if c.name == name)
    columns = np.arange(lidar.columns)
    azimuth = lidar.azimuth_rad(columns)
    beams = np.column_stack([np.cos(azimuth), np.sin(azimuth), np.zeros(len(azimuth))])
    nearest = np.argmax(beams @ lidar.T_ego_from_lidar[:3, :3].T @ axis)
    assert 1e3 * (0.05 - lidar.time_s(nearest)) == pytest.approx(before_ms, abs=1.0)


def test_nuscenes_cameras_look_where_their_names_say():
    rig = rigs.nuscenes(image_scale=0.25)
    headings = {
        c.name: np.degrees(np.arctan2(*c.T_ego_from_camera[[1, 0], 2])) for c in rig.cameras
    }
    expected = [0, -55, -110, 180, 110, 55]
    names = ["FRONT", "FRONT_RIGHT", "BACK_RIGHT", "BACK", "BACK_LEFT", "FRONT_LEFT"]
    assert list(headings) == [f"CAM_{name}" for name in names]
    off = (np.array(list(headings.values())) - expected + 180) % 360 - 180
    assert np.abs(off).max() < 1.5
    assert all(is_rigid(c.T_ego_from_camera, tolerance=1e-12) for c in rig.cameras)
    assert (rig.cameras[0].width, rig.cameras[0].height) == (400, 225)
    R = rig.lidars[0].T_ego_from_lidar[:3, :3]
    np.testing.assert_allclose(R @ [0, 1, 0], [1, 0, 0], atol=0.05)  # the lidar's y is forward
    np.testing.assert_allclose(R @ [0, 0, 1], [0, 0, 1], atol=0.05)


def test_waymos_columns_are_those_of_range_images():
    for lidar in rigs.waymo(columns=265).lidars:
        W, E = lidar.columns, lidar.T_ego_from_lidar
        j = np.arange(W)
        expected = ((W - j - 0.5) / W * 2 - 1) * np.pi - np.arctan2(E[1, 0], E[0, 0])
        np.testing.assert_allclose(lidar.azimuth_rad(j), expected, atol=1e-12)
        if lidar.elevation_limits_rad is not None:
            low, high = lidar.elevation_limits_rad
            H = len(lidar.elevations_rad)
            rows = (low + (high - low) * (np.arange(H) + 0.5) / H)[::-1]
            np.testing.assert_allclose(lidar.elevations_rad, rows, atol=1e-15)


def test_waymos_sizes():
    rig = rigs.waymo()
    assert [c.height for c in rig.cameras] == [1280, 1280, 1280, 886, 886]
    assert {c.width for c in rig.cameras} == {1920}
    assert [(len(x.elevations_rad), x.columns) for x in rig.lidars] == [(64, 2650)] + 4 * [
        (200, 600)
    ]
    top = np.degrees(rig.lidars[0].elevations_rad)
    assert 2.0 < top[0] < 2.4
    assert -17.6 < top[-1] < -17.0
    assert np.ptp(np.diff(top)) > 0.1
    assert (np.diff(top) < 0).all()


@pytest.mark.parametrize("make", [rigs.kitti, rigs.nuscenes, rigs.waymo])
def test_less_of_everything(make):
    whole, small = make(), make(image_scale=0.5, beams=8, columns=100, noise=False)
    for lidar in small.lidars:
        assert lidar.range_noise_m == 0.0
        assert not lidar.dropout
    lidar, reference = small.lidars[0], whole.lidars[0]
    assert (len(lidar.elevations_rad), lidar.columns) == (8, 100)
    assert lidar.elevations_rad[[0, -1]].tolist() == reference.elevations_rad[[0, -1]].tolist()
    for camera, big in zip(small.cameras, whole.cameras, strict=True):
        x, y = 0.1, -0.05  # the same direction, half a pixel and all
        u, v, _ = big.K @ [x, y, 1]
        expected = np.array([u + 0.5, v + 0.5]) / 2 - 0.5
        np.testing.assert_allclose((camera.K @ [x, y, 1])[:2], expected, atol=1e-3)


@pytest.mark.parametrize("make", [rigs.kitti, rigs.nuscenes, rigs.waymo])
def test_more_than_there_is_is_refused(make):
    beams = len(make().lidars[0].elevations_rad)
    assert len(make(beams=beams).lidars[0].elevations_rad) == beams
    with pytest.raises(UsageError, match=f"only {beams} beams, not {beams + 1}"):
        make(beams=beams + 1)
    with pytest.raises(UsageError, match="20,000 columns"):
        make(columns=20_000)
