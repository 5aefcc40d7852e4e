"""What the tests of generated data sets share: generating, and where true points are later."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import simipu
from folders import ONE_WORKER
from simipu.correspond.policy import Policy
from simipu.pipelines.convert import convert
from simipu.pipelines.correspond import correspond_store
from simipu.pipelines.synthetic import generate as generating
from simipu.pipelines.synthetic import rigs, truth
from simipu.pipelines.synthetic.files import truth_folder
from simipu.pipelines.synthetic.options import Options
from simipu.pipelines.synthetic.world import World

MILLIMETRES_M = 0.5e-3 * 3**0.5 + 1e-5
"""How far rounding three coordinates to 1 mm and then to float32 can move a point within 100 m."""


def generated(root: Path, **options) -> tuple[Path, Options]:
    """Generate a small data set in this process."""
    made = Options(**{"scenes": 1, "frames": 2, "seed": 5, "image_scale": 0.2, **options})
    generating.generate(root, made)
    return root, made


def kitti_rig(options: Options) -> rigs.KittiRig:
    return options.rig(rigs.kitti)


def worlds_of(options: Options, spacing_s: float) -> list[World]:
    """The worlds of a data set's scenes; `generated` has just made them, and they are kept."""
    stage, duration_s = generating._stage(), options.frames * spacing_s
    return [stage(options.seed, scene, duration_s).world for scene in range(options.scenes)]


def stored(source, out: Path):
    """What a source of the converters becomes, with its correspondences."""
    convert(source, out, resources=ONE_WORKER)
    correspond_store(out, Policy(), resources=ONE_WORKER)
    return simipu.open_store(out)


def truth_of(root: Path, scene: int, frame: int) -> truth.FrameTruth:
    return truth.read(truth_folder(root, scene, frame))


def to_exposure(
    xyz: np.ndarray,
    object_id: np.ndarray,
    t_s: np.ndarray,
    exposure_s: float,
    world: World,
    T_ego_from_lidar: np.ndarray,
) -> np.ndarray:
    """Where points, each in the LiDAR's frame at its own time, are in that at ``exposure_s``.

    Those of an actor move with it.
    """
    T_world_from_lidar = world.ego.pose(t_s) @ T_ego_from_lidar
    points = moved(T_world_from_lidar, xyz)
    for actor in world.actors:
        own = object_id == actor.object_id
        if own.any():
            inverse = np.linalg.inv(actor.trajectory.pose(t_s[own]))
            points[own] = moved(actor.trajectory.pose(exposure_s) @ inverse, points[own])
    return moved(np.linalg.inv(world.ego.pose(exposure_s) @ T_ego_from_lidar), points)


def moved(T: np.ndarray, xyz: np.ndarray) -> np.ndarray:
    """Transform each point, by one matrix or by its own."""
    return np.einsum("...ij,...j->...i", T[..., :3, :3], xyz) + T[..., :3, 3]


def pixel_bound(K: np.ndarray, camera_xyz: np.ndarray, off_m: np.ndarray | float) -> np.ndarray:
    """How many pixels a point can be off whose position is ``off_m`` off.

    With p = (x, y) / z the derivative of p is [I | -p] / z, whose norm is sqrt(1 + |p|^2) / z; a
    point that is off_m nearer has a depth that is so much smaller.
    """
    p = camera_xyz[:, :2] / camera_xyz[:, 2:]
    nearest = np.maximum(camera_xyz[:, 2] - off_m, 1e-3)
    steep = np.sqrt(1 + (np.linalg.norm(p, axis=1) + off_m / nearest) ** 2)
    return max(K[0, 0], K[1, 1]) * steep * off_m / nearest
