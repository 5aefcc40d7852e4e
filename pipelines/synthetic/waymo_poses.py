"""The vehicle's course as Waymo's pixel poses have it: in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simipu.geometry import se3

from .motion import Trajectory

if TYPE_CHECKING:
    import numpy.typing as npt

    from simipu.records import FloatArray

    from .waymo_content import Float32Array


class PublishedPoses(Trajectory):
    """A course as it is published for each pixel of TOP, brought back to the world.

    Args:
        T_published_from_world: (4, 4) float64.
        ego: the true course, T_world_from_ego.
    """

    def __init__(self, T_published_from_world: FloatArray, ego: Trajectory) -> None:
        self._T_published_from_world = T_published_from_world
        self._ego = ego

    def pixel_poses(self, t_s: FloatArray) -> Float32Array:
        """Return (N, 6) float32 roll, pitch, yaw, x, y, z in the published world."""
        T = self._T_published_from_world @ self._ego.pose(t_s)
        R = T[:, :3, :3]
        roll = np.arctan2(R[:, 2, 1], R[:, 2, 2])
        pitch = np.arctan2(-R[:, 2, 0], np.hypot(R[:, 0, 0], R[:, 1, 0]))
        yaw = np.arctan2(R[:, 1, 0], R[:, 0, 0])
        return np.column_stack([roll, pitch, yaw, T[:, :3, 3]]).astype(np.float32)

    def pose(self, t_s: npt.ArrayLike) -> FloatArray:
        """Return T_world_from_body of the rounded pose, (4, 4) or (N, 4, 4) float64."""
        poses = self.pixel_poses(np.atleast_1d(np.asarray(t_s, dtype=np.float64)))
        T = se3.invert(self._T_published_from_world) @ _matrices(poses)
        return T if np.ndim(t_s) else T[0]

    def velocity(self, t_s: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return the true velocity, as `Trajectory.velocity`."""
        return self._ego.velocity(t_s)


def _matrices(poses: Float32Array) -> FloatArray:
    """Return (N, 4, 4) float64 of roll, pitch, yaw, x, y, z: Rz(yaw) Ry(pitch) Rx(roll)."""
    roll, pitch, yaw = poses[:, :3].astype(np.float64).T
    cr, sr, cp, sp, cy, sy = (f(angle) for angle in (roll, pitch, yaw) for f in (np.cos, np.sin))
    T = np.zeros((len(poses), 4, 4))
    T[:, 0, :3] = np.column_stack([cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr])
    T[:, 1, :3] = np.column_stack([sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr])
    T[:, 2, :3] = np.column_stack([-sp, cp * sr, cp * cr])
    T[:, :3, 3] = poses[:, 3:]
    T[:, 3, 3] = 1.0
    return T
