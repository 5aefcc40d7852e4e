"""Trajectories: through their poses, smooth, and with a velocity that is their derivative."""

from __future__ import annotations

import numpy as np
import pytest

from simipu.errors import UsageError
from simipu.geometry.se3 import is_rigid
from simipu.pipelines.synthetic.motion import Trajectory
from synthetic_scene import pose


def winding(count=12, seed=0):
    """Times at uneven steps and poses that turn about all axes, by more than a full turn in yaw."""
    rng = np.random.default_rng(seed)
    t = np.cumsum(rng.uniform(0.1, 0.5, count)) - 1.0
    poses = [
        pose((8 * s, 3 * np.sin(s), 0.3 * np.cos(2 * s)), 2.2 * s, 0.3 * np.sin(s), 0.2 * s)
        for s in t
    ]
    return t, np.array(poses)


def rotation_vector(R):
    """Of small rotations (N, 3, 3)."""
    return (
        np.stack([R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]], 1) / 2
    )


def test_it_passes_through_its_poses():
    t, poses = winding()
    path = Trajectory.through(t, poses)
    np.testing.assert_allclose(path.pose(t), poses, atol=1e-12)
    np.testing.assert_allclose(path.pose(t[4]), poses[4], atol=1e-12)
    assert path.pose(t[4]).shape == (4, 4)
    assert all(is_rigid(T, tolerance=1e-13) for T in path.pose(np.linspace(-3, 6, 100)))


def test_a_rotation_by_half_a_turn_about_any_axis_is_kept():
    half_turns = [pose(yaw=np.pi), pose(pitch=np.pi), pose(roll=np.pi), pose(yaw=3.0, pitch=0.2)]
    for T in half_turns:
        np.testing.assert_allclose(Trajectory.at_rest(T).pose(3.0), T, atol=1e-12)


def test_velocity_is_the_derivative_of_the_pose():
    path = Trajectory.through(*winding())
    t = np.linspace(-2.0, 5.0, 701) + 1e-3
    linear, angular = path.velocity(t)
    h = 1e-5
    before, after = path.pose(t - h), path.pose(t + h)
    np.testing.assert_allclose(linear, (after - before)[:, :3, 3] / (2 * h), atol=1e-6)
    turned = before[:, :3, :3].transpose(0, 2, 1) @ after[:, :3, :3]  # in the body's own frame
    np.testing.assert_allclose(angular, rotation_vector(turned) / (2 * h), atol=1e-6)


def test_velocity_is_continuous_at_the_poses_and_at_the_ends():
    t, poses = winding()
    path = Trajectory.through(t, poses)
    for before, after in zip(path.velocity(t - 1e-9), path.velocity(t + 1e-9), strict=True):
        np.testing.assert_allclose(before, after, atol=1e-6)


def test_beyond_its_ends_it_keeps_its_velocity():
    t, poses = winding()
    path = Trajectory.through(t, poses)
    for end, later in ((t[-1], t[-1] + np.array([0.5, 3.0])), (t[0], t[0] - np.array([0.5, 3.0]))):
        linear, angular = path.velocity(end)
        for values, constant in zip(path.velocity(later), (linear, angular), strict=True):
            np.testing.assert_allclose(values, [constant] * 2, atol=1e-12)
        np.testing.assert_allclose(
            path.pose(later)[:, :3, 3],
            path.pose(end)[:3, 3] + (later - end)[:, None] * linear,
            atol=1e-9,
        )


def test_constant_acceleration_and_a_steady_turn_are_met():
    t = np.array([-1.0, -0.4, 0.3, 0.9, 2.0])
    path = Trajectory.through(t, [pose((2 * s + 1.5 * s * s, 0, 0)) for s in t])
    s = np.linspace(-1, 2, 50)
    np.testing.assert_allclose(path.pose(s)[:, 0, 3], 2 * s + 1.5 * s * s, atol=1e-12)
    steady = np.arange(0, 2, 0.1)
    turn = Trajectory.through(steady, [pose(yaw=0.5 * s) for s in steady])
    for s, error in ((np.linspace(0.0, 1.9, 300), 1e-5), (np.linspace(-1.0, 3.0, 300), 2e-4)):
        expected = np.array([pose(yaw=0.5 * x) for x in s])
        np.testing.assert_allclose(turn.pose(s), expected, atol=error)


def test_one_time_alone_has_the_bits_it_has_among_others():
    path = Trajectory.through(*winding())
    t = np.linspace(-3, 6, 257)
    together, (linear, angular) = path.pose(t), path.velocity(t)
    for i in (0, 100, 256):
        assert np.array_equal(path.pose(t[i]), together[i])
        assert np.array_equal(path.velocity(t[i])[0], linear[i])
        assert np.array_equal(path.velocity(t[i])[1], angular[i])
    assert np.array_equal(path.pose(t[13:78]), together[13:78])


def test_at_rest():
    T = pose((1, 2, 3), 0.4, 0.1)
    path = Trajectory.at_rest(T)
    np.testing.assert_allclose(path.pose([-5.0, 0.0, 7.0]), [T] * 3, atol=1e-15)
    assert not np.any(path.velocity(1.0))


@pytest.mark.parametrize(
    ("t", "count"), [([0.0, 1.0], 3), ([], 0), ([0.0, 0.0], 2), ([1.0, 0.0], 2), ([0.0, np.nan], 2)]
)
def test_what_is_no_trajectory_is_refused(t, count):
    with pytest.raises(UsageError):
        Trajectory.through(t, np.tile(np.eye(4), (count, 1, 1)))


def test_bounds_of_the_speeds():
    for seed in range(5):
        path = Trajectory.through(*winding(seed=seed))
        t = np.linspace(-2.0, 6.0, 2001)
        fastest = [np.linalg.norm(v, axis=1).max() for v in path.velocity(t)]
        for bound, speed in zip(path.top_speeds(), fastest, strict=True):
            assert speed <= bound < 2.0 * speed
    assert Trajectory.at_rest(pose((1, 2, 3))).top_speeds() == (0.0, 0.0)
