"""A frame as a source read it, checked before it is written.

It runs on every frame of every conversion, so small matrices are checked all at once; the benchmark
is ``tests/benchmarks/validate.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from simipu.records import CameraImage, Frame, LidarSweep, Shutter
from simipu.store import schema

from .image_header import image_size
from .validate import check_text, fault, is_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simipu.records import FloatArray, FrameRef, SourceInfo

ROTATION_TOLERANCE = 1e-3
"""Largest entry of ``R @ R.T - I``. Rounded to four digits, a rotation is off by some 1e-4."""

_MAX_TIME_NS = np.iinfo(np.int64).max


def check_frame(frame: object, ref: FrameRef, info: SourceInfo) -> None:
    """Check a frame against its reference and the description of its data set.

    Args:
        frame: what the source returned.
        ref: what it was asked for.
        info: what it said of the whole data set.

    Raises:
        SourceError: a field has another type, shape or value than ``simipu.records`` says.
    """
    _check_type("the frame", frame, Frame)
    assert isinstance(frame, Frame)
    if frame.id != ref.id:
        raise fault("id", f"is {frame.id!r}, not {ref.id!r}", "Return the frame that ref names.")
    _check_attributes(frame, info)
    _check_points(frame.lidar, ref, info)
    _check_type("cameras", frame.cameras, Mapping)
    if unknown := sorted(set(frame.cameras) - set(info.cameras)):
        raise fault(
            "cameras",
            f"has {unknown[0]!r}, which info.cameras does not name",
            f"info.cameras must name every camera; it is {info.cameras}.",
        )
    for name, image in frame.cameras.items():
        _check_image(f"cameras[{name!r}]", image)
    _check_times(frame)
    _check_poses(frame)
    size = sum(len(image.data) for image in frame.cameras.values())
    if size > ref.max_image_bytes:
        raise fault(
            "cameras",
            f"have {size:,} bytes, more than ref.max_image_bytes, {ref.max_image_bytes:,}",
            "scan() must give an upper bound, e.g. the sum of the sizes of the files.",
        )


def _check_points(lidar: LidarSweep, ref: FrameRef, info: SourceInfo) -> None:
    _check_type("lidar", lidar, LidarSweep)
    _check_type("lidar.columns", lidar.columns, Mapping)
    if set(lidar.columns) != set(info.point_columns):
        raise fault(
            "lidar.columns",
            f"are {', '.join(lidar.columns)}, not {', '.join(info.point_columns)}",
            "Every frame must have the columns of info.point_columns.",
        )
    points = len(lidar)
    for name, dtype in info.point_columns.items():
        column = lidar.columns[name]
        _check_type(f"lidar.columns[{name!r}]", column, np.ndarray)
        if column.dtype != dtype or column.shape != (points,):
            raise fault(
                f"lidar.columns[{name!r}]",
                f"is {column.dtype.str} {column.shape}, not {dtype} ({points},)",
                "All columns must be equally long, and of the dtypes of info.point_columns.",
            )
    if points > ref.max_points:
        raise fault(
            "lidar",
            f"has {points:,} points, more than ref.max_points, {ref.max_points:,}",
            "scan() must give an upper bound, e.g. from the size of the file.",
        )


def _check_image(field: str, image: CameraImage) -> None:
    _check_type(field, image, CameraImage)
    _check_type(f"{field}.data", image.data, bytes)
    try:
        size = image_size(image.data)
    except ValueError as error:
        fix = "Give the bytes of a whole PNG or JPEG file."
        raise fault(f"{field}.data", str(error), fix) from None
    if size != (image.width, image.height):
        raise fault(
            field,
            f"has width and height {image.width} x {image.height}, but data is an image of "
            f"{size[0]} x {size[1]}",
            "Give the size of the image as it is stored; K must belong to that size.",
        )
    _check_array(f"{field}.K", image.K, (3, 3))
    _check_array(f"{field}.distortion", image.distortion, (5,))
    _check_array(f"{field}.T_camera_from_lidar", image.T_camera_from_lidar, (4, 4))
    fx, skew, cx, zero, fy, cy, *last = image.K.ravel().tolist()
    if (
        not math.isfinite(fx + skew + cx + fy + cy)
        or min(fx, fy) <= 0
        or [zero, *last] != [0.0, 0.0, 0.0, 1.0]
    ):
        raise fault(
            f"{field}.K",
            f"is {image.K.tolist()}",
            "Give a pinhole matrix [fx s cx; 0 fy cy; 0 0 1] in pixels with positive fx and fy.",
        )
    if not math.isfinite(sum(image.distortion.tolist())):
        raise fault(
            f"{field}.distortion",
            f"is {image.distortion.tolist()}",
            "Give Brown's k1 k2 p1 p2 k3, zeros for an image without distortion.",
        )
    check_text(f"{field}.id", image.id)
    if image.shutter is not None:
        _check_shutter(f"{field}.shutter", image.shutter)
        if image.timestamp_ns is None or image.T_ego_from_camera is None:
            raise fault(
                f"{field}.shutter",
                "needs the image's timestamp_ns and T_ego_from_camera",
                "The velocities move the camera from its pose at that time. Give all, or None.",
            )


def _check_shutter(field: str, shutter: Shutter) -> None:
    _check_type(field, shutter, Shutter)
    if shutter.direction not in schema.SHUTTER_DIRECTIONS[1:]:
        known = ", ".join(schema.SHUTTER_DIRECTIONS[1:])
        raise fault(f"{field}.direction", f"is {shutter.direction!r}", f"Give one of: {known}.")
    for name in ("start_ns", "end_ns"):
        _check_time(f"{field}.{name}", getattr(shutter, name))
    if shutter.start_ns > shutter.end_ns:
        raise fault(field, "ends before it starts", "direction says which edge is read first.")
    for name in ("linear_velocity_m_s", "angular_velocity_rad_s"):
        velocity = getattr(shutter, name)
        _check_array(f"{field}.{name}", velocity, (3,))
        if not np.isfinite(velocity).all():
            raise fault(f"{field}.{name}", "has NaN or infinity", "Give shutter=None instead.")


def _check_times(frame: Frame) -> None:
    for field, time_ns in (
        ("timestamp_ns", frame.timestamp_ns),
        ("lidar.timestamp_ns", frame.lidar.timestamp_ns),
        ("lidar.timestamp_start_ns", frame.lidar.timestamp_start_ns),
        ("lidar.timestamp_end_ns", frame.lidar.timestamp_end_ns),
        *((f"cameras[{n!r}].timestamp_ns", c.timestamp_ns) for n, c in frame.cameras.items()),
    ):
        if time_ns is not None:
            _check_time(field, time_ns)


def _check_time(field: str, time_ns: object) -> None:
    if not is_whole(time_ns) or not -_MAX_TIME_NS <= time_ns <= _MAX_TIME_NS:  # type: ignore[operator]
        raise fault(
            field,
            f"is {time_ns!r}",
            "Give whole nanoseconds since 1970 as an int; in a float they lose their last digits.",
        )


def _check_attributes(frame: Frame, info: SourceInfo) -> None:
    _check_type("attributes", frame.attributes, Mapping)
    if set(frame.attributes) != set(info.frame_attributes):
        raise fault(
            "attributes",
            f"has {sorted(frame.attributes)}, not {sorted(info.frame_attributes)}",
            "Every frame must have the texts that info.frame_attributes names; '' is one.",
        )
    for name, text in frame.attributes.items():
        check_text(f"attributes[{name!r}]", text)


def _check_poses(frame: Frame) -> None:
    poses = {field: T for field, T in _poses(frame) if T is not None}
    for field, T in poses.items():
        _check_array(field, T, (4, 4))
    if not poses:
        return
    stacked = np.stack(list(poses.values()))
    faulty = ~np.isfinite(stacked).all(axis=(1, 2))
    if not faulty.any():
        R = stacked[:, :3, :3]
        off = np.abs(R @ R.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
        bottom = np.abs(stacked[:, 3] - (0, 0, 0, 1)).max(axis=1)
        faulty = (off > ROTATION_TOLERANCE) | (bottom > 1e-9) | (np.linalg.det(R) < 0)
    if faulty.any():
        first = int(faulty.argmax())
        raise _pose_fault(list(poses)[first], stacked[first])


def _poses(frame: Frame) -> Iterator[tuple[str, FloatArray | None]]:
    yield "T_world_from_ego", frame.T_world_from_ego
    yield "lidar.T_ego_from_lidar", frame.lidar.T_ego_from_lidar
    for name, image in frame.cameras.items():
        yield f"cameras[{name!r}].T_camera_from_lidar", image.T_camera_from_lidar
        yield f"cameras[{name!r}].T_ego_from_camera", image.T_ego_from_camera
        yield f"cameras[{name!r}].T_world_from_ego", image.T_world_from_ego


def _pose_fault(field: str, T: FloatArray) -> Exception:
    if not np.isfinite(T).all():
        return fault(field, "has NaN or infinity", "Give None where a pose is not known.")
    if np.abs(T[3] - (0, 0, 0, 1)).max() > 1e-9:
        fix = "Give T_dst_from_src for column vectors: rotation left, translation in column 3."
        return fault(field, f"ends in the row {T[3].tolist()}, not 0 0 0 1", fix)
    R = T[:3, :3]
    off = np.abs(R @ R.T - np.eye(3)).max()
    if off > ROTATION_TOLERANCE:
        return fault(
            field,
            f"is not rigid: R R^T differs from the identity by {off:.1e}, more than "
            f"{ROTATION_TOLERANCE:g}",
            "Normalise quaternions, and give rotations with seven digits or more.",
        )
    fix = "Frames of reference are right-handed: check the signs and the order of the axes."
    return fault(field, "mirrors: the determinant of its rotation is -1", fix)


def _check_array(field: str, array: object, shape: tuple[int, ...]) -> None:
    _check_type(field, array, np.ndarray)
    assert isinstance(array, np.ndarray)
    if array.shape != shape or array.dtype != np.float64:
        raise fault(
            field,
            f"is {array.dtype} {array.shape}, not float64 {shape}",
            "Compose calibration in float64 from the start.",
        )


def _check_type(field: str, value: object, expected: type) -> None:
    if not isinstance(value, expected):
        raise fault(
            field,
            f"is a {type(value).__name__}, not a {expected.__name__}",
            f"Give a {expected.__module__}.{expected.__name__}.".replace("builtins.", ""),
        )
