"""Tiny worlds made by hand: a ground, boxes, poles, and boxes that move.

Their analytic twins are those of `raycast`.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from simipu.pipelines.synthetic.material import NUMBER
from simipu.pipelines.synthetic.motion import Trajectory
from simipu.pipelines.synthetic.surface import Surface, join
from simipu.pipelines.synthetic.world import Actor


def mesh(vertices, triangles, material="plaster", tint=(0.5, 0.5, 0.5), object_id=0) -> Surface:
    """A surface whose texture chart is its x and y coordinates."""
    vertices = np.asarray(vertices, dtype=np.float64)
    triangles = np.asarray(triangles, dtype=np.uint32)
    count = len(triangles)
    return Surface(
        vertices=vertices,
        triangles=triangles,
        uv=vertices[triangles][:, :, :2].astype(np.float32),
        material=np.full(count, NUMBER[material], dtype=np.uint8),
        tint=np.tile(np.asarray(tint, dtype=np.float32), (count, 1)),
        object_id=np.full(count, object_id, dtype=np.int32),
    )


def ground(normal=(0.0, 0.0, 1.0), half=500.0, material="asphalt") -> Surface:
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    heights = -(corners @ np.asarray(normal)[:2]) / normal[2]
    return mesh(np.column_stack([corners, heights]), [[0, 1, 2], [0, 2, 3]], material)


def box(low, high, **kwargs) -> Surface:
    x, y, z = (np.array([a, b]) for a, b in zip(low, high, strict=True))
    corners = [(x[i], y[j], z[k]) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    triangles = [t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]
    return mesh(corners, triangles, **kwargs)


def pole(x, y, radius, z0, z1, sides=3000, **kwargs) -> Surface:
    """An open prism that no eye tells from a cylinder."""
    angle = np.arange(sides) * (2 * np.pi / sides)
    ring = np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)])
    vertices = np.concatenate([np.column_stack([ring, np.full(sides, z)]) for z in (z0, z1)])
    i, j = np.arange(sides), (np.arange(sides) + 1) % sides
    triangles = np.concatenate(
        [np.column_stack([i, j, j + sides]), np.column_stack([i, j + sides, i + sides])]
    )
    return mesh(vertices, triangles, **kwargs)


def pose(position=(0.0, 0.0, 0.0), yaw=0.0, pitch=0.0, roll=0.0) -> np.ndarray:
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    T = np.eye(4)
    T[:3, :3] = (
        np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        @ np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        @ np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    )
    T[:3, 3] = position
    return T


def uniform(start, velocity, yaw=0.0, t=(-2.0, 10.0)) -> Trajectory:
    """Straight and steady motion: at ``start`` at the time 0."""
    start, velocity = np.asarray(start, dtype=float), np.asarray(velocity, dtype=float)
    return Trajectory.through(t, [pose(start + velocity * s, yaw) for s in t])


def actor(object_id, trajectory, surface, category="car") -> Actor:
    size = np.ptp(surface.vertices, axis=0)
    return Actor(
        object_id=object_id,
        category=category,
        size_m=size,
        trajectory=trajectory,
        surface=join([surface]).of_object(object_id),
    )


def world(static, actors=(), ego=None) -> SimpleNamespace:
    """As much of a World as sensors need."""
    return SimpleNamespace(
        seed=(0, 0),
        static=join(static),
        actors=tuple(actors),
        ego=Trajectory.at_rest(np.eye(4)) if ego is None else ego,
    )
