"""KITTI raw: synchronised and rectified drives with times, calibration per date and OXTS poses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from simipu.errors import SourceError
from simipu.records import Frame, FrameRef, LidarSweep, Scan, Scene, Skipped, SourceInfo

from .files import digest, list_folders
from .kitti_calibration import LICENCE, CalibrationFile, KittiCalibration, inverse
from .kitti_raw_drive import CAMERAS, SCAN_TIMES, Drive, FrameKey, gap_notes
from .oxts import pose_from_oxts, read_oxts
from .roots import RAW_DATE, check_root
from .timestamps import parse_time_ns
from .velodyne import POINT_COLUMNS, POINT_SUFFIX, read_scan

if TYPE_CHECKING:
    from pathlib import Path

DRIVE = re.compile(r"(\d{4}_\d\d_\d\d)/\1_drive_\d{4}_sync", re.ASCII)
CALIBRATION_FILES = ("calib_cam_to_cam.txt", "calib_velo_to_cam.txt", "calib_imu_to_velo.txt")
NOTES = (
    "Times are the files' local times, which name no zone, counted as if they were UTC.",
    "The ego frame is the IMU's. Poses come from the OXTS packet of the frame (the one nearest in "
    "time to image_00) by the development kit's Mercator formula, relative to the position of the "
    "drive's first packet; the sweep and the images of a frame share that pose.",
    "Sweeps are not motion-compensated: the cameras are triggered when the scanner faces forward, "
    "and the calibration between the two is used as it is.",
)


class KittiRaw:
    """Reads the synchronised, rectified drives of KITTI raw, one scene per drive.

    The ego frame is the IMU's. `_extract` drives are neither synchronised nor rectified and are
    left out.

    Args:
        root: the folder that holds the dates.

    Raises:
        SourceError: the folder is not such a root.
    """

    def __init__(self, root: Path) -> None:
        check_root(root, "kitti-raw")
        self.root = root
        self._info: SourceInfo | None = None
        self._calibrations: dict[str, KittiCalibration] = {}

    @property
    def info(self) -> SourceInfo:
        """What the data set has; scans first where that was not done yet."""
        if self._info is None:
            self.scan()
        assert self._info is not None
        return self._info

    def scan(self) -> Scan:
        """List all drives and their frames.

        Raises:
            SourceError: there is no synchronised drive with a frame.
        """
        scenes: list[Scene] = []
        skipped: list[Skipped] = []
        ignored: list[str] = []
        self._calibrations.clear()
        for folder in (
            f"{date}/{name}"
            for date in list_folders(self.root)
            if RAW_DATE.fullmatch(date)
            for name in list_folders(self.root / date)
            if f"{date}_drive_" in name
        ):
            frames, left_out = self._scan_drive(folder) if DRIVE.fullmatch(folder) else ([], [])
            skipped += left_out
            if frames:
                scenes.append(Scene(name=folder, split="", frames=tuple(frames)))
            elif not left_out:
                ignored.append(folder)
        if not scenes and not skipped:
            raise SourceError(
                "there is no synchronised drive with a frame"
                + (f", only {', '.join(ignored[:3])}" if ignored else ""),
                where=self.root,
                fix="Download the data marked 'synced+rectified data': folders named "
                "<date>_drive_<number>_sync. Drives named _extract cannot be used.",
            )
        keys = [FrameKey._make(ref.key) for scene in scenes for ref in scene.frames]
        present = {camera for key in keys for camera in key.cameras}
        cameras = tuple(camera for camera in CAMERAS if camera in present)
        self._info = SourceInfo(
            name="kitti-raw",
            licence=LICENCE,
            cameras=cameras,
            point_columns=POINT_COLUMNS,
            point_suffix=POINT_SUFFIX,
            notes=(*NOTES, *gap_notes(keys, cameras), *_ignored_note(ignored)),
        )
        return Scan(scenes=tuple(scenes), skipped=tuple(skipped))

    def read(self, ref: FrameRef) -> Frame:
        """Read one frame; see `Source.read`."""
        key = FrameKey._make(ref.key)
        drive = self.root / key.drive
        index = int(key.stem)
        calibration = self._calibration(drive.parent.name)
        T_world_from_ego = None
        if key.oxts_origin:
            packets = drive / "oxts" / "data"
            T_world_from_ego = pose_from_oxts(
                read_oxts(packets / f"{key.stem}.txt"),
                read_oxts(packets / f"{key.oxts_origin}.txt"),
            )
        scans = drive / "velodyne_points"
        time_ns, start_ns, end_ns = (
            parse_time_ns(text, index, scans / name)
            for text, name in zip(key.scan_times, SCAN_TIMES, strict=True)
        )
        return Frame(
            id=ref.id,
            lidar=LidarSweep(
                columns=read_scan(scans / "data" / f"{key.stem}.bin"),
                T_ego_from_lidar=calibration.T_ego_from_lidar,
                timestamp_ns=time_ns,
                timestamp_start_ns=start_ns,
                timestamp_end_ns=end_ns,
            ),
            cameras={
                camera: calibration.read_image(
                    drive / camera / "data" / f"{key.stem}.png",
                    camera,
                    T_world_from_ego=T_world_from_ego,
                    timestamp_ns=parse_time_ns(text, index, drive / camera / "timestamps.txt"),
                )
                for camera, text in zip(key.cameras, key.image_times, strict=True)
            },
            T_world_from_ego=T_world_from_ego,
            timestamp_ns=time_ns,
        )

    def _calibration(self, date: str) -> KittiCalibration:
        if date not in self._calibrations:
            self._calibrations[date] = read_calibration(self.root / date)
        return self._calibrations[date]

    def _scan_drive(self, name: str) -> tuple[list[FrameRef], list[Skipped]]:
        drive = Drive(self.root, name)
        try:
            self._calibration(drive.folder.parent.name)
            return drive.frames(calibration_digest(drive.folder.parent))
        except SourceError as fault:
            return [], [drive.skipped(stem, fault) for stem in drive.stems()]


def read_calibration(folder: Path) -> KittiCalibration:
    """Read the calibration of a date.

    Args:
        folder: the date's folder, with ``calib_cam_to_cam.txt`` and the two others.

    Raises:
        SourceError: a file is missing or unreadable, or a matrix is missing or wrong.
    """
    cam_to_cam, velo_to_cam, imu_to_velo = (
        CalibrationFile(folder / name) for name in CALIBRATION_FILES
    )
    return KittiCalibration(
        # All cameras are rectified by camera 0's rotation; R_rect_02 and so on play no part.
        T_rect_from_lidar=cam_to_cam.rigid_of("R_rect_00") @ velo_to_cam.rigid_of("R", "T"),
        T_ego_from_lidar=inverse(imu_to_velo.rigid_of("R", "T")),
        projections={
            camera: cam_to_cam.projection(f"P_rect_{camera.removeprefix('image_')}")
            for camera in CAMERAS
        },
    )


def calibration_digest(folder: Path) -> str:
    """Tell one state of a date's calibration files from another."""
    return digest(*(folder / name for name in CALIBRATION_FILES))


def _ignored_note(folders: list[str]) -> list[str]:
    if not folders:
        return []
    named = ", ".join(folders[:3]) + (", ..." if len(folders) > 3 else "")
    return [
        f"{len(folders)} folders are not synchronised drives (<date>_drive_<number>_sync) with "
        f"scans or images, and were left out: {named}."
    ]
