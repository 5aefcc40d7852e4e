"""From sweeps to Waymo's range images.

Pixel (row, column) is beam and firing. A reader turns its range into a point by the beam's
inclination and the column's azimuth, so the measured ray is given by the grid, and the range is
kept as it is in float32. TOP turns while the vehicle drives, and has the vehicle's pose for each
pixel in float32, which resolves only millimetres so far from the origin: the sweep is therefore
cast from exactly these rounded poses. The four short-range lasers have no poses of their own; they
are cast at one moment, that of the frame's pose, where real ones are corrected to it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from .lidar import scan
from .material import NUMBER, reflectivity
from .waymo_content import LASERS

if TYPE_CHECKING:
    import numpy.typing as npt

    from simipu.records import FloatArray

    from .caster import Caster
    from .lidar import Sweep
    from .motion import Trajectory
    from .sensors import LidarModel
    from .waymo_content import Float32Array, Int32Array
    from .waymo_poses import PublishedPoses

_INTO_LEAVES = 0.3  # share of the pulses that go on behind the first leaf
_LEAF_DEPTH_M = 0.2
_LEFT_OVER = 0.5  # of the light, behind leaves


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LaserScan:
    """What one laser measured in one frame.

    Attributes:
        laser: its number.
        shape: rows and columns of its range image.
        returns: the first and the second returns by row, then column, with ranges as published.
        points: their (N, 3) float64 places in the world as measured, metres.
        pose: (H, W, 6) float32 of TOP, as in `waymo_content.RangeImages`; else None.
    """

    laser: int
    shape: tuple[int, int]
    returns: tuple[Sweep, Sweep]
    points: tuple[FloatArray, FloatArray]
    pose: Float32Array | None

    def range_images(self) -> tuple[Float32Array, Float32Array]:
        """Return the two range images of `waymo_content.RangeImages`."""
        first, second = (_range_image(self.shape, sweep) for sweep in self.returns)
        return first, second

    def image_of(self, values: Int32Array, which: int) -> Int32Array:
        """Return (H, W, D) int32 with values (N, D) of one of the returns, elsewhere 0."""
        image = np.zeros((*self.shape, values.shape[1]), dtype=np.int32)
        image[self.returns[which].ring, self.returns[which].column] = values
        return image


def scan_turning(
    caster: Caster,
    lidar: LidarModel,
    ego: PublishedPoses,
    t_start_s: float,
    rng: np.random.Generator,
) -> LaserScan:
    """Let TOP turn once while the vehicle drives; `LaserScan.pose` says where it was."""
    found = _scan(caster, lidar, ego, t_start_s, rng)
    poses = ego.pixel_poses(t_start_s + lidar.time_s(np.arange(lidar.columns)))
    return dataclasses.replace(
        found, pose=np.ascontiguousarray(np.broadcast_to(poses, (*found.shape, 6)))
    )


def scan_at_once(
    caster: Caster, lidar: LidarModel, ego: Trajectory, t_s: float, rng: np.random.Generator
) -> LaserScan:
    """Let a short-range laser measure in all directions at one moment."""
    return _scan(caster, dataclasses.replace(lidar, period_s=0.0), ego, t_s, rng)


def _scan(
    caster: Caster, lidar: LidarModel, ego: Trajectory, t_start_s: float, rng: np.random.Generator
) -> LaserScan:
    first = scan(caster, lidar, ego, t_start_s, rng)
    first = _taken(first, np.lexsort((first.column, first.ring)))
    first = dataclasses.replace(first, range_m=_as_published(first.range_m))
    T_world_from_lidar = ego.pose(first.t_s) @ lidar.T_ego_from_lidar
    origins = T_world_from_lidar[:, :3, 3]
    directions = np.einsum("nij,nj->ni", T_world_from_lidar[:, :3, :3], first.direction)
    rows, second = _behind_leaves(caster, lidar, first, origins, directions, rng)
    return LaserScan(
        laser=LASERS[lidar.name],
        shape=(len(lidar.elevations_rad), lidar.columns),
        returns=(first, second),
        points=(
            origins + first.range_m[:, None] * directions,
            origins[rows] + second.range_m[:, None] * directions[rows],
        ),
        pose=None,
    )


def _behind_leaves(
    caster: Caster,
    lidar: LidarModel,
    first: Sweep,
    origins: FloatArray,
    directions: FloatArray,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.intp], Sweep]:
    """Return the rows of the first returns that have a second one, and the second returns."""
    rows = np.flatnonzero(rng.random(len(first.range_m)) < _INTO_LEAVES)
    leaf = caster.cast(origins[rows], directions[rows], first.t_s[rows])
    among = np.isfinite(leaf.distance) & (leaf.material == NUMBER["foliage"])
    rows, start = rows[among], leaf.distance[among] + _LEAF_DEPTH_M
    origin, direction = origins[rows], directions[rows]
    hits = caster.cast(origin + start[:, None] * direction, direction, first.t_s[rows])
    distance = start + hits.distance
    noise = lidar.range_noise_m * rng.standard_normal(len(rows))
    near = distance < lidar.max_range_m
    rows, distance, noise = rows[near], distance[near], noise[near]
    second = dataclasses.replace(
        _taken(first, rows),
        range_m=_as_published(distance + noise),
        intensity=_LEFT_OVER * reflectivity(hits.material[near], hits.uv[near]),
        object_id=hits.object_id[near],
        surface=origin[near] + distance[:, None] * direction[near],
    )
    return rows, second


def _as_published(range_m: FloatArray) -> FloatArray:
    """Round to float32: what the file says is what was measured."""
    return range_m.astype(np.float32).astype(np.float64)


def _taken(sweep: Sweep, rows: npt.NDArray[np.intp]) -> Sweep:
    names = [field.name for field in dataclasses.fields(sweep)]
    return dataclasses.replace(sweep, **{name: getattr(sweep, name)[rows] for name in names})


def _range_image(shape: tuple[int, int], sweep: Sweep) -> Float32Array:
    image = np.full((*shape, 4), -1.0, dtype=np.float32)
    image[sweep.ring, sweep.column, 0] = sweep.range_m
    image[sweep.ring, sweep.column, 1] = sweep.intensity
    image[sweep.ring, sweep.column, 2] = 0.0
    return image
