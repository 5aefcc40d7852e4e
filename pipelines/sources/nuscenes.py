"""nuScenes: six cameras and LIDAR_TOP, keyframes or every sweep, with ego motion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simipu.errors import SourceError, UsageError
from simipu.geometry import se3
from simipu.records import CameraImage, Frame, LidarSweep, Scan, Scene, Skipped

from .files import read_bytes, skipped_frame
from .jpeg import jpeg_size
from .nuscenes_frames import SceneFrames
from .nuscenes_info import describe, named
from .nuscenes_key import FRAME_ATTRIBUTES, FrameKey, SensorFile, pose_matrix
from .nuscenes_points import read_accumulated, read_columns
from .nuscenes_rows import UNPACK_TABLES
from .nuscenes_selection import Selection, find_version
from .roots import check_root

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from simipu.records import FloatArray, FrameRef, SourceInfo

    from .nuscenes_rows import Row
    from .nuscenes_tables import Tables


class NuScenes:
    """Reads nuScenes: a frame is a cloud of LIDAR_TOP with the images that belong to it.

    A keyframe's images are those of its sample. Scenes are in the order of the tables, frames in
    that of time. Annotations are not read; they are found by a frame's ``sample_token`` and, of
    lidarseg, by its id.

    Args:
        root: the folder that holds ``samples`` and the version's tables.
        version: e.g. "v1.0-mini"; None for the only one that is there.
        split: only scenes of this official split, e.g. "mini_train"; None for all.
        scenes: only scenes with these names; None for all.
        cameras: only these channels; None for all cameras.
        sweeps: make a frame of every sweep, not of keyframes only. Each camera's image nearest in
            time is taken, unless that is farther away than the tolerance.
        accumulate: so many earlier sweeps of the scene, or as many as there are, are appended to
            each cloud, motion-compensated, with a column ``time_offset_s``.
        tolerance_ms: largest distance in time of an image from a sweep between keyframes.

    Raises:
        SourceError: the folder is not such a root.
        UsageError: there is no such version, or a number is out of range.
    """

    def __init__(
        self,
        root: Path,
        *,
        version: str | None = None,
        split: str | None = None,
        scenes: tuple[str, ...] | None = None,
        cameras: tuple[str, ...] | None = None,
        sweeps: bool = False,
        accumulate: int = 0,
        tolerance_ms: float = 50.0,
    ) -> None:
        check_root(root, "nuscenes")
        self.root = root
        self._selection = Selection(
            version=find_version(root, version),
            split=split,
            scenes=scenes,
            cameras=cameras,
            sweeps=sweeps,
            accumulate=accumulate,
            tolerance_ms=tolerance_ms,
        )
        self._info: SourceInfo | None = None

    @property
    def info(self) -> SourceInfo:
        """What the data set has; scans first where that was not done yet."""
        if self._info is None:
            self.scan()
        assert self._info is not None
        return self._info

    def scan(self) -> Scan:
        """Load the tables, and list the frames of all scenes.

        Raises:
            SourceError: a table is missing or damaged, or there is no frame at all.
            UsageError: there is no such split, scene or camera; the development kit is missing.
        """
        tables: Tables = _devkit().Tables(self.root, self._selection)
        listed = SceneFrames(self.root, tables, self._selection)
        scenes: list[Scene] = []
        skipped: list[Skipped] = []
        absent: dict[str, list[Skipped]] = {}
        empty: list[str] = []
        for row in tables.scene:
            frames, faults = listed.of(row)
            if frames:
                scenes.append(
                    Scene(
                        name=row["name"],
                        split=tables.split_of.get(row["name"], ""),
                        frames=tuple(frames),
                        attributes=_scene_attributes(row, tables.get("log", row["log_token"])),
                    )
                )
            elif not faults:
                empty.append(row["name"])
            elif listed.is_absent(row):
                absent[row["name"]] = faults
                continue
            skipped += faults
        skipped += self._absent(absent, len(tables.scene))
        if not scenes and not skipped:
            raise SourceError(
                f"there is no frame in {len(tables.scene)} scenes",
                where=tables.table_path("scene"),
                fix=UNPACK_TABLES,
            )
        self._info = describe(self._selection, tables.cameras, scenes, empty)
        return Scan(scenes=tuple(scenes), skipped=tuple(skipped))

    def read(self, ref: FrameRef) -> Frame:
        """Read one frame; see `Source.read`."""
        key = FrameKey._make(ref.key)
        T_ego_from_lidar = pose_matrix(key.sweep.mount.pose)
        T_world_from_ego = pose_matrix(key.sweep.pose)
        T_world_from_lidar = T_world_from_ego @ T_ego_from_lidar
        time_ns = key.sweep.timestamp_us * 1000
        if self._selection.accumulate:
            columns = read_accumulated(self.root, key.sweep, key.past)
        else:
            columns = read_columns(self.root / key.sweep.filename)
        return Frame(
            id=ref.id,
            lidar=LidarSweep(
                columns=columns,
                T_ego_from_lidar=T_ego_from_lidar,
                timestamp_ns=time_ns,
                timestamp_end_ns=time_ns,
            ),
            cameras={
                camera: self._read_image(image, T_world_from_lidar)
                for camera, image in zip(key.cameras, key.images, strict=True)
            },
            T_world_from_ego=T_world_from_ego,
            timestamp_ns=time_ns,
            attributes=dict(zip(FRAME_ATTRIBUTES, key.attributes, strict=True)),
        )

    def _read_image(self, image: SensorFile, T_world_from_lidar: FloatArray) -> CameraImage:
        path = self.root / image.filename
        data = read_bytes(path)
        width, height = jpeg_size(data, path)
        if (width, height) != tuple(image.size):
            raise SourceError(
                f"the image is {width} x {height} pixels, but row {image.token} of "
                f"sample_data.json says {image.size[0]} x {image.size[1]}",
                where=path,
                fix="The calibration is that of the official image: unpack it again.",
            )
        T_ego_from_camera = pose_matrix(image.mount.pose)
        T_world_from_ego = pose_matrix(image.pose)
        return CameraImage(
            data=data,
            width=width,
            height=height,
            K=np.array(image.mount.K).reshape(3, 3),
            distortion=np.zeros(5),
            T_camera_from_lidar=se3.invert(T_world_from_ego @ T_ego_from_camera)
            @ T_world_from_lidar,
            T_ego_from_camera=T_ego_from_camera,
            T_world_from_ego=T_world_from_ego,
            timestamp_ns=image.timestamp_us * 1000,
            id=image.token,
        )

    def _absent(self, absent: dict[str, list[Skipped]], scenes: int) -> list[Skipped]:
        """Describe the frames of scenes of which no cloud is there as one fault."""
        fault = SourceError(
            f"no cloud of {len(absent)} of {scenes} scenes is here ({named(list(absent))})",
            where=self.root / "samples",
            fix="Unpack the archives that hold them (such as v1.0-trainval01_blobs.tgz), or name "
            "the scenes to convert.",
        )
        return [
            skipped_frame(skipped.frame_id, fault)
            for faults in absent.values()
            for skipped in faults
        ]


def _devkit() -> ModuleType:
    try:
        from . import nuscenes_tables
    except ImportError as error:
        raise UsageError(
            f"the nuScenes development kit cannot be imported ({error})",
            fix="pip install 'simipu[nuscenes]'",
        ) from None
    return nuscenes_tables


def _scene_attributes(scene: Row, log: Row) -> dict[str, str]:
    return {
        "token": scene["token"],
        "description": scene["description"],
        "location": log["location"],
        "log_token": log["token"],
        "logfile": log["logfile"],
        "date_captured": log["date_captured"],
        "vehicle": log["vehicle"],
    }
