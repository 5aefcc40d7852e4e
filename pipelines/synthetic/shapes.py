"""Simple bodies as surfaces: quads, boxes, prisms, tubes, balls, lofts.

Every function takes one material (number) and a tint that holds for all its triangles or, where
said, for each of N bodies. Corners go round counter-clockwise as seen from outside.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .surface import Surface, join

if TYPE_CHECKING:
    from .surface import FloatArray

WHITE = (1.0, 1.0, 1.0)


def triangles(
    corners: npt.ArrayLike, material: int, tint: npt.ArrayLike = WHITE, uv: npt.ArrayLike = ()
) -> Surface:
    """Return loose triangles.

    Args:
        corners: (N, 3, 3) metres.
        material: number in `material.MATERIALS`.
        tint: (3,) or (N, 3).
        uv: (N, 3, 2); by default the metric distances from the first corner.
    """
    return _fans(np.asarray(corners, dtype=np.float64).reshape(-1, 3, 3), material, tint, uv)


def quads(
    corners: npt.ArrayLike, material: int, tint: npt.ArrayLike = WHITE, uv: npt.ArrayLike = ()
) -> Surface:
    """Return flat or bent quads of two triangles each, (0, 1, 2) and (0, 2, 3).

    Args:
        corners: (N, 4, 3) metres.
        material: number in `material.MATERIALS`.
        tint: (3,) or (N, 3).
        uv: (4, 2) or (N, 4, 2); by default u runs from corner 0 to 1 and v from 0 to 3, metres.
    """
    return _fans(np.asarray(corners, dtype=np.float64).reshape(-1, 4, 3), material, tint, uv)


def _fans(corners: FloatArray, material: int, tint: npt.ArrayLike, uv: npt.ArrayLike) -> Surface:
    """Return N polygons of K corners (N, K, 3), each as a fan of triangles from its corner 0."""
    count, sides, _ = corners.shape
    chart = np.asarray(uv, dtype=np.float32)
    if chart.size == 0:
        chart = _metric(corners)
    chart = np.broadcast_to(chart, (count, sides, 2))
    fan = [corner for k in range(1, sides - 1) for corner in (0, k, k + 1)]
    numbers = sides * np.arange(count)[:, None] + fan
    tints = np.broadcast_to(np.asarray(tint, dtype=np.float32), (count, 3))
    pieces = count * (sides - 2)
    return Surface(
        vertices=corners.reshape(-1, 3),
        triangles=numbers.reshape(-1, 3).astype(np.uint32),
        uv=np.ascontiguousarray(chart[:, fan]).reshape(-1, 3, 2),
        material=np.full(pieces, material, dtype=np.uint8),
        tint=np.repeat(tints, sides - 2, axis=0),
        object_id=np.zeros(pieces, dtype=np.int32),
    )


def upright(x0: FloatArray, x1: FloatArray, z0: FloatArray, z1: FloatArray, y: float) -> FloatArray:
    """Return the corners of upright quads in a plane of one y, seen from smaller y.

    The first four arguments are broadcast against each other.

    Args:
        x0: (N,) left edges.
        x1: (N,) right edges.
        z0: (N,) lower edges.
        z1: (N,) upper edges.
        y: of all.

    Returns:
        (N, 4, 3): bottom left, bottom right, top right, top left.
    """
    x0, x1, z0, z1 = (np.ravel(a) for a in np.broadcast_arrays(x0, x1, z0, z1))
    depth = np.full_like(x0, y, dtype=np.float64)
    corners = [(x0, depth, z0), (x1, depth, z0), (x1, depth, z1), (x0, depth, z1)]
    return np.stack([np.stack(corner, axis=1) for corner in corners], axis=1)


_BOX_FACES = np.array(
    [  # numbers of corners, bit 0 x, bit 1 y, bit 2 z; u horizontal, v up
        [2, 0, 4, 6],  # -x
        [1, 3, 7, 5],  # +x
        [0, 1, 5, 4],  # -y
        [3, 2, 6, 7],  # +y
        [4, 5, 7, 6],  # top
        [2, 3, 1, 0],  # bottom
    ]
)


def box_corners(low: npt.ArrayLike, high: npt.ArrayLike) -> FloatArray:
    """Return (N, 8, 3) corners of boxes from (N, 3) or (3,) opposite corners."""
    low = np.asarray(low, dtype=np.float64).reshape(-1, 1, 3)
    high = np.asarray(high, dtype=np.float64).reshape(-1, 1, 3)
    bits = (np.arange(8)[:, None] >> np.arange(3)) & 1
    return np.where(bits, high, low)


def boxes(
    corners: FloatArray,
    material: int,
    tint: npt.ArrayLike = WHITE,
    *,
    bottom: bool = False,
) -> Surface:
    """Return boxes from (N, 8, 3) corners (`box_corners`, moved or bent at will).

    Args:
        corners: (N, 8, 3) metres; bit 0 of a corner's number is x, bit 1 y, bit 2 z.
        material: number in `material.MATERIALS`.
        tint: (3,) or (N, 3).
        bottom: whether to draw the bottom faces.
    """
    faces = _BOX_FACES if bottom else _BOX_FACES[:5]
    tints = np.broadcast_to(np.asarray(tint, dtype=np.float32), (len(corners), 3))
    return quads(corners[:, faces], material, np.repeat(tints, len(faces), axis=0))


def box(
    low: npt.ArrayLike, high: npt.ArrayLike, material: int, tint: npt.ArrayLike = WHITE
) -> Surface:
    """Return one closed box from (3,) opposite corners."""
    return boxes(box_corners(low, high), material, tint, bottom=True)


def tube(
    path: npt.ArrayLike,
    radius: npt.ArrayLike,
    material: int,
    tint: npt.ArrayLike = WHITE,
    *,
    sides: int = 8,
    closed: bool = True,
) -> Surface:
    """Return a tube along a path, with flat ends.

    Args:
        path: (K, 3) metres.
        radius: one for all or (K,).
        material: number in `material.MATERIALS`.
        tint: (3,).
        sides: of the cross section.
        closed: whether the ends have lids.
    """
    path = np.asarray(path, dtype=np.float64)
    radii = np.broadcast_to(np.asarray(radius, dtype=np.float64), len(path))
    axis = path[-1] - path[0]
    axis = axis / np.linalg.norm(axis)
    side = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    other = np.cross(axis, side)
    angles = 2.0 * math.pi * np.arange(sides + 1) / sides
    ring = np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * other
    rings = path[:, None] + radii[:, None, None] * ring
    return loft(rings, material, tint, closed=closed)


def loft(
    rings: npt.ArrayLike,
    material: int,
    tint: npt.ArrayLike = WHITE,
    *,
    closed: bool = True,
    uv: npt.ArrayLike = (),
) -> Surface:
    """Return the skin over cross sections.

    Args:
        rings: (K, M, 3) metres; the last point of a ring repeats the first if it goes round.
        material: number in `material.MATERIALS`.
        tint: (3,).
        closed: whether the first and the last ring have lids (fans about their means).
        uv: (K, M, 2) chart; by default mean lengths around (u) and along (v).
    """
    rings = np.asarray(rings, dtype=np.float64)
    chart = np.asarray(uv, dtype=np.float64)
    if chart.size == 0:
        across = _lengths(rings[:, 1:] - rings[:, :-1]).mean(axis=0)
        along = _lengths(rings[1:] - rings[:-1]).mean(axis=1)
        u = np.concatenate([[0.0], np.cumsum(across)])
        v = np.concatenate([[0.0], np.cumsum(along)])
        chart = np.stack(np.meshgrid(u, v), axis=-1)
    skin = quads(_patches(rings), material, tint, _patches(chart))
    if not closed:
        return skin
    return join([skin, _lid(rings[0][::-1], material, tint), _lid(rings[-1], material, tint)])


def ball(
    centre: npt.ArrayLike,
    radii: npt.ArrayLike,
    material: int,
    tint: npt.ArrayLike = WHITE,
    *,
    sides: int = 8,
    layers: int = 5,
) -> Surface:
    """Return an ellipsoid with axes along x, y, z from its (3,) centre and (3,) radii."""
    polar = np.linspace(0.0, math.pi, layers + 1)[::-1]
    turn = 2.0 * math.pi * np.arange(sides + 1) / sides
    unit = np.stack(
        [
            np.outer(np.sin(polar), np.cos(turn)),
            np.outer(np.sin(polar), np.sin(turn)),
            np.outer(np.cos(polar), np.ones_like(turn)),
        ],
        axis=-1,
    )
    return loft(np.asarray(centre) + unit * np.asarray(radii), material, tint, closed=False)


def _patches(grid: FloatArray) -> FloatArray:
    corners = [grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]]
    cells: FloatArray = np.stack(corners, axis=2).reshape(-1, 4, grid.shape[-1])
    return cells


def _lid(ring: FloatArray, material: int, tint: npt.ArrayLike) -> Surface:
    middle = ring[:-1].mean(axis=0)
    fan = np.stack([np.broadcast_to(middle, ring[1:].shape), ring[:-1], ring[1:]], axis=1)
    return triangles(fan, material, tint)


def _metric(corners: FloatArray) -> npt.NDArray[np.float32]:
    """Charts in metres: u from corner 0 to 1, v across it."""
    first = corners[:, 1] - corners[:, 0]
    length = np.maximum(_lengths(first), 1e-9)
    along = first / length[:, None]
    away = corners - corners[:, :1]
    u = (away * along[:, None]).sum(axis=2)
    v = _lengths(away - u[..., None] * along[:, None])
    chart: npt.NDArray[np.float32] = np.stack([u, v], axis=2).astype(np.float32)
    return chart


def _lengths(vectors: FloatArray) -> FloatArray:
    lengths: FloatArray = np.sqrt((vectors * vectors).sum(axis=-1))
    return lengths
