"""The cars of KITTI, nuScenes and Waymo with their sensors.

KITTI's calibration is that of the recording date 2011_09_26, and so are the front camera's and
the LiDAR's of nuScenes that of one of its cars; all else is nominal: near the real cars, in round
figures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from simipu.errors import UsageError

from .mounting import about_z, looking, of_quaternion, pinhole, pose, resize, square
from .sensors import CameraModel, LidarModel, Rig

if TYPE_CHECKING:
    from simipu.records import FloatArray

MOST_COLUMNS = 16_384
"""Several times those of any LiDAR; what is beyond would only fill the memory."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KittiRig(Rig):
    """KITTI's car, with the matrices of its calibration files as they are to be printed.

    The poses of the sensors follow from them exactly: a Velodyne point X, in homogeneous
    coordinates, is seen at ``P[i] @ R0_rect @ Tr_velo_to_cam @ X`` (with the row 0 0 0 1 added).

    Attributes:
        P: (4, 3, 4) float64, of images of the rig's size; seven digits, so that any of KITTI's
            print formats keeps them.
        R0_rect: (3, 3) float64.
        Tr_velo_to_cam: (3, 4) float64.
        Tr_imu_to_velo: (3, 4) float64.
        T_ego_from_imu: (4, 4) float64: a translation.
    """

    P: FloatArray
    R0_rect: FloatArray
    Tr_velo_to_cam: FloatArray
    Tr_imu_to_velo: FloatArray
    T_ego_from_imu: FloatArray


_KITTI_SIZE = (1242, 375)
_KITTI_K = ((7.215377e02, 0.0, 6.095593e02), (0.0, 7.215377e02, 1.728540e02), (0.0, 0.0, 1.0))
_KITTI_P_LAST = (
    (0.0, 0.0, 0.0),
    (-3.875744e02, 0.0, 0.0),
    (4.485728e01, 2.163791e-01, 2.745884e-03),
    (-3.395242e02, 2.199936e00, 2.729905e-03),
)
_KITTI_R0_RECT = (
    (9.999239e-01, 9.837760e-03, -7.445048e-03),
    (-9.869795e-03, 9.999421e-01, -4.278459e-03),
    (7.402527e-03, 4.351614e-03, 9.999631e-01),
)
_KITTI_VELO_TO_CAM = (
    (7.533745e-03, -9.999714e-01, -6.166020e-04, -4.069766e-03),
    (1.480249e-02, 7.280733e-04, -9.998902e-01, -7.631618e-02),
    (9.998621e-01, 7.523790e-03, 1.480755e-02, -2.717806e-01),
)
_KITTI_IMU_TO_VELO = (
    (9.999976e-01, 7.553071e-04, -2.035826e-03, -8.086759e-01),
    (-7.854027e-04, 9.998898e-01, -1.482298e-02, 3.195559e-01),
    (2.024406e-03, 1.482454e-02, 9.998881e-01, -7.997231e-01),
)
_KITTI_VELODYNE_IN_EGO = (0.76, 0.0, 1.73)


def kitti(
    *,
    image_scale: float = 1.0,
    beams: int | None = None,
    columns: int | None = None,
    noise: bool = True,
) -> KittiRig:
    """Return KITTI's car: four rectified cameras and a Velodyne HDL-64E.

    Args:
        image_scale: factor of the images' size.
        beams: as many of the LiDAR's 64, spread evenly; None for all.
        columns: firings in a sweep; None for 2083.
        noise: False for exact ranges and no lost returns.

    Raises:
        UsageError: there are not as many beams, or far too many columns.
    """
    P = np.stack(
        [resize(image_scale) @ np.column_stack([_KITTI_K, last]) for last in _KITTI_P_LAST]
    )
    P = np.array([float(f"{value:.6e}") for value in P.ravel()]).reshape(P.shape)
    R0_rect = np.array(_KITTI_R0_RECT)
    Tr_velo_to_cam, Tr_imu_to_velo = np.array(_KITTI_VELO_TO_CAM), np.array(_KITTI_IMU_TO_VELO)
    T_rectified_from_lidar = square(R0_rect) @ square(Tr_velo_to_cam)
    T_imu_from_lidar = np.linalg.inv(square(Tr_imu_to_velo))
    T_ego_from_imu = np.eye(4)
    T_ego_from_imu[:3, 3] = np.array(_KITTI_VELODYNE_IN_EGO) - T_imu_from_lidar[:3, 3]
    T_ego_from_lidar = T_ego_from_imu @ T_imu_from_lidar
    cameras = []
    for number, matrix in enumerate(P):
        T_camera_from_rectified = np.eye(4)
        T_camera_from_rectified[:3, 3] = np.linalg.solve(matrix[:, :3], matrix[:, 3])
        T_camera_from_lidar = T_camera_from_rectified @ T_rectified_from_lidar
        cameras.append(
            CameraModel(
                name=f"image_{number:02d}",
                width=round(_KITTI_SIZE[0] * image_scale),
                height=round(_KITTI_SIZE[1] * image_scale),
                K=matrix[:, :3].copy(),
                distortion=np.zeros(5),
                T_ego_from_camera=T_ego_from_lidar @ np.linalg.inv(T_camera_from_lidar),
            )
        )
    elevations_deg = np.concatenate([np.linspace(2.0, -8.33, 32), np.linspace(-8.83, -24.33, 32)])
    velodyne = LidarModel(
        name="velodyne",
        elevations_rad=np.radians(elevations_deg),
        columns=2083,
        period_s=0.1,
        T_ego_from_lidar=T_ego_from_lidar,
        clockwise=False,
        start_azimuth_rad=math.pi,  # the cameras fire in mid-sweep, when it faces forward
        max_range_m=120.0,
        range_noise_m=0.02,
        dropout=True,
    )
    return KittiRig(
        cameras=tuple(cameras),
        lidars=(_reduced(velodyne, beams, columns, noise),),
        P=P,
        R0_rect=R0_rect,
        Tr_velo_to_cam=Tr_velo_to_cam,
        Tr_imu_to_velo=Tr_imu_to_velo,
        T_ego_from_imu=T_ego_from_imu,
    )


# Name, position in the ego frame, heading in degrees (left positive), focal length and centre.
_NUSCENES_OTHERS = (
    ("CAM_FRONT_RIGHT", (1.55, -0.50, 1.50), -55.0, 1266.0, (815.0, 490.0)),
    ("CAM_BACK_RIGHT", (1.05, -0.48, 1.56), -110.0, 1266.0, (805.0, 495.0)),
    ("CAM_BACK", (0.03, 0.0, 1.57), 180.0, 809.0, (829.0, 481.0)),
    ("CAM_BACK_LEFT", (1.05, 0.48, 1.56), 110.0, 1266.0, (795.0, 480.0)),
    ("CAM_FRONT_LEFT", (1.52, 0.49, 1.51), 55.0, 1266.0, (825.0, 485.0)),
)


def nuscenes(
    *,
    image_scale: float = 1.0,
    beams: int | None = None,
    columns: int | None = None,
    noise: bool = True,
) -> Rig:
    """Return nuScenes' car: six rectified cameras all around and a 32-beam LiDAR at 20 Hz.

    Args:
        image_scale: factor of the images' size.
        beams: as many of the LiDAR's 32, spread evenly; None for all.
        columns: firings in a sweep; None for 1084.
        noise: False for exact ranges and no lost returns.

    Raises:
        UsageError: there are not as many beams, or far too many columns.
    """
    front = pose((1.70, 0.016, 1.51), of_quaternion(0.4998, -0.5030, 0.4998, -0.4974))
    mounts = [("CAM_FRONT", front, 1266.417, (816.267, 491.507))]
    mounts += [
        (name, looking(position, heading_deg), focal, centre)
        for name, position, heading_deg, focal, centre in _NUSCENES_OTHERS
    ]
    cameras = tuple(
        CameraModel(
            name=name,
            width=round(1600 * image_scale),
            height=round(900 * image_scale),
            K=resize(image_scale) @ pinhole(focal, centre),
            distortion=np.zeros(5),
            T_ego_from_camera=T,
        )
        for name, T, focal, centre in mounts
    )
    lidar = LidarModel(
        name="LIDAR_TOP",
        elevations_rad=np.radians(np.linspace(10.67, -30.67, 32)),
        columns=1084,
        period_s=0.05,
        T_ego_from_lidar=pose(
            (0.943713, 0.0, 1.84023), of_quaternion(0.70780, -0.00649, 0.01065, -0.70631)
        ),
        clockwise=True,
        # 105 degrees to the left of straight ahead, which is the frame's y axis: the cameras then
        # fire as long before the end of the sweep as they do in the real data.
        start_azimuth_rad=math.radians(105.0 + 90.0),
        max_range_m=100.0,
        range_noise_m=0.02,
        dropout=True,
    )
    return Rig(cameras=cameras, lidars=(_reduced(lidar, beams, columns, noise),))


# Name, position, heading in degrees, height of the image, centre in the data set's own coordinates.
_WAYMO_CAMERAS = (
    ("FRONT", (1.54, -0.02, 2.12), 0.0, 1280, (950.0, 635.0)),
    ("FRONT_LEFT", (1.49, 0.10, 2.12), 45.0, 1280, (965.0, 640.0)),
    ("FRONT_RIGHT", (1.49, -0.10, 2.12), -45.0, 1280, (955.0, 630.0)),
    ("SIDE_LEFT", (1.43, 0.11, 2.12), 90.0, 886, (960.0, 245.0)),
    ("SIDE_RIGHT", (1.43, -0.11, 2.12), -90.0, 886, (950.0, 240.0)),
)
_WAYMO_LASERS = (
    ("FRONT", (4.07, 0.0, 0.69), 0.0),
    ("SIDE_LEFT", (3.24, 1.03, 0.98), 90.0),
    ("SIDE_RIGHT", (3.24, -1.03, 0.98), -90.0),
    ("REAR", (-1.16, 0.0, 0.46), 180.0),
)


def waymo(
    *,
    image_scale: float = 1.0,
    beams: int | None = None,
    columns: int | None = None,
    noise: bool = True,
) -> Rig:
    """Return Waymo's car: five cameras with lenses and rolling shutters, five LiDARs.

    The ego frame serves as the vehicle frame. Columns of all LiDARs are those of the range images:
    column 0 looks back along the vehicle and the turn is clockwise, whatever the mounting's yaw.

    Args:
        image_scale: factor of the images' size.
        beams: as many of the top LiDAR's 64, spread evenly, and the same share of the others' 200;
            None for all.
        columns: of the top LiDAR, and the same share of the others' 600; None for 2650.
        noise: False for exact ranges and no lost returns.

    Raises:
        UsageError: there are not as many beams, or far too many columns.
    """
    cameras = tuple(
        CameraModel(
            name=name,
            width=round(1920 * image_scale),
            height=round(height * image_scale),
            # From the left edge of the first pixel to its centre.
            K=resize(image_scale) @ pinhole(2060.0, (centre[0] - 0.5, centre[1] - 0.5)),
            distortion=np.array([0.04, -0.33, 0.001, -0.0005, 0.0]),
            T_ego_from_camera=looking(position, heading_deg),
            readout_s=0.035,
        )
        for name, position, heading_deg, height, centre in _WAYMO_CAMERAS
    )
    share = (np.arange(64) + 0.5) / 64
    top = LidarModel(
        name="TOP",
        # Denser about the horizon: steps grow from 0.16 to 0.47 degrees.
        elevations_rad=np.radians(np.round(2.4 - 10.0 * share - 10.0 * share**2, 3)),
        columns=2650,
        period_s=0.1,
        T_ego_from_lidar=pose((1.43, 0.0, 2.184), about_z(148.0)),
        clockwise=True,
        start_azimuth_rad=math.pi,
        max_range_m=75.0,
        range_noise_m=0.015,
        dropout=True,
    )
    lowest, highest = -math.pi / 2, math.pi / 6
    lidars = [_reduced(top, beams, columns, noise)]
    for name, position, heading_deg in _WAYMO_LASERS:
        rows = 200 if beams is None else max(1, round(200 * beams / 64))
        turn = 600 if columns is None else max(1, round(600 * columns / 2650))
        laser = replace(
            top,
            name=name,
            elevations_rad=lowest + (highest - lowest) * (np.arange(rows)[::-1] + 0.5) / rows,
            elevation_limits_rad=(lowest, highest),
            T_ego_from_lidar=pose(position, about_z(heading_deg)),
            max_range_m=20.0,
            field_of_view_rad=math.radians(190.0),  # the car itself is in the way of the rest
        )
        lidars.append(_reduced(laser, None, turn, noise))
    return Rig(cameras=cameras, lidars=tuple(_from_the_back(lidar) for lidar in lidars))


def _from_the_back(lidar: LidarModel) -> LidarModel:
    T = lidar.T_ego_from_lidar
    return replace(lidar, start_azimuth_rad=math.pi - math.atan2(T[1, 0], T[0, 0]))


def _reduced(lidar: LidarModel, beams: int | None, columns: int | None, noise: bool) -> LidarModel:
    rows = np.arange(len(lidar.elevations_rad))
    if beams is not None:
        if beams > len(rows):
            raise UsageError(
                f"The LiDAR {lidar.name} has only {len(rows)} beams, not {beams}",
                fix=f"Give at most {len(rows)} --beams.",
            )
        rows = rows[np.linspace(0, rows[-1], beams).round().astype(int)]
    if columns is not None and columns > MOST_COLUMNS:
        raise UsageError(
            f"The LiDAR {lidar.name} cannot have {columns:,} columns",
            fix=f"Give at most {MOST_COLUMNS:,} --columns.",
        )
    return replace(
        lidar,
        elevations_rad=lidar.elevations_rad[rows],
        columns=lidar.columns if columns is None else columns,
        range_noise_m=lidar.range_noise_m if noise else 0.0,
        dropout=lidar.dropout and noise,
    )
