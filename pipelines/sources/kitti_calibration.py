"""KITTI's text calibration, and the transforms that follow from it.

Both KITTI benchmarks project a Velodyne point X with ``P @ R0_rect @ Tr_velo_to_cam @ X`` (object
development kit, readme.txt), where ``P`` is the camera's 3 x 4 matrix for rectified images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simipu.errors import SourceError
from simipu.geometry.se3 import is_rigid
from simipu.records import CameraImage, FloatArray

from .files import UNPACK_AGAIN, read_bytes, read_text
from .png import png_size

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LICENCE = "CC BY-NC-SA 3.0 (KITTI, www.cvlibs.net)"
# KITTI's seven printed digits leave some 1e-6; four digits, as in converted files, some 1e-4.
ROTATION_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KittiCalibration:
    """One calibration of the rig, for the rectified images.

    Attributes:
        T_rect_from_lidar: (4, 4) float64, Velodyne to the rectified frame of camera 0.
        T_ego_from_lidar: (4, 4) float64, Velodyne to the IMU, which is the ego frame; None where
            the calibration has no IMU.
        projections: camera name -> (3, 4) float64 projection from the rectified frame of camera 0.
    """

    T_rect_from_lidar: FloatArray
    T_ego_from_lidar: FloatArray | None
    projections: Mapping[str, FloatArray]

    def read_image(
        self,
        path: Path,
        camera: str,
        *,
        T_world_from_ego: FloatArray | None = None,
        timestamp_ns: int | None = None,
    ) -> CameraImage:
        """Read and check one PNG of a camera.

        The fourth column of ``P`` is the camera's offset seen through K. Solved for in full, not
        only along x, ``K @ T_camera_from_lidar`` stays equal to KITTI's own product.

        Raises:
            SourceError: the image is unreadable or damaged.
        """
        data = read_bytes(path)
        width, height = png_size(data, path)
        P = self.projections[camera]
        K = np.ascontiguousarray(P[:, :3])
        T_camera_from_rect = np.eye(4)
        T_camera_from_rect[:3, 3] = np.linalg.solve(K, P[:, 3])
        T_camera_from_lidar = T_camera_from_rect @ self.T_rect_from_lidar
        T_ego_from_camera = None
        if self.T_ego_from_lidar is not None:
            T_ego_from_camera = self.T_ego_from_lidar @ inverse(T_camera_from_lidar)
        return CameraImage(
            data=data,
            width=width,
            height=height,
            K=K,
            distortion=np.zeros(5),
            T_camera_from_lidar=T_camera_from_lidar,
            T_ego_from_camera=T_ego_from_camera,
            T_world_from_ego=T_world_from_ego,
            timestamp_ns=timestamp_ns,
        )


class CalibrationFile:
    """The ``KEY: values`` lines of one calibration file.

    Args:
        path: the file.

    Raises:
        SourceError: the file is unreadable, or a line has no key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._values: dict[str, str] = {}
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            # Only the first colon ends the key: the value of calib_time has colons of its own.
            key, colon, values = line.partition(":")
            if colon:
                self._values[key.strip()] = values
            elif line.strip():
                raise self._fault(f"line {number} is not of the form 'KEY: values'")

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def numbers(self, key: str, *shape: int) -> FloatArray:
        """Return the numbers of a key as a float64 array of the given shape.

        Raises:
            SourceError: the key is missing, or its values are not that many finite numbers.
        """
        if key not in self._values:
            raise self._fault(f"{key} is missing")
        words = self._values[key].split()
        count = int(np.prod(shape))
        if len(words) != count:
            raise self._fault(f"{key} has {len(words)} values, not {count}")
        try:
            array = np.array([float(word) for word in words])
        except ValueError as error:
            raise self._fault(f"{key} has a value that is no number ({error})") from None
        if not np.isfinite(array).all():
            raise self._fault(f"{key} has a value that is NaN or infinite")
        return array.reshape(shape)

    def projection(self, key: str) -> FloatArray:
        """Return a (3, 4) projection whose first three columns are a pinhole matrix."""
        P = self.numbers(key, 3, 4)
        focal = (P[0, 0], P[1, 1])
        if min(focal) <= 0 or P[1, 0] != 0 or not np.array_equal(P[2, :3], [0, 0, 1]):
            raise self._fault(
                f"{key} is no pinhole projection: its left 3 x 3 must be [fx s cx; 0 fy cy; 0 0 1] "
                "with positive fx and fy"
            )
        return P

    def rigid(self, key: str) -> FloatArray:
        """Return the (4, 4) rigid transform of a key with the 12 values of ``[R | t]``."""
        values = self.numbers(key, 3, 4)
        return self._rigid(key, values[:, :3], values[:, 3])

    def rigid_of(self, rotation: str, translation: str | None = None) -> FloatArray:
        """Return the (4, 4) rigid transform of a rotation's 9 and a translation's 3 values."""
        t = np.zeros(3) if translation is None else self.numbers(translation, 3)
        return self._rigid(rotation, self.numbers(rotation, 3, 3), t)

    def _rigid(self, key: str, R: FloatArray, t: FloatArray) -> FloatArray:
        T = np.eye(4)
        T[:3, :3] = R
        T[:3, 3] = t
        if not is_rigid(T, tolerance=ROTATION_TOLERANCE):
            raise self._fault(
                f"the rotation of {key} is not orthonormal with determinant +1 "
                f"(to {ROTATION_TOLERANCE:g})"
            )
        return T

    def _fault(self, what: str) -> SourceError:
        return SourceError(what, where=self.path, fix=f"The calibration is damaged. {UNPACK_AGAIN}")


def inverse(T_dst_from_src: FloatArray) -> FloatArray:
    """Return the exact inverse (4, 4) of a calibrated transform.

    Not `simipu.geometry.se3.invert`: printed with seven digits, a rotation differs from the
    inverse of its transpose by some 1e-6.
    """
    return np.linalg.inv(T_dst_from_src).astype(np.float64)
