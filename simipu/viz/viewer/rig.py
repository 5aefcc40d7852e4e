"""Where cameras and their images stand in the scene, and from where to look at it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simipu.geometry import se3

if TYPE_CHECKING:
    from simipu.records import FloatArray
    from simipu.viz.viewer.frame import LoadedCamera, LoadedFrame


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Placed:
    """An image that stands upright in front of its camera, so that each pixel is on its ray.

    Distortion is not undone: a pixel stands where an undistorted camera would have it.

    Attributes:
        center: (3,) middle of the image in the lidar frame, metres.
        R_lidar_from_camera: (3, 3) rotation.
        size_m: width and height.
        edges: (8, 2, 3) line segments of the frustum in the lidar frame.
    """

    center: FloatArray
    R_lidar_from_camera: FloatArray
    size_m: tuple[float, float]
    edges: FloatArray


def place(camera: LoadedCamera, depth_m: float) -> Placed:
    """Place a camera's image at a depth in front of it."""
    T_lidar_from_camera = se3.invert(camera.T_camera_from_lidar)
    left, top = -0.5, -0.5
    right, bottom = camera.width - 0.5, camera.height - 0.5
    pixels = [(left, top), (right, top), (right, bottom), (left, bottom)]
    pixels.append(((left + right) / 2, (top + bottom) / 2))
    on_plane = np.linalg.solve(camera.K, np.array([(u, v, 1.0) for u, v in pixels]).T).T * depth_m
    *corners, center = se3.apply(T_lidar_from_camera, on_plane)
    origin = T_lidar_from_camera[:3, 3]
    ring = [(corners[i], corners[(i + 1) % 4]) for i in range(4)]
    return Placed(
        center=center,
        R_lidar_from_camera=T_lidar_from_camera[:3, :3],
        size_m=(
            camera.width / camera.K[0, 0] * depth_m,
            camera.height / camera.K[1, 1] * depth_m,
        ),
        edges=np.array([*ring, *((origin, corner) for corner in corners)]),
    )


def opening_angle(camera: LoadedCamera, aspect: float) -> float:
    """The vertical opening angle, radians, of a window that the camera's whole image fits into.

    The window looks along the optical axis, so the wider side from the principal point counts.

    Args:
        camera: the camera.
        aspect: width of the window over its height.
    """
    reach_u = max(camera.K[0, 2] + 0.5, camera.width - 0.5 - camera.K[0, 2]) / camera.K[0, 0]
    reach_v = max(camera.K[1, 2] + 0.5, camera.height - 0.5 - camera.K[1, 2]) / camera.K[1, 1]
    return 2 * math.atan(max(reach_v, reach_u / aspect))


def overlook(frame: LoadedFrame) -> tuple[FloatArray, FloatArray]:
    """Position and target, (3,) each, of a view from behind and above the first camera."""
    forward = np.array([1.0, 0.0])
    if frame.cameras:
        axis = next(iter(frame.cameras.values())).T_camera_from_lidar[2, :2]
        if np.linalg.norm(axis) > 0.1:
            forward = axis / np.linalg.norm(axis)
    return np.array([*(-14 * forward), 9.0]), np.array([*(10 * forward), 0.0])
