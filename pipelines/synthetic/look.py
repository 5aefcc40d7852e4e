"""What a camera sees of the surfaces that its rays hit: texture, sun, shadow, haze, sky."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .material import MATERIALS, SPECULAR
from .shadow import GroundShadow, below_actors
from .sky import Sky
from .tiles import LARGE_SCALE, draw_textures

if TYPE_CHECKING:
    import numpy.typing as npt

    from .caster import Caster, Hits
    from .surface import Float32Array, FloatArray
    from .world import World

_GROUND_NAMES = ("asphalt", "asphalt_old", "paint", "kerb", "paving", "grass", "soil")
_GROUND = np.array([material.name in _GROUND_NAMES for material in MATERIALS])
_GLOWING = np.array([material.name == "lamp" for material in MATERIALS])
_HAZE_M = 700.0


class Look:
    """The looks of one world.

    Args:
        world: what is looked at.
        caster: of the same world, for the shadows of what moves.

    The sun's shadow of all that stands is cast here, once.
    """

    def __init__(self, world: World, caster: Caster) -> None:
        self._world, self._caster = world, caster
        self._textures = draw_textures(*world.seed)
        self._sky = Sky(world.seed, world.to_sun, world.overcast, self._textures)
        self._shadow = GroundShadow(world)
        clear = 1.0 - world.overcast
        rng = np.random.default_rng([*world.seed, 91])
        warmth = rng.uniform(0.0, 0.12) * clear
        self._ambient = np.array([0.44, 0.46, 0.50]) + 0.30 * world.overcast
        self._sunlight = np.array([1.10 + warmth, 1.06, 1.00 - warmth]) * (0.12 + 0.88 * clear)

    def color(
        self,
        hits: Hits,
        points: FloatArray,
        directions: FloatArray,
        footprint_m: FloatArray,
        t_s: float | FloatArray,
    ) -> npt.NDArray[np.uint8]:
        """Return what N rays of a camera see.

        Args:
            hits: of the rays.
            points: (N, 3) world coordinates of the spots hit; not looked at where nothing is.
            directions: (N, 3) unit, from the camera, world.
            footprint_m: (N,) size of a pixel on the surface, along its longer side.
            t_s: when the rays were cast, one for all or (N,).

        Returns:
            (N, 3) uint8 red, green, blue.
        """
        image = np.empty((len(points), 3), dtype=np.uint8)
        seen = np.isfinite(hits.distance)
        solid, open_sky = np.flatnonzero(seen), np.flatnonzero(~seen)
        if len(open_sky):
            image[open_sky] = _bytes(self._sky.color(directions[open_sky]))
        if len(solid):
            times = np.broadcast_to(np.asarray(t_s, dtype=np.float64), len(points))
            image[solid] = self._solid(hits, points, directions, footprint_m, times, solid)
        return image

    def _solid(
        self,
        hits: Hits,
        points: FloatArray,
        directions: FloatArray,
        footprint_m: FloatArray,
        t_s: FloatArray,
        rows: npt.NDArray[np.intp],
    ) -> npt.NDArray[np.uint8]:
        material = hits.material[rows]
        normal = hits.normal[rows]
        xyz = points[rows].astype(np.float32)
        ray = directions[rows].astype(np.float32)
        facing = -_dot(normal, ray)
        np.clip(facing, 0.02, 1.0, out=facing)
        # A pixel on a slanted surface is longer than wide: the texture's level is between.
        blur = np.log2(footprint_m[rows].astype(np.float32)) + np.float32(0.4) * np.log2(facing)
        albedo = self._textures.sample(material, hits.uv[rows], blur)
        ambient, sun = self._light(hits, points, t_s, rows, material, normal, xyz, directions)
        shade = self._large_scale(hits.object_id[rows], xyz, blur)
        gloss = SPECULAR[material]
        glossy = np.flatnonzero(gloss)
        mirrored, share = self._mirrored(ray[glossy], normal[glossy], gloss[glossy])
        haze = np.float32(1.0) - np.exp(hits.distance[rows].astype(np.float32) / -_HAZE_M)
        tint = hits.tint[rows]
        glowing = _GLOWING[material]
        colour = np.empty((len(rows), 3), dtype=np.float32)
        for c in range(3):
            # Textures are as seen, about the square root of the light: so is the light here.
            light = np.sqrt(
                np.float32(self._ambient[c]) * ambient + np.float32(self._sunlight[c]) * sun
            )
            light[glowing] = 1.0
            value = albedo[:, c] * tint[:, c]
            value *= shade
            value *= light
            value *= np.float32(1.0 / 255.0)
            value[glossy] += share * (mirrored[:, c] - value[glossy])
            value += haze * (self._sky.horizon[c] - value)
            colour[:, c] = value
        return _bytes(colour)

    def _light(
        self,
        hits: Hits,
        points: FloatArray,
        t_s: FloatArray,
        rows: npt.NDArray[np.intp],
        material: npt.NDArray[np.uint8],
        normal: Float32Array,
        xyz: Float32Array,
        directions: FloatArray,
    ) -> tuple[Float32Array, Float32Array]:
        to_sun = self._world.to_sun
        ambient = np.float32(0.78) + np.float32(0.22) * normal[:, 2]
        sun = np.clip(_dot(normal, to_sun.astype(np.float32)), 0.0, 1.0)
        ground = np.flatnonzero(_GROUND[material] & (normal[:, 2] > 0.5))
        if len(ground):
            at = rows[ground]
            first = rows[0]
            eye = points[first] - directions[first] * hits.distance[first]
            lit = self._shadow.lit(xyz[ground, 0], xyz[ground, 1])
            sky_left, sun_left = below_actors(
                self._world.actors, self._caster, to_sun, points[at], t_s[at], lit, eye
            )
            ambient[ground] *= sky_left
            sun[ground] *= sun_left * lit
        return ambient, sun

    def _large_scale(
        self, object_id: npt.NDArray[np.int32], xyz: Float32Array, blur: Float32Array
    ) -> Float32Array:
        x, y, z = xyz.T
        place = np.stack(
            [0.8 * x + 0.6 * y, 0.8 * y - 0.6 * x + z],
            axis=1,
            dtype=np.float32,
            casting="same_kind",
        )
        number = np.full(len(x), LARGE_SCALE, dtype=np.int32)
        shade = self._textures.sample(number, place, blur)[:, 0] * np.float32(2.0 / 255.0)
        # What moves would have its shade slide over it.
        shade[object_id > 0] = 1.0
        return shade

    def _mirrored(
        self, ray: Float32Array, normal: Float32Array, gloss: Float32Array
    ) -> tuple[Float32Array, Float32Array]:
        along = _dot(ray, normal)
        up = ray[:, 2] - 2.0 * along * normal[:, 2]
        # Bright above the roofs across the street, dark below them, as a smooth step.
        bright = np.clip((up - np.float32(0.05)) * np.float32(3.0), 0.0, 1.0)
        horizon = self._sky.horizon
        mirrored: Float32Array = np.float32(0.22) + bright[:, None] * (horizon - np.float32(0.22))
        grazing = (1.0 - np.clip(-along, 0.0, 1.0)) ** 4
        share = gloss + (np.float32(0.75) - gloss) * grazing
        reflected = ray - 2.0 * along[:, None] * normal
        to_sun = self._world.to_sun.astype(np.float32)
        glint = np.clip(_dot(reflected, to_sun), 0.0, 1.0) ** 60
        mirrored = mirrored + (glint * np.float32(1.5 * (1.0 - self._world.overcast)))[:, None]
        return mirrored.astype(np.float32), share.astype(np.float32)


def _dot(first: Float32Array, second: Float32Array) -> Float32Array:
    total: Float32Array = np.multiply(first[:, 0], second[..., 0])
    total += np.multiply(first[:, 1], second[..., 1])
    total += np.multiply(first[:, 2], second[..., 2])
    return total


def _bytes(colour: Float32Array) -> npt.NDArray[np.uint8]:
    scaled = np.clip(colour, 0.0, 1.0) * np.float32(255.0)
    scaled += np.float32(0.5)
    return scaled.astype(np.uint8)
