"""Poses from the packets of KITTI's OXTS inertial and GPS unit.

Formula: KITTI raw development kit, convertOxtsToPose.m and latlonToMercator.m.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, log, pi, radians, sin, tan
from typing import TYPE_CHECKING

import numpy as np

from simipu.errors import SourceError

from .files import UNPACK_AGAIN, read_text

if TYPE_CHECKING:
    from pathlib import Path

    from simipu.records import FloatArray

EARTH_RADIUS_M = 6_378_137.0
_VALUES_PER_PACKET = 30


@dataclass(frozen=True, slots=True)
class OxtsPacket:
    """The part of a packet that makes a pose: degrees, metres above sea level, radians."""

    lat_deg: float
    lon_deg: float
    alt_m: float
    roll_rad: float
    pitch_rad: float
    yaw_rad: float


def read_oxts(path: Path) -> OxtsPacket:
    """Read one packet.

    Raises:
        SourceError: the file is unreadable, or not 30 finite numbers with a valid position.
    """
    words = read_text(path).split()
    fault = None
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        fault = f"has a value that is no number ({error})"
    else:
        if len(values) != _VALUES_PER_PACKET:
            fault = f"has {len(values)} values, not {_VALUES_PER_PACKET}"
        elif not np.isfinite(values).all():
            fault = "has a value that is NaN or infinite"
        elif abs(values[0]) >= 90 or abs(values[1]) > 180:
            fault = f"has no position on Earth: latitude {values[0]}, longitude {values[1]}"
    if fault is not None:
        raise SourceError(
            f"the OXTS packet {fault}",
            where=path,
            fix=f"{UNPACK_AGAIN} Or remove the drive's oxts folder to convert without poses.",
        )
    return OxtsPacket(*values[:6])


def pose_from_oxts(packet: OxtsPacket, origin: OxtsPacket) -> FloatArray:
    """Return the IMU's pose in a Mercator world around the origin's position.

    The world is x east, y north, z up; its scale is true at the origin's latitude. Only the
    position is relative: the rotation of the origin's own pose is not the identity.

    Args:
        packet: the moment asked for.
        origin: the drive's first packet.

    Returns:
        T_world_from_ego: (4, 4) float64, metres; the IMU is x forward, y left, z up.
    """
    scale = cos(radians(origin.lat_deg))
    T_world_from_ego = np.eye(4)
    T_world_from_ego[:3, :3] = _rotation(packet)
    T_world_from_ego[:3, 3] = _mercator(packet, scale) - _mercator(origin, scale)
    return T_world_from_ego


def _mercator(packet: OxtsPacket, scale: float) -> FloatArray:
    x = scale * EARTH_RADIUS_M * radians(packet.lon_deg)
    y = scale * EARTH_RADIUS_M * log(tan((90 + packet.lat_deg) * pi / 360))
    return np.array([x, y, packet.alt_m])


def _rotation(packet: OxtsPacket) -> FloatArray:
    """Rz(yaw) @ Ry(pitch) @ Rx(roll)."""
    cr, sr = cos(packet.roll_rad), sin(packet.roll_rad)
    cp, sp = cos(packet.pitch_rad), sin(packet.pitch_rad)
    cy, sy = cos(packet.yaw_rad), sin(packet.yaw_rad)
    Rx = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    Ry = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    Rz = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    R: FloatArray = Rz @ Ry @ Rx
    return R
