"""Rays cast against a world, by Open3D, with every moving thing where it is at the ray's own time.

Open3D works in float32 and tells which triangle is hit. The distance is then computed again, in
float64, to the plane of that triangle: it is exact for the ray as it was asked for. What float32
decides is only which triangle takes a ray that passes within about 0.1 mm of an edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from simipu.errors import UsageError

from .reach import meeting
from .rowwise import dot, taken, turned, turned_back

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simipu.records import FloatArray

    from .surface import Surface
    from .world import Actor, World

_Float32 = npt.NDArray[np.float32]
_Rows = npt.NDArray[np.intp]

_ROUND_S = 0.02

_TRUSTED = np.float32(1e-3)
"""Share of the distance that float64 may correct; more is a triangle seen on its very edge."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Hits:
    """What N rays hit first; for a ray that hits nothing, the distance is inf and the rest is 0.

    What has components lies component by component in memory: most work goes through one at a time.

    Attributes:
        distance: (N,) float64 in units of the direction's length.
        material: (N,) uint8.
        uv: (N, 2) float32 place in the material's texture, metres.
        tint: (N, 3) float32.
        normal: (N, 3) float32, world frame, unit length, towards the ray's origin.
        object_id: (N,) int32, 0 for scenery.
    """

    distance: FloatArray
    material: npt.NDArray[np.uint8]
    uv: _Float32
    tint: _Float32
    normal: _Float32
    object_id: npt.NDArray[np.int32]


class Caster:
    """Casts rays against one world; what a ray hits depends on no other ray, bit for bit."""

    def __init__(self, world: World) -> None:
        """Build the scenes: one of all that stands, one of each thing that moves."""
        self._static = _Mesh(world.static)
        self._moving: dict[int, _Mover] = {}
        surfaces, first = [world.static], len(world.static.triangles)
        for actor in world.actors:
            if actor.surface is not None:
                self._moving[actor.object_id] = _Mover(actor, actor.surface, first)
                surfaces.append(actor.surface)
                first += len(actor.surface.triangles)
        self._nothing = first
        movers = self._moving.values()
        self._radius_m = np.array([mover.radius_m for mover in movers])
        self._speed_m_s = np.array([mover.speed_m_s for mover in movers])
        self._places: tuple[float, FloatArray] = (np.nan, np.empty((0, 3)))
        self._material = np.append(_joined(surfaces, "material"), np.uint8(0))
        self._object_id = np.append(_joined(surfaces, "object_id"), np.int32(0))
        uv = _joined(surfaces, "uv").astype(np.float32)
        self._chart = _with_nothing(
            np.concatenate([uv[:, 0], uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]], axis=1)
        )
        self._tint = _with_nothing(_joined(surfaces, "tint").astype(np.float32))
        meshes = [self._static, *(mover.mesh for mover in movers)]
        normals = np.concatenate([mesh.planes[:3, :-1].T for mesh in meshes])
        self._normal = _with_nothing(normals.astype(np.float32))

    def cast(self, origins: FloatArray, directions: FloatArray, t_s: float | FloatArray) -> Hits:
        """Return what rays hit first.

        Args:
            origins: (N, 3), or (3,) for all, float64 metres, world frame.
            directions: (N, 3) float64, of any length, world frame.
            t_s: (N,) times of the rays in seconds, or one for all.
        """
        distance, triangle, bary, turns = self._first(origins, directions, t_s)
        normal = self._normal.take(triangle, axis=1).T
        for rows, T_world_from_body in turns:
            normal[rows] = turned(T_world_from_body, normal[rows])
        behind = dot(normal, directions) > 0.0
        normal *= np.where(behind, np.float32(-1.0), np.float32(1.0))[:, None]
        chart = self._chart.take(triangle, axis=1)
        uv = chart[:2]
        for corner, share in enumerate(bary.T, start=1):
            uv += share * chart[2 * corner : 2 * corner + 2]
        return Hits(
            distance=distance,
            material=self._material.take(triangle),
            uv=uv.T,
            tint=self._tint.take(triangle, axis=1).T,
            normal=normal,
            object_id=self._object_id.take(triangle),
        )

    def distance(
        self, origins: FloatArray, directions: FloatArray, t_s: float | FloatArray
    ) -> FloatArray:
        """Return only the (N,) float64 distance of `cast`, bit for bit."""
        return self._first(origins, directions, t_s)[0]

    def blocked(
        self, object_id: int, origins: FloatArray, direction: FloatArray, t_s: float
    ) -> npt.NDArray[np.bool_]:
        """Return (N,), whether one thing stands in the way, however far away.

        Args:
            object_id: of an actor that moves, or 0 for all that stands.
            origins: (N, 3) metres, world frame.
            direction: (3,) of all rays, world frame.
            t_s: when.
        """
        if object_id == 0:
            return self._static.blocks(origins, direction)
        mover = self._moving[object_id]
        T = mover.trajectory.pose(t_s)[None]
        return mover.mesh.blocks(
            turned_back(T, origins - T[:, :3, 3]), turned_back(T, direction[None])[0]
        )

    def moved(
        self,
        points: FloatArray,
        object_id: npt.NDArray[np.int32],
        t_from: float | FloatArray,
        t_to: float | FloatArray,
    ) -> FloatArray:
        """Return where spots of surfaces are at another time.

        Args:
            points: (N, 3) float64, world frame, at t_from.
            object_id: (N,) whose surface each is on; what does not move stays where it is.
            t_from: (N,) seconds, or one for all.
            t_to: (N,) seconds, or one for all.

        Returns:
            (N, 3) float64, world frame, at t_to.
        """
        result = np.array(points, dtype=np.float64)
        for number, mover in self._moving.items():
            rows = np.flatnonzero(object_id == number)
            if len(rows):
                before, after = mover.poses(t_from, rows), mover.poses(t_to, rows)
                local = turned_back(before, result[rows] - before[:, :3, 3])
                result[rows] = turned(after, local) + after[:, :3, 3]
        return result

    def _first(
        self, origins: FloatArray, directions: FloatArray, t_s: float | FloatArray
    ) -> tuple[FloatArray, _Rows, _Float32, list[tuple[_Rows, FloatArray]]]:
        """Return distance, triangle among all, place in it, and poses of the movers hit by rays."""
        distance, triangle, bary = self._static.hit(origins, directions)
        triangle[triangle == self._static.count] = self._nothing
        found = []
        reached = meeting(origins, directions, distance, *self._balls(t_s))
        for mover, rows in zip(self._moving.values(), reached, strict=True):
            if not len(rows):
                continue
            T_world_from_body = mover.poses(t_s, rows)
            its_distance, its_triangle, its_bary = mover.mesh.hit(
                turned_back(T_world_from_body, _of(origins, rows) - T_world_from_body[:, :3, 3]),
                turned_back(T_world_from_body, taken(directions, rows)),
            )
            nearer = np.flatnonzero(its_distance < distance[rows])
            its = rows[nearer]
            distance[its] = its_distance[nearer]
            triangle[its] = its_triangle[nearer] + mover.first
            bary[its] = its_bary[nearer]
            found.append((mover, its, T_world_from_body[nearer]))
        turns = []
        for mover, rows, T_world_from_body in found:
            # Another may have been nearer still.
            its = np.flatnonzero(mover.owns(triangle[rows]))
            turns.append((rows[its], T_world_from_body[its]))
        return distance, triangle, bary, turns

    def _balls(self, t_s: float | FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return centres (M, 3) and radii (M,) of balls around the movers at all of some times."""
        earliest, latest = (float(f(t_s)) for f in (np.min, np.max)) if np.size(t_s) else (0.0, 0.0)
        # Of a few round times, so that the many bundles of an image ask for the same one.
        t_round = round((earliest + latest) / 2.0 / _ROUND_S) * _ROUND_S
        if self._places[0] != t_round:
            places = [mover.centre(t_round) for mover in self._moving.values()]
            self._places = (t_round, np.array(places).reshape(-1, 3))
        return self._places[1], self._radius_m + self._speed_m_s * max(
            latest - t_round, t_round - earliest
        )


class _Mesh:
    """A rigid mesh to cast rays at, in its own frame.

    Attributes:
        count: T, of the triangles.
        planes: (4, T + 1) float64 unit normal n and offset d of the triangles' planes n . p = d,
            and last the plane of rays that hit nothing, of which nothing can be computed.
    """

    def __init__(self, surface: Surface) -> None:
        open3d = _open3d()
        normal = surface.normals()
        # A triangle without an area is hit by no ray; it must only not divide by zero.
        normal /= np.maximum(np.sqrt(dot(normal, normal)), 1e-300)[:, None]
        self.count = len(normal)
        self.planes = np.zeros((4, self.count + 1))
        self.planes[:3, :-1] = normal.T
        corners = (surface.vertices.take(corner, axis=0) for corner in surface.triangles.T)
        self.planes[3, :-1] = sum(dot(normal, corner) for corner in corners) / 3.0
        self.planes[3, -1] = np.nan
        self._tensor = open3d.core.Tensor.from_numpy
        self._scene: Any = open3d.t.geometry.RaycastingScene(nthreads=1)
        self._scene.add_triangles(
            self._tensor(np.ascontiguousarray(surface.vertices, dtype=np.float32)),
            self._tensor(np.ascontiguousarray(surface.triangles, dtype=np.uint32)),
        )

    def hit(
        self, origins: FloatArray, directions: FloatArray
    ) -> tuple[FloatArray, _Rows, _Float32]:
        """Return distance (N,), triangle (N,) or T for none, and place in it (N, 2)."""
        answer = self._scene.cast_rays(self._rays(origins, directions), nthreads=1)
        rough = answer["t_hit"].numpy()
        triangle = answer["primitive_ids"].numpy().astype(np.intp)
        np.minimum(triangle, self.count, out=triangle)
        plane = self.planes.take(triangle, axis=1).T
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = plane[:, 3] - dot(plane, origins)
            distance /= dot(plane, directions)
            wrong = ~(np.abs(distance.astype(np.float32) - rough) <= rough * _TRUSTED)
        np.copyto(distance, rough, where=wrong)
        return distance, triangle, answer["primitive_uvs"].numpy()

    def blocks(self, origins: FloatArray, direction: FloatArray) -> npt.NDArray[np.bool_]:
        """Return (N,), whether rays from (N, 3) in one direction hit it."""
        directions = np.broadcast_to(direction, origins.shape)
        answer = self._scene.test_occlusions(self._rays(origins, directions), nthreads=1)
        blocks: npt.NDArray[np.bool_] = answer.numpy()
        return blocks

    def _rays(self, origins: FloatArray, directions: FloatArray) -> Any:
        rays = np.empty((len(directions), 6), dtype=np.float32)
        rays[:, :3] = origins
        rays[:, 3:] = directions
        return self._tensor(rays)


class _Mover:
    """A mesh on its way.

    Attributes:
        first: its first triangle's number among all of the world's.
        radius_m: of the ball around it.
        speed_m_s: bound of the speed of that ball's centre.
    """

    def __init__(self, actor: Actor, surface: Surface, first: int) -> None:
        self.mesh, self.trajectory, self.first = _Mesh(surface), actor.trajectory, first
        self._centre = (surface.vertices.min(axis=0) + surface.vertices.max(axis=0)) / 2.0
        offset = surface.vertices - self._centre
        self.radius_m = float(np.sqrt(dot(offset, offset).max())) + 1e-3
        linear, angular = actor.trajectory.top_speeds()
        self.speed_m_s = linear + angular * float(np.linalg.norm(self._centre))

    def owns(self, triangle: _Rows) -> npt.NDArray[np.bool_]:
        """Return (N,), whether triangles of these numbers are its own."""
        return (triangle >= self.first) & (triangle < self.first + self.mesh.count)

    def centre(self, t_s: float) -> FloatArray:
        """Return the centre (3,) of the ball around it, in the world."""
        T = self.trajectory.pose(t_s)
        centre: FloatArray = T[:3, :3] @ self._centre + T[:3, 3]
        return centre

    def poses(self, t_s: float | FloatArray, rows: _Rows) -> FloatArray:
        """Return T_world_from_body, (M, 4, 4), at the times of some rows."""
        if np.ndim(t_s) == 0:
            return np.broadcast_to(self.trajectory.pose(t_s), (len(rows), 4, 4))
        times = np.asarray(t_s)[rows]
        # The rays of a LiDAR's column or of an image's column come one after the other.
        starts = np.concatenate([[True], times[1:] != times[:-1]])
        poses: FloatArray = self.trajectory.pose(times[starts]).take(np.cumsum(starts) - 1, axis=0)
        return poses


def _open3d() -> Any:
    try:
        import open3d
    except (ImportError, OSError) as error:
        raise UsageError(
            f"Open3D, which casts the rays of synthetic worlds, cannot be imported: {error}",
            fix="pip install 'simipu[synthetic]', and on Debian or Ubuntu "
            "apt-get install libusb-1.0-0 libgl1 libgomp1.",
        ) from error
    return open3d


def _joined(surfaces: Sequence[Surface], name: str) -> npt.NDArray[Any]:
    return np.concatenate([getattr(surface, name) for surface in surfaces])


def _with_nothing(rows: _Float32) -> _Float32:
    """Append the row of a ray that hits nothing, and return the columns."""
    columns = np.zeros((rows.shape[1], len(rows) + 1), dtype=np.float32)
    columns[:, :-1] = rows.T
    return columns


def _of(origins: FloatArray, rows: _Rows) -> FloatArray:
    return taken(origins, rows) if origins.ndim == 2 else origins
