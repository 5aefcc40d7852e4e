"""Where the sun does not reach: baked for what stands, cast for what moves."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from .caster import Caster

if TYPE_CHECKING:
    from .surface import Float32Array, FloatArray
    from .terrain import Road
    from .world import Actor, World

_CELL_M = 0.30
_MARGIN_M = 9.0  # beyond the pavements
_LIFT_M = 0.03


class GroundShadow:
    """The share of the sun that reaches the ground past all that stands, on a grid.

    Only the street itself is looked at; further away the sun shines everywhere.

    Args:
        world: what casts and receives.
    """

    def __init__(self, world: World) -> None:
        road = world.road
        s, d = _corridor(road)
        points = road.points(s, d)
        self._low = np.floor(points[:, :2].min(axis=0) / _CELL_M) - 1.0
        size = (np.ceil(points[:, :2].max(axis=0) / _CELL_M) - self._low).astype(int) + 3
        column = np.rint(points[:, :2] / _CELL_M - self._low).astype(np.int64)
        key = column[:, 1] * size[0] + column[:, 0]
        key, chosen = np.unique(key, return_index=True)
        origins = np.empty((len(key), 3))
        origins[:, 0] = (key % size[0] + self._low[0]) * _CELL_M
        origins[:, 1] = (key // size[0] + self._low[1]) * _CELL_M
        origins[:, 2] = points[chosen, 2] + _LIFT_M
        directions = np.broadcast_to(world.to_sun, origins.shape)
        still = Caster(dataclasses.replace(world, actors=()))
        distance = still.distance(origins, directions, 0.0)
        self._width = int(size[0])
        self._size = size
        self._lit = np.full(size[0] * size[1], 255, dtype=np.uint8)
        self._lit[key] = np.where(np.isfinite(distance), 0, 255)

    def lit(self, x: Float32Array, y: Float32Array) -> Float32Array:
        """Return the share of the sun, (N,) float32 in [0, 1], at ground points (N,), (N,)."""
        gx = np.clip(x * np.float32(1 / _CELL_M) - np.float32(self._low[0]), 0, self._size[0] - 2)
        gy = np.clip(y * np.float32(1 / _CELL_M) - np.float32(self._low[1]), 0, self._size[1] - 2)
        column, row = gx.astype(np.int32), gy.astype(np.int32)
        fx, fy = gx - column, gy - row
        index = row * np.int32(self._width) + column
        lit = self._lit
        low = lit[index] * (1 - fx) + lit[index + 1] * fx
        index += np.int32(self._width)
        high = lit[index] * (1 - fx) + lit[index + 1] * fx
        share: Float32Array = (low + (high - low) * fy) * np.float32(1 / 255.0)
        return share


def _corridor(road: Road) -> tuple[FloatArray, FloatArray]:
    step = 0.8 * _CELL_M
    s = np.arange(road.s_range[0], road.s_range[1], step)
    d = np.arange(-road.right.plots_m - _MARGIN_M, road.left.plots_m + _MARGIN_M, step)
    s_grid, d_grid = np.meshgrid(s, d)
    return s_grid.ravel(), d_grid.ravel()


def below_actors(
    actors: tuple[Actor, ...],
    caster: Caster,
    to_sun: FloatArray,
    points: FloatArray,
    t_s: FloatArray,
    lit: Float32Array,
    eye: FloatArray,
) -> tuple[Float32Array, Float32Array]:
    """Return how actors darken ground points that a camera sees.

    Args:
        actors: all of the world.
        caster: of the world.
        to_sun: (3,) unit vector.
        points: (N, 3) float64 on the ground.
        t_s: (N,) when each is seen.
        lit: (N,) share of the sun that what stands leaves; no more is asked where it is 0.
        eye: (3,) where from; only actors within 60 m of it are looked at.

    Returns:
        (N,) float32 share of the sky's light and (N,) float32 share of the sun that is left.
    """
    ambient = np.ones(len(points), dtype=np.float32)
    sun = np.ones(len(points), dtype=np.float32)
    if not len(points):
        return ambient, sun
    x, y = points[:, 0].astype(np.float32), points[:, 1].astype(np.float32)
    middle = 0.5 * float(t_s.min() + t_s.max())
    # Where a shadow falls for every metre of height.
    fall_x, fall_y = -float(to_sun[0] / to_sun[2]), -float(to_sun[1] / to_sun[2])
    sunny = lit > 0.0
    cast = np.zeros(len(points), dtype=bool)
    for actor in actors:
        T = actor.trajectory.pose(middle)
        if math.dist(T[:2, 3], eye[:2]) > 60.0:
            continue
        radius = 0.5 * math.hypot(actor.size_m[0], actor.size_m[1])
        if actor.surface is not None:
            half = 0.5 * float(actor.size_m[2])
            away_x = np.abs(x - np.float32(T[0, 3] + half * fall_x))
            away_y = np.abs(y - np.float32(T[1, 3] + half * fall_y))
            width_x = np.float32(radius + 0.3 + half * abs(fall_x))
            width_y = np.float32(radius + 0.3 + half * abs(fall_y))
            cast |= (away_x < width_x) & (away_y < width_y) & sunny
        radius += 0.5
        near = np.flatnonzero((np.abs(x - T[0, 3]) < radius) & (np.abs(y - T[1, 3]) < radius))
        if not len(near):
            continue
        if actor.surface is not None:
            times = t_s[near]
            T = actor.trajectory.pose(0.5 * float(times.min() + times.max()))
        dx, dy = x[near] - np.float32(T[0, 3]), y[near] - np.float32(T[1, 3])
        along = np.abs(dx * np.float32(T[0, 0]) + dy * np.float32(T[1, 0]))
        aside = np.abs(dx * np.float32(T[0, 1]) + dy * np.float32(T[1, 1]))
        out = np.maximum(along - np.float32(actor.size_m[0] / 2 - 0.15), 0) ** 2
        out += np.maximum(aside - np.float32(actor.size_m[1] / 2 - 0.1), 0) ** 2
        reach = np.float32(min(0.6, 0.35 * float(actor.size_m[2])))
        left = np.clip(0.3 + 0.7 * np.sqrt(out) / reach, 0.0, 1.0)
        ambient[near] = np.minimum(ambient[near], left)
    chosen = np.flatnonzero(cast)
    if len(chosen):
        origins = points[chosen] + [0.0, 0.0, _LIFT_M]
        directions = np.broadcast_to(to_sun, origins.shape)
        sun[chosen] = ~np.isfinite(caster.distance(origins, directions, t_s[chosen]))
    return ambient, sun
