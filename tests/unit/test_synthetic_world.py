"""The synthetic street: the same for a seed, whole, and nothing drives through anything."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from simipu.errors import UsageError
from simipu.geometry import se3
from simipu.pipelines.synthetic.caster import Caster
from simipu.pipelines.synthetic.material import MATERIALS, NUMBER, reflectivity
from simipu.pipelines.synthetic.plants import broadleaf
from simipu.pipelines.synthetic.world import make_world

DURATION_S = 5.0
TIMES = np.arange(-1.0, DURATION_S + 1.01, 0.25)
GROUND = [NUMBER[n] for n in ("asphalt", "asphalt_old", "paint", "kerb", "paving", "grass", "soil")]
UP = np.array([0.0, 0.0, 1.0])
CATEGORIES = {"car", "van", "truck", "pedestrian", "cyclist"}
EGO_LOW, EGO_HIGH = np.array([-1.0, -0.9, 0.0]), np.array([3.7, 0.9, 1.7])


@pytest.fixture(scope="module", params=[3, 4])
def world(request):
    return make_world(request.param, 0, duration_s=DURATION_S)


@pytest.fixture(scope="module")
def caster(world):
    return Caster(world)


def arrays(world):
    for surface in [world.static, *(a.surface for a in world.actors if a.surface is not None)]:
        yield from (getattr(surface, field.name) for field in dataclasses.fields(surface))
    for body in [world.ego, *(actor.trajectory for actor in world.actors)]:
        yield body.pose(TIMES)
    yield world.to_sun


@pytest.mark.parametrize("world", [4], indirect=True)
def test_the_same_seed_gives_the_same_world_and_another_seed_or_scene_another(world):
    again = make_world(*world.seed, duration_s=DURATION_S)
    for first, second in zip(arrays(world), arrays(again), strict=True):
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)
    for other in ((world.seed[0] + 50, 0), (world.seed[0], 1)):
        different = make_world(*other, duration_s=DURATION_S)
        assert different.static.vertices.shape != world.static.vertices.shape
        assert not np.array_equal(different.ego.pose(0.0), world.ego.pose(0.0))
        assert not np.array_equal(different.to_sun, world.to_sun)


def test_meshes_are_whole(world):
    assert 50_000 < len(world.static.triangles) < 400_000
    for surface in [world.static, *(a.surface for a in world.actors if a.surface is not None)]:
        count = len(surface.triangles)
        assert np.isfinite(surface.vertices).all()
        assert np.isfinite(surface.uv).all()
        assert np.abs(surface.vertices[:, :2]).max() < 1000.0
        assert surface.triangles.dtype == np.uint32
        assert surface.triangles.max() < len(surface.vertices)
        assert surface.uv.shape == (count, 3, 2)
        assert surface.uv.dtype == surface.tint.dtype == np.float32
        assert surface.material.dtype == np.uint8
        assert surface.material.shape == surface.object_id.shape == (count,)
        assert surface.material.max() < len(MATERIALS)
        assert surface.tint.shape == (count, 3)
        assert surface.tint.min() >= 0.0
        assert surface.tint.max() <= 1.0
        a, b, c = surface.vertices[surface.triangles].transpose(1, 0, 2)
        assert np.linalg.norm(np.cross(b - a, c - a), axis=1).min() > 0.0
    assert math.isclose(np.linalg.norm(world.to_sun), 1.0)
    assert world.to_sun[2] > 0.2


def test_actors_are_numbered_and_their_triangles_bear_their_numbers(world):
    assert [actor.object_id for actor in world.actors] == list(range(1, len(world.actors) + 1))
    resting = [actor.object_id for actor in world.actors if actor.surface is None]
    assert set(np.unique(world.static.object_id)) == {0, *resting}
    for actor in world.actors:
        assert actor.category in CATEGORIES
        if actor.surface is not None:
            assert set(actor.surface.object_id) == {actor.object_id}
    moving = [actor.category for actor in world.actors if actor.surface is not None]
    assert "pedestrian" in moving
    assert {"car", "van", "truck"} & set(moving)


def test_boxes_fit_their_actors_tightly(world):
    static = world.static
    for actor in world.actors:
        if actor.surface is None:
            mine = static.triangles[static.object_id == actor.object_id]
            inverse = se3.invert(actor.trajectory.pose(0.0))
            points = se3.apply(inverse, static.vertices[mine].reshape(-1, 3))
        else:
            points = actor.surface.vertices[actor.surface.triangles].reshape(-1, 3)
        half = 0.5 * actor.size_m * [1, 1, 0]
        np.testing.assert_allclose(points.min(axis=0), -half, atol=1e-6)
        np.testing.assert_allclose(points.max(axis=0), half + actor.size_m * UP, atol=1e-6)


def test_poses_are_rigid_and_the_ego_keeps_its_speed_within_bounds(world):
    for body in [world.ego, *(actor.trajectory for actor in world.actors)]:
        assert all(se3.is_rigid(T, tolerance=1e-9) for T in body.pose(TIMES))
    velocity, _ = world.ego.velocity(np.linspace(-1.0, DURATION_S + 1.0, 200))
    speed = np.linalg.norm(velocity, axis=1)
    assert speed.min() > 4.5
    assert speed.max() < 12.5
    assert np.abs(np.diff(speed)).max() < 0.1  # 35 ms apart: no more than 3 m/s^2


def footprint(T, low, high):
    corners = [[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]]
    return np.array([T[:2, :2] @ corner + T[:2, 3] for corner in corners])


def overlap(first, second):
    """Two convex quads overlap if no edge of either separates them."""
    for quad in (first, second):
        for k in range(4):
            edge = quad[(k + 1) % 4] - quad[k]
            normal = np.array([-edge[1], edge[0]])
            a, b = first @ normal, second @ normal
            if a.max() < b.min() or b.max() < a.min():
                return False
    return True


def boxes_at(world, t):
    yield "ego", world.ego.pose(t), EGO_LOW, EGO_HIGH, True
    for actor in world.actors:
        half = 0.5 * actor.size_m * [1, 1, 0]
        high = half + actor.size_m * UP
        yield actor.object_id, actor.trajectory.pose(t), -half, high, actor.surface is not None


def test_nothing_that_moves_ever_touches_another_actor_or_the_ego(world):
    near = 0
    for t in TIMES:
        boxes = list(boxes_at(world, t))
        for k, (name, T, low, high, moves) in enumerate(boxes):
            for other, T2, low2, high2, moves2 in boxes[k + 1 :]:
                if not (moves or moves2) or math.dist(T[:2, 3], T2[:2, 3]) > 15.0:
                    continue
                near += 1
                touching = overlap(footprint(T, low, high), footprint(T2, low2, high2))
                assert not touching, f"{name} and {other} at {t}"
    assert near > 100


def test_nothing_that_moves_ever_touches_the_scenery(world):
    static = world.static
    solid = (static.object_id == 0) & ~np.isin(static.material, GROUND)
    corners = static.vertices[static.triangles[solid]]
    points = np.concatenate([corners.reshape(-1, 3), corners.mean(axis=1)])
    names = [name for name, *_, moves in boxes_at(world, 0.0) if moves]
    at = {t: {b[0]: b for b in boxes_at(world, t)} for t in TIMES}
    for name in names:
        places = np.array([at[t][name][1][:2, 3] for t in TIMES])
        low, high = places.min(axis=0) - 7.0, places.max(axis=0) + 7.0
        inside = ((points[:, :2] > low) & (points[:, :2] < high)).all(axis=1)
        mine = points[inside]
        for t in TIMES:
            _, T, box_low, box_high, _ = at[t][name]
            local = se3.apply(se3.invert(T), mine)
            hit = ((local > box_low + 0.05 * UP) & (local < box_high)).all(axis=1)
            assert not hit.any(), f"{name} at {t}: {mine[hit][0]}"


def test_the_ego_keeps_to_the_right_lane(world):
    s = np.linspace(*world.road.s_range, 20_000)
    line = world.road.xy(s, np.zeros_like(s))
    along = np.diff(line, axis=0)
    for T in world.ego.pose(TIMES):
        nearest = int(((line[:-1] - T[:2, 3]) ** 2).sum(axis=1).argmin())
        away = T[:2, 3] - line[nearest]
        tangent = along[nearest] / np.linalg.norm(along[nearest])
        left = tangent[0] * away[1] - tangent[1] * away[0]
        assert left + 0.9 < 0.0
        assert left - 0.9 > -world.road.right.kerb_m
        assert T[:2, 0] @ tangent > 0.99


def test_wheels_are_on_the_ground(world, caster):
    bodies = [(world.ego, (0.0, 2.7), 0.75)]
    for actor in world.actors:
        if actor.category in {"car", "van", "truck"}:
            reach = 0.3 * actor.size_m[0]
            bodies.append((actor.trajectory, (-reach, reach), 0.4 * actor.size_m[1]))
    origins = []
    for trajectory, lengthwise, y in bodies:
        wheels = np.array([[x, side, 0.0] for x in lengthwise for side in (-y, y)])
        origins += [se3.apply(trajectory.pose(t), wheels) for t in TIMES[::6]]
    wheels = np.concatenate(origins)
    ground = np.isin(world.static.material, GROUND) & (world.static.object_id == 0)
    ground &= np.abs(normals(world.static)[:, 2]) > 0.5
    bare = dataclasses.replace(world, static=chosen(world.static, ground), actors=())
    down = np.tile([0.0, 0.0, -1.0], (len(wheels), 1))
    height = Caster(bare).distance(wheels + 0.5 * UP, down, 0.0) - 0.5
    assert np.abs(height[: 4 * len(TIMES[::6])]).max() < 0.05  # the ego
    assert np.abs(height).max() < 0.08


def normals(surface):
    a, b, c = surface.vertices[surface.triangles].transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)


def chosen(surface, rows):
    fields = ("triangles", "uv", "material", "tint", "object_id")
    return dataclasses.replace(surface, **{name: getattr(surface, name)[rows] for name in fields})


def test_the_ground_has_no_holes(world, caster):
    rng = np.random.default_rng(1)
    low, high = world.road.s_range
    s, d = rng.uniform(low + 1, high - 1, 40_000), rng.uniform(-90.0, 90.0, 40_000)
    across = np.arange(-12.0, 12.0, 0.002)  # finer than any seam between markings is wide
    s = np.concatenate([s, *(np.full_like(across, at) for at in rng.uniform(low + 1, high - 1, 8))])
    d = np.concatenate([d, *([across] * 8)])
    points = world.road.points(s, d)
    down = np.tile([0.0, 0.0, -1.0], (len(s), 1))
    hits = caster.cast(points + 80.0 * UP, down, -1e3)
    assert np.isfinite(hits.distance).all()
    assert hits.distance.max() < 81.0
    bare = np.isin(hits.material, [NUMBER[n] for n in ("asphalt", "paint", "grass")])
    assert bare.mean() > 0.1
    assert np.abs(hits.distance[bare] - 80.0).max() < 0.15


def test_there_is_world_sixty_metres_around_the_ego(world, caster):
    turn = np.linspace(0.0, 2.0 * math.pi, 90)
    ring = np.stack([60.0 * np.cos(turn), 60.0 * np.sin(turn), np.full(90, 80.0)], axis=1)
    down = np.tile([0.0, 0.0, -1.0], (90, 1))
    for t in (-1.0, DURATION_S / 2.0, DURATION_S + 1.0):
        origins = ring + world.ego.pose(t)[:3, 3]
        assert np.isfinite(caster.distance(origins, down, -1e3)).all()


def test_the_ground_slopes_but_not_steeply():
    slopes = []
    for seed in range(3):
        world = make_world(seed, 0, duration_s=0.0)
        forward = world.ego.pose(np.linspace(-2.0, 2.0, 9))[:, 2, 0]
        s = np.arange(*world.road.s_range, 1.0)
        slopes.append(np.abs(np.diff(world.road.height(s, np.zeros_like(s)))).max())
        assert np.abs(forward).max() < 0.08
    assert 0.015 < max(slopes) < 0.08


def test_a_beam_sees_through_a_crown_in_part(world):
    tree = broadleaf(np.random.default_rng(5))
    alone = Caster(dataclasses.replace(world, static=tree, actors=()))
    leaves = tree.vertices[tree.triangles[tree.material == NUMBER["foliage"]]].reshape(-1, 3)
    middle, spread = leaves.mean(axis=0), leaves.std(axis=0)
    rng = np.random.default_rng(2)
    origins = middle + rng.uniform(-1.0, 1.0, (4000, 3)) * spread
    origins[:, 0] -= 10.0
    ahead = np.tile([1.0, 0.0, 0.0], (4000, 1))
    reached = np.isfinite(alone.distance(origins, ahead, 0.0)).mean()
    assert 0.5 < reached < 0.98


def test_reflectivity_tells_materials_apart_and_stays_in_range():
    rng = np.random.default_rng(0)
    uv = rng.uniform(-50.0, 50.0, (5000, 2)).astype(np.float32)
    mean = {}
    for name, number in NUMBER.items():
        value = reflectivity(np.full(5000, number), uv)
        assert value.dtype == np.float32
        assert value.min() >= 0.0
        assert value.max() <= 1.0
        mean[name] = value.mean()
    assert mean["asphalt"] < 0.2 < 0.5 < mean["paint"]
    assert mean["tyre"] < mean["brick"] < mean["sign"] < mean["plate"]
    pale, dark = (np.full((5000, 3), c, dtype=np.float32) for c in (0.95, 0.1))
    paint = np.full(5000, NUMBER["car_paint"])
    assert reflectivity(paint, uv, pale).mean() > 1.5 * reflectivity(paint, uv, dark).mean()


@pytest.mark.parametrize("duration_s", [-1.0, 1e4, math.nan])
def test_a_duration_that_no_street_can_hold_is_refused(duration_s):
    with pytest.raises(UsageError, match="cannot be made"):
        make_world(1, 0, duration_s=duration_s)
