"""Packets of KITTI's inertial and satellite navigation unit (OXTS).

Poses go through the Mercator formula of the raw development kit (readme.txt, convertOxtsToPose.m),
so that its inverse gives the true pose of the unit back: x is east and y is north.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from simipu.records import FloatArray

    from .motion import Trajectory

PERIOD_S = 0.01
FIELDS = (
    ("lat", "latitude of the unit (deg)"),
    ("lon", "longitude of the unit (deg)"),
    ("alt", "altitude of the unit (m)"),
    ("roll", "roll angle (rad), 0 = level, positive = left side up, -pi .. +pi"),
    ("pitch", "pitch angle (rad), 0 = level, positive = front down, -pi/2 .. +pi/2"),
    ("yaw", "heading (rad), 0 = east, positive = counter clockwise, -pi .. +pi"),
    ("vn", "velocity towards north (m/s)"),
    ("ve", "velocity towards east (m/s)"),
    ("vf", "velocity forward, along the surface of the earth (m/s)"),
    ("vl", "velocity to the left, along the surface of the earth (m/s)"),
    ("vu", "velocity upward, off the surface of the earth (m/s)"),
    ("ax", "acceleration along x, the front of the vehicle, gravity included (m/s^2)"),
    ("ay", "acceleration along y, the left of the vehicle, gravity included (m/s^2)"),
    ("az", "acceleration along z, the top of the vehicle, gravity included (m/s^2)"),
    ("af", "acceleration forward, gravity included (m/s^2)"),
    ("al", "acceleration to the left, gravity included (m/s^2)"),
    ("au", "acceleration upward, gravity included (m/s^2)"),
    ("wx", "angular rate about x (rad/s)"),
    ("wy", "angular rate about y (rad/s)"),
    ("wz", "angular rate about z (rad/s)"),
    ("wf", "angular rate about the forward axis (rad/s)"),
    ("wl", "angular rate about the leftward axis (rad/s)"),
    ("wu", "angular rate about the upward axis (rad/s)"),
    ("pos_accuracy", "accuracy of the position (m)"),
    ("vel_accuracy", "accuracy of the velocity (m/s)"),
    ("navstat", "navigation status"),
    ("numsats", "number of satellites that the first receiver tracks"),
    ("posmode", "position mode of the first receiver"),
    ("velmode", "velocity mode of the first receiver"),
    ("orimode", "orientation mode of the first receiver"),
)
_EARTH_RADIUS_M = 6378137.0
_GRAVITY_M_S2 = 9.81
_ACCURACY = (0.05, 0.02)
_STATUS = (4, 10, 6, 6, 6)
_STEP_S = 5e-3
"""Accelerations are differences of velocities so far before and after."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where on earth a drive's first packet is.

    Attributes:
        lat_deg, lon_deg, alt_m: the place, as it is printed.
        position: (3,) float64, the unit's position in the world then.
    """

    lat_deg: float
    lon_deg: float
    alt_m: float
    position: FloatArray


def packet_text(ego: Trajectory, T_ego_from_imu: FloatArray, origin: Origin, t_s: float) -> str:
    """Return a file of ``oxts/data``.

    Args:
        ego: the ego frame in the world.
        T_ego_from_imu: (4, 4) float64.
        origin: of the drive.
        t_s: the packet's time.
    """
    T_world_from_imu = ego.pose(t_s) @ T_ego_from_imu
    velocity, rates = _motion(ego, T_ego_from_imu, t_s)
    before, after = (_motion(ego, T_ego_from_imu, t_s + d)[0] for d in (-_STEP_S, _STEP_S))
    # What the unit feels at rest is that it is pushed up.
    acceleration = (after - before) / (2 * _STEP_S) + [0, 0, _GRAVITY_M_S2]
    R = T_world_from_imu[:3, :3]
    yaw = math.atan2(R[1, 0], R[0, 0])
    pitch = math.asin(max(-1.0, min(1.0, -R[2, 0])))
    roll = math.atan2(R[2, 1], R[2, 2])
    R_heading_from_world = np.array(
        [[math.cos(yaw), math.sin(yaw), 0], [-math.sin(yaw), math.cos(yaw), 0], [0, 0, 1]]
    )
    values = [
        *_latitude_longitude(T_world_from_imu[:2, 3] - origin.position[:2], origin),
        origin.alt_m + T_world_from_imu[2, 3] - origin.position[2],
        *(roll, pitch, yaw),
        *(velocity[1], velocity[0]),
        *(R_heading_from_world @ velocity),
        *(R.T @ acceleration),
        *(R_heading_from_world @ acceleration),
        *(R.T @ rates),
        *(R_heading_from_world @ rates),
        *_ACCURACY,
    ]
    return " ".join([*(f"{value + 0.0:.14g}" for value in values), *map(str, _STATUS)]) + "\n"


def format_text() -> str:
    """Return the content of ``oxts/dataformat.txt``."""
    return "".join(f"{name + ':':<14} {meaning}\n" for name, meaning in FIELDS)


def _motion(
    ego: Trajectory, T_ego_from_imu: FloatArray, t_s: float
) -> tuple[FloatArray, FloatArray]:
    """Return the unit's velocity and angular rates, (3,) each, along the world's axes."""
    velocity, rates_of_ego = ego.velocity(t_s)
    R = ego.pose(t_s)[:3, :3]
    rates = R @ rates_of_ego
    return velocity + np.cross(rates, R @ T_ego_from_imu[:3, 3]), rates


def _latitude_longitude(offset_m: FloatArray, origin: Origin) -> tuple[float, float]:
    """Return degrees for metres to the east and north of a drive's first packet."""
    radius_m = _EARTH_RADIUS_M * math.cos(math.radians(origin.lat_deg))
    north = math.log(math.tan((90.0 + origin.lat_deg) * math.pi / 360.0))
    north += float(offset_m[1]) / radius_m
    lat_deg = math.atan(math.exp(north)) * 360.0 / math.pi - 90.0
    return lat_deg, origin.lon_deg + math.degrees(float(offset_m[0]) / radius_m)
