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

    from simipu.records import Frame, Shutter
    from simipu.store.storage import Batch, LocalStorage

Array = npt.NDArray[np.generic]

_NO_POSE = np.full((4, 4), np.nan)


class FrameWriter:
    """Writes the frames of one task, in order.

    Args:
        storage: the store, or a batch of its files.
        cameras: camera names of the store, in order.
        attributes: names of the texts that every frame carries.
        point_columns: point column name -> dtype.
        points, images: the task's rows of the point columns and of the image bytes.
    """

    def __init__(
        self,
        storage: LocalStorage | Batch,
        *,
        cameras: Sequence[str],
        attributes: Sequence[str],
        point_columns: Mapping[str, str],
        points: range,
        images: range,
    ) -> None:
        self._cameras = tuple(cameras)
        self._attributes = tuple(attributes)
        self._points = {
            name: ShardWriter(storage, spec, points)
            for name, spec in zip(point_columns, schema.point_arrays(point_columns), strict=True)
        }
        self._images = ShardWriter(storage, schema.IMAGE_DATA, images)
        self._rows: list[dict[str, object]] = []
        self._texts: list[dict[str, list[str]]] = []
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
        images = (frame.cameras.get(name) for name in self._cameras)
        self._texts.append(
            {
                "frames/id": [frame.id],
                **{f"frames/attributes/{key}": [text] for key, text in frame.attributes.items()},
                "camera/id": ["" if image is None else image.id for image in images],
            }
        )

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
                **_shutter(None),
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
            **_shutter(image.shutter),
        }

    def fragment(self, notes: Mapping[str, object]) -> Fragment:
        """What the task leaves; call after the ``with`` block."""
        rows: dict[str, Array] = {}
        for path in schema.frame_text_paths(self._attributes):
            table = schema.encode_text(text for texts in self._texts for text in texts[path])
            per_image = (len(self._cameras),) if path == "camera/id" else ()
            rows[path] = table.reshape(len(self._texts), *per_image, table.shape[-1])
        for spec in schema.frame_arrays(len(self._cameras)):
            if spec.path == "frames/scene":
                continue
            values = [row[spec.path] for row in self._rows]
            rows[spec.path] = np.asarray(values, spec.dtype).reshape(len(values), *spec.row_shape)
        files = [file for writer in self._points.values() for file in writer.files]
        return Fragment(rows, files + self._images.files, notes)


def _pose(T: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float64]:
    return _NO_POSE if T is None else T


def _shutter(shutter: Shutter | None) -> dict[str, object]:
    if shutter is None:
        still = np.full(3, np.nan)
        values: tuple[object, ...] = (0, *[schema.MISSING_TIME_NS] * 2, still, still)
    else:
        values = (
            schema.SHUTTER_DIRECTIONS.index(shutter.direction),
            shutter.start_ns,
            shutter.end_ns,
            shutter.linear_velocity_m_s,
            shutter.angular_velocity_rad_s,
        )
    return dict(zip(schema.SHUTTER_PATHS, values, strict=True))


def _time(time_ns: int | None) -> int:
    return schema.MISSING_TIME_NS if time_ns is None else time_ns
