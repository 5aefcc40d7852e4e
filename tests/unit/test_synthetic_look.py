"""What a synthetic camera sees: textures that differ from place to place, light, shadow, sky."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from simipu.pipelines.synthetic.caster import Caster
from simipu.pipelines.synthetic.look import Look
from simipu.pipelines.synthetic.material import MATERIALS, NUMBER
from simipu.pipelines.synthetic.shapes import box, quads
from simipu.pipelines.synthetic.surface import join
from simipu.pipelines.synthetic.texture import Noise, Textures, Tile, pyramid
from simipu.pipelines.synthetic.tiles import draw_textures
from simipu.pipelines.synthetic.world import make_world


@pytest.fixture(scope="module")
def street():
    """A street under a clear sky, without its own scenery: tests put what they need."""
    world = make_world(11, 0, duration_s=1.0)
    return dataclasses.replace(world, overcast=0.0, to_sun=np.array([0.6, 0.0, 0.8]))


def scene(street, *surfaces, actors=()):
    world = dataclasses.replace(street, static=join(list(surfaces)), actors=actors)
    caster = Caster(world)
    return caster, Look(world, caster)


def floor(street, material="asphalt", half=20.0, z=None):
    """A level square, by default at the height of the road's middle."""
    z = float(street.road.height(0.0, 0.0)) if z is None else z
    corners = [[[-half, -half, z], [half, -half, z], [half, half, z], [-half, half, z]]]
    return quads(corners, NUMBER[material])


def seen(caster, look, targets, eye=(0.0, 0.0, 12.0), t_s=0.0, footprint_m=0.02):
    eye = np.asarray(eye, dtype=np.float64)
    away = targets - eye
    distance = np.linalg.norm(away, axis=1)
    directions = away / distance[:, None]
    hits = caster.cast(eye, directions, t_s)
    at = np.where(np.isfinite(hits.distance), hits.distance, 0.0)
    points = eye + at[:, None] * directions
    footprint = np.full(len(points), footprint_m, dtype=np.float32)
    return look.color(hits, points, directions, footprint, eye, t_s).astype(float), hits


def patch(centre, size=0.5, count=24):
    line = np.linspace(-size, size, count)
    x, y = np.meshgrid(line, line)
    return np.asarray(centre) + np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3)


def test_the_sky_is_not_the_ground_and_is_brighter(street):
    caster, look = scene(street, floor(street))
    ground, hits = seen(caster, look, patch([3.0, 3.0, 0.0]))
    sky, misses = seen(caster, look, patch([30.0, 30.0, 40.0], size=5.0))
    assert np.isfinite(hits.distance).all()
    assert np.isinf(misses.distance).all()
    assert sky.mean() > ground.mean() + 40.0
    assert sky[:, 2].mean() > sky[:, 0].mean()  # blue above, where it is clear


def test_a_shadow_is_darker_than_the_lit_ground_and_falls_away_from_the_sun(street):
    z = float(street.road.height(0.0, 0.0))
    wall = box((2.0, -6.0, z), (2.4, 6.0, z + 4.0), NUMBER["concrete"])
    caster, look = scene(street, floor(street), wall)
    shaded, _ = seen(caster, look, patch([0.5, 0.0, z]))  # the sun stands over +x
    lit, _ = seen(caster, look, patch([4.5, 0.0, z], size=0.4))
    assert shaded.mean() < 0.8 * lit.mean()
    open_caster, open_look = scene(street, floor(street))
    bare, _ = seen(open_caster, open_look, patch([0.5, 0.0, z]))
    assert shaded.mean() < 0.8 * bare.mean()


def test_what_moves_takes_its_shadow_along(street):
    moving = next(a for a in street.actors if a.surface is not None and a.size_m[0] > 3.0)
    T = moving.trajectory.pose(0.0)
    level = floor(street, half=150.0, z=T[2, 3])
    caster, look = scene(street, level, actors=(moving,))
    bare_caster, bare_look = scene(street, level)
    below = T[:3, 3] + np.array([0.0, 0.0, 30.0])
    targets = patch(T[:3, 3], size=4.0, count=60)
    there, hits = seen(caster, look, targets, eye=below, t_s=0.0)
    empty, _ = seen(bare_caster, bare_look, targets, eye=below, t_s=0.0)
    later, later_hits = seen(caster, look, targets, eye=below, t_s=5.0)
    ground = (hits.object_id == 0) & (later_hits.object_id == 0)
    assert (there[ground] < 0.85 * empty[ground]).mean() > 0.01
    np.testing.assert_array_equal(later[ground], empty[ground])


def test_the_ground_beside_a_parked_car_is_darker_without_any_sun(street):
    cloudy = dataclasses.replace(street, overcast=1.0)
    parked = next(a for a in street.actors if a.surface is None and a.size_m[0] > 3.0)
    T = parked.trajectory.pose(0.0)
    level = floor(street, half=150.0, z=T[2, 3])
    targets = patch(T[:3, 3], size=0.3)  # under the middle of the car, whose body is left out
    eye = T[:3, 3] + [0.0, 0.0, 8.0]
    below, _ = seen(*scene(cloudy, level, actors=(parked,)), targets, eye=eye)
    bare, _ = seen(*scene(cloudy, level), targets, eye=eye)
    assert below.mean() < 0.8 * bare.mean()


def test_paint_has_the_colour_of_its_tint(street):
    square = floor(street, "car_paint")
    z = float(street.road.height(0.0, 0.0))
    red = dataclasses.replace(square, tint=np.full_like(square.tint, [0.9, 0.1, 0.1]))
    colour, _ = seen(*scene(street, red), patch([1.0, 1.0, z]))
    r, g, b = colour.mean(axis=0)
    assert r > 1.5 * max(g, b)


def test_what_glass_shows_depends_on_where_one_looks_from_and_plaster_does_not(street):
    z = float(street.road.height(0.0, 0.0))
    change = {}
    for material in ("car_glass", "plaster"):
        caster, look = scene(street, floor(street, material))
        steep, _ = seen(caster, look, patch([0.0, 0.0, z]), eye=(0.0, 0.5, z + 8.0))
        slanted, _ = seen(caster, look, patch([0.0, 0.0, z]), eye=(0.0, 15.0, z + 2.0))
        change[material] = abs(slanted.mean() / steep.mean() - 1.0)
    assert change["plaster"] < 0.02
    assert change["car_glass"] > 0.2


def test_textures_differ_from_place_to_place(street):
    caster, look = scene(street, floor(street))
    z = float(street.road.height(0.0, 0.0))
    colours = [
        seen(caster, look, patch([x, y, z], size=0.4))[0]
        for x, y in ((-8.0, -3.0), (0.0, 5.0), (7.0, 2.0))
    ]
    assert all(colour.std(axis=0).min() > 2.0 for colour in colours)
    for k, first in enumerate(colours):
        for second in colours[k + 1 :]:
            assert np.abs(first - second).mean() > 2.0


def test_every_material_has_a_texture_of_its_own():
    textures = draw_textures(5, 0)
    again, other = draw_textures(5, 0), draw_textures(6, 0)
    uv = np.random.default_rng(0).uniform(0.0, 3.0, (400, 2)).astype(np.float32)
    blur = np.full(400, 0.01, dtype=np.float32)
    rows, differing = [], 0
    for number in range(len(MATERIALS)):
        index = np.full(400, number, dtype=np.uint8)
        rows.append(textures.sample(index, uv, blur)[:, :3].astype(int))
        np.testing.assert_array_equal(rows[-1], again.sample(index, uv, blur)[:, :3])
        differing += not np.array_equal(rows[-1], other.sample(index, uv, blur)[:, :3])
    assert len({row.tobytes() for row in rows}) == len(rows)
    assert differing >= len(MATERIALS) - 4  # lamps and glass are alike everywhere


def test_every_level_is_the_mean_of_the_texels_it_stands_for():
    image = np.random.default_rng(3).random((32, 64, 3), dtype=np.float32)
    levels = pyramid(image)
    assert [level.shape[:2] for level in levels] == [(32 >> k, 64 >> k) for k in range(6)]
    for k, level in enumerate(levels):
        step = 1 << k
        blocks = image.reshape(32 // step, step, 64 // step, step, 3).mean(axis=(1, 3))
        np.testing.assert_allclose(level[..., :3], 255.0 * blocks, atol=1.0)


def test_a_sample_is_the_texel_at_its_place_and_level_and_repeats():
    rng = np.random.default_rng(4)
    images = [rng.random((16, 32, 3), dtype=np.float32), rng.random((8, 8, 3), dtype=np.float32)]
    textures = Textures([Tile(image=images[0], texel_m=0.1), Tile(image=images[1], texel_m=0.5)])
    for number, texel in ((0, 0.1), (1, 0.5)):
        for level, image in enumerate(pyramid(images[number])):
            height, width = image.shape[:2]
            row, column = int(rng.integers(height)), int(rng.integers(width))
            size = texel * 2**level
            for turn in (-3, 0, 5):
                u = (column + 0.4 + turn * width) * size
                v = (row + 0.6 + turn * height) * size
                colour = textures.sample(
                    np.array([number]),
                    np.array([[u, v]], dtype=np.float32),
                    np.array([size], dtype=np.float32),
                )
                np.testing.assert_array_equal(colour[0], image[row, column])


def test_far_away_a_texture_is_its_mean():
    image = np.random.default_rng(4).random((64, 64, 3), dtype=np.float32)
    textures = Textures([Tile(image=image, texel_m=0.01)])
    uv = np.random.default_rng(5).uniform(-100.0, 100.0, (50, 2)).astype(np.float32)
    colour = textures.sample(np.zeros(50, dtype=np.uint8), uv, np.full(50, 512.0, dtype=np.float32))
    mean = 255.0 * image.mean(axis=(0, 1))
    np.testing.assert_allclose(colour[:, :3], np.tile(mean, (50, 1)), atol=1.0)


def test_noise_has_no_seam():
    field = Noise(np.random.default_rng(6), size=128).field("coarse")
    inner = np.abs(np.diff(field, axis=0)).max()
    assert np.abs(field[0] - field[-1]).max() <= 1.5 * inner
    assert np.abs(field[:, 0] - field[:, -1]).max() <= 1.5 * np.abs(np.diff(field, axis=1)).max()


def test_the_same_rays_give_the_same_colours(street):
    first, second = (scene(street, floor(street)) for _ in range(2))
    targets = patch([2.0, 1.0, 0.0], size=8.0, count=40)
    one, _ = seen(*first, targets)
    other, _ = seen(*second, targets)
    np.testing.assert_array_equal(one, other)
    part, _ = seen(*first, targets[100:200])
    np.testing.assert_array_equal(part, one[100:200])
