"""Reads the drives of a made-up rig; make_drive.py writes them, README.md describes the files."""

import io
import json
from pathlib import Path, PurePosixPath

import numpy as np

from simipu.errors import SourceError
from simipu.geometry.se3 import invert
from simipu.pipelines.sources.files import list_folders, read_bytes
from simipu.pipelines.sources.jpeg import jpeg_size
from simipu.records import CameraImage, Frame, FrameRef, LidarSweep, Scan, Scene, SourceInfo

COLUMNS = ("x", "y", "z", "reflectivity")


class RoofRig:
    def __init__(self, root: Path, *, drive: str | None = None) -> None:
        self.root = root
        self.drive = drive
        self.info = SourceInfo(
            name="roof-rig",
            licence="made up, free for all",
            cameras=("front", "right"),
            point_columns=dict.fromkeys(COLUMNS, "<f4"),
            point_suffix=".f4",
            options={"drive": drive},
        )

    def scan(self) -> Scan:
        rig = read_bytes(self.root / "rig.json").decode()
        scenes = []
        for drive in list_folders(self.root) if self.drive is None else [self.drive]:
            index = json.loads(read_bytes(self._path(drive, "index.json")))
            frames = tuple(self._reference(drive, entry, rig) for entry in index)
            scenes.append(Scene(name=drive, split="", frames=frames))
        return Scan(scenes=tuple(scenes))

    def _reference(self, drive: str, entry: dict, rig: str) -> FrameRef:
        cloud = self._path(drive, entry["cloud"])
        images = [self._path(drive, image["file"]) for image in entry["images"].values()]
        return FrameRef(
            id=f"{drive}/{cloud.stem}",
            max_points=cloud.stat().st_size // 16,
            max_image_bytes=sum(image.stat().st_size for image in images),
            key=(drive, json.dumps(entry), rig),  # all that decides what is read
        )

    def read(self, ref: FrameRef) -> Frame:
        drive, entry, rig = ref.key[0], json.loads(ref.key[1]), json.loads(ref.key[2])
        time_ns = entry["time_us"] * 1000
        T_ego_from_lidar = np.array(rig["T_vehicle_from_lidar"], np.float64)
        T_world_from_ego = np.array(entry["T_world_from_vehicle"], np.float64)
        T_world_from_lidar = T_world_from_ego @ T_ego_from_lidar
        columns = read_cloud(self._path(drive, entry["cloud"]))
        return Frame(
            id=ref.id,
            lidar=LidarSweep(
                columns=columns, T_ego_from_lidar=T_ego_from_lidar, timestamp_ns=time_ns
            ),
            cameras={
                name: self._read_image(drive, image, rig["cameras"][name], T_world_from_lidar)
                for name, image in entry["images"].items()
            },
            T_world_from_ego=T_world_from_ego,
            timestamp_ns=time_ns,
        )

    def _read_image(self, drive, image, camera, T_world_from_lidar) -> CameraImage:
        path = self._path(drive, image["file"])
        data = read_bytes(path)
        width, height = jpeg_size(data, path)
        fx, fy, cx, cy = (camera[name] for name in ("fx", "fy", "cx", "cy"))
        T_ego_from_camera = np.array(camera["T_vehicle_from_camera"], np.float64)
        T_world_from_ego = np.array(image["T_world_from_vehicle"], np.float64)
        T_camera_from_world = invert(T_world_from_ego @ T_ego_from_camera)
        return CameraImage(
            data=data,
            width=width,
            height=height,
            # The rig counts pixels from the image's corner; (0, 0) is the first pixel's centre.
            K=np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1]]),
            distortion=np.array(camera["distortion"], np.float64),
            T_camera_from_lidar=T_camera_from_world @ T_world_from_lidar,
            T_ego_from_camera=T_ego_from_camera,
            T_world_from_ego=T_world_from_ego,
            timestamp_ns=image["time_us"] * 1000,
        )

    def _path(self, drive: str, name: str) -> Path:
        if ".." in (parts := PurePosixPath(drive, name).parts) or parts[0] == "/":
            raise SourceError(f"leads to {name!r}, out of the drive", where=self.root / drive)
        return self.root.joinpath(*parts)


def read_cloud(path: Path) -> dict[str, np.ndarray]:
    rows = np.load(io.BytesIO(read_bytes(path)), allow_pickle=False)
    if rows.dtype != "<f4" or rows.shape[1:] != (len(COLUMNS),):
        raise SourceError(f"is {rows.dtype} {rows.shape}, not float32 (N, 4)", where=path)
    return dict(zip(COLUMNS, rows.T, strict=True))
