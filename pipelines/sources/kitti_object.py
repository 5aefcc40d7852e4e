"""KITTI object: the 2012 detection benchmark, single frames without times or poses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from simipu.errors import SourceError
from simipu.records import Frame, FrameRef, LidarSweep, Scan, Scene, Skipped, SourceInfo

from .files import NumberedFiles, digest, is_number, list_numbered, read_text, skipped_frame
from .kitti_calibration import LICENCE, CalibrationFile, KittiCalibration, inverse
from .roots import OBJECT_PARTS, check_root
from .velodyne import (
    BYTES_PER_POINT,
    POINT_COLUMNS,
    POINT_SUFFIX,
    check_scan,
    read_scan,
)

if TYPE_CHECKING:
    from pathlib import Path

PROJECTIONS = {"image_2": "P2", "image_3": "P3"}
ARCHIVES = {
    "image_2": "data_object_image_2.zip",
    "image_3": "data_object_image_3.zip",
    "velodyne": "data_object_velodyne.zip",
    "calib": "data_object_calib.zip",
}
SCENE_SPLITS = {"training/train": "train", "training/val": "val", "training": "", "testing": "test"}
STEM_DIGITS = 6
NOTES = (
    "KITTI object has no times and no ego poses; its frames are single moments.",
    "The ego frame is the IMU's (Tr_imu_to_velo), where the calibration has it.",
)


class _Key(NamedTuple):
    """What reading a frame needs.

    Attributes:
        part: "training" or "testing".
        stem: the frame's number as its files are named.
        cameras: cameras with an image.
        calibration: digest of the frame's calibration file, so that frames converted before and
            after it was replaced are not mixed.
    """

    part: str
    stem: str
    cameras: tuple[str, ...]
    calibration: str


class KittiObject:
    """Reads KITTI object: ``training`` and ``testing``, left and right colour images.

    Splits come from ``ImageSets/train.txt`` and ``val.txt``, which sort the training frames. The
    ego frame is the IMU's. Labels are not read.

    Args:
        root: the folder that holds ``training`` and ``testing``.

    Raises:
        SourceError: the folder is not such a root.
    """

    def __init__(self, root: Path) -> None:
        check_root(root, "kitti")
        self.root = root
        self._info: SourceInfo | None = None

    @property
    def info(self) -> SourceInfo:
        """What the data set has; scans first where that was not done yet."""
        if self._info is None:
            self.scan()
        assert self._info is not None
        return self._info

    def scan(self) -> Scan:
        """List all frames, one scene per split.

        Raises:
            SourceError: there is no frame at all, or a list in ``ImageSets`` is damaged.
        """
        split_of = read_splits(self.root / "ImageSets")
        parts = [_Part(self.root / name) for name in OBJECT_PARTS]
        frames: dict[str, list[FrameRef]] = {scene: [] for scene in SCENE_SPLITS}
        skipped: list[Skipped] = []
        for part in parts:
            for stem in part.stems():
                split = split_of.get(stem) if part.name == "training" else None
                scene = part.name if split is None else f"{part.name}/{split}"
                try:
                    frames[scene].append(part.frame(stem))
                except SourceError as fault:
                    skipped.append(skipped_frame(f"{part.name}/{stem}", fault))
        if not skipped and not any(frames.values()):
            raise SourceError(
                "the data set is empty: no scan and no image in training or testing",
                where=self.root,
                fix=f"Unpack {', '.join(ARCHIVES.values())} there.",
            )
        absent = len(split_of.keys() - parts[0].stems())
        self._info = SourceInfo(
            name="kitti",
            licence=LICENCE,
            cameras=tuple(c for c in PROJECTIONS if any(c in part.images for part in parts)),
            point_columns=POINT_COLUMNS,
            point_suffix=POINT_SUFFIX,
            notes=(
                *NOTES,
                *([f"ImageSets names {absent} frames of which no file is here."] if absent else []),
            ),
        )
        return Scan(
            scenes=tuple(
                Scene(name=scene, split=SCENE_SPLITS[scene], frames=tuple(refs))
                for scene, refs in frames.items()
                if refs
            ),
            skipped=tuple(skipped),
        )

    def read(self, ref: FrameRef) -> Frame:
        """Read one frame; see `Source.read`."""
        key = _Key._make(ref.key)
        folder = self.root / key.part
        calibration = read_calibration(folder / "calib" / f"{key.stem}.txt", key.cameras)
        return Frame(
            id=ref.id,
            lidar=LidarSweep(
                columns=read_scan(folder / "velodyne" / f"{key.stem}.bin"),
                T_ego_from_lidar=calibration.T_ego_from_lidar,
            ),
            cameras={
                camera: calibration.read_image(folder / camera / f"{key.stem}.png", camera)
                for camera in key.cameras
            },
        )


def read_calibration(path: Path, cameras: tuple[str, ...]) -> KittiCalibration:
    """Read a frame's calibration.

    Raises:
        SourceError: the file is unreadable, or a matrix of it is missing or wrong.
    """
    file = CalibrationFile(path)
    T_ego_from_lidar = None
    if "Tr_imu_to_velo" in file:
        T_ego_from_lidar = inverse(file.rigid("Tr_imu_to_velo"))
    return KittiCalibration(
        T_rect_from_lidar=file.rigid_of("R0_rect") @ file.rigid("Tr_velo_to_cam"),
        T_ego_from_lidar=T_ego_from_lidar,
        projections={camera: file.projection(PROJECTIONS[camera]) for camera in cameras},
    )


def read_splits(folder: Path) -> dict[str, str]:
    """Read the lists of training frames: stem -> "train" or "val"; a list may be absent.

    Raises:
        SourceError: a line is not a frame's number, or a frame is in both lists.
    """
    split_of: dict[str, str] = {}
    for split in ("train", "val"):
        path = folder / f"{split}.txt"
        if not os.path.lexists(path):
            continue
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            stem = line.strip()
            if not stem:
                continue
            if len(stem) != STEM_DIGITS or not is_number(stem):
                raise SourceError(
                    f"line {number} is not a frame number of {STEM_DIGITS} digits: {stem[:40]!r}",
                    where=path,
                    fix="Correct the list, or remove it to convert without splits.",
                )
            if split_of.setdefault(stem, split) != split:
                raise SourceError(
                    f"frame {stem} is in train.txt as well",
                    where=path,
                    fix="Take it out of one of the two lists.",
                )
    return split_of


class _Part:
    """The files of ``training`` or ``testing``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        images = {name: list_numbered(folder / name, ".png", STEM_DIGITS) for name in PROJECTIONS}
        self.images = {name: files for name, files in images.items() if files.sizes}
        # Where a part has no images at all, the left camera's are the ones to ask for.
        self._needed = self.images or {"image_2": images["image_2"]}
        self._scans = list_numbered(folder / "velodyne", ".bin", STEM_DIGITS)
        self._calibrations = list_numbered(folder / "calib", ".txt", STEM_DIGITS)

    def stems(self) -> list[str]:
        """Return the numbers of all frames that have a scan or an image."""
        return sorted(set(self._scans.sizes).union(*(f.sizes for f in self.images.values())))

    def frame(self, stem: str) -> FrameRef:
        """Return a frame.

        Raises:
            SourceError: a file of it is missing, or cannot be whole given its size.
        """
        _check_listed(self._scans, stem, "image without scan")
        check_scan(self._scans, stem)
        for files in self._needed.values():
            _check_listed(files, stem, "scan without image")
            files.check(stem)
        _check_listed(self._calibrations, stem, "frame without calibration")
        return FrameRef(
            id=f"{self.name}/{stem}",
            max_points=self._scans.sizes[stem] // BYTES_PER_POINT,
            max_image_bytes=sum(files.sizes[stem] for files in self.images.values()),
            key=_Key(
                part=self.name,
                stem=stem,
                cameras=tuple(self.images),
                calibration=digest(self._calibrations.path(stem)),
            ),
        )


def _check_listed(files: NumberedFiles, stem: str, fault: str) -> None:
    if stem not in files.sizes:
        raise SourceError(
            f"{fault}: this file is missing",
            where=files.path(stem),
            fix=f"Unpack {ARCHIVES[files.folder.name]} again.",
        )
