"""A sweep as nuScenes stores it: every firing, in order, brought to the end of the sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from simipu.geometry import se3

if TYPE_CHECKING:
    from simipu.records import FloatArray

    from .lidar import Sweep
    from .motion import Trajectory
    from .sensors import LidarModel


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cloud:
    """The rows of a .pcd.bin and where they come from.

    Attributes:
        rows: (N, 5) float32 x, y, z (metres, LIDAR_TOP at the sweep's timestamp), intensity
            (0 to 255, whole numbers), ring (0 is the lowest beam). A firing without a return is
            there too, as in the real files: at the place that the LiDAR had when it fired.
        t_s: (N,) float64 firing times.
        source: (N,) int64 number of each row in the `Sweep`, -1 without a return.
    """

    rows: npt.NDArray[np.float32]
    t_s: FloatArray
    source: npt.NDArray[np.int64]


def compensate(
    sweep: Sweep, lidar: LidarModel, ego: Trajectory, t_start_s: float, t_end_s: float
) -> Cloud:
    """Undo the ego's motion during a sweep.

    Only its own: what moves by itself stays where it was when the beam met it.

    Args:
        sweep: points at their own times.
        lidar: what made it.
        ego: where the ego was at each of these times.
        t_start_s: time of the first firing.
        t_end_s: the time to bring the points to.
    """
    beams, columns = len(lidar.elevations_rad), np.arange(lidar.columns)
    t_column = t_start_s + np.asarray(lidar.time_s(columns), dtype=np.float64)
    T_end_from_world = se3.invert(ego.pose(t_end_s) @ lidar.T_ego_from_lidar)
    T_end_from_column = T_end_from_world @ ego.pose(t_column) @ lidar.T_ego_from_lidar

    place = sweep.column.astype(np.int64) * beams + (beams - 1 - sweep.ring)
    xyz = np.repeat(T_end_from_column[:, :3, 3], beams, axis=0)
    rotations = T_end_from_column[sweep.column, :3, :3]
    xyz[place] += np.einsum("nij,nj->ni", rotations, sweep.xyz)
    rows = np.zeros((len(xyz), 5), dtype="<f4")
    rows[:, :3] = xyz
    rows[place, 3] = np.rint(np.clip(sweep.intensity, 0.0, 1.0) * 255.0)
    rows[:, 4] = np.tile(np.arange(beams), lidar.columns)
    source = np.full(len(xyz), -1, dtype=np.int64)
    source[place] = np.arange(len(place))
    return Cloud(rows=rows, t_s=np.repeat(t_column, beams), source=source)
