"""How the cameras of a frame look: where to, how far to the sides, and how to lay their images out.

Everything comes from the calibration that projects points, ``T_camera_from_lidar`` and the lens, so
a fault in it shows.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from simipu.errors import UsageError
from simipu.geometry import se3
from simipu.geometry.camera import max_radius
from simipu.geometry.lens import Lens
from simipu.viz.paint import shown_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simipu.records import FloatArray
    from simipu.store.views import CameraView, FrameView

FRONT_YAW_RAD = math.radians(100.0)
"""Cameras that look farther aside than this look back."""
MAX_ROW_ASPECT = 8.0


def T_shown_from_camera(frame: FrameView, camera: CameraView) -> FloatArray:
    """(4, 4) from the camera to the frame that pictures from above are drawn in."""
    _, T_shown_from_lidar = shown_frame(frame)
    T: FloatArray = T_shown_from_lidar @ se3.invert(camera.T_camera_from_lidar)
    return T


def frustum(frame: FrameView, camera: CameraView, reach_m: float) -> FloatArray:
    """What a camera sees of the plane through its optical axis and its image's middle row.

    Args:
        frame: the frame.
        camera: one of its cameras.
        reach_m: depth at which the sides end.

    Returns:
        (3, 3) float64: the camera's centre and the far ends of its left and its right side, in the
        frame of `simipu.viz.paint.shown_frame`.
    """
    distortion = camera.distortion
    lens = Lens(camera.K, distortion, max_radius(distortion), camera.width, camera.height)
    sides = [_outermost(lens, u) for u in (-0.5, camera.width - 0.5)]
    corners = np.array([(0.0, 0.0, 0.0), *((x, y, 1.0) for x, y in sides)]) * reach_m
    return se3.apply(T_shown_from_camera(frame, camera), corners)


def _outermost(lens: Lens, border: float) -> FloatArray:
    """The direction at one end of the middle row, or as near to it as the lens model goes."""
    middle = ((lens.width - 1) / 2, (lens.height - 1) / 2)
    for share in np.linspace(0.0, 0.9, 19):
        with suppress(UsageError):
            return lens.undistorted(border + share * (middle[0] - border), middle[1])
    return lens.undistorted(*middle)


def lay_out(frame: FrameView, cameras: Sequence[CameraView]) -> list[list[CameraView]]:
    """Put images where the rig sees them.

    Front cameras are in the first row, from left to right. Those that look back are below, so that
    what is on the rig's left is on the left there, too. Rows that grow too wide are broken up.
    """
    front, back = [], []
    for camera in cameras:
        T = T_shown_from_camera(frame, camera)
        yaw = math.atan2(T[1, 2], T[0, 2])
        # Cameras that look the same way, such as a stereo pair, stand beside each other.
        if abs(yaw) <= FRONT_YAW_RAD:
            front.append(((-round(yaw, 2), -round(T[1, 3], 2)), camera))
        else:
            back.append(((round(yaw % math.tau, 2), -round(T[1, 3], 2)), camera))
    rows = []
    for places in (front, back):
        places.sort(key=lambda place: place[0])
        rows += _broken([camera for _, camera in places])
    return rows


def _broken(row: list[CameraView]) -> list[list[CameraView]]:
    if not row:
        return []
    aspect = sum(camera.width for camera in row) / max(camera.height for camera in row)
    length = math.ceil(len(row) / math.ceil(aspect / MAX_ROW_ASPECT))
    return [row[start : start + length] for start in range(0, len(row), length)]
