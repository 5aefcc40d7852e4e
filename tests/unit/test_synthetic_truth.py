"""Truth: rays cast back through its pixels meet the spots that it says they show."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import raycast
from simipu.errors import SourceError
from simipu.geometry.projection import project
from simipu.pipelines.synthetic import camera as cameras
from simipu.pipelines.synthetic import lidar as lidars
from simipu.pipelines.synthetic import rigs, truth, visibility
from simipu.pipelines.synthetic.caster import Caster
from simipu.pipelines.synthetic.motion import Trajectory
from synthetic_scene import actor, box, ground, pole, pose, uniform, world

BOXES = [
    (8, -4, -1, 12, -2.2, 1.5),
    (-40, 6, -1, 40, 12, 8),
    (-40, -16, -1, 40, -12, 8),
    (6, 2.0, -1, 6.4, 2.4, 2),
]
POLES = [(x, y, 0.12, -1.0, 6.0) for x, y in ((7, -1.5), (5, 3), (1, -4), (2.2, -3), (0, -5))]
STANDING = [
    ground(half=600.0),
    *(pole(*p, sides=1000) for p in POLES),
    *(box(b[:3], b[3:]) for b in BOXES),
]
T_S = np.arange(-1, 3, 0.05)
EGO = Trajectory.through(T_S, [pose((9 * s - 3, 0.2 * s, 0), 0.25 * s, 0.01 * s) for s in T_S])
START_S = 0.3


@pytest.fixture(scope="module")
def scene():
    swerve = [pose((14 - 7 * s, -0.5 + np.sin(s), 0), 0.5 * s) for s in T_S]
    movers = [
        actor(4, Trajectory.through(T_S, swerve), box((-2, -1, 0), (2, 1, 1.6))),
        actor(6, uniform((12, -4.5, 0), (-3, 6.0, 0)), box((-0.3, -0.3, 0), (0.3, 0.3, 1.8))),
        actor(8, uniform((2, -9, 0), (-5, 1, 0)), box((-1, -0.5, 0), (1, 0.5, 2.4))),
    ]
    return Caster(world(STANDING, movers))


def views():
    """A global shutter, and rolling ones slower than real, to the front and to the side."""
    kitti, waymo = rigs.kitti(columns=1500), rigs.waymo(beams=32, columns=900)
    slow = [dataclasses.replace(waymo.cameras[i], readout_s=0.12) for i in (0, 4)]
    return {
        "global": (kitti.lidars[0], kitti.cameras[2]),
        "front": (waymo.lidars[0], slow[0]),
        "side": (waymo.lidars[0], slow[1]),
    }


@pytest.fixture(scope="module", params=["global", "front", "side"])
def found(request, scene):
    lidar, camera = views()[request.param]
    sweep = lidars.scan(scene, lidar, EGO, START_S, np.random.default_rng(0))
    exposure = START_S + 0.07  # not when the beams passed
    found = visibility.locate(
        scene, sweep.surface, sweep.object_id, sweep.t_s, camera, EGO, exposure
    )
    return sweep, camera, exposure, found


def ray_through(camera, uv, times):
    """Origin and direction, in the world, of the light that fell on pixels at their times."""
    x, y = cameras.slopes(uv, camera.K, camera.distortion)
    T = EGO.pose(times) @ camera.T_ego_from_camera
    return T[:, :3, 3], np.einsum("nij,nj->ni", T[:, :3, :3], np.stack([x, y, np.ones_like(x)], 1))


def test_rays_through_the_pixels_meet_the_spots(scene, found):
    sweep, camera, exposure, where = found
    times = cameras.exposure_s(camera, where.uv[:, 0], exposure)
    origins, rays = ray_through(camera, where.uv, times)
    # Directions have z = 1: their unit is depth.
    expected = scene.moved(
        sweep.surface[where.row], sweep.object_id[where.row], sweep.t_s[where.row], times
    )
    np.testing.assert_allclose(origins + where.depth[:, None] * rays, expected, atol=2e-5)
    hits = scene.cast(origins, rays, times)
    nearer = (where.depth - hits.distance) * np.linalg.norm(rays, axis=1)
    slack = 5e-3 + 1e-4 * where.depth * np.linalg.norm(rays, axis=1)
    assert len(where.row) > 800
    assert where.reached.mean() > 0.5
    assert (~where.reached).sum() > 30
    assert (nearer[~where.reached] > slack[~where.reached] * 0.99).all()
    # Rays that were cast at the spots have the same direction to the last bits only: along an
    # edge one may pass where the other does not.
    assert (nearer[where.reached] < slack[where.reached] * 1.01).mean() > 0.998
    on_movers = sweep.object_id[where.row] > 0
    assert on_movers.sum() > 20
    same = hits.object_id[where.reached] == sweep.object_id[where.row][where.reached]
    assert same.mean() > 0.995


def test_nothing_inside_the_image_is_left_out(scene, found):
    sweep, camera, exposure, where = found
    assert (np.diff(where.row.astype(int)) > 0).all()
    assert where.row.dtype == np.uint32
    assert (where.uv >= -0.5).all()
    assert (where.uv < [camera.width - 0.5, camera.height - 0.5]).all()
    left_out = np.setdiff1d(np.arange(len(sweep.t_s)), where.row)
    # At no time of the readout is any of these in the column that is then exposed.
    for share in np.linspace(0, 1, 9):
        t = exposure + share * camera.readout_s
        spots = scene.moved(
            sweep.surface[left_out], sweep.object_id[left_out], sweep.t_s[left_out], t
        )
        T = np.linalg.inv(EGO.pose(t) @ camera.T_ego_from_camera)
        uv, _ = project(spots, T, camera.K, camera.distortion)
        u, v = uv.T
        exposed = cameras.exposure_s(camera, u, exposure)
        inside = (u >= -0.5) & (u < camera.width - 0.5) & (v >= -0.5) & (v < camera.height - 0.5)
        assert not (inside & (np.abs(exposed - t) <= camera.readout_s / 50)).any()


def test_columns_are_found_to_a_billionth_of_a_second(scene, found):
    sweep, camera, exposure, where = found
    times = cameras.exposure_s(camera, where.uv[:, 0], exposure)
    spots = scene.moved(
        sweep.surface[where.row], sweep.object_id[where.row], sweep.t_s[where.row], times
    )
    for i in range(0, len(times), 37):
        T = np.linalg.inv(EGO.pose(times[i]) @ camera.T_ego_from_camera)
        uv, depth = project(spots[i : i + 1], T, camera.K, camera.distortion)
        again = cameras.exposure_s(camera, uv[0, 0], exposure)
        assert abs(again - times[i]) < 1e-9
        np.testing.assert_allclose(uv[0], where.uv[i], atol=1e-4)
        assert depth[0] == pytest.approx(where.depth[i], abs=1e-6)


def test_what_is_hidden_agrees_with_closed_forms():
    caster = Caster(world(STANDING))
    flat = (np.array([0.0, 0.0, 1.0]), 0.0)
    exact = raycast.World(ground=flat, boxes=BOXES, cylinders=POLES)
    lidar, camera = views()["global"]
    sweep = lidars.scan(caster, lidar, EGO, START_S, np.random.default_rng(0))
    where = visibility.locate(caster, sweep.surface, sweep.object_id, sweep.t_s, camera, EGO, 0.35)
    eye = (EGO.pose(0.35) @ camera.T_ego_from_camera)[:3, 3]
    sees = exact.sees(eye, sweep.surface[where.row], tolerance_m=6e-3)
    assert (~where.reached).sum() > 100
    assert (sees == where.reached).mean() > 0.999


def test_what_is_written_is_read(tmp_path, found):
    sweep, _, _, where = found
    depth = np.array([[1.5, np.inf], [2.0, 3.0]], dtype=np.float32)
    t_ns = np.arange(len(sweep.t_s), dtype=np.int64) + 10**18
    for name in ("a", "b"):
        truth.write(
            tmp_path / name,
            object_id=sweep.object_id,
            t_ns=t_ns,
            surface=sweep.surface,
            cameras={"image_02": where, "x.y": where},
            depth={"image_02": depth},
        )
    frame = truth.read(tmp_path / "a")
    assert np.array_equal(frame.object_id, sweep.object_id)
    assert np.array_equal(frame.t_ns, t_ns)
    assert np.array_equal(frame.surface, sweep.surface)
    assert list(frame.cameras) == ["image_02", "x.y"]
    for camera in frame.cameras.values():
        for field in dataclasses.fields(where):
            value = getattr(where, field.name)
            assert np.array_equal(getattr(camera, field.name), value)
            assert getattr(camera, field.name).dtype == value.dtype
    assert np.array_equal(frame.depth("image_02"), depth)
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [
        "depth_image_02.npy",
        "points.npz",
    ]
    for name in ("points.npz", "depth_image_02.npy"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with pytest.raises(SourceError, match="depth_image_03"):
        frame.depth("image_03")


@pytest.mark.parametrize("damage", ["missing", "cut", "text", "other"])
def test_damaged_truth_is_refused(tmp_path, damage):
    file = tmp_path / "points.npz"
    if damage == "cut":
        np.savez(file, object_id=np.zeros(1000))
        file.write_bytes(file.read_bytes()[:500])
    elif damage == "text":
        file.write_text("nothing of the kind")
    elif damage == "other":
        np.savez(file, other=np.zeros(3))
    with pytest.raises(SourceError, match=r"points\.npz"):
        truth.read(tmp_path)
