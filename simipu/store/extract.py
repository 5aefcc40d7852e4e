"""A frame's own files, back from the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simipu.errors import StoreError

if TYPE_CHECKING:
    from simipu.records import Shutter
    from simipu.store.views import FrameView

_IMAGE_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg"}


def extract(frame: FrameView, folder: Path) -> list[Path]:
    """Write the frame's images and points as the source had them, and its calibration as JSON.

    Args:
        frame: a frame of a store.
        folder: where to; made if need be. Files of an earlier extraction are replaced.

    Returns:
        The files: "<camera>.png" or ".jpg" (the source's bytes), "points" with the source's
        ending (its columns, interleaved again: the source's bytes), "frame.json".
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = {"points" + frame.store.attributes["point_suffix"]: _point_bytes(frame)}
    for name, camera in frame.cameras.items():
        data = camera.encoded()
        contents[name + _image_suffix(data)] = data
    contents["frame.json"] = json.dumps(_describe(frame), indent=1).encode() + b"\n"
    written = []
    for name, data in contents.items():
        if Path(name).name != name:
            raise StoreError(f"the name {name!r} leaves the folder", where=frame.store.path)
        (folder / name).write_bytes(data)
        written.append(folder / name)
    return written


def _point_bytes(frame: FrameView) -> bytes:
    rows = np.empty(len(frame.points), list(frame.store.point_columns.items()))
    for name in frame.store.point_columns:
        rows[name] = frame.points[name]
    return rows.tobytes()


def _image_suffix(data: bytes) -> str:
    for magic, suffix in _IMAGE_SUFFIXES.items():
        if data.startswith(magic):
            return suffix
    return ""


def _describe(frame: FrameView) -> dict[str, object]:
    def matrix(value: np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None) -> object:
        return None if value is None else value.tolist()

    return {
        "id": frame.id,
        "scene": frame.scene,
        "split": frame.split,
        "attributes": frame.attributes,
        "timestamp_ns": frame.timestamp_ns,
        "T_world_from_ego": matrix(frame.T_world_from_ego),
        "lidar": {
            "T_ego_from_lidar": matrix(frame.points.T_ego_from_lidar),
            "timestamp_ns": frame.points.timestamp_ns,
            "timestamp_start_ns": frame.points.timestamp_start_ns,
            "timestamp_end_ns": frame.points.timestamp_end_ns,
        },
        "cameras": {
            name: {
                "id": camera.id,
                "width": camera.width,
                "height": camera.height,
                "timestamp_ns": camera.timestamp_ns,
                "K": matrix(camera.K),
                "distortion": matrix(camera.distortion),
                "T_camera_from_lidar": matrix(camera.T_camera_from_lidar),
                "T_ego_from_camera": matrix(camera.T_ego_from_camera),
                "T_world_from_ego": matrix(camera.T_world_from_ego),
                "shutter": _describe_shutter(camera.shutter),
            }
            for name, camera in frame.cameras.items()
        },
    }


def _describe_shutter(shutter: Shutter | None) -> object:
    if shutter is None:
        return None
    return {
        "direction": shutter.direction,
        "start_ns": shutter.start_ns,
        "end_ns": shutter.end_ns,
        "linear_velocity_m_s": shutter.linear_velocity_m_s.tolist(),
        "angular_velocity_rad_s": shutter.angular_velocity_rad_s.tolist(),
    }
