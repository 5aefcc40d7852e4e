"""Version 2 of the Waymo Open Dataset: a segment is a Parquet file in each component's folder.

The files differ between releases: columns are found by name, sensors may be given by number or by
name, and numbers may be float or double. Rows belong together by their keys, whatever their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from simipu.errors import SourceError

from .files import DOWNLOAD_AGAIN
from .waymo_calibration import camera_calibration, laser_calibration, rigid
from .waymo_parts import (
    CAMERAS,
    LASERS,
    Calibration,
    FrameParts,
    Image,
    SegmentStats,
)
from .waymo_tables import (
    CAMERA_KEY,
    COMPONENTS,
    INTRINSIC,
    LASER_KEY,
    RETURNS,
    SHUTTER,
    TEXTS,
    XYZ,
    Table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from simipu.records import FloatArray

    from .waymo_tables import Row


class Segment:
    """One segment; holds open files, and of their large rows one at a time.

    Frames are read fastest in the order of `timestamps`.

    Args:
        folder: of the split, which holds the components' folders.
        context: name of the segment.
        components: which components to read; at least those that are not in `WITHOUT`.

    Attributes:
        calibration: the rig of the segment.
        timestamps: of the frames, microseconds, ascending.
        stats: what the segment says of itself.
        file_bytes: size of all its files together.
        image_bytes: at least as much as all images of any frame together.

    Raises:
        SourceError: a file is missing, damaged or contradicts another.
        UsageError: pyarrow is not installed.
    """

    def __init__(
        self, folder: Path, context: str, components: Sequence[str] = tuple(COMPONENTS)
    ) -> None:
        self.path = folder / "lidar" / f"{context}.parquet"
        tables = {
            name: Table(folder / name / f"{context}.parquet", name)
            for name in COMPONENTS
            if name in components
        }
        self._poses = tables["vehicle_pose"].by_frame()
        self._images = tables["camera_image"].by_frame_and(CAMERA_KEY, CAMERAS)
        self._lidar = tables["lidar"].by_frame_and(LASER_KEY, LASERS)
        self._pixel_poses = _optional(tables.get("lidar_pose"))
        self._projections = _optional(tables.get("lidar_camera_projection"))
        self.calibration = _calibration(tables["camera_calibration"], tables["lidar_calibration"])
        self._tables = tables
        self.timestamps = sorted(self._poses)
        self.file_bytes = sum(table.rows.path.stat().st_size for table in tables.values())
        self.image_bytes = tables["camera_image"].largest("image", len(CAMERAS))
        self.stats = _stats(context, tables.get("stats"))

    def read_frame(self, timestamp_us: int) -> FrameParts:
        """Read one frame.

        Raises:
            SourceError: a row is missing or damaged, or a value is impossible.
        """
        name = f"frame {timestamp_us}"
        if timestamp_us not in self._poses:
            raise SourceError(
                f"there is no {name} any more: the file was changed",
                where=self._tables["vehicle_pose"].rows.path,
                fix="Run the command again to look at the files anew.",
            )
        pose = self._tables["vehicle_pose"].read(self._poses[timestamp_us])
        images = self._rows("camera_image", self._images, timestamp_us)
        path = self._tables["camera_image"].rows.path
        return FrameParts(
            timestamp_us=timestamp_us,
            T_world_from_ego=rigid(
                _floats(pose["world_from_vehicle.transform"]),
                self._tables["vehicle_pose"].rows.path,
                f"{name}: the vehicle's pose",
            ),
            calibration=self.calibration,
            images={
                camera: _image(images[camera], path, f"{name}: the pose of image {camera}")
                for camera in CAMERAS.values()
                if camera in images
            },
            range_images=self._range_images(timestamp_us),
        )

    def _range_images(self, timestamp_us: int) -> dict[str, ParquetRangeImages]:
        values = self._rows("lidar", self._lidar, timestamp_us)
        projections = self._rows("lidar_camera_projection", self._projections, timestamp_us)
        poses = self._rows("lidar_pose", self._pixel_poses, timestamp_us)
        return {
            laser: ParquetRangeImages(
                row,
                projections.get(laser),
                poses.get(laser),
                self.path,
                f"frame {timestamp_us}: laser {laser}",
            )
            for laser, row in values.items()
        }

    def _rows(
        self, table: str, numbers: Mapping[int, Mapping[str, int]], timestamp_us: int
    ) -> dict[str, Row]:
        """Read the rows of a frame, in the order in which they lie in the file."""
        of_frame = sorted(numbers.get(timestamp_us, {}).items(), key=lambda item: item[1])
        return {sensor: self._tables[table].read(number) for sensor, number in of_frame}


@dataclass(frozen=True, slots=True, eq=False)
class ParquetRangeImages:
    """`RangeImages` of the rows of one laser; None for a row that is not there."""

    lidar: Row
    projection: Row | None
    pose: Row | None
    path: Path
    name: str

    def values(self, which: int) -> npt.NDArray[np.float32] | None:
        """See `RangeImages.values`."""
        return self._matrix(self.lidar, which)

    def projections(self, which: int) -> npt.NDArray[np.int32] | None:
        """See `RangeImages.projections`; they are stored as floats."""
        found = None if self.projection is None else self._matrix(self.projection, which)
        return None if found is None else _whole(found, self.path, self.name)

    def poses(self) -> npt.NDArray[np.float32] | None:
        """See `RangeImages.poses`."""
        return None if self.pose is None else self._matrix(self.pose, 1)

    def _matrix(self, row: Row, which: int) -> npt.NDArray[np.float32] | None:
        values = row[f"{RETURNS[which - 1]}.values"]
        shape = row[f"{RETURNS[which - 1]}.shape"].as_py()
        if not values.is_valid or not len(values):
            return None
        found = values.values.to_numpy(zero_copy_only=False)
        if not shape or None in shape or np.prod(shape, dtype=object) != found.size:
            raise SourceError(
                f"{self.name}: {found.size:,} values in the shape {shape}",
                where=self.path,
                fix=DOWNLOAD_AGAIN,
            )
        return np.asarray(found, dtype=np.float32).reshape(shape)


def _optional(table: Table | None) -> dict[int, dict[str, int]]:
    return {} if table is None else table.by_frame_and(LASER_KEY, LASERS)


def _calibration(cameras: Table, lasers: Table) -> Calibration:
    return Calibration(
        cameras={
            name: camera_calibration(
                intrinsic=[_number(row[f"intrinsic.{part}"]) for part in INTRINSIC],
                extrinsic=_floats(row["extrinsic.transform"]),
                size=(row["width"].as_py() or 0, row["height"].as_py() or 0),
                read_out=row["rolling_shutter_direction"].as_py() or 0,
                path=cameras.rows.path,
                name=name,
            )
            for name, row in cameras.by(CAMERA_KEY, CAMERAS).items()
        },
        lasers={
            name: laser_calibration(
                extrinsic=_floats(row["extrinsic.transform"]),
                inclinations=_floats(row["beam_inclination.values"]),
                limits=(_number(row["beam_inclination.min"]), _number(row["beam_inclination.max"])),
                path=lasers.rows.path,
                name=name,
            )
            for name, row in lasers.by(LASER_KEY, LASERS).items()
        },
    )


def _image(row: Row, path: Path, name: str) -> Image:
    shutter_s, trigger_s, readout_done_s = (
        _number(row[f"rolling_shutter_params.{part}"]) for part in SHUTTER
    )
    linear, angular = (
        np.array([_number(row[f"velocity.{kind}_velocity.{axis}"]) for axis in XYZ])
        for kind in ("linear", "angular")
    )
    return Image(
        jpeg=row["image"].as_py() or b"",
        T_world_from_ego=rigid(_floats(row["pose.transform"]), path, name),
        velocity_m_s=linear,
        angular_velocity_rad_s=angular,
        pose_s=_number(row["pose_timestamp"]),
        shutter_s=shutter_s,
        trigger_s=trigger_s,
        readout_done_s=readout_done_s,
    )


def _stats(context: str, table: Table | None) -> SegmentStats:
    if table is None or not len(table.rows):
        return SegmentStats(context, "", "", "")
    row = table.read(0)
    return SegmentStats(context, *(row[name].as_py() or "" for name in TEXTS))


def _number(scalar: Any) -> float:
    value = scalar.as_py()
    return float("nan") if value is None else float(value)


def _floats(scalar: Any) -> FloatArray:
    """Return the numbers of a list; none where there is no list."""
    return np.array(scalar.as_py() or [], dtype=np.float64)


def _whole(values: npt.NDArray[np.float32], path: Path, name: str) -> npt.NDArray[np.int32]:
    with np.errstate(invalid="ignore"):  # NaN is no whole number either
        whole = values.astype(np.int32)
    if not np.array_equal(whole, values):
        raise SourceError(
            f"{name}: camera projections are not whole numbers", where=path, fix=DOWNLOAD_AGAIN
        )
    return whole
