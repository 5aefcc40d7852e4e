"""Rays against exact worlds of planes, boxes and cylinders, standing and moving."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import raycast
from simipu.errors import UsageError
from simipu.pipelines.synthetic.caster import Caster
from simipu.pipelines.synthetic.material import NUMBER
from simipu.pipelines.synthetic.motion import Trajectory
from simipu.pipelines.synthetic.reach import meeting
from synthetic_scene import actor, box, ground, mesh, pole, pose, uniform, world

BOXES = [(6, -1, -1, 10, 1, 1.5), (-20, 8, -2, 20, 14, 9), (3, 3.5, -1, 3.4, 3.9, 1.8)]
POLES = [(8.0, 4.0, 0.12, -1.0, 6.0), (-5.0, -6.0, 0.3, -1.0, 5.0)]
SLOPE = np.array([0.03, -0.02, 1.0])
PARTS = ("approach", "uv", "material", "tint", "normal", "object_id", "distance")


def standing():
    boxes = [box(b[:3], b[3:]) for b in BOXES]
    return [ground(SLOPE, 1000.0), *boxes, *(pole(*p) for p in POLES)]


@pytest.fixture(scope="module")
def street():
    return Caster(world(standing()))


@pytest.fixture(scope="module")
def traffic():
    """A steady car, one that swerves and turns, and a parked one; all boxes."""
    t = np.arange(-1.0, 4.0, 0.2)
    swerve = [pose((12 - 3 * s, -4 + np.sin(2 * s), 0.1), 0.8 * s, 0.05 * s) for s in t]
    cars = [
        actor(7, uniform((14, 2, 0), (-6, 1, 0.3), yaw=2.9), box((-2, -0.9, 0), (2, 0.9, 1.5))),
        actor(3, Trajectory.through(t, swerve), box((-1.5, -0.8, 0), (1.5, 0.8, 1.4))),
    ]
    return world([*standing(), box((-9, -3, -1), (-5, -1, 1.2), object_id=5)], cars)


def rays(count, seed, origin=(0.0, 0.0, 1.7)):
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((count, 3)) * [1, 1, 0.15]
    return np.asarray(origin), directions * rng.uniform(0.2, 3.0, (count, 1))


def assert_same_hits(distance, origin, directions, exact):
    """But for rays that pass an edge within 0.3 mm: there the neighbouring rays disagree too."""
    expected = exact.hit(origin, directions)
    length = np.linalg.norm(directions, axis=1)
    near = expected * length < 400.0  # the ground of the mesh has an end
    with np.errstate(invalid="ignore"):
        wrong = np.flatnonzero(near & ~(np.abs(distance - expected) * length <= 1e-4))
    assert len(wrong) <= 5e-4 * len(directions)
    side = np.cross(directions[wrong], [0.3, 0.5, 0.8])
    side *= 3e-4 / np.linalg.norm(side, axis=1, keepdims=True) / expected[wrong, None]
    other = np.cross(directions[wrong], side) / length[wrong, None]
    beside = np.array(
        [exact.hit(origin, directions[wrong] + d) for d in (side, -side, other, -other)]
    )
    assert (np.abs(beside / expected[wrong] - 1).max(axis=0) > 1e-3).all()
    assert not np.isfinite(distance[np.isinf(expected)]).any()


def test_it_agrees_with_closed_forms(street):
    exact = raycast.World(ground=(SLOPE, 0.0), boxes=BOXES, cylinders=POLES)
    for seed, origin in enumerate([(0, 0, 1.7), (-3, -5, 2.5), (1.5, 4.0, 0.6)]):
        origin, directions = rays(40_000, seed, np.array(origin, dtype=float))
        assert_same_hits(street.distance(origin, directions, 0.0), origin, directions, exact)


def test_planes_are_met_far_beyond_float32():
    far = np.array([700.0, -650.0, 0.0])  # where a float32 step is 0.06 mm
    caster = Caster(world([mesh(ground(SLOPE, 80.0).vertices + far, [[0, 1, 2], [0, 2, 3]])]))
    directions = np.random.default_rng(0).uniform(-1, 1, (5000, 3)) - [0, 0, 1.2]
    origin = far + np.array([0.123456789, 0.2, 1.7654321])
    hits = caster.cast(origin, directions, 0.0)
    met = np.isfinite(hits.distance)
    assert met.sum() > 4000
    spots = origin + hits.distance[met, None] * directions[met]
    assert np.abs((spots - far) @ SLOPE).max() < 1e-11


def test_what_was_hit(street):
    origin, directions = rays(20_000, 3)
    hits = street.cast(origin, directions, 0.0)
    spots = origin + hits.distance[:, None] * directions
    met = np.isfinite(hits.distance)
    assert 0.2 < met.mean() < 0.95
    np.testing.assert_allclose(np.linalg.norm(hits.normal[met], axis=1), 1.0, atol=1e-6)
    assert ((hits.normal * directions).sum(axis=1)[met] <= 0).all()
    np.testing.assert_allclose(hits.uv[met], spots[met, :2], atol=2e-3)  # the chart of these scenes
    on_ground = met & (hits.material == NUMBER["asphalt"])
    assert on_ground.sum() > 1000
    np.testing.assert_allclose(
        hits.normal[on_ground], [SLOPE / np.linalg.norm(SLOPE)] * on_ground.sum(), atol=1e-6
    )
    np.testing.assert_allclose(spots[on_ground] @ SLOPE, 0.0, atol=1e-9)
    cosine = -(hits.normal * directions).sum(axis=1) / np.linalg.norm(directions, axis=1)
    np.testing.assert_allclose(
        hits.approach / np.linalg.norm(directions, axis=1), cosine, atol=1e-6
    )
    for part in PARTS[:-1]:
        assert not getattr(hits, part)[~met].any(), part
    np.testing.assert_array_equal(street.distance(origin, directions, 0.0), hits.distance)


def test_movers_are_where_they_are_at_each_rays_own_time(traffic):
    caster = Caster(traffic)
    origin, directions = rays(30_000, 5)
    rng = np.random.default_rng(1)
    t = rng.uniform(0.5, 2.5, len(directions))
    hits = caster.cast(origin, directions, t)
    for car in traffic.actors:
        low, high = car.surface.vertices.min(axis=0), car.surface.vertices.max(axis=0)
        exact = raycast.World(boxes=[(*low, *high)])
        rows = np.flatnonzero(hits.object_id == car.object_id)
        poses = car.trajectory.pose(t[rows])
        assert len(rows) > 30
        for i, T in zip(rows, poses, strict=True):
            o = T[:3, :3].T @ (origin - T[:3, 3])
            d = T[:3, :3].T @ directions[i]
            assert abs(exact.hit(o, d[None])[0] - hits.distance[i]) < 1e-9
            spot = o + hits.distance[i] * d
            np.testing.assert_allclose(hits.uv[i], spot[:2], atol=1e-4)
            normal = T[:3, :3].T @ hits.normal[i]
            at_face = np.minimum(np.abs(spot - low), np.abs(spot - high))
            assert at_face @ np.abs(normal) < 1e-5
    # And nothing else of them is missed: whatever the ray does not hit has nothing nearer.
    for row in np.flatnonzero(hits.object_id == 0)[::40]:
        for car in traffic.actors:
            T = car.trajectory.pose(t[row])
            exact = raycast.World(
                boxes=[(*car.surface.vertices.min(axis=0), *car.surface.vertices.max(axis=0))]
            )
            o, d = T[:3, :3].T @ (origin - T[:3, 3]), T[:3, :3].T @ directions[row]
            assert exact.hit(o, d[None])[0] >= hits.distance[row] - 1e-4


def test_a_nearer_mover_hides_a_farther_one():
    cars = [
        actor(1, uniform((20, 0, 0), (0, 0, 0), yaw=0.7), box((-2, -2, -2), (2, 2, 2))),
        actor(2, uniform((10, 0, 0), (0, 0, 0), yaw=-0.4), box((-2, -2, -2), (2, 2, 2))),
        actor(9, uniform((30, 0, 0), (0, 0, 0), yaw=1.0), box((-2, -2, -2), (2, 2, 2))),
    ]
    hits = Caster(world([ground()], cars)).cast(
        np.array([0, 0, 0.5]), np.array([[1.0, 0.01, 0.02]]), 0.0
    )
    assert hits.object_id.tolist() == [2]
    np.testing.assert_allclose(hits.normal, [[-np.cos(0.4), np.sin(0.4), 0.0]], atol=1e-6)


@pytest.mark.parametrize("shared", [True, False])
def test_no_ray_that_meets_a_ball_is_passed_over(shared):
    rng = np.random.default_rng(2)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 5003))
    height = 0.02 * np.sin(3 * angle)  # neighbours are close: each bundle's cone is narrow
    directions = np.column_stack([np.cos(angle), np.sin(angle), height])
    directions *= rng.uniform(0.01, 100, (5003, 1))
    origins = np.array([300.0, 200.0, 1.7]) + (0 if shared else rng.uniform(-1, 1, (5003, 3)))
    centres = [300, 200, 0] + rng.uniform(-1, 1, (300, 3)) * [70, 70, 2]
    radii = rng.uniform(0.2, 4.0, 300)
    centres[0], radii[0] = (300.5, 200.1, 2.0), 3.0  # around the origins
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    needed = supplied = 0
    within = np.where(rng.random(5003) < 0.5, np.inf, rng.uniform(0.0, 100.0, 5003))
    within /= np.linalg.norm(directions, axis=1)
    met_within = meeting(origins, directions, within, centres, radii)
    within *= np.linalg.norm(directions, axis=1)
    everywhere = meeting(origins, directions, np.full(5003, np.inf), centres, radii)
    for centre, radius, rows, its in zip(centres, radii, everywhere, met_within, strict=True):
        way = centre - np.broadcast_to(origins, unit.shape)
        along = np.maximum((way * unit).sum(axis=1), 0.0)
        closest = np.linalg.norm(way - along[:, None] * unit, axis=1)
        met = np.flatnonzero(closest <= radius)
        assert np.isin(met, rows).all()
        assert (np.diff(rows) > 0).all()
        assert closest[rows].max(initial=0.0) < radius + 0.05
        enters = along - np.sqrt(np.maximum(radius**2 - closest**2, 0.0))
        assert np.isin(met[enters[met] <= within[met]], its).all()
        assert np.isin(its, rows).all()
        assert (enters[its] <= within[its] + 0.3).all()
        needed, supplied = needed + len(met), supplied + len(rows)
    assert needed > 1000
    assert supplied < 1.01 * needed


def test_no_ray_depends_on_the_others(traffic):
    caster = Caster(traffic)
    origin, directions = rays(9_001, 8)
    t = np.repeat(np.linspace(0, 2, 9_001 // 3 + 1), 3)[:9_001]
    origins = origin + np.linspace(0, 1, 9_001)[:, None] * [1.0, 0.1, 0.0]
    whole = caster.cast(origins, directions, t)
    assert len(np.unique(whole.object_id)) == 4
    order = np.random.default_rng(0).permutation(9_001)
    for rows in (np.arange(4_500), np.arange(4_500, 9_001), order, np.array([7])):
        part = caster.cast(origins[rows], directions[rows], t[rows])
        for name in PARTS:
            assert np.array_equal(getattr(part, name), getattr(whole, name)[rows])
    one_time = caster.cast(origin, directions, 0.7)
    each_time = caster.cast(np.tile(origin, (9_001, 1)), directions, np.full(9_001, 0.7))
    for name in PARTS:
        assert np.array_equal(getattr(one_time, name), getattr(each_time, name))
    assert len(caster.cast(origin, directions[:0], t[:0]).distance) == 0


def test_spots_move_with_what_they_are_on(traffic):
    caster = Caster(traffic)
    rng = np.random.default_rng(4)
    local = rng.uniform(-1, 1, (60, 3))
    object_id = np.repeat(np.array([7, 3, 5, 0], dtype=np.int32), 15)
    t_from, t_to = rng.uniform(0, 1, 60), rng.uniform(1, 2, 60)
    paths = {car.object_id: car.trajectory for car in traffic.actors}
    before, after = local.copy(), local.copy()
    for i in range(30):
        for t, spots in ((t_from, before), (t_to, after)):
            T = paths[object_id[i]].pose(t[i])
            spots[i] = T[:3, :3] @ local[i] + T[:3, 3]
    moved = caster.moved(before, object_id, t_from, t_to)
    np.testing.assert_allclose(moved, after, atol=1e-12)
    assert np.array_equal(moved[30:], local[30:])
    np.testing.assert_allclose(caster.moved(moved, object_id, t_to, t_from), before, atol=1e-12)
    same = caster.moved(before[:15], object_id[:15], 0.3, 0.3)
    np.testing.assert_allclose(same, before[:15], atol=1e-12)


def test_without_open3d_the_way_to_install_it_is_shown(monkeypatch):
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(UsageError, match=r"simipu\[synthetic\]"):
        Caster(world([ground()]))
