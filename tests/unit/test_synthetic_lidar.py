"""Sweeps: what is hit, from where and when, and what noise makes of it."""

from __future__ import annotations

import dataclasses
from dataclasses import fields

import numpy as np
import pytest

import raycast
from simipu.pipelines.synthetic import lidar as lidars
from simipu.pipelines.synthetic import rigs
from simipu.pipelines.synthetic.caster import Caster
from simipu.pipelines.synthetic.motion import Trajectory
from synthetic_scene import actor, box, ground, mesh, pose, uniform, world

BOXES = [(8, -1, -1, 12, 1, 1.5), (-40, 6, -1, 40, 12, 8), (-9, -8, -1, -6, -5, 2)]
EXACT = raycast.World(ground=(np.array([0.0, 0.0, 1.0]), 0.0), boxes=BOXES)
TURNING = Trajectory.through(
    np.arange(-1, 3, 0.05),
    [pose((9 * s, 0.4 * s, 0), yaw=0.6 * s, roll=0.01 * s) for s in np.arange(-1, 3, 0.05)],
)


def rng(*key):
    return np.random.default_rng(key)


@pytest.fixture(scope="module")
def street():
    car = actor(4, uniform((14, -6, 0), (-12, 0, 0)), box((-2, -1, 0), (2, 1, 1.6)))
    static = [ground(half=700.0), *(box(b[:3], b[3:]) for b in BOXES)]
    return Caster(world(static, [car]))


def own_poses(lidar, ego, start_s, columns):
    share = (columns + 0.5) / lidar.columns
    return ego.pose(start_s + lidar.period_s * share) @ lidar.T_ego_from_lidar


@pytest.mark.parametrize("make", [rigs.kitti, rigs.nuscenes, rigs.waymo])
def test_each_beam_hits_from_where_the_lidar_is_when_it_fires(street, make):
    lidar = make(beams=24, columns=360, noise=False).lidars[0]
    sweep = lidars.scan(street, lidar, TURNING, 0.3, rng(0))
    assert len(sweep.t_s) > 3000
    # In firing order.
    assert (np.diff(sweep.column.astype(int) * 100 + sweep.ring) > 0).all()
    T = own_poses(lidar, TURNING, 0.3, sweep.column)
    np.testing.assert_allclose(
        sweep.t_s, 0.3 + (sweep.column + 0.5) / lidar.columns * lidar.period_s, atol=1e-12
    )
    turn = 2 * np.pi * (sweep.column + 0.5) / lidar.columns * (-1 if lidar.clockwise else 1)
    azimuth, elevation = lidar.start_azimuth_rad + turn, lidar.elevations_rad[sweep.ring]
    np.testing.assert_allclose(
        sweep.direction,
        np.column_stack(
            [
                np.cos(elevation) * np.cos(azimuth),
                np.cos(elevation) * np.sin(azimuth),
                np.sin(elevation),
            ]
        ),
        atol=1e-12,
    )
    # Without noise, a point taken along the pose of its own time is the spot that was hit.
    points = np.einsum("nij,nj->ni", T[:, :3, :3], sweep.xyz) + T[:, :3, 3]
    np.testing.assert_allclose(points, sweep.surface, atol=1e-9)
    # Which is where closed forms say.
    rays = np.einsum("nij,nj->ni", T[:, :3, :3], sweep.direction)
    still = np.flatnonzero(sweep.object_id == 0)
    expected = np.array([EXACT.hit(T[i, :3, 3], rays[i : i + 1])[0] for i in still])
    assert np.isclose(sweep.range_m[still], expected, rtol=0, atol=1e-6).mean() > 0.999
    # And every beam that could have had a return has one.
    everywhere = np.stack(np.meshgrid(np.arange(360), np.arange(24), indexing="ij"), -1).reshape(
        -1, 2
    )
    seen = set(zip(sweep.column.tolist(), sweep.ring.tolist(), strict=True))
    for column, ring in everywhere[::61]:
        a = lidar.azimuth_rad(column)
        e = lidar.elevations_rad[ring]
        d = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
        pose_now = own_poses(lidar, TURNING, 0.3, np.array(column))
        t = EXACT.hit(pose_now[:3, 3], (pose_now[:3, :3] @ d)[None])[0]
        assert ((column, ring) in seen) or t > lidar.max_range_m * 0.999


def test_a_mover_is_hit_where_it_is_then(street):
    lidar = rigs.kitti(noise=False, columns=1500).lidars[0]
    sweep = lidars.scan(street, lidar, TURNING, 0.3, rng(0))
    on_car = sweep.object_id == 4
    assert on_car.sum() > 100
    local = sweep.surface[on_car] - np.outer(sweep.t_s[on_car], [-12, 0, 0]) - [14, -6, 0]
    low, high = np.array([-2, -1, 0]), np.array([2, 1, 1.6])
    assert (local > low - 1e-6).all()
    assert (local < high + 1e-6).all()
    assert np.minimum(np.abs(local - low), np.abs(local - high)).min(axis=1).max() < 1e-9


def test_noise_is_along_the_beam_and_limited(street):
    lidar = dataclasses.replace(rigs.kitti(columns=1000).lidars[0], dropout=False)
    noisy = lidars.scan(street, lidar, TURNING, 0.3, rng(1))
    exact = lidars.scan(street, dataclasses.replace(lidar, range_noise_m=0.0), TURNING, 0.3, rng(1))
    assert np.array_equal(noisy.surface, exact.surface)
    off = (noisy.range_m - exact.range_m) / lidar.range_noise_m
    assert abs(off.mean()) < 0.03
    assert off.std() == pytest.approx(1.0, abs=0.02)
    assert 3.2 < np.abs(off).max() <= 4.0 + 1e-9
    np.testing.assert_allclose(
        np.cross(noisy.xyz, exact.xyz) / exact.range_m[:, None], 0.0, atol=1e-9
    )


def test_what_is_drawn_follows_from_the_key_alone(street):
    lidar = rigs.kitti(beams=16, columns=500).lidars[0]
    first, again, other = (
        lidars.scan(street, lidar, TURNING, 0.3, rng(*key)) for key in ((1, 2), (1, 2), (1, 3))
    )
    for field in fields(first):
        assert np.array_equal(getattr(first, field.name), getattr(again, field.name)), field.name
    assert len(other.t_s) != len(first.t_s) or not np.array_equal(other.range_m, first.range_m)
    # What stands in the way of one beam changes nothing for another.
    wall = Caster(world([ground(half=700.0)]))
    open_field = lidars.scan(wall, lidar, TURNING, 0.3, rng(1, 2))
    noise = {}
    for sweep in (first, open_field):
        T = own_poses(lidar, TURNING, 0.3, sweep.column)
        error = sweep.range_m - np.linalg.norm(sweep.surface - T[:, :3, 3], axis=1)
        for key, value in zip(
            zip(sweep.column.tolist(), sweep.ring.tolist(), strict=True), error, strict=True
        ):
            noise.setdefault(key, []).append(value)
    both = np.array([values for values in noise.values() if len(values) == 2])
    assert len(both) > 1000
    np.testing.assert_allclose(both[:, 0], both[:, 1], atol=1e-5)  # KITTI's R is good to 1e-6


def wall_of(material, angle_deg=0.0, x=15.0):
    """A wall across the way, turned about the vertical."""
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    along = np.array([-s, c, 0.0]) * 40.0
    up, centre = np.array([0, 0, 40.0]), np.array([x, 0, 0])
    corners = [centre + a * along + b * up for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    return Caster(world([mesh(corners, [[0, 1, 2], [0, 2, 3]], material=material)]))


def lost_share(material, angle_deg=0.0, x=15.0):
    """Of the beams straight ahead."""
    at_rest = Trajectory.at_rest(np.eye(4))
    lidar = rigs.kitti().lidars[0]
    counts = []
    for dropout in (True, False):
        changed = dataclasses.replace(lidar, dropout=dropout, field_of_view_rad=np.radians(24.0))
        sweep = lidars.scan(wall_of(material, angle_deg, x), changed, at_rest, 0.0, rng(5))
        counts.append(len(sweep.t_s))
        assert ((sweep.intensity >= 0) & (sweep.intensity <= 1)).all()
    assert counts[1] > 3000
    return 1.0 - counts[0] / counts[1]


def test_what_is_lost_follows_material_angle_and_range():
    assert lost_share("plaster") < 0.03
    assert 0.1 < lost_share("car_glass") < 0.9
    assert lost_share("car_paint", 70.0) > 2 * lost_share("car_paint") > 2 * lost_share("plaster")
    assert lost_share("tyre", 0.0, 100.0) > lost_share("tyre") + 0.02
    assert lost_share("asphalt", 80.0, 60.0) > lost_share("asphalt", 0.0, 60.0)


def test_intensity_follows_material_angle_and_range():
    def mean(*args):
        at_rest, lidar = Trajectory.at_rest(np.eye(4)), rigs.kitti(noise=False).lidars[0]
        lidar = dataclasses.replace(lidar, field_of_view_rad=np.radians(20.0))
        return lidars.scan(wall_of(*args), lidar, at_rest, 0.0, rng(5)).intensity.mean()

    assert mean("paint") > 2 * mean("asphalt")
    assert mean("plaster", 60.0) < mean("plaster")
    assert mean("plaster", 0.0, 90.0) < mean("plaster", 0.0, 10.0)


def test_nothing_comes_from_beyond_the_range_or_from_outside_the_view(street):
    rig = rigs.waymo(beams=16, columns=600)
    for lidar in rig.lidars:
        sweep = lidars.scan(street, lidar, TURNING, 0.3, rng(2))
        assert sweep.range_m.min() > 0
        assert sweep.range_m.max() <= lidar.max_range_m
        azimuth = np.arctan2(sweep.direction[:, 1], sweep.direction[:, 0])
        assert np.abs(azimuth).max() <= lidar.field_of_view_rad / 2 + 1e-9
        assert np.abs(azimuth).max() > lidar.field_of_view_rad / 2 - 0.2
    far = rigs.kitti(noise=False).lidars[0]
    near = dataclasses.replace(far, max_range_m=9.0)
    cut, whole = (lidars.scan(street, x, TURNING, 0.3, rng(2)) for x in (near, far))
    assert np.array_equal(cut.range_m, whole.range_m[whole.range_m <= 9.0])
    assert 1000 < len(cut.t_s) < len(whole.t_s)
