"""From Waymo's range images to points.

Row 0 of a range image is the highest beam, and column c of W looks along the azimuth
``(2 (W - c - 0.5) / W - 1) pi - atan2(E[1, 0], E[0, 0])`` of the laser frame, E being the laser's
mounting pose. With the inclination i of the beam and the azimuth a, a range r is the point
``r (cos i cos a, cos i sin a, sin i)``. Beams whose inclinations are not listed divide their limits
evenly.

TOP turns while the vehicle drives: each of its pixels has the vehicle's pose at its own time, a
translation and ``Rz(yaw) Ry(pitch) Rx(roll)``. It takes the point to the world, and the frame's
pose takes it back. The images of the other lasers are made for the frame's pose already.

World coordinates are tens of kilometres, where float32 counts in millimetres: all is computed in
float64, and translations are subtracted before anything is rotated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from simipu.errors import SourceError

from .files import DOWNLOAD_AGAIN

if TYPE_CHECKING:
    from pathlib import Path

    from simipu.records import Column, FloatArray

    from .waymo_parts import LaserCalibration, RangeImages

POINT_COLUMNS = {
    "x": "<f4",
    "y": "<f4",
    "z": "<f4",
    "intensity": "<f4",
    "elongation": "<f4",
    "laser": "|u1",
    "return": "|u1",
    "no_label_zone": "|b1",
    "range_row": "|u1",
    "range_column": "<u2",
}
"""`laser` is the number of LaserName, `return` 1 or 2, `range_row` and `range_column` the pixel."""

PROJECTION_COLUMNS = {
    "projection_camera": "|u1",
    "projection_x": "<i2",
    "projection_y": "<i2",
    "projection2_camera": "|u1",
    "projection2_x": "<i2",
    "projection2_y": "<i2",
}
"""Waymo's own projection into up to two images: number of CameraName (0: none), and the pixel."""

_CHANNELS = 4
_BLOCK = 1 << 13
"""Points that are computed at a time: few enough for what is in work to stay in the cache."""

_FARTHEST_M = 100.0
"""During a sweep the vehicle is nearer than this to where it is at the frame's pose."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Laser:
    """The range images of one laser, and what turns them into points.

    Attributes:
        number, name: which laser.
        calibration: its calibration.
        images: its range images.
        poses: (H, W, 6) float32 of TOP, see `RangeImages.poses`; None for the others.
        T_world_from_ego: (4, 4) float64, the frame's pose.
        path: the file that they come from, for errors.
        frame: what errors call the frame.
    """

    number: int
    name: str
    calibration: LaserCalibration
    images: RangeImages
    poses: npt.NDArray[np.float32] | None
    T_world_from_ego: FloatArray
    path: Path
    frame: str

    def points(self, which: int, *, projections: bool) -> dict[str, Column] | None:
        """Return the points of one return, row by row of the range image.

        Args:
            which: 1 or 2.
            projections: whether to return Waymo's projections too.

        Returns:
            (N,) columns `POINT_COLUMNS`, and `PROJECTION_COLUMNS` if asked for; metres, in the
            vehicle frame at the frame's pose. None where the frame has no such range image.

        Raises:
            SourceError: the image contradicts the calibration or another image, or a value is not
                finite.
        """
        image = self.images.values(which)
        if image is None:
            return None
        height, width = self._check_shape(image.shape, which)
        pixels = image.reshape(-1, _CHANNELS)
        if np.isnan(pixels[:, 0]).any():
            raise self._fault(f"the range image of return {which} has NaN ranges")
        hit = np.flatnonzero(pixels[:, 0] > 0.0)
        values = pixels[hit]
        if not np.isfinite(values).all():
            raise self._fault(f"the range image of return {which} has values that are not finite")
        row, column = np.divmod(hit.astype(np.int32), np.int32(width))
        poses = self._poses_of(hit, image.shape) if self.name == "TOP" else None
        x, y, z = self._xyz(values[:, 0], row, column, (height, width), poses)
        columns: dict[str, Column] = {
            "x": x,
            "y": y,
            "z": z,
            "intensity": np.ascontiguousarray(values[:, 1]),
            "elongation": np.ascontiguousarray(values[:, 2]),
            "laser": np.full(len(hit), self.number, dtype=np.uint8),
            "return": np.full(len(hit), which, dtype=np.uint8),
            "no_label_zone": values[:, 3] > 0.0,
            "range_row": row.astype(np.uint8),
            "range_column": column.astype(np.uint16),
        }
        if projections:
            columns |= self._projections(which, image.shape, hit)
        return columns

    def _check_shape(self, shape: tuple[int, ...], which: int) -> tuple[int, int]:
        beams = self.calibration.inclinations.size
        name = f"the range image of return {which}"
        if len(shape) != 3 or shape[2] != _CHANNELS or not min(shape):
            raise self._fault(f"{name} has the shape {shape}, not (H, W, {_CHANNELS})")
        if beams not in (0, shape[0]):
            raise self._fault(
                f"{name} has {shape[0]} rows, but the calibration has {beams} beam inclinations"
            )
        if shape[0] > 1 << 8 or shape[1] > 1 << 16:
            raise self._fault(f"{name} is too large: {shape[0]} x {shape[1]} pixels")
        return shape[0], shape[1]

    def _poses_of(
        self, hit: npt.NDArray[np.intp], shape: tuple[int, ...]
    ) -> npt.NDArray[np.float32]:
        if self.poses is None:
            raise self._fault("there are no pixel poses")
        if self.poses.shape != (*shape[:2], 6):
            found = self.poses.shape
            raise self._fault(f"its pixel poses have the shape {found}, the image {shape}")
        return self.poses.reshape(-1, 6)[hit]

    def _projections(
        self, which: int, shape: tuple[int, ...], hit: npt.NDArray[np.intp]
    ) -> dict[str, Column]:
        projections = self.images.projections(which)
        name = f"the camera projections of return {which}"
        if projections is None:
            raise self._fault(f"{name} are missing")
        if projections.shape != (*shape[:2], 6):
            raise self._fault(f"{name} have the shape {projections.shape}, the image {shape}")
        found = projections.reshape(-1, 6)[hit]
        if found.size and (found.min() < 0 or found.max() > np.iinfo(np.int16).max):
            raise self._fault(f"{name} hold numbers that are no pixels")
        if found.size and found[:, ::3].max() > np.iinfo(np.uint8).max:
            raise self._fault(f"{name} hold numbers that are no cameras")
        return {
            name: found[:, k].astype(dtype)
            for k, (name, dtype) in enumerate(PROJECTION_COLUMNS.items())
        }

    def _xyz(
        self,
        ranges: npt.NDArray[np.float32],
        row: npt.NDArray[np.int32],
        column: npt.NDArray[np.int32],
        size: tuple[int, int],
        poses: npt.NDArray[np.float32] | None,
    ) -> npt.NDArray[np.float32]:
        """Return (3, N) float32, computed in float64."""
        level, up, cos_i, sin_i = self._directions(*size)
        offset = self.calibration.T_ego_from_lidar[:3, 3]
        xyz = np.empty((3, len(ranges)), dtype=np.float32)
        for start in range(0, len(ranges), _BLOCK):
            block = slice(start, start + _BLOCK)
            r = ranges[block].astype(np.float64)
            flat, steep = r * cos_i[row[block]], r * sin_i[row[block]]
            around = level[:, column[block]]
            point = [flat * around[k] + steep * up[k] + offset[k] for k in range(3)]
            if poses is not None:
                point = self._at_frame_pose(point, poses[block])
            xyz[:, block] = point
        return xyz

    def _directions(
        self, height: int, width: int
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return what the ray of row j and column c, along the vehicle's axes, is made of.

        It is ``cos_i[j] level[:, c] + sin_i[j] up``.

        Returns:
            level (3, W), up (3,), cos_i (H,), sin_i (H,): float64.
        """
        E = self.calibration.T_ego_from_lidar
        inclinations = self.calibration.inclinations
        if not inclinations.size:
            assert self.calibration.limits is not None
            low, high = self.calibration.limits
            shares = [(row + 0.5) / height for row in range(height)]
            inclinations = np.array([low + (high - low) * share for share in shares])
        column: FloatArray = np.arange(width, dtype=np.float64)
        turn = 2.0 * (width - column - 0.5) / width - 1.0
        azimuth = turn * np.pi - np.arctan2(E[1, 0], E[0, 0])
        level: FloatArray = E[:3, :1] * np.cos(azimuth) + E[:3, 1:2] * np.sin(azimuth)
        falling: FloatArray = inclinations[::-1]
        return level, E[:3, 2], np.cos(falling), np.sin(falling)

    def _at_frame_pose(
        self, point: list[FloatArray], poses: npt.NDArray[np.float32]
    ) -> list[FloatArray]:
        """Bring points from the vehicle frames of their pixels to that of the frame's pose."""
        T = self.T_world_from_ego
        roll, pitch, yaw, *place = np.ascontiguousarray(poses.T, dtype=np.float64)
        x, y, z = point
        y, z = _turned(y, z, roll)
        z, x = _turned(z, x, pitch)
        x, y = _turned(x, y, yaw)
        moved = [p - t for p, t in zip(place, T[:3, 3], strict=True)]
        # Also false for NaN.
        if not all(np.abs(m).max() < _FARTHEST_M for m in moved) or not np.isfinite(x).all():
            raise self._fault("pixels with a range have poses that are not near the frame's pose")
        x, y, z = x + moved[0], y + moved[1], z + moved[2]
        return [T[0, k] * x + T[1, k] * y + T[2, k] * z for k in range(3)]

    def _fault(self, what: str) -> SourceError:
        return SourceError(
            f"{self.frame}: laser {self.name}: {what}", where=self.path, fix=DOWNLOAD_AGAIN
        )


def _turned(a: FloatArray, b: FloatArray, angle: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Turn the coordinates (a, b) of points by an angle, from a to b."""
    cos, sin = np.cos(angle), np.sin(angle)
    return cos * a - sin * b, sin * a + cos * b
