"""Writes ray-cast streets in the layout of KITTI raw, for runs that need images with a meaning.

    python tests/kitti_street.py FOLDER

Every street is a drive of a few frames, taken by the real rig's calibration at reduced image size.
The same call gives the same bytes. What it lacks of the real thing: oxts, timestamps, moving
objects, sensor noise, and images that look like photographs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from kitti_tree import (
    BASELINES,
    R0_RECT,
    R_VELO_TO_CAM,
    T_VELO_TO_CAM,
    projections,
    write_raw_calibration,
)
from raycast import KITTI_ELEVATIONS_DEG, World, street, sweep

DATE = "2011_09_26"
IMAGE_SIZE = (621, 188)
FOCAL_FACTOR = 0.58
CAMERA = 2
LIDAR_HEIGHT_M = 1.73
STEP_M = 0.5
AZIMUTH_STEP_DEG = 0.35
MAX_RANGE_M = 80.0
TO_SUN = np.array([-0.5, 0.3, 0.8]) / np.sqrt(0.98)


def write_streets(root: Path, *, drives: int = 4, frames: int = 4) -> Path:
    """Write a KITTI raw root with image_02 and velodyne_points."""
    write_raw_calibration(root / DATE, IMAGE_SIZE, FOCAL_FACTOR)
    for drive in range(drives):
        world = street(seed=drive)
        texture = np.random.default_rng(drive).random((16, 16, 16, 3))
        folder = root / DATE / f"{DATE}_drive_{drive + 1:04d}_sync"
        images, scans = folder / "image_02" / "data", folder / "velodyne_points" / "data"
        images.mkdir(parents=True, exist_ok=True)
        scans.mkdir(parents=True, exist_ok=True)
        for frame in range(frames):
            lidar = np.array([(frame - (frames - 1) / 2) * STEP_M, 0.0, LIDAR_HEIGHT_M])
            image = _render(world, texture, lidar)
            Image.fromarray(image).save(images / f"{frame:010d}.png")
            points = sweep(world, lidar, KITTI_ELEVATIONS_DEG, AZIMUTH_STEP_DEG)
            reflectance = np.round(_albedo(texture, points).mean(axis=1), 2)
            scan = np.column_stack([np.round(points - lidar, 3), reflectance])
            (scans / f"{frame:010d}.bin").write_bytes(scan.astype("<f4").tobytes())
    return root


def _render(world: World, texture: np.ndarray, lidar: np.ndarray) -> np.ndarray:
    """Cast a ray through every pixel centre; (H, W, 3) uint8, lit by one sun, without shadows."""
    width, height = IMAGE_SIZE
    K = np.reshape(projections(IMAGE_SIZE, FOCAL_FACTOR)[CAMERA], (3, 4))[:, :3]
    rotation = np.reshape(R0_RECT, (3, 3)) @ np.reshape(R_VELO_TO_CAM, (3, 3))
    offset = np.reshape(R0_RECT, (3, 3)) @ T_VELO_TO_CAM + BASELINES[CAMERA]
    eye = lidar - rotation.T @ offset

    u, v = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.stack([u, v, np.ones_like(u)], axis=-1).reshape(-1, 3)
    directions = pixels @ np.linalg.inv(K).T @ rotation
    t = world.hit(eye, directions)
    is_hit = t * np.linalg.norm(directions, axis=1) < MAX_RANGE_M
    points = eye + directions * np.where(is_hit, t, MAX_RANGE_M)[:, None]

    grid = points.reshape(height, width, 3)
    normals = np.cross(np.gradient(grid, axis=1), np.gradient(grid, axis=0)).reshape(-1, 3)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    light = 0.55 + 0.45 * np.abs(normals @ TO_SUN)
    color = np.where(is_hit[:, None], _albedo(texture, points) * light[:, None], (0.75, 0.85, 0.95))
    return (255 * color).astype(np.uint8).reshape(height, width, 3)


def _albedo(texture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Colour of a point in [0, 1]: one for each cell of 1.5 m, with a finer pattern on top."""
    coarse, fine = (
        texture[tuple((np.floor(points / cell_m).astype(int) % 16).T)] for cell_m in (1.5, 0.2)
    )
    return 0.3 + 0.3 * coarse + 0.3 * fine.mean(axis=1, keepdims=True)


if __name__ == "__main__":
    write_streets(Path(sys.argv[1]))
