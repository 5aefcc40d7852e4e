"""What rays hit: for each ray which face of a triangle, and where in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .rowwise import taken

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from simipu.records import FloatArray

    _Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Faces:
    """K sides of triangles that a bundle of rays met, and the sky, of which all is 0.

    A triangle that moves counts once for each ray that meets it.

    Attributes:
        material: (K,) uint8.
        tint: (K, 3) float32.
        normal: (K, 3) float32, world frame, unit length, towards the rays' origins.
        object_id: (K,) int32, 0 for scenery.
    """

    material: npt.NDArray[np.uint8]
    tint: _Float32
    normal: _Float32
    object_id: npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Hits:
    """What N rays hit first; for a ray that hits nothing, the distance is inf and the rest is 0.

    Rays that are neighbours mostly meet the same faces: what depends on the face alone is better
    computed for the few faces. Arrays with components lie component by component in memory.

    Attributes:
        distance: (N,) float64 in units of the direction's length.
        approach: (N,) float32, how much nearer to the face's plane the ray gets by its direction:
            with a direction of unit length, the cosine of the angle of incidence.
        uv: (N, 2) float32 place in the material's texture, metres.
        face: (N,) number in `faces`.
        faces: what was met.
    """

    distance: FloatArray
    approach: _Float32
    uv: _Float32
    face: npt.NDArray[np.intp]
    faces: Faces

    @property
    def material(self) -> npt.NDArray[np.uint8]:
        """Return (N,) uint8."""
        return self.faces.material.take(self.face)

    @property
    def tint(self) -> _Float32:
        """Return (N, 3) float32."""
        return taken(self.faces.tint, self.face)

    @property
    def normal(self) -> _Float32:
        """Return (N, 3) float32."""
        return taken(self.faces.normal, self.face)

    @property
    def object_id(self) -> npt.NDArray[np.int32]:
        """Return (N,) int32."""
        return self.faces.object_id.take(self.face)
