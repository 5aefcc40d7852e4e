"""A triangle mesh with what is needed to see it, and how meshes are put together."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .rowwise import dot

if TYPE_CHECKING:
    from collections.abc import Sequence

FloatArray = npt.NDArray[np.floating[Any]]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.integer[Any]]

_LEAST_AREA_M2 = 1e-7


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Surface:
    """A triangle mesh, in the frame of its owner: the world, or one actor.

    Attributes:
        vertices: (V, 3) float64 metres.
        triangles: (T, 3) uint32 numbers of vertices.
        uv: (T, 3, 2) float32 place in the material's texture, metres, per corner.
        material: (T,) uint8 number in `material.MATERIALS`.
        tint: (T, 3) float32 factor in [0, 1] of the material's colour.
        object_id: (T,) int32, 0 for scenery, else the actor that the triangle belongs to.
    """

    vertices: FloatArray
    triangles: npt.NDArray[np.uint32]
    uv: Float32Array
    material: npt.NDArray[np.uint8]
    tint: Float32Array
    object_id: npt.NDArray[np.int32]

    def placed(self, T_dst_from_src: FloatArray) -> Surface:
        """Return the surface in another frame; (4, 4) float64, a rotation may come with a scale."""
        # Written out: a BLAS product may round by the number of threads.
        x, y, z = self.vertices.T
        rows = [row[0] * x + row[1] * y + row[2] * z + row[3] for row in T_dst_from_src[:3]]
        return dataclasses.replace(self, vertices=np.stack(rows, axis=1))

    def of_object(self, object_id: int) -> Surface:
        """Return the surface with every triangle belonging to one actor."""
        ids = np.full(len(self.triangles), object_id, dtype=np.int32)
        return dataclasses.replace(self, object_id=ids)

    def repainted(self, material: int, tint: npt.ArrayLike) -> Surface:
        """Return the surface with the tint, (3,), of one material's triangles replaced."""
        colour = np.asarray(tint, dtype=np.float32)
        chosen = (self.material == material)[:, None]
        return dataclasses.replace(self, tint=np.where(chosen, colour, self.tint))

    def normals(self) -> FloatArray:
        """Return (T, 3) normals of the triangles, whose lengths are twice the areas."""
        columns = np.ascontiguousarray(self.vertices.T)
        corners = self.triangles.T.astype(np.intp)
        a, b, c = (columns.take(corner, axis=1) for corner in corners)
        b -= a
        c -= a
        normal: FloatArray = np.stack(
            [b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0]]
        )
        return normal.T

    def without_slivers(self) -> Surface:
        """Return the surface without the triangles that have no area, and so no normal."""
        normal = self.normals()
        keep = dot(normal, normal) > _LEAST_AREA_M2**2
        return dataclasses.replace(
            self,
            triangles=self.triangles[keep],
            uv=self.uv[keep],
            material=self.material[keep],
            tint=self.tint[keep],
            object_id=self.object_id[keep],
        )


def join(surfaces: Sequence[Surface]) -> Surface:
    """Return one surface with the triangles of all, in order; none give an empty surface."""
    if not surfaces:
        return Surface(
            vertices=np.zeros((0, 3)),
            triangles=np.zeros((0, 3), dtype=np.uint32),
            uv=np.zeros((0, 3, 2), dtype=np.float32),
            material=np.zeros(0, dtype=np.uint8),
            tint=np.zeros((0, 3), dtype=np.float32),
            object_id=np.zeros(0, dtype=np.int32),
        )
    counts = [len(surface.vertices) for surface in surfaces]
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return Surface(
        vertices=np.concatenate([surface.vertices for surface in surfaces]),
        triangles=np.concatenate(
            [
                surface.triangles + np.uint32(start)
                for surface, start in zip(surfaces, starts, strict=True)
            ]
        ),
        uv=np.concatenate([surface.uv for surface in surfaces]),
        material=np.concatenate([surface.material for surface in surfaces]),
        tint=np.concatenate([surface.tint for surface in surfaces]),
        object_id=np.concatenate([surface.object_id for surface in surfaces]),
    )
