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

    from .caster import Caster
    from .hits import Hits
    from .surface import Float32Array, FloatArray
    from .world import World

_GROUND_NAMES = ("asphalt", "asphalt_old", "paint", "kerb", "paving", "grass", "soil")
_GROUND = np.array([material.name in _GROUND_NAMES for material in MATERIALS])
_GLOWING = np.array([material.name == "lamp" for material in MATERIALS])
_HAZE_M = 700.0
_WHITE = np.float32(255.0)


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
            footprint_m: (N,) size of a pixel on the surface: the mean of its sides.
            eye: (3,) where the camera is, about; beyond 60 m from it actors cast no shadows.
            t_s: when the rays were cast, about: shadows of what moves are as at this time.

        Returns:
            (N, 3) uint8 red, green, blue.
        """
        face, faces = hits.face, hits.faces
        material = faces.material.astype(np.intp)
        xyz, ray = (np.ascontiguousarray(v.T, dtype=np.float32).T for v in (points, directions))
        footprint = np.maximum(footprint_m, np.float32(1e-4), dtype=np.float32)
        albedo = self._textures.sample(material.take(face), hits.uv, footprint)
        still = (faces.object_id == 0).take(face)
        large_scale = self._large_scale(still, xyz, footprint)
        ambient, sun = self._light(faces.normal)
        is_ground = _GROUND.take(material) & (faces.normal[:, 2] > 0.5)
        ground = np.flatnonzero(is_ground.take(face))
        its_face = face.take(ground)
        ambient_there, sun_there = self._light_on_ground(
            ambient.take(its_face), sun.take(its_face), taken(xyz, ground), eye, t_s
        )
        bright = is_ground | _GLOWING.take(material)
        gloss = SPECULAR.take(material)
        glossy = np.flatnonzero((gloss > 0.0).take(face))
        its_face = face.take(glossy)
        mirrored, share = self._mirrored(
            taken(ray, glossy), taken(faces.normal, its_face), gloss.take(its_face)
        )
        distance = dot(xyz - eye.astype(np.float32), ray)
        haze = np.float32(1.0) - np.exp(distance * np.float32(-1.0 / _HAZE_M))
        open_sky = np.flatnonzero(np.isinf(hits.distance))
        sky = self._sky.color(taken(ray, open_sky))
        image = np.empty((len(points), 3), dtype=np.uint8)
        for c in range(3):
            light = self._seen_light(c, ambient, sun)
            light[bright] = 1.0
            light *= faces.tint[:, c]
            value = light.take(face)
            value *= large_scale
            value *= albedo[:, c]
            value[ground] *= self._seen_light(c, ambient_there, sun_there)
            matt = value.take(glossy)
            value[glossy] = matt + share * (_WHITE * mirrored[:, c] - matt)
            value += haze * (_WHITE * self._sky.horizon[c] - value)
            value[open_sky] = _WHITE * sky[:, c]
            value += np.float32(0.5)
            np.minimum(value, _WHITE, out=value)
            image[:, c] = value
        return image

    def _light(self, normal: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Return the (K,) shares of the sky's and of the sun's light on surfaces."""
        ambient = np.float32(0.78) + np.float32(0.22) * normal[:, 2]
        return ambient, np.clip(dot(normal, self._to_sun), np.float32(0.0), np.float32(1.0))

    def _light_on_ground(
        self,
        ambient: Float32Array,
        sun: Float32Array,
        xyz: Float32Array,
        eye: FloatArray,
        t_s: float,
    ) -> tuple[Float32Array, Float32Array]:
        """Return what the shadows leave of the light, (M,) each, on spots of the ground."""
        if not len(xyz):
            return ambient, sun
        lit = self._shadow.lit(xyz[:, 0], xyz[:, 1])
        sky_left, sun_left = self._moving.below(xyz, lit, eye, t_s)
        return ambient * sky_left, sun * sun_left

    def _seen_light(self, c: int, ambient: Float32Array, sun: Float32Array) -> Float32Array:
        """Return the (M,) brightness of a channel by the shares of the light.

        Textures are as seen, about the square root of the light: so is the light here.
        """
        light: Float32Array = np.float32(self._ambient[c]) * ambient
        light += np.float32(self._sunlight[c]) * sun
        np.sqrt(light, out=light)
        return light

    def _large_scale(
        self, still: npt.NDArray[np.bool_], xyz: Float32Array, footprint: Float32Array
    ) -> Float32Array:
        x, y, z = xyz.T
        along = np.float32(0.8) * x + np.float32(0.6) * y
        up = np.float32(0.8) * y - np.float32(0.6) * x + z
        texel = self._textures.sample(LARGE_SCALE, np.stack([along, up]).T, footprint)
        shade: Float32Array = texel[:, 0] * np.float32(2.0 / 255.0)
        # What moves would have its shade slide over it.
        shade[~still] = 1.0
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
