"""Writes the drive of a made-up rig: a LiDAR and two cameras on a roof, in a street of chequers.

    python make_drive.py ROOT [--frames 6]

It stands for the recorder of a real rig and imports nothing of simipu. Brightness in the images and
reflectivity of the points are the same pattern in the world, so that one can be checked against the
other. The car drives and turns, and each camera is triggered some time after the LiDAR.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (320, 200)
PERIOD_US = 100_000
BEGIN_US = 1_780_000_000_000_000
# Boxes in the street: x, y, z from and to, in metres.
BOXES = np.array(
    [
        [(9, 2, 0), (13, 4, 1.6)],
        [(16, -5, 0), (20, -3, 1.6)],
        [(24, -1, 0), (25, 1, 2.5)],
        [(-60, 7, 0), (90, 8, 6)],
        [(-60, -8, 0), (90, -7, 4)],
    ],
    dtype=float,
)


def pose(yaw, x, y, z):
    """T_parent_from_child of something that is turned to the left by so many degrees."""
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    return np.array([[c, -s, 0, x], [s, c, 0, y], [0, 0, 1, z], [0, 0, 0, 1.0]])


FORWARD_FROM_CAMERA = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
T_VEHICLE_FROM_LIDAR = pose(-3, 1.0, 0.0, 1.9)
CAMERAS = {  # mounting, (fx, fy, cx, cy) with (0, 0) at the image's corner, distortion, delay
    "front": (
        pose(0, 1.6, 0.1, 1.5) @ FORWARD_FROM_CAMERA,
        (210.0, 211.0, 163.0, 98.0),
        (-0.12, 0.03, 0.001, -0.0005, 0.0),
        30_000,
    ),
    "right": (
        pose(-70, 1.3, -0.6, 1.5) @ FORWARD_FROM_CAMERA,
        (190.0, 190.0, 158.5, 101.5),
        (0.0, 0.0, 0.0, 0.0, 0.0),
        60_000,
    ),
}


def vehicle(time_us):
    """T_world_from_vehicle: 9 m/s, turning to the left by 6 degrees a second."""
    t = (time_us - BEGIN_US) / 1e6
    return pose(6 * t, 9 * t, 0.3 * t, 0.0)


def cast(T_world_from_sensor, directions):
    """Distance to what a sensor sees along unit directions (N, 3), inf for the sky; brightness."""
    origin = T_world_from_sensor[:3, 3]
    rays = directions @ T_world_from_sensor[:3, :3].T
    with np.errstate(divide="ignore"):
        distance = np.where(rays[:, 2] < 0, -origin[2] / rays[:, 2], np.inf)
        for low, high in BOXES:
            near, far = np.sort([(low - origin) / rays, (high - origin) / rays], axis=0)
            enter, leave = near.max(axis=1), far.min(axis=1)
            hit = (enter < leave) & (enter > 0) & (enter < distance)
            distance = np.where(hit, enter, distance)
    seen = np.isfinite(distance) & (distance < 80)
    place = origin + rays * np.where(seen, distance, 0)[:, None]
    parity = np.floor(place + 1e-6).sum(axis=1) % 2
    return np.where(seen, distance, np.inf), np.where(seen, 0.25 + 0.5 * parity, 1.0)


def directions_of_pixels(intrinsics, distortion):
    """Unit vectors in the camera's frame through the middle of every pixel, row by row."""
    fx, fy, cx, cy = intrinsics
    k1, k2, p1, p2, k3 = distortion
    u, v = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    distorted = np.stack([(u.ravel() - cx) / fx, (v.ravel() - cy) / fy])
    x, y = distorted
    for _ in range(30):  # Brown's model has no inverse in closed form
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        dx = 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        dy = p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        x, y = (distorted[0] - dx) / radial, (distorted[1] - dy) / radial
    rays = np.stack([x, y, np.ones_like(x)], axis=1)
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def directions_of_beams():
    """Unit vectors in the LiDAR's frame: 48 beams of 720 firings."""
    elevation, azimuth = np.radians(np.linspace(-28, 8, 48)), np.radians(np.arange(720) / 2)
    e, a = (grid.ravel() for grid in np.meshgrid(elevation, azimuth))
    return np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], axis=1)


def write_drive(root, name="drive-1", frames=6):
    """Write a drive and the calibration of the rig."""
    folder = Path(root) / name
    beams = directions_of_beams()
    index = []
    for number in range(frames):
        time_us = BEGIN_US + number * PERIOD_US
        distance, brightness = cast(vehicle(time_us) @ T_VEHICLE_FROM_LIDAR, beams)
        hit = np.isfinite(distance)
        cloud = np.column_stack([beams[hit] * distance[hit, None], brightness[hit]])
        entry = {"time_us": time_us, "cloud": f"cloud/{number:06d}.npy", "images": {}}
        entry["T_world_from_vehicle"] = vehicle(time_us).tolist()
        (folder / "cloud").mkdir(parents=True, exist_ok=True)
        np.save(folder / entry["cloud"], cloud.astype("<f4"))
        for camera, (mounting, intrinsics, distortion, delay_us) in CAMERAS.items():
            T_world_from_vehicle = vehicle(time_us + delay_us)
            rays = directions_of_pixels(intrinsics, distortion)
            _, brightness = cast(T_world_from_vehicle @ mounting, rays)
            picture = (brightness.reshape(SIZE[::-1]) * 255).astype(np.uint8)
            file = f"{camera}/{number:06d}.jpg"
            (folder / camera).mkdir(exist_ok=True)
            Image.fromarray(picture).convert("RGB").save(folder / file, quality=92)
            entry["images"][camera] = {
                "file": file,
                "time_us": time_us + delay_us,
                "T_world_from_vehicle": T_world_from_vehicle.tolist(),
            }
        index.append(entry)
    (folder / "index.json").write_text(json.dumps(index, indent=1))
    rig = {
        "T_vehicle_from_lidar": T_VEHICLE_FROM_LIDAR.tolist(),
        "cameras": {
            camera: {
                **dict(zip(("fx", "fy", "cx", "cy"), intrinsics, strict=True)),
                "distortion": distortion,
                "T_vehicle_from_camera": mounting.tolist(),
            }
            for camera, (mounting, intrinsics, distortion, _) in CAMERAS.items()
        },
    }
    (Path(root) / "rig.json").write_text(json.dumps(rig, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the drive of a made-up rig.")
    parser.add_argument("root", type=Path, help="the folder to write")
    parser.add_argument("--frames", type=int, default=6)
    arguments = parser.parse_args()
    write_drive(arguments.root, frames=arguments.frames)
    print(f"{arguments.root}: {arguments.frames} frames")
