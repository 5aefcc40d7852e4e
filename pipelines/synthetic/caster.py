"""Rays cast against a world, by Open3D, with every moving thing where it is at the ray's own time.

Open3D works in float32 and tells which triangle is hit. The distance is then computed again, in
float64, to the plane of that triangle: it is exact for the ray as it was asked for. What float32
decides is only which triangle takes a ray that passes within about 0.1 mm of an edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from simipu.errors import UsageError

from .hits import Faces, Hits
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
        met, turns = self._first(origins, directions, t_s)
        met_side = 2 * met.triangle + (met.approach > 0.0)  # every triangle has two sides
        side, face = _distinct(met_side, 2 * self._nothing + 2)
        sides, count = [side], len(side)
        for rows, _ in turns:
            sides.append(met_side[rows])
            face[rows] = np.arange(count, count + len(rows))
            count += len(rows)
        side = np.concatenate(sides)
        triangle = side >> 1
        normal = self._normal.take(triangle, axis=1)
        normal *= np.where(side & 1, np.float32(-1.0), np.float32(1.0))
        first = len(sides[0])
        for rows, T_world_from_body in turns:
            its = slice(first, first + len(rows))
            normal[:, its] = turned(T_world_from_body, normal[:, its].T).T
            first = its.stop
        chart = self._chart.take(triangle, axis=1).take(face, axis=1)
        uv = chart[:2]
        for corner, share in enumerate(met.bary.T, start=1):
            uv += share * chart[2 * corner : 2 * corner + 2]
        return Hits(
            distance=met.distance,
            approach=np.abs(met.approach).astype(np.float32),
            uv=uv.T,
            face=face,
            faces=Faces(
                material=self._material.take(triangle),
                tint=self._tint.take(triangle, axis=1).T,
                normal=normal.T,
                object_id=self._object_id.take(triangle),
            ),
        )

    def distance(
        self, origins: FloatArray, directions: FloatArray, t_s: float | FloatArray
    ) -> FloatArray:
        """Return only the (N,) float64 distance of `cast`, bit for bit."""
        return self._first(origins, directions, t_s)[0].distance

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
        moving = np.flatnonzero(np.isin(object_id, np.array([*self._moving], dtype=np.int32)))
        numbers = object_id[moving]
        for number in np.unique(numbers).tolist():
            mover, rows = self._moving[number], moving[numbers == number]
            before, after = mover.poses(t_from, rows), mover.poses(t_to, rows)
            local = turned_back(before, result[rows] - before[:, :3, 3])
            result[rows] = turned(after, local) + after[:, :3, 3]
        return result

    def _first(
        self, origins: FloatArray, directions: FloatArray, t_s: float | FloatArray
    ) -> tuple[_Met, list[tuple[_Rows, FloatArray]]]:
        """Return what rays meet, triangles among all, and poses of the movers hit by rays."""
        met = self._static.hit(origins, directions)
        met.triangle[met.triangle == self._static.count] = self._nothing
        found = []
        reached = meeting(origins, directions, met.distance, *self._balls(t_s))
        for mover, rows in zip(self._moving.values(), reached, strict=True):
            if not len(rows):
                continue
            T_world_from_body = mover.poses(t_s, rows)
            its_met = mover.mesh.hit(
                turned_back(T_world_from_body, _of(origins, rows) - T_world_from_body[:, :3, 3]),
                turned_back(T_world_from_body, taken(directions, rows)),
            )
            nearer = np.flatnonzero(its_met.distance < met.distance[rows])
            its = rows[nearer]
            met.distance[its] = its_met.distance[nearer]
            met.triangle[its] = its_met.triangle[nearer] + mover.first
            met.bary[its] = its_met.bary[nearer]
            met.approach[its] = its_met.approach[nearer]
            found.append((mover, its, T_world_from_body[nearer]))
        turns = []
        for mover, rows, T_world_from_body in found:
            # Another may have been nearer still.
            its = np.flatnonzero(mover.owns(met.triangle[rows]))
            turns.append((rows[its], T_world_from_body[its]))
        return met, turns

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


class _Met(NamedTuple):
    """Where N rays meet meshes.

    Attributes:
        distance: (N,) float64.
        triangle: (N,) number.
        bary: (N, 2) place in it.
        approach: (N,) float64 product of the direction with the triangle's normal.
    """

    distance: FloatArray
    triangle: _Rows
    bary: _Float32
    approach: FloatArray


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

    def hit(self, origins: FloatArray, directions: FloatArray) -> _Met:
        """Return what rays meet; the triangle is T for none."""
        answer = self._scene.cast_rays(self._rays(origins, directions), nthreads=1)
        rough = answer["t_hit"].numpy()
        triangle = answer["primitive_ids"].numpy().astype(np.intp)
        np.minimum(triangle, self.count, out=triangle)
        plane = self.planes.take(triangle, axis=1).T
        approach = dot(plane, directions)
        distance = plane[:, 3]
        distance -= dot(plane, origins)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance /= approach
            wrong = ~(np.abs(distance.astype(np.float32) - rough) <= rough * _TRUSTED)
        np.copyto(distance, rough, where=wrong)
        return _Met(distance, triangle, answer["primitive_uvs"].numpy(), approach)

    def blocks(self, origins: FloatArray, direction: FloatArray) -> npt.NDArray[np.bool_]:
        """Return (N,), whether rays from (N, 3) in one direction hit it."""
        directions = np.broadcast_to(direction, origins.shape)
        answer = self._scene.test_occlusions(self._rays(origins, directions), nthreads=1)
        blocks: npt.NDArray[np.bool_] = answer.numpy()
        return blocks

    def _rays(self, origins: FloatArray, directions: FloatArray) -> Any:
        rays = np.empty((len(directions), 6), dtype=np.float32)
        for i in range(3):
            rays[:, i] = origins[..., i]
            rays[:, 3 + i] = directions[:, i]
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


def _distinct(numbers: _Rows, count: int) -> tuple[_Rows, _Rows]:
    """Return which numbers below a count there are, ascending, and which of them each one is."""
    there = np.zeros(count, dtype=np.bool_)
    there[numbers] = True
    distinct = np.flatnonzero(there)
    place = np.empty(count, dtype=np.intp)
    place[distinct] = np.arange(len(distinct))
    return distinct, place.take(numbers)


def _joined(surfaces: Sequence[Surface], name: str) -> npt.NDArray[Any]:
    return np.concatenate([getattr(surface, name) for surface in surfaces])


def _with_nothing(rows: _Float32) -> _Float32:
    """Append the row of a ray that hits nothing, and return the columns."""
    columns = np.zeros((rows.shape[1], len(rows) + 1), dtype=np.float32)
    columns[:, :-1] = rows.T
    return columns


def _of(origins: FloatArray, rows: _Rows) -> FloatArray:
    return taken(origins, rows) if origins.ndim == 2 else origins
