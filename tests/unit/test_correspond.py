"""Selection, rounding and policy of the correspondences."""

import json
import math

import numpy as np
import pytest

from simipu.correspond import policy as policy_module
from simipu.correspond.compute import correspond, in_ego_box
from simipu.correspond.policy import Policy
from simipu.errors import UsageError
from simipu.records import Correspondences

WIDTH, HEIGHT = 64, 48
K = np.array([[50.0, 0.0, 31.5], [0.0, 52.0, 23.5], [0.0, 0.0, 1.0]])
BARREL = np.array([-0.2, 0.05, 0.001, -0.002, 0.0])
# LiDAR axes x forward, y left, z up; the camera 10 cm below and 20 cm ahead.
T = np.array([[0.0, -1, 0, 0], [0, 0, -1, -0.1], [1, 0, 0, -0.2], [0, 0, 0, 1]])


def run(xyz, *, K=K, T=T, distortion=BARREL, ego_box=None, **policy) -> Correspondences:
    return correspond(
        np.asarray(xyz, dtype=np.float32).reshape(-1, 3),
        T_camera_from_lidar=T,
        K=K,
        distortion=distortion,
        width=WIDTH,
        height=HEIGHT,
        policy=Policy(**policy),
        T_ego_from_lidar=None if ego_box is None else np.eye(4),
        ego_box_m=ego_box,
    )


def one_at_a_time(xyz, min_depth, margin):
    """Rows, pixels and depths by scalar arithmetic."""
    k1, k2, p1, p2, k3 = BARREL
    found = []
    for row, point in enumerate(xyz.astype(float)):
        if not all(map(math.isfinite, point)):
            continue
        x, y, depth = (float(sum(T[i, :3] * point) + T[i, 3]) for i in range(3))
        if depth < min_depth:
            continue
        x, y = x / depth, y / depth
        r2 = x * x + y * y
        if 1 + 3 * k1 * r2 + 5 * k2 * r2**2 < 0:
            continue
        radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
        u = K[0, 0] * (x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)) + K[0, 2]
        v = K[1, 1] * (y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y) + K[1, 2]
        left, top, right, bottom = margin
        inside_u = -0.5 + left <= u < WIDTH - 0.5 - right
        inside_v = -0.5 + top <= v < HEIGHT - 0.5 - bottom
        if inside_u and inside_v:
            found.append((row, u, v, depth))
    return np.array(found)


@pytest.mark.parametrize(
    ("min_depth", "margin"), [(1.0, (0, 0, 0, 0)), (4.0, (3.25, 1.5, 9.0, 0.5))]
)
def test_equals_scalar_arithmetic_point_by_point(min_depth, margin):
    xyz = np.random.default_rng(3).normal(0, 8, size=(5000, 3)).astype(np.float32)
    xyz[::97] = np.nan
    xyz[5::97, 1] = np.inf
    expected = one_at_a_time(xyz, min_depth, margin)
    found = run(xyz, min_depth_m=min_depth, margin_px=margin)
    assert len(found) == len(expected) > 200
    np.testing.assert_array_equal(found.row, expected[:, 0])
    np.testing.assert_allclose(found.uv, expected[:, 1:3], rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(found.depth, expected[:, 3], rtol=1e-6)


def test_types_and_order():
    found = run(np.random.default_rng(4).normal(0, 8, size=(500, 3)))
    assert (found.row.dtype, found.uv.dtype) == (np.uint32, np.float32)
    assert (found.depth.dtype, found.visible.dtype) == (np.float32, np.bool_)
    assert found.uv.shape == (len(found), 2)
    assert (np.diff(found.row.astype(int)) > 0).all()


# Exactly at pixel u for a camera at the origin, unit depth and focal length.
UNIT = {"K": np.eye(3), "T": np.eye(4), "distortion": np.zeros(5), "min_depth_m": 0.5}


@pytest.mark.parametrize(
    ("u", "inside"),
    [
        (-0.5, True),
        (np.nextafter(np.float32(-0.5), np.float32(-1)), False),
        (np.nextafter(np.float32(WIDTH - 0.5), np.float32(0)), True),
        (WIDTH - 0.5, False),
    ],
)
def test_the_image_spans_half_open_intervals_around_pixel_centres(u, inside):
    assert len(run([u, 10.0, 1.0], **UNIT)) == inside


def test_one_margin_stands_for_all_four():
    assert Policy(margin_px=2.0) == Policy(margin_px=(2, 2, 2, 2))


@pytest.mark.parametrize(
    ("u", "inside"), [(0.999, False), (1.001, True), (62.9, True), (63, False)]
)
def test_borders_of_one_pixel_at_pixel_centres(u, inside):
    # 1 < u < W - 1: how the nuScenes devkit crops.
    assert len(run([u, 10.0, 1.0], **UNIT, margin_px=(1.5, 1.5, 0.5, 0.5))) == inside


@pytest.mark.parametrize("shift", [1e-9, -1e-9])
def test_rounding_to_float32_neither_admits_nor_throws_out_a_point(shift):
    edge = WIDTH - 0.5
    T = np.eye(4)
    T[0, 3] = shift  # float64 knows the side of the edge; float32 does not
    found = run([edge, 10.0, 1.0], **{**UNIT, "T": T})
    assert len(found) == (shift < 0)
    assert (found.uv[:, 0] < edge).all()
    assert (found.uv[:, 0] > edge - 1e-4).all()


@pytest.mark.parametrize("u", [-0.4 + 1e-12, WIDTH - 0.6 - 1e-12])
def test_rounded_pixels_keep_to_a_margin_that_float32_lacks(u):
    assert not -0.4 <= float(np.float32(u)) < WIDTH - 0.6  # rounding to nearest leaves the bounds
    T = np.eye(4)
    T[0, 3] = u
    found = run([0.0, 10.0, 1.0], **{**UNIT, "T": T}, margin_px=0.1)
    assert len(found) == 1
    assert -0.4 <= float(found.uv[0, 0]) < WIDTH - 0.6
    assert found.uv[0, 0] == pytest.approx(u, abs=1e-5)


def test_rounded_depth_keeps_to_a_smallest_depth_that_float32_lacks():
    assert float(np.float32(0.7)) < 0.7
    T = np.eye(4)
    T[2, 3] = 0.7
    found = run([10.0, 10.0, 0.0], **{**UNIT, "T": T, "min_depth_m": 0.7})
    assert len(found) == 1
    assert 0.7 <= float(found.depth[0]) < 0.7 + 1e-6


def test_the_smallest_depth_is_included():
    points = [[30.0, 20.0, 1.0], [30.0, 20.0, np.nextafter(np.float32(1), np.float32(0))]]
    found = run(points, **{**UNIT, "min_depth_m": 1.0})
    np.testing.assert_array_equal(found.row, [0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_points_that_are_not_finite_are_never_rows(bad, axis):
    point = np.array([10.0, 0.0, 0.0])
    assert len(run(point)) == 1
    point[axis] = bad
    assert len(run(point)) == 0


def test_points_too_far_for_float32_are_left_out():
    largest = np.finfo(np.float32).max
    T_twice = T.copy()
    T_twice[2, :3] = [1.0, 1.0, 0.0]
    assert len(run([largest, largest, 0.0], T=T_twice)) == 0


def test_no_points_and_no_points_in_view():
    for xyz in (np.empty((0, 3)), [[-10.0, 0.0, 0.0]]):
        found = run(xyz)
        assert len(found) == 0
        assert found.uv.shape == (0, 2)


def test_points_with_more_columns_are_refused():
    with pytest.raises(UsageError, match=r"\(N, 3\), not \(5, 4\)"):
        correspond(
            np.zeros((5, 4), np.float32),
            T_camera_from_lidar=T,
            K=K,
            distortion=BARREL,
            width=WIDTH,
            height=HEIGHT,
            policy=Policy(),
        )


def test_occlusion_changes_nothing_but_the_visible_flag():
    xyz = np.random.default_rng(5).uniform([2, -3, -2], [30, 3, 2], size=(4000, 3))
    with_test, without = run(xyz), run(xyz, occlusion="none")
    assert without.visible.all()
    assert 0 < with_test.visible.sum() < len(with_test)
    for name in ("row", "uv", "depth"):
        np.testing.assert_array_equal(getattr(with_test, name), getattr(without, name))


AROUND_PANEL = (2.5, -9.0, -9.0, 3.5, 9.0, 9.0)


def wall_behind_a_panel():
    """A wall 20 m ahead, and a panel before its left half, 3 m ahead."""
    y, z = (a.ravel() for a in np.meshgrid(np.linspace(-6, 6, 120), np.linspace(-4, 4, 80)))
    wall = np.column_stack([np.full(len(y), 20.0), y, z])
    panel = np.column_stack([np.full(len(y), 3.0), y / 12 + 0.5, z / 7])
    return np.concatenate([wall, panel]), np.arange(2 * len(y)) >= len(y)


def test_ego_points_are_hidden_and_hide_nothing():
    xyz, panel = wall_behind_a_panel()
    hidden = run(xyz, ego_box=AROUND_PANEL)
    kept = run(xyz, ego_box=AROUND_PANEL, ego_points="keep")
    np.testing.assert_array_equal(hidden.row, kept.row)
    np.testing.assert_array_equal(hidden.uv, kept.uv)
    is_panel = panel[hidden.row]
    assert is_panel.any()
    assert not hidden.visible[is_panel].any()
    assert hidden.visible[~is_panel].all()
    assert kept.visible[is_panel].all()
    assert not kept.visible[~is_panel].all()


@pytest.mark.parametrize("occlusion", ["zbuffer", "none"])
def test_excluded_ego_points_leave_what_a_cloud_without_them_has(occlusion):
    xyz, panel = wall_behind_a_panel()
    policy = {"occlusion": occlusion}
    excluded = run(xyz, ego_box=AROUND_PANEL, ego_points="exclude", **policy)
    without = run(xyz[~panel], **policy)
    np.testing.assert_array_equal(excluded.row, without.row)  # the panel comes last
    np.testing.assert_array_equal(excluded.uv, without.uv)
    np.testing.assert_array_equal(excluded.visible, without.visible)
    kept = run(xyz, ego_box=AROUND_PANEL, ego_points="keep", **policy)
    np.testing.assert_array_equal(kept.visible, run(xyz, **policy).visible)
    assert kept.visible[panel[kept.row]].any()


def test_the_ego_box_is_tested_in_the_ego_frame():
    T_ego_from_lidar = np.eye(4)
    T_ego_from_lidar[:3, :3] = [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]  # lidar y is ego x
    T_ego_from_lidar[:3, 3] = [0.9, 0.0, 1.8]
    box = (-1.0, -0.8, 0.0, 3.0, 0.8, 1.6)
    ego = np.array([[2.9, 0.7, 0.1], [3.1, 0.7, 0.1], [2.9, -0.9, 0.1], [0, 0, 1.7], [0, 0, 1.5]])
    xyz = (ego - T_ego_from_lidar[:3, 3]) @ T_ego_from_lidar[:3, :3]
    xyz = np.concatenate([xyz, [[np.nan, 0, 0]]]).astype(np.float32)
    found = in_ego_box(xyz, T_ego_from_lidar, box)
    assert found.tolist() == [True, False, False, False, True, False]


@pytest.mark.parametrize(
    "values",
    [
        {"min_depth_m": 0.0},
        {"min_depth_m": -1.0},
        {"min_depth_m": math.nan},
        {"min_depth_m": "1"},
        {"min_depth_m": True},
        {"margin_px": -0.1},
        {"margin_px": math.inf},
        {"margin_px": (1, 2, 3)},
        {"margin_px": (0, 0, -1, 0)},
        {"margin_px": "1234"},
        {"ego_points": "drop"},
        {"occlusion": "raytraced"},
        {"occlusion": None},
    ],
)
def test_a_bad_policy_says_which_value_and_how_to_mend_it(values):
    with pytest.raises(UsageError, match=next(iter(values))) as caught:
        Policy(**values)
    assert caught.value.fix


def test_policy_survives_json():
    policy = Policy(
        min_depth_m=0.3, margin_px=(2, 0, 1.5, 0), occlusion="none", ego_points="exclude"
    )
    assert Policy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy
    assert Policy.from_dict({}) == Policy()


def test_policy_with_unknown_keys_is_refused():
    with pytest.raises(UsageError, match="max_depth_m"):
        Policy.from_dict({"min_depth_m": 1.0, "max_depth_m": 80.0})


def test_hash_tells_policies_apart_but_not_their_spelling(monkeypatch):
    hashes = [
        Policy().hash,
        Policy(min_depth_m=2.0).hash,
        Policy(margin_px=1.0).hash,
        Policy(margin_px=(1, 1, 1, 0)).hash,
        Policy(occlusion="none").hash,
        Policy(ego_points="keep").hash,
    ]
    assert len(set(hashes)) == 6
    assert Policy(min_depth_m=1, margin_px=-0.0).hash == hashes[0]
    monkeypatch.setattr(policy_module, "ALGORITHM_VERSION", policy_module.ALGORITHM_VERSION + 1)
    assert Policy().hash != hashes[0]
