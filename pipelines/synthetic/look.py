"""What a camera sees of the surfaces that its rays hit: texture, sun, shadow, haze, sky."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .material import MATERIALS, SPECULAR
from .rowwise import dot, power, taken
from .shadow import ActorShadows, GroundShadow
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
        caster: of the same world, for the shadows.

    The sun's shadow of all that stands is cast here, once.
    """

    def __init__(self, world: World, caster: Caster) -> None:
        self._world = world
        self._textures = draw_textures(*world.seed)
        self._sky = Sky(world.seed, world.to_sun, world.overcast, self._textures)
        self._to_sun = world.to_sun.astype(np.float32)
        self._shadow = GroundShadow(world, caster)
        self._moving = ActorShadows(world, caster)
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
        eye: FloatArray,
        t_s: float,
    ) -> npt.NDArray[np.uint8]:
        """Return what N rays of a camera see.

        The pixels of an image may come in any number of calls, with the same eye and time in all.

        Args:
            hits: of the rays.
            points: (N, 3) world coordinates of the spots hit; finite where nothing is, too.
            directions: (N, 3) unit, from the camera, world.
            footprint_m: (N,) size of a pixel on the surface, along its longer side.
            eye: (3,) where the camera is, about; beyond 60 m from it actors cast no shadows.
            t_s: when the rays were cast, about: shadows of what moves are as at this time.

        Returns:
            (N, 3) uint8 red, green, blue.
        """
        material, normal = hits.material.astype(np.intp), hits.normal
        xyz, ray = (np.ascontiguousarray(v.T, dtype=np.float32).T for v in (points, directions))
        open_sky = np.flatnonzero(np.isinf(hits.distance))
        distance = dot(xyz - eye.astype(np.float32), ray)
        facing = np.clip(-dot(normal, ray), np.float32(0.02), np.float32(1.0))
        # A pixel on a slanted surface is longer than wide: the texture's level is between.
        footprint = np.maximum(footprint_m, np.float32(1e-4), dtype=np.float32)
        blur = np.log2(footprint) + np.float32(0.4) * np.log2(facing)
        albedo = self._textures.sample(material, hits.uv, blur)
        ambient, sun = self._light(material, normal, xyz, eye, t_s)
        shade = self._large_scale(hits.object_id, xyz, blur)
        gloss = SPECULAR.take(material)
        glossy = np.flatnonzero(gloss)
        mirrored, share = self._mirrored(
            taken(ray, glossy), taken(normal, glossy), gloss.take(glossy)
        )
        haze = np.float32(1.0) - np.exp(distance * np.float32(-1.0 / _HAZE_M))
        glowing = np.flatnonzero(_GLOWING.take(material))
        sky = self._sky.color(taken(ray, open_sky))
        image = np.empty((len(points), 3), dtype=np.uint8)
        for c in range(3):
            # Textures are as seen, about the square root of the light: so is the light here.
            value = np.float32(self._ambient[c]) * ambient
            value += np.float32(self._sunlight[c]) * sun
            np.sqrt(value, out=value)
            value[glowing] = 1.0
            value *= shade
            value *= hits.tint[:, c]
            value *= albedo[:, c]
            value *= np.float32(1.0 / 255.0)
            matt = value.take(glossy)
            value[glossy] = matt + share * (mirrored[:, c] - matt)
            value += haze * (self._sky.horizon[c] - value)
            value[open_sky] = sky[:, c]
            np.clip(value, np.float32(0.0), np.float32(1.0), out=value)
            value *= np.float32(255.0)
            value += np.float32(0.5)
            image[:, c] = value
        return image

    def _light(
        self,
        material: npt.NDArray[np.intp],
        normal: Float32Array,
        xyz: Float32Array,
        eye: FloatArray,
        t_s: float,
    ) -> tuple[Float32Array, Float32Array]:
        """Return the (N,) shares of the sky's and of the sun's light."""
        ambient = np.float32(0.78) + np.float32(0.22) * normal[:, 2]
        sun = np.clip(dot(normal, self._to_sun), np.float32(0.0), np.float32(1.0))
        rows = np.flatnonzero(_GROUND.take(material) & (normal[:, 2] > 0.5))
        if len(rows):
            points = taken(xyz, rows)
            lit = self._shadow.lit(points[:, 0], points[:, 1])
            sky_left, sun_left = self._moving.below(points, lit, eye, t_s)
            ambient[rows] *= sky_left
            sun[rows] *= sun_left
        return ambient, sun

    def _large_scale(
        self, object_id: npt.NDArray[np.int32], xyz: Float32Array, blur: Float32Array
    ) -> Float32Array:
        x, y, z = xyz.T
        along = np.float32(0.8) * x + np.float32(0.6) * y
        up = np.float32(0.8) * y - np.float32(0.6) * x + z
        texel = self._textures.sample(LARGE_SCALE, np.stack([along, up]).T, blur)
        shade: Float32Array = texel[:, 0] * np.float32(2.0 / 255.0)
        # What moves would have its shade slide over it.
        shade[object_id > 0] = 1.0
        return shade

    def _mirrored(
        self, ray: Float32Array, normal: Float32Array, gloss: Float32Array
    ) -> tuple[Float32Array, Float32Array]:
        along = dot(ray, normal)
        up = ray[:, 2] - 2.0 * along * normal[:, 2]
        # Bright above the roofs across the street, dark below them, as a smooth step.
        bright = np.clip((up - np.float32(0.05)) * np.float32(3.0), 0.0, 1.0)
        grazing = power(1.0 - np.clip(-along, 0.0, 1.0), 4)
        share: Float32Array = gloss + (np.float32(0.75) - gloss) * grazing
        # Of the ray as it is reflected.
        towards_sun = dot(ray, self._to_sun) - 2.0 * along * dot(normal, self._to_sun)
        glint = power(np.clip(towards_sun, 0.0, 1.0), 60)
        glint *= np.float32(1.5 * (1.0 - self._world.overcast))
        mirrored = np.empty((3, len(ray)), dtype=np.float32)
        for c, horizon in enumerate(self._sky.horizon):
            mirrored[c] = np.float32(0.22) + bright * (horizon - np.float32(0.22)) + glint
        return mirrored.T, share
