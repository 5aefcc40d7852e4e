"""Laws that hold for every rigid transform, camera and point."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simipu.geometry import camera, projection, se3

NO_DISTORTION = np.zeros(5)


def floats(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_subnormal=False)


@st.composite
def transforms(draw: st.DrawFn) -> np.ndarray:
    w, x, y, z = draw(st.tuples(*[floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1))
    w, x, y, z = np.array([w, x, y, z]) / np.linalg.norm([w, x, y, z])
    T = np.eye(4)
    T[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    T[:3, 3] = draw(st.tuples(*[floats(-100, 100)] * 3))
    return T


@st.composite
def intrinsics(draw: st.DrawFn) -> np.ndarray:
    fx, fy = draw(floats(100, 3000)), draw(floats(100, 3000))
    return np.array(
        [
            [fx, draw(floats(-5, 5)), draw(floats(0, 2000))],
            [0, fy, draw(floats(0, 2000))],
            [0, 0, 1],
        ]
    )


points = st.lists(st.tuples(*[floats(-100, 100)] * 3), min_size=1, max_size=20).map(np.array)
distortions = st.tuples(
    floats(-0.6, 0.6),
    floats(-0.5, 0.5),
    floats(-0.01, 0.01),
    floats(-0.01, 0.01),
    floats(-0.3, 0.3),
).map(np.array)


@given(transforms(), points)
def test_the_inverse_undoes_the_transform(T, xyz):
    assert se3.is_rigid(T)
    np.testing.assert_allclose(se3.apply(se3.invert(T), se3.apply(T, xyz)), xyz, atol=1e-11)
    np.testing.assert_allclose(se3.invert(se3.invert(T)), T, atol=1e-12)


@given(transforms(), transforms(), points)
def test_transforms_compose_like_their_matrices(T_c_from_b, T_b_from_a, xyz):
    np.testing.assert_allclose(
        se3.apply(T_c_from_b @ T_b_from_a, xyz),
        se3.apply(T_c_from_b, se3.apply(T_b_from_a, xyz)),
        atol=1e-11,
    )


@given(transforms(), floats(1.01, 10.0))
def test_a_scaled_rotation_is_not_rigid(T, scale):
    T[:3, :3] *= scale
    assert not se3.is_rigid(T)


@given(transforms(), intrinsics(), points)
def test_pixel_and_depth_lead_back_to_the_point(T, K, xyz):
    uv, depth = projection.project(xyz, T, K, NO_DISTORTION)
    np.testing.assert_array_equal(np.isnan(uv).any(axis=1), depth <= 0)
    front = depth > 0.1
    rays = np.column_stack([uv[front], np.ones(front.sum())]) @ np.linalg.inv(K).T
    back = se3.apply(se3.invert(T), rays * depth[front, None])
    np.testing.assert_allclose(back, xyz[front], atol=1e-8)


@given(intrinsics(), distortions, points, floats(0.1, 10.0))
def test_all_points_of_a_camera_ray_share_a_pixel(K, distortion, xyz, stretch):
    near, _ = projection.project(xyz, np.eye(4), K, distortion)
    far, _ = projection.project(xyz * stretch, np.eye(4), K, distortion)
    both = np.isfinite(near).all(axis=1) & np.isfinite(far).all(axis=1)
    np.testing.assert_allclose(near[both], far[both], rtol=1e-9, atol=1e-6)


@given(distortions)
def test_the_distorted_radius_grows_up_to_the_largest_radius_and_ends_there(distortion):
    radial = distortion * [1, 1, 0, 0, 1]
    limit = camera.max_radius(radial)
    r = np.linspace(0.0, min(limit, 3.0) * (1 - 1e-9), 200)
    u, v = camera.to_pixels(r, np.zeros_like(r), np.eye(3), radial)
    assert (np.diff(u) >= 0).all()
    assert not v.any()
    if limit < 1e3:
        beyond, _ = camera.to_pixels(
            np.array([limit * (1 + 1e-9), limit * 2]), np.zeros(2), np.eye(3), radial
        )
        assert np.isnan(beyond).all()
