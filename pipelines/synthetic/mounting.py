"""Matrices of cameras and of where sensors are mounted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from simipu.records import FloatArray


def resize(scale: float) -> FloatArray:
    """Return the (3, 3) matrix of u' = s (u + 0.5) - 0.5, and of v alike."""
    shift = 0.5 * scale - 0.5
    return np.array([[scale, 0.0, shift], [0.0, scale, shift], [0.0, 0.0, 1.0]])


def square(matrix: FloatArray) -> FloatArray:
    """Return a (3, 3) or (3, 4) matrix as the upper part of a (4, 4) one."""
    T = np.eye(4)
    T[:3, : matrix.shape[1]] = matrix
    return T


def pinhole(focal_px: float, centre_px: tuple[float, float]) -> FloatArray:
    """Return K (3, 3) of a focal length and a centre in pixels, integers at pixel centres."""
    return np.array([[focal_px, 0.0, centre_px[0]], [0.0, focal_px, centre_px[1]], [0.0, 0.0, 1.0]])


def pose(position: tuple[float, float, float], R: FloatArray) -> FloatArray:
    """Return the (4, 4) pose of a position and a rotation (3, 3)."""
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R, position
    return T


def looking(position: tuple[float, float, float], heading_deg: float) -> FloatArray:
    """Return T_ego_from_camera, (4, 4), of a level camera; headings to the left are positive."""
    R_level = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    return pose(position, about_z(heading_deg) @ R_level)


def about_z(angle_deg: float) -> FloatArray:
    """Return the (3, 3) rotation to the left by an angle."""
    sin, cos = math.sin(math.radians(angle_deg)), math.cos(math.radians(angle_deg))
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def of_quaternion(*wxyz: float) -> FloatArray:
    """Return the (3, 3) rotation of a quaternion w x y z of about unit length."""
    w, x, y, z = np.array(wxyz) / math.hypot(*wxyz)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
