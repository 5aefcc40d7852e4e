"""The Parquet files of version 2: one for each component of a segment, its rows found by keys."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from simipu.errors import SourceError

from .files import DOWNLOAD_AGAIN
from .parquet import ParquetRows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

COMPONENTS = {
    "camera_calibration": "CameraCalibrationComponent",
    "camera_image": "CameraImageComponent",
    "lidar": "LiDARComponent",
    "lidar_calibration": "LiDARCalibrationComponent",
    "lidar_camera_projection": "LiDARCameraProjectionComponent",
    "lidar_pose": "LiDARPoseComponent",
    "stats": "StatsComponent",
    "vehicle_pose": "VehiclePoseComponent",
}
"""The folders that are read, and the prefix of their columns."""

WITHOUT = {
    "lidar_camera_projection": "points lack the columns of Waymo's own projection",
    "lidar_pose": "the laser TOP cannot be converted, the other four can",
    "stats": "segments have no time of day, location and weather",
}
"""The components that are not needed for all, and what is lost without them."""

XYZ = ("x", "y", "z")
INTRINSIC = ("f_u", "f_v", "c_u", "c_v", "k1", "k2", "p1", "p2", "k3")
SHUTTER = ("shutter", "camera_trigger_time", "camera_readout_done_time")
TEXTS = ("time_of_day", "location", "weather")
RETURNS = ("range_image_return1", "range_image_return2")

_COLUMNS: dict[str, tuple[str, ...]] = {
    "camera_calibration": (
        *(f"intrinsic.{name}" for name in INTRINSIC),
        "extrinsic.transform",
        "width",
        "height",
        "rolling_shutter_direction",
    ),
    "camera_image": (
        "image",
        "pose.transform",
        *(f"velocity.linear_velocity.{axis}" for axis in XYZ),
        *(f"velocity.angular_velocity.{axis}" for axis in XYZ),
        "pose_timestamp",
        *(f"rolling_shutter_params.{name}" for name in SHUTTER),
    ),
    "lidar": tuple(f"{which}.{part}" for which in RETURNS for part in ("values", "shape")),
    "lidar_calibration": (
        "extrinsic.transform",
        *(f"beam_inclination.{name}" for name in ("min", "max", "values")),
    ),
    "lidar_pose": ("range_image_return1.values", "range_image_return1.shape"),
    "stats": TEXTS,
    "vehicle_pose": ("world_from_vehicle.transform",),
}
_COLUMNS["lidar_camera_projection"] = _COLUMNS["lidar"]

_TIME = "key.frame_timestamp_micros"
CAMERA_KEY, LASER_KEY = "key.camera_name", "key.laser_name"
Row = dict[str, Any]


class Table:
    """The file of one component, its columns without the component's name."""

    def __init__(self, path: Path, component: str) -> None:
        if not path.exists():
            raise _missing(path, component)
        prefix = f"[{COMPONENTS[component]}]."
        self._columns = {f"{prefix}{name}": name for name in _COLUMNS[component]}
        self.rows = ParquetRows(path, [*self._columns])

    def read(self, number: int) -> Row:
        """Return a row."""
        row = self.rows.row(number)
        return {short: row[name] for name, short in self._columns.items()}

    def largest(self, column: str, rows: int) -> int:
        """Return a bound of the bytes of a column in so many rows, wherever they lie."""
        (name,) = (long for long, short in self._columns.items() if short == column)
        return self.rows.largest(name, rows)

    def by_frame(self) -> dict[int, int]:
        """Return timestamp -> row."""
        times = self.rows.column(_TIME)
        return {time: row for (time,), row in self._unique([(time,) for time in times])}

    def by_frame_and(self, key: str, names: Mapping[int, str]) -> dict[int, dict[str, int]]:
        """Return timestamp -> name of the sensor -> row."""
        found: dict[int, dict[str, int]] = defaultdict(dict)
        times, sensors = self.rows.column(_TIME), self._sensors(key, names)
        for (time, sensor), row in self._unique([*zip(times, sensors, strict=True)]):
            if sensor is not None:
                found[time][sensor] = row
        return found

    def by(self, key: str, names: Mapping[int, str]) -> dict[str, Row]:
        """Return name of the sensor -> row."""
        sensors = [(sensor,) for sensor in self._sensors(key, names)]
        found = {sensor: self.read(row) for (sensor,), row in self._unique(sensors) if sensor}
        return {name: found[name] for name in names.values() if name in found}

    def _sensors(self, key: str, names: Mapping[int, str]) -> list[str | None]:
        known: dict[Any, str] = {**names, **{name: name for name in names.values()}}
        return [known.get(value) for value in self.rows.column(key)]

    def _unique(self, keys: Sequence[tuple[Any, ...]]) -> Iterator[tuple[tuple[Any, ...], int]]:
        seen = set()
        for row, key in enumerate(keys):
            if key in seen and None not in key:
                raise SourceError(
                    f"has two rows for {' '.join(map(str, key))}",
                    where=self.rows.path,
                    fix=DOWNLOAD_AGAIN,
                )
            seen.add(key)
            yield key, row


def _missing(path: Path, component: str) -> SourceError:
    what = "the file is missing" if path.parent.is_dir() else "the component's folder is missing"
    fix = f"Download the component {component}, for this segment too."
    if component in WITHOUT:
        fix += f" Without the whole folder {component}, {WITHOUT[component]}."
    return SourceError(what, where=path, fix=fix)
