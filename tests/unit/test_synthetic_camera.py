"""Images: every pixel's ray, at its own time, against exact worlds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import raycast
from simipu.errors import UsageError
from simipu.geometry.projection import project
from simipu.pipelines.synthetic import camera as cameras
from simipu.pipelines.synthetic import rigs
from simipu.pipelines.synthetic.caster import Caster
from simipu.pipelines.synthetic.look import Look
from simipu.pipelines.synthetic.motion import Trajectory
from simipu.pipelines.synthetic.world import make_world
from synthetic_scene import actor, box, ground, pose, uniform, world

BOXES = [(8, -1, -1, 12, 1, 1.5), (5, 2.5, -1, 30, 6, 5)]
EXACT = raycast.World(ground=(np.array([0.0, 0.0, 1.0]), 0.0), boxes=BOXES)
STANDING = [ground(half=900.0), *(box(b[:3], b[3:]) for b in BOXES)]


class Recorder:
    """A look that keeps what it is asked for, and paints each ray's direction."""

    def __init__(self):
        self.asked = []

    def color(self, hits, points, directions, footprint_m, eye, t_s):
        self.asked.append((hits, points, directions, footprint_m, eye, t_s))
        return np.round(127.5 + 127.0 * directions).astype(np.uint8)


def model(scale=0.1, make=rigs.waymo, number=0, **changes):
    return dataclasses.replace(make(image_scale=scale).cameras[number], **changes)


def pixels(camera):
    v, u = np.mgrid[: camera.height, : camera.width]
    return np.stack([u.ravel(), v.ravel()], axis=1).astype(float)


@pytest.mark.parametrize("number", [0, 3])
def test_slopes_undo_the_lens(number):
    camera = model(number=number)
    rng = np.random.default_rng(0)
    uv = rng.uniform(-0.5, [camera.width - 0.5, camera.height - 0.5], (2000, 2))
    uv = np.concatenate([uv, [[-0.5, -0.5], [camera.width - 0.5, camera.height - 0.5]]])
    x, y = cameras.slopes(uv, camera.K, camera.distortion)
    points = np.stack([x, y, np.ones_like(x)], axis=1) * rng.uniform(1, 50, (len(x), 1))
    back, _ = project(points, np.eye(4), camera.K, camera.distortion)
    np.testing.assert_allclose(back, uv, atol=1e-9)


def test_a_lens_that_does_not_reach_the_corners_is_refused():
    with pytest.raises(UsageError, match="distortion"):
        cameras.slopes(
            [[0.0, 0.0]],
            np.array([[100.0, 0, 200], [0, 100, 200], [0, 0, 1]]),
            np.array([0.0, -0.5, 0, 0, 0]),
        )


def test_depth_and_colour_of_a_pinhole():
    camera = model(0.12, rigs.kitti, 2)
    T = pose((1.0, 0.2, 0.05), yaw=0.1, pitch=0.02) @ camera.T_ego_from_camera
    ego = Trajectory.at_rest(pose((1.0, 0.2, 0.05), yaw=0.1, pitch=0.02))
    image = cameras.take(Caster(world(STANDING)), Recorder(), camera, ego, 3.0)
    uv = pixels(camera)
    in_camera = np.column_stack([uv, np.ones(len(uv))]) @ np.linalg.inv(camera.K).T
    rays = in_camera @ T[:3, :3].T
    expected = EXACT.hit(T[:3, 3], rays)
    expected[expected * np.linalg.norm(rays, axis=1) > 880] = np.inf
    depth = image.depth.ravel()
    assert image.depth.dtype == np.float32
    assert image.rgb.shape == (camera.height, camera.width, 3)
    same = np.isclose(depth, expected, rtol=1e-6) | (np.isinf(depth) & np.isinf(expected))
    assert same.mean() > 0.998  # but for rays along edges and at the ground's end
    unit = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    assert np.abs(image.rgb.reshape(-1, 3) - (127.5 + 127.0 * unit)).max() < 0.52


def test_what_a_look_is_told():
    camera = model(0.12, rigs.kitti, 2)
    look = Recorder()
    ego = uniform((0, 0, 0), (0, 0, 0))
    cameras.take(Caster(world(STANDING)), look, camera, ego, 3.0)
    hits, points, directions, footprint, eye, t_s = look.asked[0]
    assert t_s == 3.0
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0, atol=1e-6)
    on_ground = (hits.normal[:, 2] > 0.9) & (np.abs(points[:, 2]) < 1)
    assert on_ground.sum() > 100
    np.testing.assert_allclose(points[on_ground, 2], 0.0, atol=1e-4)
    origin = camera.T_ego_from_camera[:3, 3]
    np.testing.assert_allclose(eye, origin, atol=1e-9)
    distance = np.linalg.norm(points[on_ground] - origin, axis=1)
    slant = np.maximum(-directions[on_ground, 2], 0.05)
    sides = distance / camera.K[0, 0], distance / camera.K[0, 0] / slant
    np.testing.assert_allclose(footprint[on_ground], np.sqrt(sides[0] * sides[1]), rtol=1e-3)


def test_columns_of_a_rolling_shutter_see_from_where_the_camera_then_is():
    camera = model(0.08, number=3, readout_s=0.4)  # to the left, and slow, to make it plain
    ego = uniform((-3.0, -4.0, 0.0), (9.0, 0.5, 0.0), yaw=0.05)
    look = Recorder()
    image = cameras.take(Caster(world(STANDING)), look, camera, ego, 1.0)
    columns = np.arange(camera.width)
    times = 1.0 + 0.4 * (columns + 0.5) / camera.width
    np.testing.assert_allclose(cameras.exposure_s(camera, columns, 1.0), times, atol=1e-12)
    different = 0
    for u in columns[::7]:
        T = ego.pose(times[u]) @ camera.T_ego_from_camera
        uv = np.column_stack([np.full(camera.height, u), np.arange(camera.height)])
        x, y = cameras.slopes(uv, camera.K, camera.distortion)
        rays = np.stack([x, y, np.ones_like(x)], axis=1) @ T[:3, :3].T
        expected = EXACT.hit(T[:3, 3], rays)
        close = np.isclose(image.depth[:, u], expected, rtol=1e-6)
        assert close[expected < 400].mean() > 0.97
        still = EXACT.hit((ego.pose(1.0) @ camera.T_ego_from_camera)[:3, 3], rays)
        different += (~np.isclose(still, expected, rtol=1e-3)).sum()
    assert different > 100


def test_a_mover_is_where_it_is_at_the_exposure():
    camera = model(0.12, rigs.kitti, 2)
    car = actor(4, uniform((30, 0, 0), (-8, 0, 0)), box((-2, -1, 0), (2, 1, 1.6)))
    caster = Caster(world([ground()], [car]))
    ego = uniform((0, 0, 0), (2, 0, 0))
    for t in (0.0, 1.5):
        image = cameras.take(caster, Recorder(), camera, ego, t)
        centre = image.depth[int(camera.K[1, 2]) + 2, int(camera.K[0, 2])]
        # The car's back, less the camera's place on the ego car.
        expected = (30 - 2 - 8 * t) - 2 * t - camera.T_ego_from_camera[0, 3]
        assert centre == pytest.approx(expected, abs=0.02)


def test_a_part_of_an_image_is_computed_as_the_whole(monkeypatch):
    camera = model(0.06, number=1)
    car = actor(4, uniform((20, 9, 0), (-8, 0, 0)), box((-2, -1, 0), (2, 1, 1.6)))
    caster = Caster(world(STANDING, [car]))
    ego = uniform((0, 0, 0), (9, 1, 0))
    whole = cameras.take(caster, Recorder(), camera, ego, 1.0)
    monkeypatch.setattr(cameras, "_BLOCK_PX", 5 * camera.height + 1)
    blocks = cameras.take(caster, Recorder(), camera, ego, 1.0)
    assert np.array_equal(whole.rgb, blocks.rgb)
    assert np.array_equal(whole.depth, blocks.depth)


@pytest.mark.parametrize("readout_s", [0.0, 0.04])
def test_how_an_image_is_cut_into_blocks_changes_no_colour(monkeypatch, readout_s):
    street = make_world(3, 0, duration_s=3.0)
    caster = Caster(street)
    look = Look(street, caster)
    rig = rigs.kitti(image_scale=0.4).cameras[2]
    camera = dataclasses.replace(rig, readout_s=readout_s)
    whole = cameras.take(caster, look, camera, street.ego, 1.0)
    monkeypatch.setattr(cameras, "_BLOCK_PX", 37 * camera.height)
    blocks = cameras.take(caster, look, camera, street.ego, 1.0)
    assert np.array_equal(whole.rgb, blocks.rgb)
