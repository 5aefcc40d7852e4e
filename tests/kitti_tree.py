"""Writes tiny data sets in the layouts and text formats of KITTI object and KITTI raw.

It follows the official descriptions (the readme files of the two development kits) and imports
nothing of simipu, so that a reader that misreads a format cannot agree with it by accident.
The scenes mean nothing, but about half of the points project into the images.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image

OBJECT_SIZES = ((41, 23), (37, 19), (43, 25))
RAW_SIZE = (45, 21)
DRIVE_1 = "2011_09_26/2011_09_26_drive_0001_sync"
DRIVE_2 = "2011_09_26/2011_09_26_drive_0009_sync"
DRIVE_3 = "2011_10_03/2011_10_03_drive_0027_sync"
SCAN_LINES_S = {"timestamps_start.txt": -0.05, "timestamps.txt": 0.0, "timestamps_end.txt": 0.05}

# An invented rig in KITTI's arrangement, in metres: a scanner 0.8 m ahead of and above the IMU,
# cameras to its side and below, with the y and z offsets that a real calibration finds.
T_VELO_TO_CAM = (-0.005, -0.08, -0.27)
T_IMU_TO_VELO = (-0.81, 0.32, -0.8)
BASELINES = ((0, 0, 0), (-0.54, 0, 0), (0.06, -0.0004, 0.003), (-0.47, 0.0024, 0.0026))


def write_object_tree(
    root: Path,
    *,
    training: int = 4,
    testing: int = 2,
    cameras: Sequence[str] = ("image_2", "image_3"),
    splits: Mapping[str, Sequence[int]] | None = None,
    points: int = 60,
) -> Path:
    """Write a KITTI object root; image sizes, calibration and point counts differ per frame."""
    for part, count in (("training", training), ("testing", testing)):
        for index in range(count):
            rng = np.random.default_rng([index, len(part)])
            folder, stem = root / part, f"{index:06d}"
            size = OBJECT_SIZES[index % len(OBJECT_SIZES)]
            for camera in cameras:
                write_png(folder / camera / f"{stem}.png", size, "RGB", rng)
            write_scan(folder / "velodyne" / f"{stem}.bin", points + index, rng)
            _write_object_calibration(folder / "calib" / f"{stem}.txt", size, focal_factor(index))
    for split, numbers in (splits or {}).items():
        write_text(root / "ImageSets" / f"{split}.txt", [f"{number:06d}" for number in numbers])
    return root


def write_raw_tree(
    root: Path,
    *,
    drives: Mapping[str, int] | None = None,
    cameras: Sequence[str] = ("image_00", "image_01", "image_02", "image_03"),
    missing_scans: Collection[tuple[str, int]] = (),
    oxts: bool = True,
    times: bool = True,
    points: int = 60,
) -> Path:
    """Write a KITTI raw root.

    Args:
        drives: "<date>/<drive>" -> number of frames; three drives on two dates by default.
        missing_scans: (drive, index) of scans that were lost in recording: no .bin file, and an
            empty line in each of its timestamps files, as in official drive 0009.
    """
    drives = {DRIVE_1: 4, DRIVE_2: 5, DRIVE_3: 3} if drives is None else drives
    for number, (drive, count) in enumerate(drives.items()):
        date = drive.split("/")[0]
        write_raw_calibration(root / date, RAW_SIZE, focal_factor(int(date[-2:])))
        start = datetime.strptime(date, "%Y_%m_%d").replace(hour=13, minute=2, second=25 + number)
        lost = {index for name, index in missing_scans if name == drive}
        rng = np.random.default_rng([number])
        for index in range(count):
            stem = f"{index:010d}"
            for camera in cameras:
                mode = "L" if camera in ("image_00", "image_01") else "RGB"
                write_png(root / drive / camera / "data" / f"{stem}.png", RAW_SIZE, mode, rng)
            if index not in lost:
                scan = root / drive / "velodyne_points" / "data" / f"{stem}.bin"
                write_scan(scan, points + index, rng)
            if oxts:
                write_oxts(root / drive / "oxts" / "data" / f"{stem}.txt", index, number)
        if not times:
            continue
        for position, camera in enumerate(cameras):
            lines = [time_text(start, index, 0.001 * position) for index in range(count)]
            write_text(root / drive / camera / "timestamps.txt", lines)
        for name, offset in SCAN_LINES_S.items():
            lines = [
                "" if index in lost else time_text(start, index, offset) for index in range(count)
            ]
            write_text(root / drive / "velodyne_points" / name, lines)
        if oxts:
            lines = [time_text(start, index, 0.004) for index in range(count)]
            write_text(root / drive / "oxts" / "timestamps.txt", lines)
    return root


def focal_factor(number: int) -> float:
    """Focal length over image width; differs so that a mixed-up calibration is noticed."""
    return 0.55 + 0.01 * (number % 7)


def write_png(path: Path, size: tuple[int, int], mode: str, rng: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    shape = (height, width) if mode == "L" else (height, width, 3)
    Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)


def write_scan(path: Path, points: int, rng: np.random.Generator) -> None:
    """Write points on a millimetre grid, reflectance in hundredths, as the official scans are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    forward = rng.uniform(4, 40, points) * np.where(rng.random(points) < 0.8, 1, -1)
    left = forward * rng.uniform(-1.2, 1.2, points)
    up = forward * rng.uniform(-0.5, 0.5, points)
    xyz = np.round(np.stack([forward, left, up], axis=1), 3)
    reflectance = np.round(rng.random((points, 1)), 2)
    path.write_bytes(np.hstack([xyz, reflectance]).astype("<f4").tobytes())


def write_text(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def time_text(start: datetime, index: int, offset_s: float) -> str:
    """Return a line of a timestamps file; digits below a microsecond are made of the index."""
    time = start + timedelta(seconds=0.1 * index + offset_s)
    return f"{time:%Y-%m-%d %H:%M:%S.%f}{(index * 37 + 101) % 1000:03d}"


def write_oxts(path: Path, index: int, drive: int) -> None:
    """Write a packet of a car that moves north-east through a turn, with roll and pitch."""
    lat = 48.765432109876 + 1.3e-5 * index + 0.01 * drive
    lon = 9.1234567890123 + 1.1e-5 * index
    angles = (0.0357 + 0.002 * index, 0.009 - 0.001 * index, -2.608 + 0.03 * index)
    rates = [math.sin(index + k) for k in range(17)]
    reals = [lat, lon, 116.4321 + 0.05 * index, *angles, *rates, 0.05, 0.02]
    write_text(path, [" ".join([*(f"{value:.14g}" for value in reals), "4", "11", "6", "6", "6"])])


def projections(size: tuple[int, int], factor: float) -> list[list[float]]:
    width, height = size
    f, cx, cy = factor * width, 0.49 * width, 0.46 * height
    return [
        [f, 0, cx, f * x + cx * z, 0, f, cy, f * y + cy * z, 0, 0, 1, z] for x, y, z in BASELINES
    ]


def _rotation(roll: float, pitch: float, yaw: float) -> np.ndarray:
    cr, sr, cp, sp = math.cos(roll), math.sin(roll), math.cos(pitch), math.sin(pitch)
    Rx = [[1, 0, 0], [0, cr, -sr], [0, sr, cr]]
    Ry = [[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]]
    Rz = [[math.cos(yaw), -math.sin(yaw), 0], [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1]]
    # KITTI's rotations come with seven digits, also where more are printed.
    return np.vectorize(lambda value: float(f"{value:.6e}"))(np.array(Rz) @ Ry @ Rx)


R0_RECT = _rotation(-0.004, -0.007, -0.01)
R_VELO_TO_CAM = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]]) @ _rotation(0.01, -0.015, 0.008)
R_IMU_TO_VELO = _rotation(0.015, -0.002, -0.001)


def _write_object_calibration(path: Path, size: tuple[int, int], factor: float) -> None:
    entries = {f"P{i}": values for i, values in enumerate(projections(size, factor))}
    entries["R0_rect"] = R0_RECT.ravel()
    entries["Tr_velo_to_cam"] = np.column_stack([R_VELO_TO_CAM, T_VELO_TO_CAM]).ravel()
    entries["Tr_imu_to_velo"] = np.column_stack([R_IMU_TO_VELO, T_IMU_TO_VELO]).ravel()
    lines = [f"{key}: " + " ".join(f"{v:.12e}" for v in values) for key, values in entries.items()]
    write_text(path, [*lines, ""])


def write_raw_calibration(folder: Path, size: tuple[int, int], factor: float) -> None:
    eye = [1.0, 0, 0, 0, 1, 0, 0, 0, 1]
    entries: dict[str, Sequence[float]] = {}
    for i, projection in enumerate(projections(size, factor)):
        entries[f"S_0{i}"] = (1392, 512)
        entries[f"K_0{i}"] = (980, 0, 690, 0, 981, 233, 0, 0, 1)
        entries[f"D_0{i}"] = (-0.37, 0.2, 0.0022, 0.0014, -0.07)
        entries[f"R_0{i}"] = eye
        entries[f"T_0{i}"] = BASELINES[i]
        entries[f"S_rect_0{i}"] = size
        # Only camera 0's rectification is the right one to use; the others are of no rotation.
        entries[f"R_rect_0{i}"] = R0_RECT.ravel() if i == 0 else eye
        entries[f"P_rect_0{i}"] = projection
    _write_entries(folder / "calib_cam_to_cam.txt", "09-Jan-2012 13:57:47",
                   {"corner_dist": [9.95e-2], **entries})  # fmt: skip
    _write_entries(folder / "calib_velo_to_cam.txt", "15-Mar-2012 11:37:16",
                   {"R": R_VELO_TO_CAM.ravel(), "T": T_VELO_TO_CAM,
                    "delta_f": (0, 0), "delta_c": (0, 0)})  # fmt: skip
    _write_entries(folder / "calib_imu_to_velo.txt", "25-May-2012 16:47:16",
                   {"R": R_IMU_TO_VELO.ravel(), "T": T_IMU_TO_VELO})  # fmt: skip


def _write_entries(path: Path, time: str, entries: Mapping[str, Sequence[float]]) -> None:
    lines = [f"{key}: " + " ".join(f"{v:.6e}" for v in values) for key, values in entries.items()]
    write_text(path, [f"calib_time: {time}", *lines])
