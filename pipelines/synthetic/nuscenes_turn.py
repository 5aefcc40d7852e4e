"""One turn of nuScenes' LiDAR, and the images that are taken during it."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from . import camera as cameras
from . import lidar as lidars
from . import nuscenes_boxes, truth, visibility
from .nuscenes_points import Cloud, compensate
from .nuscenes_scenes import SWEEP_US, SWEEPS, Recording
from .nuscenes_tables import LIDAR, pose_fields
from .rowwise import transformed

if TYPE_CHECKING:
    from pathlib import Path

    from simipu.records import FloatArray

    from .generate import Scenery
    from .lidar import Sweep
    from .sensors import CameraModel, LidarModel, Rig

_JPEG_QUALITY = 90


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class File:
    """A sensor's file: its row of `nuscenes_tables.Notes.files`, and its content."""

    row: dict[str, Any]
    data: bytes


class Turn:
    """One turn; it is scanned when it is made.

    Args:
        number: counted from the first keyframe's, 0; turn n ends n * 50 ms after the scene begins.
        rng: of the LiDAR's noise.
        scenery: the world.
        rig: its LiDAR and the cameras to write.
        recording: the scene.
        T_global_from_world: (4, 4).
    """

    def __init__(
        self,
        number: int,
        rng: np.random.Generator,
        *,
        scenery: Scenery,
        rig: Rig,
        recording: Recording,
        T_global_from_world: FloatArray,
    ) -> None:
        self._end_us = number * SWEEP_US
        self._is_key = number % SWEEPS == 0
        self._sample = math.ceil(number / SWEEPS)  # sweeps belong to the keyframe that follows
        self._scenery, self._rig, self._recording = scenery, rig, recording
        self._T_global_from_world = T_global_from_world
        self._lidar = rig.lidars[0]
        ego, start_s = scenery.world.ego, _seconds(self._end_us - SWEEP_US)
        self._sweep: Sweep = lidars.scan(scenery.caster, self._lidar, ego, start_s, rng)
        end_s = _seconds(self._end_us)
        self._cloud: Cloud = compensate(self._sweep, self._lidar, ego, start_s, end_s)
        self._depth: dict[str, npt.NDArray[np.float32]] = {}

    def points(self) -> File:
        """Return the .pcd.bin."""
        row = self._row(LIDAR, self._end_us, ".pcd.bin", width=0, height=0)
        return File(row=row, data=self._cloud.rows.tobytes())

    def images(self) -> list[File]:
        """Take an image with each camera."""
        files: list[File] = []
        for model in self._rig.cameras:
            t_us = self._exposure_us(model)
            world = self._scenery.world
            image = cameras.take(
                self._scenery.caster, self._scenery.look, model, world.ego, _seconds(t_us)
            )
            self._depth[model.name] = image.depth
            encoded = io.BytesIO()
            Image.fromarray(image.rgb).save(encoded, format="JPEG", quality=_JPEG_QUALITY)
            row = self._row(model.name, t_us, ".jpg", width=model.width, height=model.height)
            files.append(File(row=row, data=encoded.getvalue()))
        return files

    def boxes(self) -> list[dict[str, Any]]:
        """Return the annotations, see `nuscenes_boxes.boxes`."""
        return nuscenes_boxes.boxes(
            self._scenery,
            self._sweep.object_id,
            _seconds(self._end_us),
            [(model, _seconds(self._exposure_us(model))) for model in self._rig.cameras],
            self._T_global_from_world,
        )

    def write_truth(self, folder: Path) -> None:
        """Write the truth of the points and of the images that were taken."""
        sweep, source = self._sweep, self._cloud.source
        hit = np.flatnonzero(source >= 0)
        source = source[hit]
        object_id = np.full(len(self._cloud.rows), -1, dtype=np.int32)
        object_id[hit] = sweep.object_id[source]
        surface = np.full((len(object_id), 3), np.nan)
        surface[hit] = transformed(self._T_global_from_world, sweep.surface[source])
        offsets_ns = np.rint(self._cloud.t_s * 1e9).astype(np.int64)
        views: dict[str, truth.CameraTruth] = {}
        for model in self._rig.cameras:
            found = visibility.locate(
                self._scenery.caster,
                sweep.surface[source],
                sweep.object_id[source],
                sweep.t_s[source],
                model,
                self._scenery.world.ego,
                _seconds(self._exposure_us(model)),
            )
            views[model.name] = truth.CameraTruth(
                row=hit[found.row].astype(np.uint32),
                uv=found.uv,
                depth=found.depth,
                reached=found.reached,
            )
        truth.write(
            folder,
            object_id=object_id,
            t_ns=self._recording.start_us * 1000 + offsets_ns,
            surface=surface,
            cameras=views,
            depth=self._depth,
        )

    def _exposure_us(self, model: CameraModel) -> int:
        return self._end_us - SWEEP_US + trigger_us(model, self._lidar)

    def _row(
        self, channel: str, local_us: int, suffix: str, *, width: int, height: int
    ) -> dict[str, Any]:
        timestamp = self._recording.start_us + local_us
        ego = self._scenery.world.ego.pose(_seconds(local_us))
        return {
            "channel": channel,
            "sample": self._sample,
            "is_key_frame": self._is_key,
            "timestamp": timestamp,
            "filename": self._recording.filename(channel, timestamp, suffix, is_key=self._is_key),
            "fileformat": "jpg" if suffix == ".jpg" else "pcd",
            "width": width,
            "height": height,
            **pose_fields(self._T_global_from_world @ ego),
        }


def trigger_us(camera: CameraModel, lidar: LidarModel) -> int:
    """Return when, in microseconds from the start of a turn, the LiDAR looks along a camera."""
    axis = lidar.T_ego_from_lidar[:3, :3].T @ camera.T_ego_from_camera[:3, 2]
    columns = np.arange(lidar.columns)
    away = np.asarray(lidar.azimuth_rad(columns)) - math.atan2(axis[1], axis[0])
    nearest = int(np.argmax(np.cos(away)))
    return round(float(lidar.time_s(nearest)) * 1e6)


def _seconds(local_us: int) -> float:
    return local_us / 1e6
