"""Models of cameras and LiDARs: where they are on the car, and how they work."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from simipu.records import FloatArray


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CameraModel:
    """A camera.

    Attributes:
        name: as the data set calls it.
        width, height: size of the image in pixels.
        K: (3, 3) float64 pinhole matrix, integers at pixel centres.
        distortion: (5,) float64 Brown coefficients k1 k2 p1 p2 k3; zeros for a rectified image.
        T_ego_from_camera: (4, 4) float64; camera x right, y down, z forward. KITTI's is as
            orthonormal as its printed digits: invert it as a matrix, not by transposing.
        readout_s: time that the shutter takes from the left edge of the image to its right one; 0
            for an image taken at once.
    """

    name: str
    width: int
    height: int
    K: FloatArray
    distortion: FloatArray
    T_ego_from_camera: FloatArray
    readout_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LidarModel:
    """A LiDAR that turns once in a sweep; all beams of a column fire at once.

    Attributes:
        name: as the data set calls it.
        elevations_rad: (B,) float64 of the beams, row 0 highest.
        columns: firings in a sweep.
        period_s: time of one turn.
        T_ego_from_lidar: (4, 4) float64.
        clockwise: the sense of the turn, seen from above.
        start_azimuth_rad: in the lidar frame, at the start of the sweep: half a column before
            column 0.
        max_range_m: nothing is returned from beyond.
        range_noise_m: standard deviation along the beam.
        dropout: whether returns get lost.
        field_of_view_rad: columns fire only within half of this to either side of the frame's x
            axis.
        elevation_limits_rad: (lowest, highest) edge, if the beams share what is between evenly,
            each at the middle of its share; else None.
    """

    name: str
    elevations_rad: FloatArray
    columns: int
    period_s: float
    T_ego_from_lidar: FloatArray
    clockwise: bool
    start_azimuth_rad: float
    max_range_m: float
    range_noise_m: float
    dropout: bool
    field_of_view_rad: float = 2.0 * math.pi
    elevation_limits_rad: tuple[float, float] | None = None

    def azimuth_rad(self, column: npt.ArrayLike) -> FloatArray:
        """Return the azimuth, float64 radians in the lidar frame and not wrapped, of columns."""
        turn = 2.0 * np.pi * self._share(column)
        azimuth: FloatArray = self.start_azimuth_rad + (-turn if self.clockwise else turn)
        return azimuth

    def time_s(self, column: npt.ArrayLike) -> FloatArray:
        """Return the firing time, float64 seconds from the start of the sweep, of columns."""
        return self.period_s * self._share(column)

    def _share(self, column: npt.ArrayLike) -> FloatArray:
        share: FloatArray = (np.asarray(column, dtype=np.float64) + 0.5) / self.columns
        return share


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Rig:
    """The sensors of a car. Ego: rear axle on the ground, x forward, y left, z up."""

    cameras: tuple[CameraModel, ...]
    lidars: tuple[LidarModel, ...]
