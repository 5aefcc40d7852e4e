"""The rig as Waymo publishes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .waymo_content import CAMERAS, LASERS, CameraCalibration, LaserCalibration

if TYPE_CHECKING:
    from .sensors import CameraModel, LidarModel

_T_OPENCV_FROM_WAYMO = np.array(
    [[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
"""x right, y down, z forward from x forward, y left, z up."""


def camera_calibration(camera: CameraModel) -> CameraCalibration:
    """Return what is published of a camera."""
    K = camera.K
    return CameraCalibration(
        camera=CAMERAS[camera.name],
        # Waymo counts pixels from the image's edge, the model from the first pixel's centre.
        intrinsic=tuple(
            float(value)
            for value in (K[0, 0], K[1, 1], K[0, 2] + 0.5, K[1, 2] + 0.5, *camera.distortion)
        ),
        T_vehicle_from_camera=camera.T_ego_from_camera @ _T_OPENCV_FROM_WAYMO,
        width=camera.width,
        height=camera.height,
    )


def laser_calibration(lidar: LidarModel) -> LaserCalibration:
    """Return what is published of a laser."""
    ascending = lidar.elevations_rad[::-1]
    if lidar.elevation_limits_rad is not None:
        inclinations: tuple[float, ...] = ()
        lowest, highest = lidar.elevation_limits_rad
    else:
        inclinations = tuple(ascending.tolist())
        lowest = float(1.5 * ascending[0] - 0.5 * ascending[1])
        highest = float(1.5 * ascending[-1] - 0.5 * ascending[-2])
    return LaserCalibration(
        laser=LASERS[lidar.name],
        inclinations=inclinations,
        inclination_min=lowest,
        inclination_max=highest,
        T_vehicle_from_lidar=lidar.T_ego_from_lidar,
    )
