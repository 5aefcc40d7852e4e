"""A small source as a third party would write it, and ways to break it."""

from __future__ import annotations

import io
import os
import random
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from simipu.errors import SourceError
from simipu.pipelines.sources.files import read_bytes
from simipu.records import CameraImage, Frame, FrameRef, LidarSweep, Scan, Scene, SourceInfo

SIZE = (64, 48)
BEGIN_NS = 1_700_000_000_000_000_000
STEP_NS = 100_000_000
# The lidar's axes are x forward, y left, z up; the camera sits 0.3 m behind it and looks ahead.
T_CAMERA_FROM_LIDAR = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0.3], [0, 0, 0, 1]])
T_EGO_FROM_LIDAR = np.array([[1.0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 1.8], [0, 0, 0, 1]])


def write_rig(root: Path, frames: int = 4) -> Path:
    """Two scenes of so many frames: a cloud and an image of noise each."""
    for scene in ("one", "two"):
        (root / scene).mkdir(parents=True)
        for number in range(frames):
            rng = np.random.default_rng([number, len(scene)])
            xyz = rng.uniform((2, -4, -1), (20, 4, 2), (120 + number, 3))
            (root / scene / f"{number}.f4").write_bytes(xyz.astype("<f4").tobytes())
            pixels = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
            Image.fromarray(pixels).save(root / scene / f"{number}.png")
    return root


class Rig:
    """Reads what `write_rig` writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.info = SourceInfo(
            name="rig",
            licence="none",
            cameras=("front",),
            point_columns={"x": "<f4", "y": "<f4", "z": "<f4"},
            point_suffix=".f4",
            frame_attributes=("weather",),
        )

    def scan(self) -> Scan:
        return Scan(
            scenes=tuple(
                Scene(name=folder.name, split="", frames=self.references(folder))
                for folder in sorted(self.root.iterdir())
            )
        )

    def references(self, folder: Path) -> tuple[FrameRef, ...]:
        return tuple(
            FrameRef(
                id=f"{folder.name}/{cloud.stem}",
                max_points=cloud.stat().st_size // 12,
                max_image_bytes=cloud.with_suffix(".png").stat().st_size,
                key=(folder.name, int(cloud.stem)),
            )
            for cloud in sorted(folder.glob("*.f4"))
        )

    def read(self, ref: FrameRef) -> Frame:
        scene, number = ref.key
        data = read_bytes(self.root / scene / f"{number}.f4")
        xyz = np.frombuffer(data, "<f4").reshape(-1, 3)
        time_ns = BEGIN_NS + number * STEP_NS
        return Frame(
            id=ref.id,
            lidar=LidarSweep(
                columns=dict(zip("xyz", xyz.T, strict=True)),
                T_ego_from_lidar=T_EGO_FROM_LIDAR,
                timestamp_ns=time_ns,
            ),
            cameras={
                "front": CameraImage(
                    data=read_bytes(self.root / scene / f"{number}.png"),
                    width=SIZE[0],
                    height=SIZE[1],
                    K=np.array([[40.0, 0, 31.5], [0, 40, 23.5], [0, 0, 1]]),
                    distortion=np.zeros(5),
                    T_camera_from_lidar=T_CAMERA_FROM_LIDAR,
                    T_ego_from_camera=T_EGO_FROM_LIDAR @ np.linalg.inv(T_CAMERA_FROM_LIDAR),
                    timestamp_ns=time_ns + 20_000_000,
                )
            },
            timestamp_ns=time_ns,
            attributes={"weather": "fog"},
        )


def with_camera(frame: Frame, **changes: object) -> Frame:
    """The frame with other values in its image."""
    return replace(frame, cameras={"front": replace(frame.cameras["front"], **changes)})


def with_lidar(frame: Frame, **changes: object) -> Frame:
    return replace(frame, lidar=replace(frame.lidar, **changes))


class Lambda(Rig):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.scale = lambda value: value


class Table(Rig):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.table = os.urandom(3 << 19)


class Shuffled(Rig):
    def references(self, folder: Path) -> tuple[FrameRef, ...]:
        refs = super().references(folder)
        return tuple(random.sample(refs, len(refs)))


class SameIds(Rig):
    def references(self, folder: Path) -> tuple[FrameRef, ...]:
        return tuple(replace(ref, id=ref.id[-1]) for ref in super().references(folder))


class LowBound(Rig):
    def references(self, folder: Path) -> tuple[FrameRef, ...]:
        return tuple(replace(ref, max_points=119) for ref in super().references(folder))


class ReadsInScan(Rig):
    def references(self, folder: Path) -> tuple[FrameRef, ...]:
        return tuple(
            replace(ref, max_points=len(self.read(ref).lidar)) for ref in super().references(folder)
        )


class OpensInScan(Rig):
    """Looks into the images for their size, and reads the clouds to count their points."""

    def references(self, folder: Path) -> tuple[FrameRef, ...]:
        def points(ref: FrameRef) -> int:
            with Image.open(self.root / f"{ref.id}.png") as image:
                assert image.size == SIZE
            return len((self.root / f"{ref.id}.f4").read_bytes()) // 12

        return tuple(replace(ref, max_points=points(ref)) for ref in super().references(folder))


class Drifting(Rig):
    """Every read adds to the last, as an unwound sweep in an instance's buffer would."""

    reads = 0

    def read(self, ref: FrameRef) -> Frame:
        self.reads += 1
        frame = super().read(ref)
        return with_camera(frame, timestamp_ns=frame.timestamp_ns + self.reads)


class OneThread(Rig):
    def read(self, ref: FrameRef) -> Frame:
        frame = super().read(ref)
        main = threading.current_thread() is threading.main_thread()
        return frame if main else replace(frame, attributes={"weather": "rain"})


class OneProcess(Rig):
    def read(self, ref: FrameRef) -> Frame:
        return replace(super().read(ref), attributes={"weather": str(os.getpid())})


class Loaded(Rig):
    """Needs what only the process has that scanned."""

    tables: dict[str, str] | None = None

    def scan(self) -> Scan:
        type(self).tables = {}
        return super().scan()

    def read(self, ref: FrameRef) -> Frame:
        if type(self).tables is None:
            raise SourceError("the tables are not loaded")
        return super().read(ref)


class Nameless(Rig):
    def read(self, ref: FrameRef) -> Frame:
        try:
            return super().read(ref)
        except SourceError:
            raise SourceError("a file could not be read") from None


class Raw(Rig):
    def read(self, ref: FrameRef) -> Frame:
        scene, number = ref.key
        open(self.root / scene / f"{number}.png", "rb").close()
        return super().read(ref)


class Backwards(Rig):
    def read(self, ref: FrameRef) -> Frame:
        return replace(super().read(ref), timestamp_ns=BEGIN_NS - ref.key[1] * STEP_NS)


class Microseconds(Rig):
    def read(self, ref: FrameRef) -> Frame:
        frame = super().read(ref)
        frame = with_camera(frame, timestamp_ns=frame.cameras["front"].timestamp_ns // 1000)
        return replace(frame, timestamp_ns=frame.timestamp_ns // 1000)


class OtherClock(Rig):
    def read(self, ref: FrameRef) -> Frame:
        return with_camera(super().read(ref), timestamp_ns=STEP_NS)


class LongSweep(Rig):
    def read(self, ref: FrameRef) -> Frame:
        return with_lidar(super().read(ref), timestamp_start_ns=0, timestamp_end_ns=BEGIN_NS)


class Inverted(Rig):
    def read(self, ref: FrameRef) -> Frame:
        T = np.linalg.inv(T_CAMERA_FROM_LIDAR)
        return with_camera(super().read(ref), T_camera_from_lidar=T, T_ego_from_camera=None)


class Millimetres(Rig):
    def read(self, ref: FrameRef) -> Frame:
        T = T_CAMERA_FROM_LIDAR.copy()
        T[:3, 3] *= 1000
        return with_camera(super().read(ref), T_camera_from_lidar=T)


class MillimetreClouds(Rig):
    def read(self, ref: FrameRef) -> Frame:
        frame = super().read(ref)
        columns = {name: column * 1000 for name, column in frame.lidar.columns.items()}
        return with_lidar(frame, columns=columns)


class Unscaled(Rig):
    def read(self, ref: FrameRef) -> Frame:
        K = np.array([[80.0, 0, 64], [0, 80, 48], [0, 0, 1]])
        return with_camera(super().read(ref), K=K)


class FocalInMillimetres(Rig):
    def read(self, ref: FrameRef) -> Frame:
        K = np.array([[4.0, 0, 31.5], [0, 4, 23.5], [0, 0, 1]])
        return with_camera(super().read(ref), K=K)


class FourDigits(Rig):
    def read(self, ref: FrameRef) -> Frame:
        T = T_CAMERA_FROM_LIDAR.copy()
        T[:2, :2] = [[0.0002, -1], [0, 0]]
        return with_camera(super().read(ref), T_camera_from_lidar=T)


class NoMotion(Rig):
    """Tells the ego's poses, but leaves the motion out of T_camera_from_lidar."""

    def read(self, ref: FrameRef) -> Frame:
        moved = np.eye(4)
        moved[0, 3] = 0.2
        frame = with_camera(super().read(ref), T_world_from_ego=moved)
        return replace(frame, T_world_from_ego=np.eye(4))


class Empty(Rig):
    def scan(self) -> Scan:
        return Scan(scenes=())


class Crashing(Rig):
    """Fails as code does that was written in a hurry."""

    def read(self, ref: FrameRef) -> Frame:
        if ref.id == "one/2":
            return {}["calibration"]
        return super().read(ref)


class BadImage(Rig):
    def read(self, ref: FrameRef) -> Frame:
        if ref.id == "two/1":
            Image.open(io.BytesIO(b"nothing"))
        return super().read(ref)


class Silent(Rig):
    """Yields a frame that must not get into a store."""

    def read(self, ref: FrameRef) -> Frame:
        frame = super().read(ref)
        if ref.id == "one/3":
            T = T_CAMERA_FROM_LIDAR.copy()
            T[0, 0] = np.nan
            frame = with_camera(frame, T_camera_from_lidar=T)
        return frame


class ScanFails(Rig):
    def scan(self) -> Scan:
        raise ValueError("no such index")


class Strict(Rig):
    """Takes arguments of all kinds."""

    def __init__(
        self,
        root: Path,
        *,
        count: int,
        rate: float | None = None,
        fast: bool = False,
        drive: str = "",
        free=None,
    ) -> None:
        super().__init__(root)
        self.arguments = (count, rate, fast, drive, free)
        if count < 0:
            raise ValueError("count must not be negative")


class Half:
    """Is no source: it has no scan, and what it calls info does not matter."""

    def __init__(self, root: Path) -> None:
        self.root = root

    read = None

    @property
    def info(self) -> SourceInfo:
        raise AssertionError("not to be asked")
