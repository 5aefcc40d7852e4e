"""Writes tiny data sets in the layout of nuScenes; imports nothing of simipu.

The scenes mean nothing, but a good part of the points projects into the images: cameras look
around, and the car drives a curve far from the world's origin.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

PLACES = {
    "FRONT": 0.0,
    "FRONT_RIGHT": -55.0,
    "BACK_RIGHT": -110.0,
    "BACK": 180.0,
    "BACK_LEFT": 110.0,
    "FRONT_LEFT": 55.0,
}
CAMERAS = tuple(f"CAM_{place}" for place in PLACES)
LIDAR = "LIDAR_TOP"
SIZE = (40, 22)
BEGIN_US = 1_532_402_927_647_951
KEYFRAME_US = 500_000
SWEEPS = 5  # from one keyframe to the next
IMAGES = 3

Tables = dict[str, list[dict]]


def product(p: Sequence[float], q: Sequence[float]) -> list[float]:
    """Product of quaternions w x y z."""
    a, b, c, d = p
    e, f, g, h = q
    return [
        a * e - b * f - c * g - d * h,
        a * f + b * e + c * h - d * g,
        a * g - b * h + c * e + d * f,
        a * h + b * g - c * f + d * e,
    ]


def turn_left(degrees: float) -> list[float]:
    half = math.radians(degrees) / 2
    return [math.cos(half), 0.0, 0.0, math.sin(half)]


def ego_pose(time_us: int) -> dict:
    """On the ground, 8 m/s, turning left by 20 degrees a second, and shaking a little."""
    t = (time_us - BEGIN_US + 10**6) % 10**8 * 1e-6
    shake = math.radians(math.sin(7 * t)) / 2
    rotation = product(turn_left(20 * t + 30), [math.cos(shake), math.sin(shake), 0.0, 0.0])
    bend = math.radians(20 * t + 30)
    r = 8 / math.radians(20)
    xy = [600 + r * math.sin(bend), 1600 - r * math.cos(bend)]
    return {"rotation": rotation, "translation": [*xy, 0.0]}


def jpeg(size: tuple[int, int], seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, format="JPEG")
    return encoded.getvalue()


def cloud(points: int, seed: int) -> np.ndarray:
    """Rows x y z intensity ring around the sensor: a third the car's own or without a return."""
    rng = np.random.default_rng(seed)
    azimuth = rng.uniform(-math.pi, math.pi, points)
    rows = np.empty((points, 5), "<f4")
    distance = rng.uniform(4, 60, points)
    rows[:, 0], rows[:, 1] = distance * np.sin(azimuth), distance * np.cos(azimuth)
    rows[:, 2] = rng.uniform(-1.7, 2.0, points)
    rows[::6, :3] = 0.0
    rows[3::6, :3] = rng.uniform(-0.5, 0.4, (len(rows[3::6]), 3)) - (0, 0, 0.4)
    rows[:, 3] = rng.integers(0, 256, points)
    rows[:, 4] = np.arange(points) % 32
    return rows


def write_tree(
    root: Path,
    *,
    version: str = "v1.0-mini",
    scenes: Sequence[str] = ("scene-0061", "scene-0103"),
    keyframes: int = 3,
    points: int = 60,
    cameras: Sequence[str] = CAMERAS,
) -> Path:
    """Write a data set; scenes last (keyframes - 1) / 2 seconds."""
    tables: Tables = {name: [] for name in ("category", "attribute", "visibility", "instance")}
    tables |= {name: [] for name in ("ego_pose", "log", "scene", "sample", "sample_data")}
    tables |= {"sample_annotation": [], "calibrated_sensor": [], "map": [], "sensor": []}
    channels = [*cameras, LIDAR, "RADAR_FRONT"]
    for channel in channels:
        kind = {"C": "camera", "L": "lidar", "R": "radar"}[channel[0]]
        tables["sensor"].append(
            {"token": f"sensor-{channel}", "channel": channel, "modality": kind}
        )
    for number, name in enumerate(scenes):
        _write_scene(root, tables, number, name, channels, keyframes, points)
    (root / "maps").mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4)).save(root / "maps/map.png")
    logs = [row["token"] for row in tables["log"]]
    tables["map"].append({"token": "map", "log_tokens": logs, "filename": "maps/map.png"})
    (root / version).mkdir(exist_ok=True)
    for name, rows in tables.items():
        (root / version / f"{name}.json").write_text(json.dumps(rows, indent=0))
    return root


def edit(root: Path, table: str, change: Callable[[list[dict]], object]) -> Path:
    """Change the rows of a table."""
    (path,) = root.glob(f"v1.0-*/{table}.json")
    rows = json.loads(path.read_text())
    change(rows)
    path.write_text(json.dumps(rows, indent=0))
    return path


def _write_scene(
    root: Path,
    tables: Tables,
    number: int,
    name: str,
    channels: Sequence[str],
    keyframes: int,
    points: int,
) -> None:
    begin = BEGIN_US + number * 10**8
    log = {"token": f"log-{name}", "logfile": f"n015-{number}", "vehicle": "n015"}
    tables["log"].append({**log, "date_captured": "2018-07-24", "location": "singapore"})
    samples = [
        {
            "token": f"sample-{name}-{k}",
            "timestamp": begin + k * KEYFRAME_US,
            "scene_token": f"token-{name}",
        }
        for k in range(keyframes)
    ]
    _chain(samples)
    tables["sample"] += samples
    tables["scene"].append(
        {
            "token": f"token-{name}",
            "log_token": log["token"],
            "nbr_samples": keyframes,
            "first_sample_token": samples[0]["token"],
            "last_sample_token": samples[-1]["token"],
            "name": name,
            "description": "Rues étroites, turn left",
        }
    )
    for channel in channels:
        tables["calibrated_sensor"].append(_mount(f"mount-{name}-{channel}", channel, number))
        rate = SWEEPS if channel == LIDAR else IMAGES
        rows = []
        for k in range((keyframes - 1) * rate + 1):
            late = 0 if channel == LIDAR else 3_000 + 7_000 * channels.index(channel)
            time_us = begin + k * KEYFRAME_US // rate - late
            suffix = ".jpg" if channel.startswith("CAM") else ".pcd.bin"
            folder = "sweeps" if k % rate else "samples"
            filename = f"{folder}/{channel}/n015-{number}__{channel}__{time_us}{suffix}"
            token = f"{channel}-{name}-{k}"
            rows.append(
                {
                    "token": token,
                    "sample_token": samples[-(-k // rate)]["token"],
                    "ego_pose_token": f"pose-{token}",
                    "calibrated_sensor_token": f"mount-{name}-{channel}",
                    "timestamp": time_us,
                    "fileformat": suffix[1:4],
                    "is_key_frame": k % rate == 0,
                    "height": SIZE[1] if channel.startswith("CAM") else 0,
                    "width": SIZE[0] if channel.startswith("CAM") else 0,
                    "filename": filename,
                }
            )
            tables["ego_pose"].append(
                {"token": f"pose-{token}", "timestamp": time_us, **ego_pose(time_us)}
            )
            (root / filename).parent.mkdir(parents=True, exist_ok=True)
            content = jpeg(SIZE, time_us) if suffix == ".jpg" else cloud(points + k, time_us)
            (root / filename).write_bytes(bytes(content))
        _chain(rows)
        tables["sample_data"] += rows


def _mount(token: str, channel: str, number: int) -> dict:
    """A camera looks to its place, slightly down; scenes differ a little."""
    if not channel.startswith("CAM"):
        rotation = product(turn_left(-89.5), [0.99995, 0.01, 0.0, 0.0])
        place = [0.94, 0.0, 1.84 + 0.01 * number]
        return {
            "token": token,
            "sensor_token": f"sensor-{channel}",
            "translation": place,
            "rotation": [value / math.hypot(*rotation) for value in rotation],
            "camera_intrinsic": [],
        }
    heading = PLACES[channel.removeprefix("CAM_")]
    forward = [0.5, -0.5, 0.5, -0.5]  # from camera axes to x forward, y left, z up
    x, y = math.cos(math.radians(heading)), math.sin(math.radians(heading))
    return {
        "token": token,
        "sensor_token": f"sensor-{channel}",
        "translation": [0.9 + 0.8 * x, 0.5 * y, 1.5 + 0.01 * number],
        "rotation": product(turn_left(heading), forward),
        "camera_intrinsic": [[31.7, 0.0, 20.4], [0.0, 31.7, 12.3 + number], [0.0, 0.0, 1.0]],
    }


def _chain(rows: list[dict]) -> None:
    for number, row in enumerate(rows):
        row["prev"] = rows[number - 1]["token"] if number else ""
        row["next"] = rows[number + 1]["token"] if number + 1 < len(rows) else ""
