"""Frames to one task's shards and fragment."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from simipu.store import schema
from simipu.store.fragment import Fragment
from simipu.store.shards import ShardWriter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from simipu.records import Frame
    from simipu.store.storage import LocalStorage

Array = npt.NDArray[np.generic]

_NO_POSE = np.full((4, 4), np.nan)


class FrameWriter:
    """Writes the frames of one task, in order.

    Args:
        storage: the store.
        cameras: camera names of the store, in order.
        point_columns: point column name -> dtype.
        points, images: the task's rows of the point columns and of the image bytes.
    """

    def __init__(
        self,
        storage: LocalStorage,
        *,
        cameras: Sequence[str],
        point_columns: Mapping[str, str],
        points: range,
        images: range,
    ) -> None:
        self._cameras = tuple(cameras)
        self._points = {
            name: ShardWriter(storage, spec, points)
            for name, spec in zip(point_columns, schema.point_arrays(point_columns), strict=True)
        }
        self._images = ShardWriter(storage, schema.IMAGE_DATA, images)
        self._rows: list[dict[str, object]] = []
        self._ids: list[str] = []
        self._stack = ExitStack()

    def __enter__(self) -> FrameWriter:
        for writer in (*self._points.values(), self._images):
            self._stack.enter_context(writer)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def append(self, frame: Frame) -> None:
        """Add one frame."""
        lidar = frame.lidar
        row: dict[str, object] = {
            "frames/timestamp_ns": _time(frame.timestamp_ns),
            "frames/T_world_from_ego": _pose(frame.T_world_from_ego),
            "lidar/start": self._points["x"].next_row,
            "lidar/count": len(lidar),
            "lidar/T_ego_from_lidar": _pose(lidar.T_ego_from_lidar),
            "lidar/timestamp_ns": _time(lidar.timestamp_ns),
            "lidar/timestamp_start_ns": _time(lidar.timestamp_start_ns),
            "lidar/timestamp_end_ns": _time(lidar.timestamp_end_ns),
        }
        for name, writer in self._points.items():
            writer.append(lidar.columns[name])
        cameras = [self._append_camera(frame, name) for name in self._cameras]
        row |= {path: [camera[path] for camera in cameras] for path in cameras[0]}
        self._rows.append(row)
        self._ids.append(frame.id)

    def _append_camera(self, frame: Frame, name: str) -> dict[str, object]:
        image = frame.cameras.get(name)
        start = self._images.next_row
        if image is None:
            return {
                "camera/valid": False,
                "camera/start": start,
                "camera/nbytes": 0,
                "camera/width": 0,
                "camera/height": 0,
                "camera/K": np.full((3, 3), np.nan),
                "camera/distortion": np.full(5, np.nan),
                "camera/T_camera_from_lidar": _NO_POSE,
                "camera/T_ego_from_camera": _NO_POSE,
                "camera/T_world_from_ego": _NO_POSE,
                "camera/timestamp_ns": schema.MISSING_TIME_NS,
            }
        self._images.append(np.frombuffer(image.data, np.uint8))
        return {
            "camera/valid": True,
            "camera/start": start,
            "camera/nbytes": len(image.data),
            "camera/width": image.width,
            "camera/height": image.height,
            "camera/K": image.K,
            "camera/distortion": image.distortion,
            "camera/T_camera_from_lidar": image.T_camera_from_lidar,
            "camera/T_ego_from_camera": _pose(image.T_ego_from_camera),
            "camera/T_world_from_ego": _pose(image.T_world_from_ego),
            "camera/timestamp_ns": _time(image.timestamp_ns),
        }

    def fragment(self, notes: Mapping[str, object]) -> Fragment:
        """What the task leaves; call after the ``with`` block."""
        width = max((len(text.encode()) for text in self._ids), default=1)
        rows: dict[str, Array] = {"frames/id": schema.encode_text(self._ids, width)}
        for spec in schema.frame_arrays(len(self._cameras), width):
            if spec.path in ("frames/id", "frames/scene"):
                continue
            values = [row[spec.path] for row in self._rows]
            rows[spec.path] = np.asarray(values, spec.dtype).reshape(len(values), *spec.row_shape)
        files = [file for writer in self._points.values() for file in writer.files]
        return Fragment(rows, files + self._images.files, notes)


def _pose(T: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float64]:
    return _NO_POSE if T is None else T


def _time(time_ns: int | None) -> int:
    return schema.MISSING_TIME_NS if time_ns is None else time_ns
