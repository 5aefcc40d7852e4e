"""Calibrations and poses of the Waymo Open Dataset, checked and in our conventions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from simipu.errors import SourceError
from simipu.geometry import se3

from .files import DOWNLOAD_AGAIN
from .waymo_parts import LASERS, CameraCalibration, LaserCalibration

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from simipu.records import FloatArray, ReadOut

    from .waymo_parts import Calibration

READ_OUTS: Mapping[int, ReadOut] = {
    1: "top_to_bottom",
    2: "left_to_right",
    3: "bottom_to_top",
    4: "right_to_left",
}
"""Of RollingShutterReadOutDirection; 0 is unknown, 5 a global shutter."""

_T_WAYMO_FROM_OPENCV = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
"""x forward, y left, z up from x right, y down, z forward."""


def camera_calibration(
    *,
    intrinsic: npt.ArrayLike,
    extrinsic: npt.ArrayLike,
    size: tuple[int, int],
    read_out: int,
    path: Path,
    name: str,
) -> CameraCalibration:
    """Check and convert what is published of a camera.

    Args:
        intrinsic: f_u f_v c_u c_v k1 k2 p1 p2 k3, counted from the image's left and upper edge.
        extrinsic: 16 numbers, row by row: vehicle from camera, in Waymo's axes.
        size: width and height.
        read_out: number of the direction, see `READ_OUTS`.
        path: the file, for the error.
        name: the camera, for the error.

    Raises:
        SourceError: a value is missing or impossible.
    """
    values = np.array(intrinsic, dtype=np.float64)
    fault = None
    if values.shape != (9,):
        fault = f"has {values.size} intrinsic values, not 9"
    elif not np.isfinite(values).all() or min(values[:2]) <= 0.0:
        fault = f"has impossible intrinsics: {values.tolist()}"
    elif min(size) <= 0:
        fault = f"has images of {size[0]} x {size[1]} pixels"
    if fault is not None:
        raise _wrong(f"the calibration of camera {name} {fault}", path)
    f_u, f_v, c_u, c_v = values[:4]
    # Waymo's 0 is the edge of the first pixel, ours its centre.
    K = np.array([[f_u, 0.0, c_u - 0.5], [0.0, f_v, c_v - 0.5], [0.0, 0.0, 1.0]])
    T_ego_from_waymo = rigid(extrinsic, path, f"the extrinsic of camera {name}")
    return CameraCalibration(
        K=K,
        distortion=values[4:],
        T_ego_from_camera=T_ego_from_waymo @ _T_WAYMO_FROM_OPENCV,
        width=size[0],
        height=size[1],
        read_out=READ_OUTS.get(read_out),
    )


def laser_calibration(
    *,
    extrinsic: npt.ArrayLike,
    inclinations: npt.ArrayLike,
    limits: tuple[float, float] | None,
    path: Path,
    name: str,
) -> LaserCalibration:
    """Check and convert what is published of a laser.

    Args:
        extrinsic: 16 numbers, row by row: vehicle from lidar.
        inclinations: of the beams, ascending; may be empty.
        limits: lowest and highest edge; may be None.
        path: the file, for the error.
        name: the laser, for the error.

    Raises:
        SourceError: a value is missing or impossible.
    """
    beams = np.array(inclinations, dtype=np.float64)
    fault = None
    if not np.isfinite(beams).all() or (np.diff(beams) <= 0.0).any():
        fault = "beam inclinations that do not ascend"
    elif not beams.size and (limits is None or not limits[0] < limits[1]):
        fault = "no beam inclinations and no range of them"
    if fault is not None:
        raise _wrong(f"the calibration of laser {name} has {fault}", path)
    T_ego_from_lidar = rigid(extrinsic, path, f"the extrinsic of laser {name}")
    return LaserCalibration(T_ego_from_lidar=T_ego_from_lidar, inclinations=beams, limits=limits)


def laser_origins(
    calibration: Calibration, lasers: Collection[str]
) -> dict[int, tuple[float, float, float]]:
    """Return where lasers stand: number -> x, y, z in the vehicle frame, to a millimetre.

    Args:
        calibration: the rig.
        lasers: names of those that are wanted; without a calibration they are left out.
    """
    found = {}
    for number, name in LASERS.items():
        if name in lasers and name in calibration.lasers:
            x, y, z = calibration.lasers[name].T_ego_from_lidar[:3, 3].tolist()
            found[number] = round(x, 3), round(y, 3), round(z, 3)
    return found


def rigid(values: npt.ArrayLike, path: Path, name: str) -> FloatArray:
    """Return the (4, 4) float64 of a transform given row by row.

    Raises:
        SourceError: it is not 16 numbers of a rotation and a translation.
    """
    T = np.array(values, dtype=np.float64)
    if T.size != 16 or not se3.is_rigid(T.reshape(4, 4)):
        raise _wrong(f"{name} is not a rotation and a translation: {T.tolist()}", path)
    return T.reshape(4, 4)


def _wrong(what: str, path: Path) -> SourceError:
    return SourceError(what, where=path, fix=DOWNLOAD_AGAIN)
