"""The cheap test before the exact arithmetic: it loses no point, and spares most."""

import numpy as np
import pytest

from simipu.correspond.compute import correspond
from simipu.correspond.policy import Policy
from simipu.geometry import frustum, projection

WIDTH, HEIGHT = 1600, 900
LOW, HIGH = (-0.5, -0.5), (WIDTH - 0.5, HEIGHT - 0.5)
NO_DISTORTION = np.zeros(5)
BARREL = np.array([-0.2, 0.05, 0.001, -0.002, 0.0])


def camera(rng, *, far=1.0):
    """K, with some skew, and T_camera_from_lidar of a camera that looks anywhere."""
    K = np.eye(3)
    K[0] = rng.uniform(300, 2500), rng.uniform(-3, 3), rng.uniform(500, 1100)
    K[1, 1:] = rng.uniform(300, 2500), rng.uniform(300, 600)
    T = np.eye(4)
    T[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    T[:3, 3] = rng.normal(size=3) * far
    return K, T


def on_the_borders(rng, K, T, min_depth, count, dtype):
    """Points within a few roundings of an image's border or of the smallest depth."""
    u = rng.choice([LOW[0], HIGH[0], *rng.uniform(LOW[0], HIGH[0], 2)], count)
    v = rng.choice([LOW[1], HIGH[1], *rng.uniform(LOW[1], HIGH[1], 2)], count)
    z = min_depth * rng.choice([1.0, 1.0, *rng.uniform(1, 200, 4)], count)
    xyz = (np.linalg.inv(K) @ [u * z, v * z, z] - T[:3, 3:]).T @ T[:3, :3]
    xyz = xyz.astype(dtype)
    xyz += rng.integers(-4, 5, xyz.shape).astype(dtype) * np.spacing(np.abs(xyz))
    return np.ascontiguousarray(xyz.T)


def odd_points(dtype):
    """Combinations of what is not finite, huge, tiny and zero."""
    largest = np.finfo(dtype).max
    values = [np.nan, np.inf, -np.inf, largest, -largest, 1e30, -1e-30, 1e-42, 0.0, 5.0, -5.0]
    return np.array(np.meshgrid(values, values, values), dtype=dtype).reshape(3, -1)


def in_the_image(points, K, T, min_depth):
    """Rows by the exact arithmetic alone."""
    with np.errstate(all="ignore"):
        (u, v), depth = (part.T for part in projection.project(points.T, T, K, NO_DISTORTION))
    inside = (u >= LOW[0]) & (u < HIGH[0]) & (v >= LOW[1]) & (v < HIGH[1])
    inside &= (depth >= min_depth) & (depth <= np.finfo(np.float32).max)
    return np.flatnonzero(inside)


def candidates(points, K, T, min_depth, distortion=NO_DISTORTION):
    return frustum.candidates(points, T, K, distortion, low=LOW, high=HIGH, min_depth_m=min_depth)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("min_depth", "far"), [(1.0, 1.0), (0.05, 3.0), (1.0, 1e4), (1e-3, 300.0), (50.0, 1e-6)]
)
def test_no_point_of_the_image_is_lost(min_depth, far, dtype):
    rng = np.random.default_rng(1)
    lost_without_a_margin = 0
    for _ in range(25):
        K, T = camera(rng, far=far)
        points = on_the_borders(rng, K, T, min_depth, 4000, dtype)
        inside = in_the_image(points, K, T, min_depth)
        found = candidates(points, K, T, min_depth)
        assert 200 < len(inside) < 3900
        assert np.isin(inside, found).all()
        assert (np.diff(found) > 0).all()
        left = (K[0] - [0, 0, LOW[0]]) @ T[:3]
        lost_without_a_margin += (projection.along(left, points)[inside] < 0.0).sum()
    assert lost_without_a_margin > 10  # the points are as near the borders as to need one


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_odd_values_neither_warn_nor_cost_a_point(dtype):
    rng = np.random.default_rng(2)
    points = odd_points(dtype)
    inside = 0
    for _ in range(50):
        K, T = camera(rng)
        rows = in_the_image(points, K, T, 1.0)
        inside += len(rows)
        assert np.isin(rows, candidates(points, K, T, 1.0)).all()
    assert inside > 50


def around_the_camera(rng, count=20_000):
    """Points of a full turn, of which T below sees those ahead."""
    return np.ascontiguousarray(rng.normal(0, 20, (count, 3)).astype(np.float32).T)


def test_few_others_are_left():
    points = around_the_camera(np.random.default_rng(3))
    K, T = camera(np.random.default_rng(4))
    u = K[0] @ T[:3, :3] @ points + K[0] @ T[:3, 3]
    z = T[2, :3] @ points + T[2, 3]
    between = (u >= LOW[0] * z) & (u <= HIGH[0] * z)
    found = candidates(points, K, T, 1.0)
    assert 0 < len(found) - between.sum() < 10 or len(found) == between.sum()
    assert len(found) < 0.5 * points.shape[1]


def mirrored_and_stretched(T):
    T[0, :3] *= 3.0


def far_away(T):
    T[:3, 3] = 1e7


@pytest.mark.parametrize("spoil", [mirrored_and_stretched, far_away])
def test_where_the_margin_is_not_known_nothing_in_front_is_left_out(spoil):
    points = around_the_camera(np.random.default_rng(5))
    K, T = camera(np.random.default_rng(6))
    spoil(T)
    in_front = np.flatnonzero(projection.along(T[2], projection.columns(points.T)) >= 1.0)
    np.testing.assert_array_equal(candidates(points, K, T, 1.0), in_front)


def test_a_lens_with_distortion_keeps_all_in_front():
    points = around_the_camera(np.random.default_rng(7))
    K, T = camera(np.random.default_rng(8))
    in_front = np.flatnonzero(projection.along(T[2], projection.columns(points.T)) >= 1.0)
    np.testing.assert_array_equal(candidates(points, K, T, 1.0, BARREL), in_front)
    assert 0 < len(in_front) < points.shape[1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("distortion", [NO_DISTORTION, BARREL])
@pytest.mark.parametrize("margin", [0.0, (1.5, 1.5, 0.5, 0.5), (3.25, 0.1, 700.0, 40.0)])
def test_correspondences_are_the_same_bit_by_bit_without_it(margin, distortion, dtype, monkeypatch):
    rng = np.random.default_rng(9)
    policy = Policy(margin_px=margin, min_depth_m=0.7)

    def found(points, K, T):
        pairs = correspond(
            points.T,
            T_camera_from_lidar=T,
            K=K,
            distortion=distortion,
            width=WIDTH,
            height=HEIGHT,
            policy=policy,
            T_ego_from_lidar=np.eye(4),
            ego_box_m=(-2, -1, -1, 2, 1, 1),
        )
        return pairs.row, pairs.uv, pairs.depth, pairs.visible

    rows = 0
    for _ in range(10):
        K, T = camera(rng)
        parts = on_the_borders(rng, K, T, 0.7, 2000, dtype), odd_points(dtype)
        points = np.concatenate([*parts, around_the_camera(rng, 2000).astype(dtype)], axis=1)
        quick = found(points, K, T)
        with monkeypatch.context() as patch:
            patch.setattr(
                frustum, "candidates", lambda points, *_, **__: np.arange(points.shape[1])
            )
            slow = found(points, K, T)
        rows += len(slow[0])
        for one, other in zip(quick, slow, strict=True):
            assert one.tobytes() == other.tobytes()
    assert rows > 2000
