"""Where the sun does not reach: baked for what stands, cast for what moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from .caster import Caster
    from .surface import Float32Array, FloatArray
    from .world import Actor, World

_CELL_M = 0.30
_MARGIN_M = 9.0  # beyond the pavements
_LIFT_M = 0.03
_FARTHEST_M = 60.0


class GroundShadow:
    """The share of the sun that reaches the ground past all that stands, on a grid.

    Only the street itself is looked at; further away the sun shines everywhere.

    Args:
        world: what casts and receives.
        caster: of the world.
    """

    def __init__(self, world: World, caster: Caster) -> None:
        road = world.road
        # A turned grid with steps of up to 0.7 cells hits every cell; bends stretch them a little.
        step = 0.6 * _CELL_M
        s = np.arange(road.s_range[0], road.s_range[1], step)
        d = np.arange(-road.right.plots_m - _MARGIN_M, road.left.plots_m + _MARGIN_M, step)
        points = road.points(s[None], d[:, None]).reshape(-1, 3)
        self._low = np.floor(points[:, :2].min(axis=0) / _CELL_M) - 1.0
        size = (np.ceil(points[:, :2].max(axis=0) / _CELL_M) - self._low).astype(int) + 3
        column, row = np.rint(points[:, :2].T / _CELL_M - self._low[:, None]).astype(np.intp)
        height = np.full(size[0] * size[1], np.nan)
        height[row * size[0] + column] = points[:, 2]
        key = np.flatnonzero(np.isfinite(height))
        origins = np.empty((len(key), 3))
        origins[:, 0] = (key % size[0] + self._low[0]) * _CELL_M
        origins[:, 1] = (key // size[0] + self._low[1]) * _CELL_M
        origins[:, 2] = height[key] + _LIFT_M
        self._width = int(size[0])
        self._size = size
        self._lit = np.full(len(height), 255, dtype=np.uint8)
        self._lit[key[caster.blocked(0, origins, world.to_sun, 0.0)]] = 0

    def lit(self, x: Float32Array, y: Float32Array) -> Float32Array:
        """Return the share of the sun, (N,) float32 in [0, 1], at ground points (N,), (N,)."""
        gx = np.clip(x * np.float32(1 / _CELL_M) - np.float32(self._low[0]), 0, self._size[0] - 2)
        gy = np.clip(y * np.float32(1 / _CELL_M) - np.float32(self._low[1]), 0, self._size[1] - 2)
        column, row = gx.astype(np.int32), gy.astype(np.int32)
        fx, fy = (gx - column).astype(np.float32), (gy - row).astype(np.float32)
        index = row * np.intp(self._width) + column
        width = self._width
        corners = [self._lit.take(index + k).astype(np.float32) for k in (0, 1, width, width + 1)]
        low = corners[0] + (corners[1] - corners[0]) * fx
        high = corners[2] + (corners[3] - corners[2]) * fx
        share: Float32Array = (low + (high - low) * fy) * np.float32(1 / 255.0)
        return share


class ActorShadows:
    """How actors darken the ground: contact shadows of all, the sun's shadow of what moves.

    Args:
        world: whose actors.
        caster: of the world.
    """

    def __init__(self, world: World, caster: Caster) -> None:
        self._actors, self._caster, self._to_sun = world.actors, caster, world.to_sun
        size_m = np.array([actor.size_m for actor in world.actors]).reshape(-1, 3)
        self._half_m = 0.5 * np.hypot(size_m[:, 0], size_m[:, 1]) + 0.5
        # Where the middle of each one's shadow falls.
        self._falls = -0.5 * size_m[:, 2:] * (world.to_sun[:2] / world.to_sun[2])
        self._places: tuple[float, list[FloatArray], FloatArray] | None = None

    def below(
        self, points: Float32Array, lit: Float32Array, eye: FloatArray, t_s: float
    ) -> tuple[Float32Array, Float32Array]:
        """Return how much light is left for ground points that a camera sees.

        Args:
            points: (N, 3) on the ground.
            lit: (N,) share of the sun that what stands leaves; no more is asked where it is 0.
            eye: (3,) where from; only actors within 60 m of it are looked at.
            t_s: when.

        Returns:
            (N,) float32 share of the sky's light and (N,) float32 share of the sun.
        """
        ambient, sun = np.ones_like(lit), lit.copy()
        poses, centres = self._poses(t_s)
        for k in self._near(centres, points, eye):
            actor, T, half, fall = self._actors[k], poses[k], self._half_m[k], self._falls[k]
            near = _within(points, T[:2, 3], half)
            left = _sky_left(actor, T, points[near, 0], points[near, 1])
            ambient[near] = np.minimum(ambient[near], left)
            if actor.surface is None:
                continue
            near = _within(points, T[:2, 3] + fall, half + np.abs(fall))
            near = near[lit[near] > 0.0]
            if len(near):
                origins = points[near] + np.array([0.0, 0.0, _LIFT_M])
                blocked = self._caster.blocked(actor.object_id, origins, self._to_sun, t_s)
                sun[near[blocked]] = 0.0
        return ambient, sun

    def _poses(self, t_s: float) -> tuple[list[FloatArray], FloatArray]:
        """Return all actors' poses and places (A, 2); the blocks of an image ask for the same."""
        if self._places is None or self._places[0] != t_s:
            poses = [actor.trajectory.pose(t_s) for actor in self._actors]
            centres = np.array([T[:2, 3] for T in poses]).reshape(-1, 2)
            self._places = (t_s, poses, centres)
        return self._places[1:]

    def _near(
        self, centres: FloatArray, points: Float32Array, eye: FloatArray
    ) -> npt.NDArray[np.intp]:
        """Return the numbers of the actors, at (A, 2), that may darken any of the points."""
        flat = points[:, :2]
        shaded, half = centres + self._falls, self._half_m[:, None] + np.abs(self._falls)
        # Its contact shadow is beside that place by as much as the shadow is long.
        half += np.abs(self._falls)
        near = ((shaded + half >= flat.min(axis=0)) & (shaded - half <= flat.max(axis=0))).all(1)
        near &= np.hypot(*(centres - eye[:2]).T) <= _FARTHEST_M
        return np.flatnonzero(near)


def _within(
    points: Float32Array, centre: FloatArray, half: float | FloatArray
) -> npt.NDArray[np.intp]:
    """Return the rows of points within a level rectangle around a centre."""
    half = np.broadcast_to(half, 2)
    rows = np.flatnonzero(np.abs(points[:, 0] - np.float32(centre[0])) < np.float32(half[0]))
    y = points[:, 1].take(rows)
    within: npt.NDArray[np.intp] = rows[np.abs(y - np.float32(centre[1])) < np.float32(half[1])]
    return within


def _sky_left(actor: Actor, T: FloatArray, x: Float32Array, y: Float32Array) -> Float32Array:
    """Return the (N,) share of the sky's light at places (N,), (N,) below and beside an actor."""
    dx, dy = x - np.float32(T[0, 3]), y - np.float32(T[1, 3])
    along = np.abs(dx * np.float32(T[0, 0]) + dy * np.float32(T[1, 0]))
    aside = np.abs(dx * np.float32(T[0, 1]) + dy * np.float32(T[1, 1]))
    nothing = np.float32(0.0)
    along = np.maximum(along - np.float32(actor.size_m[0] / 2 - 0.15), nothing)
    aside = np.maximum(aside - np.float32(actor.size_m[1] / 2 - 0.1), nothing)
    reach_m = min(0.6, 0.35 * float(actor.size_m[2]))
    left: Float32Array = np.sqrt(along * along + aside * aside)
    left *= np.float32(0.7 / reach_m)
    left += np.float32(0.3)
    np.minimum(left, np.float32(1.0), out=left)
    return left
