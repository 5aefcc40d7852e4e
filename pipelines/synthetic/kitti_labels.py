"""KITTI's labels: the true boxes of the actors that are in an image.

The 2D box is that of the projected 3D box, cut at the image's border; truncation is the share of
its area that is cut off. Occlusion comes from the share of the pixels showing the 3D box before
which something nearer lies: level 0 below 0.15, 1 below 0.5, else 2. Actors hidden to
0.97 and more have no label. People label more loosely: none of this is exactly theirs.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from simipu.geometry.se3 import apply, invert

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from simipu.records import FloatArray

    from .sensors import CameraModel
    from .world import Actor

TYPES = {
    "car": "Car",
    "van": "Van",
    "truck": "Truck",
    "pedestrian": "Pedestrian",
    "cyclist": "Cyclist",
}
_PARTLY, _LARGELY, _WHOLLY = 0.15, 0.5, 0.97
_NEAREST_M = 0.1
_FARTHEST_M = 90.0
_PIXELS_A_SIDE = 20
_SIGNS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (0, 1)], dtype=np.float64)
_EDGES = np.array([(i, j) for i, j in combinations(range(8), 2) if (i ^ j) in (1, 2, 4)])


def label_text(
    actors: Iterable[Actor],
    camera: CameraModel,
    T_world_from_ego: FloatArray,
    T_ego_from_rectified: FloatArray,
    depth: npt.NDArray[np.float32],
    t_s: float,
) -> str:
    """Return the content of a file of ``label_2``.

    Args:
        actors: whoever may be in the image.
        camera: the camera.
        T_world_from_ego: (4, 4) float64 at the image's time.
        T_ego_from_rectified: (4, 4) float64: the rectified frame of camera 0 on the ego.
        depth: (H, W) metres along the optical axis, inf for the sky.
        t_s: the image's time.
    """
    T_camera_from_world = np.linalg.inv(T_world_from_ego @ camera.T_ego_from_camera)
    T_rectified_from_world = np.linalg.inv(T_world_from_ego @ T_ego_from_rectified)
    K_inverse = np.linalg.inv(camera.K)
    lines = []
    for actor in actors:
        T_world_from_actor = actor.trajectory.pose(t_s)
        T_camera_from_actor = T_camera_from_world @ T_world_from_actor
        reach_m = math.hypot(*actor.size_m)
        if not -reach_m < T_camera_from_actor[2, 3] < _FARTHEST_M:
            continue
        box = _projected_box(actor.size_m, T_camera_from_actor, camera.K)
        if box is None:
            continue
        cut = np.clip(box, 0, [camera.width - 1, camera.height - 1])
        if (cut[1] <= cut[0]).any():
            continue
        hidden = _hidden_share(actor.size_m, T_camera_from_actor, K_inverse, cut, depth)
        if hidden >= _WHOLLY:
            continue
        truncated = 1 - (cut[1] - cut[0]).prod() / (box[1] - box[0]).prod()
        occluded = int(hidden >= _PARTLY) + int(hidden >= _LARGELY)
        T = T_rectified_from_world @ T_world_from_actor
        rotation_y = math.atan2(-T[2, 0], T[0, 0])
        alpha = _wrapped(rotation_y - math.atan2(T[0, 3], T[2, 3]))
        length, width, height = actor.size_m
        numbers = [alpha, *cut.ravel(), height, width, length, *T[:3, 3], rotation_y]
        lines.append(
            f"{TYPES[actor.category]} {truncated + 0.0:.2f} {occluded} "
            + " ".join(f"{round(float(number), 2) + 0.0:.2f}" for number in numbers)
            + "\n"
        )
    return "".join(lines)


def _corners(size_m: FloatArray) -> FloatArray:
    corners: FloatArray = _SIGNS * [size_m[0] / 2, size_m[1] / 2, size_m[2]]
    return corners


def _projected_box(
    size_m: FloatArray, T_camera_from_actor: FloatArray, K: FloatArray
) -> FloatArray | None:
    """Return (2, 2) float64: the least and the greatest (u, v) of what is before the camera."""
    corners = apply(T_camera_from_actor, _corners(size_m))
    front = corners[:, 2] >= _NEAREST_M
    if not front.any():
        return None
    a, b = corners[_EDGES[:, 0]], corners[_EDGES[:, 1]]
    crossing = front[_EDGES[:, 0]] != front[_EDGES[:, 1]]
    a, b = a[crossing], b[crossing]
    share = (_NEAREST_M - a[:, 2:]) / (b[:, 2:] - a[:, 2:])
    points = np.concatenate([corners[front], a + share * (b - a)])
    pixels = points @ K.T
    uv = pixels[:, :2] / pixels[:, 2:]
    box: FloatArray = np.stack([uv.min(axis=0), uv.max(axis=0)])
    return box


def _hidden_share(
    size_m: FloatArray,
    T_camera_from_actor: FloatArray,
    K_inverse: FloatArray,
    cut: FloatArray,
    depth: npt.NDArray[np.float32],
) -> float:
    """Return the share of the box's pixels that show something nearer; 1 where it has none."""
    u, v = (
        np.unique(np.round(np.linspace(cut[0, k], cut[1, k], _PIXELS_A_SIDE)).astype(np.intp))
        for k in (0, 1)
    )
    uu, vv = (grid.ravel() for grid in np.meshgrid(u, v))
    rays = np.stack([uu, vv, np.ones(len(uu))], axis=1) @ K_inverse.T
    T_actor_from_camera = invert(T_camera_from_actor)
    directions = rays @ T_actor_from_camera[:3, :3].T
    low = np.array([-size_m[0] / 2, -size_m[1] / 2, 0.0])
    high = np.array([size_m[0] / 2, size_m[1] / 2, size_m[2]])
    with np.errstate(divide="ignore", invalid="ignore"):  # rays along a face: inf, or nan on it
        to_low = (low - T_actor_from_camera[:3, 3]) / directions
        to_high = (high - T_actor_from_camera[:3, 3]) / directions
    # A ray's third component is 1: what it is multiplied with is the depth.
    enters = np.fmax.reduce(np.minimum(to_low, to_high), axis=1)
    leaves = np.fmin.reduce(np.maximum(to_low, to_high), axis=1)
    inside = (enters < leaves) & (leaves > 0)
    if not inside.any():
        return 1.0
    nearer = depth[vv[inside], uu[inside]] < 0.998 * enters[inside] - 0.05
    return float(nearer.mean())


def _wrapped(angle_rad: float) -> float:
    return (angle_rad + math.pi) % (2 * math.pi) - math.pi
