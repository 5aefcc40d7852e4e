"""Version 1 of the Waymo Open Dataset: for each segment a TFRecord of ``Frame`` messages."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from typing import TYPE_CHECKING, Any

from simipu.errors import UsageError

from .files import PARTIAL
from .waymo_content import LEFT_TO_RIGHT, LOCATION, TIME_OF_DAY, WEATHER
from .waymo_writer import WaymoWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from simipu.records import FloatArray

    from .options import Options
    from .waymo_content import (
        Box,
        CameraCalibration,
        FrameContent,
        Image,
        LaserCalibration,
        RangeImages,
    )
    from .waymo_segment import Segment


class WaymoV1Writer(WaymoWriter):
    """Writes ``<split>/segment-<context>_with_camera_labels.tfrecord``.

    Raises:
        UsageError: the official message classes are not installed.
    """

    def __init__(self, root: Path, options: Options) -> None:
        super().__init__(root, options)
        _messages()

    def _encode(self, content: FrameContent) -> bytes:
        return as_record(encode_frame(content))

    def _files(self, segment: Segment) -> Sequence[Path]:
        name = f"segment-{segment.context}_with_camera_labels.tfrecord"
        return [self._root / segment.split / name]

    def _assemble(self, segment: Segment, parts: Sequence[Path]) -> None:
        (path,) = self._files(segment)
        partial = path.with_name(f".{path.name}{PARTIAL}")
        with partial.open("wb") as out:
            for part in parts:
                with part.open("rb") as record:
                    shutil.copyfileobj(record, out)
        os.replace(partial, path)


def as_record(payload: bytes) -> bytes:
    """Return a payload framed as one record of a TFRecord file."""
    length = struct.pack("<Q", len(payload))
    return b"".join([length, _masked_crc(length), payload, _masked_crc(payload)])


def _masked_crc(data: bytes) -> bytes:
    import google_crc32c

    crc = google_crc32c.value(data)
    # Masked, because the CRC of a text that holds its own CRC says little.
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _messages() -> Any:
    try:
        from waymo_open_dataset import dataset_pb2
    except ImportError as error:
        raise UsageError(
            f"Waymo's message classes cannot be imported ({error})",
            fix="pip install 'simipu[waymo]', then "
            "pip install --no-deps waymo-open-dataset-tf-2-12-0==1.6.7 (no TensorFlow needed).",
        ) from None
    return dataset_pb2


def encode_frame(content: FrameContent) -> bytes:
    """Return a serialised ``waymo.open_dataset.Frame``."""
    messages = _messages()
    frame = messages.Frame(timestamp_micros=content.timestamp_us)
    frame.context.name = content.context
    for camera in content.cameras:
        _fill_camera(frame.context.camera_calibrations.add(), camera)
    for laser in content.lasers:
        _fill_laser(frame.context.laser_calibrations.add(), laser)
    stats = frame.context.stats
    for kind, count in content.object_counts().items():
        stats.laser_object_counts.add(type=kind, count=count)
    stats.time_of_day = TIME_OF_DAY
    stats.location = LOCATION
    stats.weather = WEATHER
    _fill_transform(frame.pose, content.T_world_from_vehicle)
    for image in content.images:
        _fill_image(frame.images.add(), image)
    for images in content.range_images:
        _fill_range_images(frame.lasers.add(), images, messages)
    for box in content.boxes:
        _fill_label(frame.laser_labels.add(), box)
    encoded: bytes = frame.SerializeToString(deterministic=True)
    return encoded


def _fill_transform(message: Any, T: FloatArray) -> None:
    message.transform.extend(T.ravel().tolist())


def _fill_camera(message: Any, camera: CameraCalibration) -> None:
    message.name = camera.camera
    message.intrinsic.extend(camera.intrinsic)
    _fill_transform(message.extrinsic, camera.T_vehicle_from_camera)
    message.width = camera.width
    message.height = camera.height
    message.rolling_shutter_direction = LEFT_TO_RIGHT


def _fill_laser(message: Any, laser: LaserCalibration) -> None:
    message.name = laser.laser
    message.beam_inclinations.extend(laser.inclinations)
    message.beam_inclination_min = laser.inclination_min
    message.beam_inclination_max = laser.inclination_max
    _fill_transform(message.extrinsic, laser.T_vehicle_from_lidar)


def _fill_image(message: Any, image: Image) -> None:
    message.name = image.camera
    message.image = image.jpeg
    _fill_transform(message.pose, image.T_world_from_vehicle)
    velocity = message.velocity
    velocity.v_x, velocity.v_y, velocity.v_z = image.velocity_m_s.tolist()
    velocity.w_x, velocity.w_y, velocity.w_z = image.angular_velocity_rad_s.tolist()
    message.pose_timestamp = image.pose_s
    message.shutter = image.shutter_s
    message.camera_trigger_time = image.trigger_s
    message.camera_readout_done_time = image.readout_done_s


def _fill_range_images(message: Any, images: RangeImages, messages: Any) -> None:
    message.name = images.laser
    for k, target in enumerate((message.ri_return1, message.ri_return2)):
        target.range_image_compressed = _compress(messages.MatrixFloat(), images.returns[k])
        target.camera_projection_compressed = _compress(
            messages.MatrixInt32(), images.projections[k]
        )
    if images.pose is not None:
        message.ri_return1.range_image_pose_compressed = _compress(
            messages.MatrixFloat(), images.pose
        )


def _compress(matrix: Any, values: npt.NDArray[np.generic]) -> bytes:
    matrix.data.extend(values.ravel().tolist())
    matrix.shape.dims.extend(values.shape)
    return zlib.compress(matrix.SerializeToString(deterministic=True))


def _fill_label(message: Any, box: Box) -> None:
    x, y, z = box.centre_m.tolist()
    length, width, height = box.size_m.tolist()
    message.box.center_x, message.box.center_y, message.box.center_z = x, y, z
    message.box.length, message.box.width, message.box.height = length, width, height
    message.box.heading = box.heading_rad
    metadata = message.metadata
    metadata.speed_x, metadata.speed_y, metadata.speed_z = box.velocity_m_s.tolist()
    metadata.accel_x, metadata.accel_y, metadata.accel_z = box.acceleration_m_s2.tolist()
    message.type = box.type
    message.id = box.object_id
    message.num_lidar_points_in_box = box.points
    message.num_top_lidar_points_in_box = box.top_points
