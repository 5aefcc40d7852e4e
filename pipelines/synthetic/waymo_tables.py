"""The tables of version 2 of the Waymo Open Dataset: their columns, and a frame as rows of them.

Names and types are those of the ``schema()`` of the official components; types are written as in
Arrow's own description of them. Published files begin with a string column ``index`` besides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .waymo_content import LEFT_TO_RIGHT, LOCATION, TIME_OF_DAY, WEATHER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .waymo_content import FrameContent, RangeImages

Row = dict[str, Any]

_XYZ = ("x", "y", "z")
_INTRINSIC = ("f_u", "f_v", "c_u", "c_v", "k1", "k2", "p1", "p2", "k3")
_TRANSFORM = "double[16]"

_SEGMENT = {"key.segment_context_name": "string"}
_FRAME = _SEGMENT | {"key.frame_timestamp_micros": "int64"}


def _columns(component: str, columns: Mapping[str, str]) -> dict[str, str]:
    return {f"[{component}].{name}": kind for name, kind in columns.items()}


def _images(component: str, *returns: int) -> dict[str, str]:
    columns = {}
    for k in returns:
        columns[f"range_image_return{k}.values"] = "list<float>"
        columns[f"range_image_return{k}.shape"] = "int32[3]"
    return _columns(component, columns)


TABLES: dict[str, dict[str, str]] = {
    "camera_image": _FRAME
    | {"key.camera_name": "int8"}
    | _columns(
        "CameraImageComponent",
        {
            "image": "binary",
            "pose.transform": _TRANSFORM,
            **{f"velocity.linear_velocity.{axis}": "float" for axis in _XYZ},
            **{f"velocity.angular_velocity.{axis}": "double" for axis in _XYZ},
            "pose_timestamp": "double",
            "rolling_shutter_params.shutter": "double",
            "rolling_shutter_params.camera_trigger_time": "double",
            "rolling_shutter_params.camera_readout_done_time": "double",
        },
    ),
    "camera_calibration": _SEGMENT
    | {"key.camera_name": "int8"}
    | _columns(
        "CameraCalibrationComponent",
        {
            **{f"intrinsic.{name}": "double" for name in _INTRINSIC},
            "extrinsic.transform": _TRANSFORM,
            "width": "int32",
            "height": "int32",
            "rolling_shutter_direction": "int8",
        },
    ),
    "lidar": _FRAME | {"key.laser_name": "int8"} | _images("LiDARComponent", 1, 2),
    "lidar_calibration": _SEGMENT
    | {"key.laser_name": "int8"}
    | _columns(
        "LiDARCalibrationComponent",
        {
            "extrinsic.transform": _TRANSFORM,
            "beam_inclination.min": "double",
            "beam_inclination.max": "double",
            "beam_inclination.values": "list<double>",
        },
    ),
    "lidar_pose": _FRAME | {"key.laser_name": "int8"} | _images("LiDARPoseComponent", 1),
    "lidar_camera_projection": _FRAME
    | {"key.laser_name": "int8"}
    | _images("LiDARCameraProjectionComponent", 1, 2),
    "vehicle_pose": _FRAME
    | _columns("VehiclePoseComponent", {"world_from_vehicle.transform": _TRANSFORM}),
    "lidar_box": _FRAME
    | {"key.laser_object_id": "string"}
    | _columns(
        "LiDARBoxComponent",
        {
            **{f"box.center.{axis}": "double" for axis in _XYZ},
            **{f"box.size.{axis}": "double" for axis in _XYZ},
            "box.heading": "double",
            "type": "int8",
            "num_lidar_points_in_box": "int64",
            "num_top_lidar_points_in_box": "int64",
            **{f"speed.{axis}": "double" for axis in _XYZ},
            **{f"acceleration.{axis}": "double" for axis in _XYZ},
            "difficulty_level.detection": "int8",
            "difficulty_level.tracking": "int8",
        },
    ),
    "stats": _FRAME
    | _columns(
        "StatsComponent",
        {
            "time_of_day": "string",
            "location": "string",
            "weather": "string",
            "lidar_object_counts.types": "list<int8>",
            "lidar_object_counts.counts": "list<int32>",
            "camera_object_counts.types": "list<int8>",
            "camera_object_counts.counts": "list<int32>",
        },
    ),
}
"""Component -> column -> type; a number in brackets is the length of a fixed-size list."""

PER_SEGMENT = ("camera_calibration", "lidar_calibration")
"""Tables that have their rows once, not for each frame."""


def rows(content: FrameContent) -> dict[str, list[Row]]:
    """Return a frame as rows of every table of `TABLES`; values are in the order of the columns."""
    found = {
        "camera_image": _camera_image(content),
        "camera_calibration": _camera_calibration(content),
        "lidar": _lidar(content),
        "lidar_calibration": _lidar_calibration(content),
        "lidar_pose": _lidar_pose(content),
        "lidar_camera_projection": _lidar_camera_projection(content),
        "vehicle_pose": iter([(content.T_world_from_vehicle.ravel(),)]),
        "lidar_box": _lidar_box(content),
        "stats": _stats(content),
    }
    return {table: [*_with_keys(table, content, values)] for table, values in found.items()}


def _with_keys(
    table: str, content: FrameContent, values: Iterator[tuple[Any, ...]]
) -> Iterator[Row]:
    keys: tuple[Any, ...] = (content.context,)
    if table not in PER_SEGMENT:
        keys += (content.timestamp_us,)
    names = [*TABLES[table]]
    count = sum(name.startswith("key.") for name in names)
    for row in values:
        whole = dict(zip(names, keys + row, strict=True))
        yield {"index": ";".join(str(whole[name]) for name in names[:count])} | whole


def _camera_image(content: FrameContent) -> Iterator[tuple[Any, ...]]:
    for image in content.images:
        yield (
            image.camera,
            image.jpeg,
            image.T_world_from_vehicle.ravel(),
            *image.velocity_m_s,
            *image.angular_velocity_rad_s,
            image.pose_s,
            image.shutter_s,
            image.trigger_s,
            image.readout_done_s,
        )


def _camera_calibration(content: FrameContent) -> Iterator[tuple[Any, ...]]:
    for camera in content.cameras:
        T = camera.T_vehicle_from_camera.ravel()
        yield (
            camera.camera,
            *camera.intrinsic,
            T,
            camera.width,
            camera.height,
            LEFT_TO_RIGHT,
        )


def _lidar(content: FrameContent) -> Iterator[tuple[Any, ...]]:
    for images in content.range_images:
        first, second = images.returns
        yield images.laser, first.ravel(), first.shape, second.ravel(), second.shape


def _lidar_calibration(content: FrameContent) -> Iterator[tuple[Any, ...]]:
    for laser in content.lasers:
        yield (
            laser.laser,
            laser.T_vehicle_from_lidar.ravel(),
            laser.inclination_min,
            laser.inclination_max,
            laser.inclinations or None,
        )


def _lidar_pose(content: FrameContent) -> Iterator[tuple[Any, ...]]:
    for images in content.range_images:
        if images.pose is not None:
            yield images.laser, images.pose.ravel(), images.pose.shape


def _lidar_camera_projection(content: FrameContent) -> Iterator[tuple[Any, ...]]:
    for images in sorted(content.range_images, key=_laser):
        first, second = images.projections
        # Version 2 has floats here, of which float32 holds every pixel number.
        yield (
            images.laser,
            first.ravel().astype("f4"),
            first.shape,
            second.ravel().astype("f4"),
            second.shape,
        )


def _laser(images: RangeImages) -> int:
    return images.laser


def _lidar_box(content: FrameContent) -> Iterator[tuple[Any, ...]]:
    for box in content.boxes:
        yield (
            box.object_id,
            *box.centre_m,
            *box.size_m,
            box.heading_rad,
            box.type,
            box.points,
            box.top_points,
            *box.velocity_m_s,
            *box.acceleration_m_s2,
            None,
            None,
        )


def _stats(content: FrameContent) -> Iterator[tuple[Any, ...]]:
    counts = content.object_counts()
    yield TIME_OF_DAY, LOCATION, WEATHER, [*counts], [*counts.values()], [], []
