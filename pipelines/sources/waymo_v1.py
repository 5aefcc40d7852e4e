"""Version 1 of the Waymo Open Dataset: a segment is a TFRecord file of ``Frame`` messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from simipu.errors import SourceError

from .files import DOWNLOAD_AGAIN
from .tfrecord import index_records, read_beginnings, read_record
from .waymo_calibration import camera_calibration, laser_calibration, rigid
from .waymo_messages import parse_beginning, parse_frame, read_matrix
from .waymo_parts import (
    CAMERAS,
    LASERS,
    Calibration,
    FrameParts,
    Image,
    SegmentStats,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from .tfrecord import Record

_BEGINNING = 1 << 14
"""Bytes of a record that hold the context, which is about half as long, and the timestamp."""


def read_frame(path: Path, record: Record) -> tuple[FrameParts, SegmentStats]:
    """Read one frame. Its range images stay compressed until they are asked for.

    Args:
        path: the segment's file.
        record: which of its records.

    Raises:
        SourceError: the record is damaged, is no Frame, or a value is missing or impossible.
        UsageError: the message classes are not installed.
    """
    name = f"record {record.number} at byte {record.offset:,}"
    frame = parse_frame(read_record(path, record), path, name)
    context = frame.context
    parts = FrameParts(
        timestamp_us=frame.timestamp_micros,
        T_world_from_ego=rigid(frame.pose.transform, path, f"{name}: the frame's pose"),
        calibration=_calibration(context, path),
        images={
            camera: _image(image, path, f"{name}: the pose of image {camera}")
            for camera, image in _by_name(frame.images, CAMERAS, path, f"{name}: images").items()
        },
        range_images={
            laser: CompressedRangeImages(message, path, f"{name}: laser {laser}")
            for laser, message in _by_name(frame.lasers, LASERS, path, f"{name}: lasers").items()
        },
    )
    return parts, _stats(context)


def scan_segment(path: Path) -> tuple[SegmentStats, dict[int, Record]]:
    """Find the frames of a segment without reading them.

    Returns:
        What the segment says of itself, and timestamp in microseconds -> record, ascending.

    Raises:
        SourceError: the file is no segment, or has a frame twice or one of another segment.
        UsageError: the message classes are not installed.
    """
    records = index_records(path)
    found: dict[int, Record] = {}
    stats = None
    for record, frame in zip(records, _beginnings(path, records), strict=True):
        name = f"record {record.number} at byte {record.offset:,}"
        stats = stats or _stats(frame.context)
        if frame.context.name != stats.context or frame.timestamp_micros in found:
            raise SourceError(
                f"{name} is a frame of the segment {frame.context.name}, not of {stats.context}"
                if frame.context.name != stats.context
                else f"{name} is there twice: {frame.timestamp_micros} microseconds",
                where=path,
                fix=DOWNLOAD_AGAIN,
            )
        found[frame.timestamp_micros] = record
    assert stats is not None  # an empty file has no records, and is refused
    return stats, dict(sorted(found.items()))


def read_calibration(path: Path, record: Record) -> Calibration:
    """Read the calibration that a frame carries, which is that of its segment.

    Args:
        path: the segment's file.
        record: which of its records.

    Raises:
        SourceError: the record is no Frame, or a value is missing or impossible.
        UsageError: the message classes are not installed.
    """
    (frame,) = _beginnings(path, [record])
    return _calibration(frame.context, path)


def _beginnings(path: Path, records: Sequence[Record]) -> Iterator[Any]:
    """Return ``Frame`` messages of which at least the context and the timestamp are known."""
    for record, data in zip(records, read_beginnings(path, records, _BEGINNING), strict=True):
        frame = parse_beginning(data)
        if frame is None or not frame.context.name:
            name = f"record {record.number} at byte {record.offset:,}"
            frame = parse_frame(read_record(path, record), path, name)
        yield frame


def _stats(context: Any) -> SegmentStats:
    stats = context.stats
    return SegmentStats(context.name, stats.time_of_day, stats.location, stats.weather)


@dataclass(frozen=True, slots=True, eq=False)
class CompressedRangeImages:
    """`RangeImages` of a ``Laser`` message."""

    message: Any
    path: Path
    name: str

    def values(self, which: int) -> npt.NDArray[np.float32] | None:
        """See `RangeImages.values`."""
        found = self._return(which)
        if found.HasField("range_image") and not found.range_image_compressed:
            raise SourceError(
                f"{self.name}: the range image is of the first release, which kept it uncompressed",
                where=self.path,
                fix="Download a later release of the data set: 1.1 or newer.",
            )
        return self._matrix(found.range_image_compressed, np.float32, f"range image {which}")

    def projections(self, which: int) -> npt.NDArray[np.int32] | None:
        """See `RangeImages.projections`."""
        compressed = self._return(which).camera_projection_compressed
        return self._matrix(compressed, np.int32, f"camera projection {which}")

    def poses(self) -> npt.NDArray[np.float32] | None:
        """See `RangeImages.poses`."""
        compressed = self._return(1).range_image_pose_compressed
        return self._matrix(compressed, np.float32, "pixel poses")

    def _return(self, which: int) -> Any:
        return self.message.ri_return1 if which == 1 else self.message.ri_return2

    def _matrix(
        self, compressed: bytes, dtype: npt.DTypeLike, what: str
    ) -> npt.NDArray[Any] | None:
        if not compressed:
            return None
        return read_matrix(compressed, dtype, self.path, f"{self.name}: {what}")


def _calibration(context: Any, path: Path) -> Calibration:
    cameras = _by_name(context.camera_calibrations, CAMERAS, path, "camera calibrations")
    lasers = _by_name(context.laser_calibrations, LASERS, path, "laser calibrations")
    return Calibration(
        cameras={
            name: camera_calibration(
                intrinsic=camera.intrinsic,
                extrinsic=camera.extrinsic.transform,
                size=(camera.width, camera.height),
                read_out=camera.rolling_shutter_direction,
                path=path,
                name=name,
            )
            for name, camera in cameras.items()
        },
        lasers={
            name: laser_calibration(
                extrinsic=laser.extrinsic.transform,
                inclinations=laser.beam_inclinations,
                limits=(laser.beam_inclination_min, laser.beam_inclination_max)
                if laser.HasField("beam_inclination_min") and laser.HasField("beam_inclination_max")
                else None,
                path=path,
                name=name,
            )
            for name, laser in lasers.items()
        },
    )


def _image(image: Any, path: Path, name: str) -> Image:
    v = image.velocity
    return Image(
        jpeg=image.image,
        T_world_from_ego=rigid(image.pose.transform, path, name),
        velocity_m_s=np.array([v.v_x, v.v_y, v.v_z]),
        angular_velocity_rad_s=np.array([v.w_x, v.w_y, v.w_z]),
        pose_s=image.pose_timestamp,
        shutter_s=image.shutter,
        trigger_s=image.camera_trigger_time,
        readout_done_s=image.camera_readout_done_time,
    )


def _by_name(
    messages: Iterable[Any], names: Mapping[int, str], path: Path, what: str
) -> dict[str, Any]:
    """Return the messages of the known sensors, in the order of ``names``.

    The official order is none: sensors are found by their names.
    """
    found: dict[int, Any] = {}
    for message in messages:
        if message.name in found:
            raise SourceError(
                f"{what}: {names.get(message.name, message.name)} is there twice",
                where=path,
                fix=DOWNLOAD_AGAIN,
            )
        found[message.name] = message
    return {name: found[number] for number, name in names.items() if number in found}
