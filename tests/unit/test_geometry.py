"""Rigid transforms, distortion and projection against independent formulas, OpenCV and KITTI."""

import math
from pathlib import Path

import numpy as np
import pytest

from simipu.geometry import camera, projection, se3

NO_DISTORTION = np.zeros(5)
IDENTITY = np.eye(4)
# Camera 0 of KITTI's recording date 2011_09_26 before rectification.
K = np.array([[984.2439, 0.0, 690.0], [0.0, 980.8141, 233.1966], [0.0, 0.0, 1.0]])
DISTORTION = np.array([-3.728755e-01, 2.037299e-01, 2.219027e-03, 1.383707e-03, -7.233722e-02])


def a_transform() -> np.ndarray:
    """Yaw of 30 degrees, roll of -20 degrees and a shift."""
    a, b = np.radians([30.0, -20.0])
    yaw = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    roll = np.array([[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]])
    T = np.eye(4)
    T[:3, :3] = yaw @ roll
    T[:3, 3] = [1.5, -2.0, 0.25]
    return T


def test_apply_equals_the_homogeneous_product_point_by_point():
    T = a_transform()
    xyz = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    moved = se3.apply(T, xyz)
    assert moved.dtype == np.float64
    for before, after in zip(xyz, moved, strict=True):
        np.testing.assert_allclose(T @ [*map(float, before), 1.0], [*after, 1.0], rtol=1e-14)


def test_invert_is_the_matrix_inverse():
    np.testing.assert_allclose(se3.invert(a_transform()), np.linalg.inv(a_transform()), atol=1e-15)


def test_is_rigid_accepts_a_rotation_rounded_to_seven_digits():
    assert se3.is_rigid(a_transform().round(7))


def _changed(row: int, column: int, value: float) -> np.ndarray:
    T = a_transform()
    T[row, column] = value
    return T


@pytest.mark.parametrize(
    "T",
    [
        pytest.param(a_transform() * 1.001, id="scaled"),
        pytest.param(np.diag([1.0, 1.0, -1.0, 1.0]), id="mirrored"),
        pytest.param(_changed(0, 1, 0.9), id="sheared"),
        pytest.param(_changed(3, 0, 0.1), id="projective"),
        pytest.param(_changed(1, 3, math.nan), id="not finite"),
        pytest.param(np.eye(3), id="not 4 x 4"),
    ],
)
def test_is_rigid_refuses(T):
    assert not se3.is_rigid(T)


def test_is_rigid_keeps_to_the_tolerance():
    T = a_transform()
    T[0, :3] *= 1.0 + 1e-4
    assert not se3.is_rigid(T, tolerance=1e-5)
    assert se3.is_rigid(T, tolerance=1e-3)


def test_projection_equals_opencv():
    # cv2.projectPoints of OpenCV 5.0.0 with the K and DISTORTION above, pose zero.
    expected = {
        (0.0, 0.0, 5.0): (690.0, 233.1966),
        (1.0, 2.0, 10.0): (786.8213237415514, 426.13756662519626),
        (-3.0, 1.0, 6.0): (242.57247849298687, 382.5496226448215),
        (4.0, -2.5, 8.0): (1129.4209277113648, -39.43289897292658),
        (-2.0, -1.5, 4.0): (258.4131881699864, -88.9129725459502),
        (0.3, -0.2, 0.9): (1000.2687605389551, 27.56607418126808),
    }
    uv, depth = projection.project(list(expected), IDENTITY, K, DISTORTION)
    np.testing.assert_allclose(uv, list(expected.values()), rtol=1e-12)
    np.testing.assert_array_equal(depth, [point[2] for point in expected])


def test_zero_distortion_takes_the_same_way_as_tiny_distortion():
    xyz = np.random.default_rng(1).uniform([-5, -5, 1], [5, 5, 30], size=(100, 3))
    plain, _ = projection.project(xyz, IDENTITY, K, NO_DISTORTION)
    tiny, _ = projection.project(xyz, IDENTITY, K, np.full(5, 1e-18))
    np.testing.assert_allclose(plain, tiny, rtol=1e-9)


def test_skew_moves_u_with_y():
    skewed = K.copy()
    skewed[0, 1] = 3.0
    xyz = np.array([[1.0, 2.0, 4.0]])
    uv, _ = projection.project(xyz, IDENTITY, skewed, NO_DISTORTION)
    homogeneous = skewed @ xyz[0]
    np.testing.assert_allclose(uv[0], homogeneous[:2] / homogeneous[2], rtol=1e-14)


def test_points_not_in_front_or_not_finite_have_no_pixel():
    xyz = np.array(
        [[0, 0, 1], [0, 0, -1], [1, 1, 0], [np.nan, 0, 5], [np.inf, 0, 5], [0, 0, np.inf]],
        dtype=np.float32,
    )
    uv, depth = projection.project(xyz, IDENTITY, K, NO_DISTORTION)
    np.testing.assert_array_equal(np.isfinite(uv), [[True] * 2] + [[False] * 2] * 5)
    np.testing.assert_array_equal(depth[:3], [1.0, -1.0, 0.0])


def test_no_points():
    uv, depth = projection.project(np.empty((0, 3), np.float32), IDENTITY, K, DISTORTION)
    assert uv.shape == (0, 2)
    assert depth.shape == (0,)


def test_a_point_projects_to_the_same_bits_in_any_company():
    xyz = np.random.default_rng(2).normal(size=(1001, 3)).astype(np.float32) * 20
    together = projection.project(xyz, a_transform(), K, DISTORTION)
    for some in (slice(0, 1), slice(1, None), slice(None, None, 7)):
        apart = projection.project(xyz[some], a_transform(), K, DISTORTION)
        np.testing.assert_array_equal(apart[0], together[0][some])
        np.testing.assert_array_equal(apart[1], together[1][some])
    depth = projection.along(a_transform()[2], projection.columns(xyz))
    np.testing.assert_array_equal(depth, together[1])


@pytest.mark.parametrize(
    "distortion",
    [
        (-0.3, 0.0, 0.0, 0.0, 0.0),
        (-0.4, 0.05, 0.0, 0.0, 0.0),
        (0.1, -0.05, 0.0, 0.0, 0.0),
        (-0.35, 0.2, 0.001, -0.002, -0.07),
        tuple(DISTORTION),
    ],
)
def test_max_radius_is_where_the_distorted_radius_stops_growing(distortion):
    k1, k2, _, _, k3 = distortion
    r = np.linspace(0.0, 5.0, 500_001)
    distorted = r * (1 + k1 * r**2 + k2 * r**4 + k3 * r**6)
    turning_point = r[np.argmax(np.diff(distorted) < 0)]
    assert camera.max_radius(np.array(distortion)) == pytest.approx(turning_point, abs=2e-5)


@pytest.mark.parametrize(
    "distortion", [(0.0, 0, 0, 0, 0), (0.2, 0.1, 0, 0, 0), (0.1, 0, 0, 0, 0.3)]
)
def test_max_radius_is_infinite_where_the_distorted_radius_grows_for_ever(distortion):
    assert camera.max_radius(np.array(distortion)) == math.inf


def test_points_far_outside_the_view_do_not_fold_back_into_the_image():
    barrel = np.array([-0.3, 0.0, 0.0, 0.0, 0.0])
    # r = 1.8: the polynomial alone gives 1.8 * (1 - 0.3 * 3.24) = 0.05, near the image's centre.
    r = 1.8
    folded_u = K[0, 0] * r * (1 - 0.3 * r**2) + K[0, 2]
    assert 0 < folded_u < 1392
    uv, depth = projection.project([[r * 10, 0.0, 10.0], [5.0, 0.0, 10.0]], IDENTITY, K, barrel)
    assert np.isnan(uv[0]).all()
    assert np.isfinite(uv[1]).all()
    assert depth[0] == 10.0


def _calibration(path: Path) -> dict[str, np.ndarray]:
    lines = (line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    return {
        key: np.array(numbers.split(), dtype=np.float64)
        for key, numbers in lines
        if key != "calib_time"
    }


def _square(values: np.ndarray, columns: int) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :columns] = values.reshape(3, columns)
    return matrix


def _assert_equals_matrix_product(scan: Path, P2: np.ndarray, R0: np.ndarray, Tr: np.ndarray):
    xyz = np.fromfile(scan, dtype="<f4").reshape(-1, 4)[:, :3]
    product = (np.column_stack([xyz, np.ones(len(xyz))]).astype(np.float64)) @ (P2 @ R0 @ Tr).T

    K = P2[:, :3]
    shift = np.eye(4)
    shift[:3, 3] = np.linalg.inv(K) @ P2[:, 3]
    uv, depth = projection.project(xyz, shift @ R0 @ Tr, K, NO_DISTORTION)

    front = product[:, 2] > 0.1  # nearer, the division amplifies rounding without limit
    assert front.sum() > 10_000
    expected = product[front, :2] / product[front, 2:]
    np.testing.assert_allclose(depth[front], product[front, 2], rtol=1e-9)
    # Relative to the image's size: a pixel coordinate may itself be zero.
    np.testing.assert_allclose(uv[front], expected, rtol=1e-9, atol=1e-9 * 1242)


@pytest.mark.parametrize("frame", ["000000", "000002"])
def test_real_kitti_object_frames_equal_the_devkit_product(sample_data, frame):
    folder = sample_data / "kitti_object" / "training"
    values = _calibration(folder / "calib" / f"{frame}.txt")
    _assert_equals_matrix_product(
        folder / "velodyne" / f"{frame}.bin",
        values["P2"].reshape(3, 4),
        _square(values["R0_rect"], 3),
        _square(values["Tr_velo_to_cam"], 4),
    )


def test_real_kitti_raw_frames_equal_the_devkit_product(sample_data):
    date = sample_data / "kitti_raw" / "2011_09_26"
    cameras = _calibration(date / "calib_cam_to_cam.txt")
    velodyne = _calibration(date / "calib_velo_to_cam.txt")
    Tr = np.column_stack([velodyne["R"].reshape(3, 3), velodyne["T"]])
    scans = sorted(date.glob("*_sync/velodyne_points/data/*.bin"))
    assert scans
    for scan in scans:
        _assert_equals_matrix_product(
            scan,
            cameras["P_rect_02"].reshape(3, 4),
            _square(cameras["R_rect_00"], 3),
            _square(Tr, 4),
        )
