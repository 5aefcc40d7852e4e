"""What nuScenes' annotators would have marked: the true boxes of the actors at a keyframe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from simipu.geometry import se3
from simipu.geometry.projection import project

from .nuscenes_tables import pose_fields
from .rowwise import transformed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from simipu.records import FloatArray

    from .generate import Scenery
    from .sensors import CameraModel
    from .world import Actor

REACH_M = 80.0
_MOVING_M_S = 0.3
_CATEGORIES = {
    "car": "vehicle.car",
    "van": "vehicle.car",  # as the official instructions have it
    "truck": "vehicle.truck",
    "pedestrian": "human.pedestrian.adult",
    "cyclist": "vehicle.bicycle",
}
_SPOTS = 5  # along each edge of a box
_LEVELS = (0.4, 0.6, 0.8)


def boxes(
    scenery: Scenery,
    hit_id: npt.NDArray[np.int32],
    t_s: float,
    views: Sequence[tuple[CameraModel, float]],
    T_global_from_world: FloatArray,
) -> list[dict[str, Any]]:
    """Return the boxes of all actors within 80 m that returned a pulse.

    The visibility is the share of the box, by spots spread through it, that some camera sees: the
    spot is in its image, and the ray to it first meets the actor or nothing nearer than the spot.

    Args:
        scenery: the world, and what casts rays into it.
        hit_id: (N,) actors that the keyframe's sweep hit, once for each return.
        t_s: time of the keyframe.
        views: the keyframe's cameras and their exposure times.
        T_global_from_world: (4, 4).

    Returns:
        JSON values: rows of sample_annotation without tokens, with object_id, category,
        attribute and visibility by name.
    """
    returns = np.bincount(hit_id, minlength=1)
    ego_xyz = scenery.world.ego.pose(t_s)[:3, 3]
    found: list[dict[str, Any]] = []
    for actor in scenery.world.actors:
        count = int(returns[actor.object_id]) if actor.object_id < len(returns) else 0
        T_world_from_box = _box_pose(actor, t_s)
        if not count or np.linalg.norm(T_world_from_box[:3, 3] - ego_xyz) > REACH_M:
            continue
        share = _seen(actor, scenery, views)
        length, width, height = map(float, actor.size_m)
        found.append(
            {
                "object_id": actor.object_id,
                "category": _CATEGORIES[actor.category],
                "attribute": _attribute(actor, t_s),
                "visibility": str(1 + sum(share >= level for level in _LEVELS)),
                "size": [width, length, height],
                "num_lidar_pts": count,
                **pose_fields(T_global_from_world @ T_world_from_box),
            }
        )
    return found


def _box_pose(actor: Actor, t_s: float) -> FloatArray:
    """Return (4, 4) T_world_from_box: actors count from their bottom, boxes from their centre."""
    T_actor_from_box = np.eye(4)
    T_actor_from_box[2, 3] = actor.size_m[2] / 2.0
    pose: FloatArray = actor.trajectory.pose(t_s) @ T_actor_from_box
    return pose


def _attribute(actor: Actor, t_s: float) -> str:
    if actor.category == "cyclist":
        return "cycle.with_rider"
    moving = float(np.linalg.norm(actor.trajectory.velocity(t_s)[0])) > _MOVING_M_S
    if actor.category == "pedestrian":
        return "pedestrian.moving" if moving else "pedestrian.standing"
    if moving:
        return "vehicle.moving"
    return "vehicle.parked" if actor.surface is None else "vehicle.stopped"


def _seen(actor: Actor, scenery: Scenery, views: Sequence[tuple[CameraModel, float]]) -> float:
    """Return the share of the actor's box that any camera sees, [0, 1]."""
    steps = (np.arange(_SPOTS) + 0.5) / _SPOTS - 0.5
    spots = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3) * actor.size_m
    seen = np.zeros(len(spots), dtype=bool)
    for camera, t_s in views:
        T_world_from_camera = scenery.world.ego.pose(t_s) @ camera.T_ego_from_camera
        xyz = transformed(_box_pose(actor, t_s), spots)
        uv, _ = project(xyz, se3.invert(T_world_from_camera), camera.K, camera.distortion)
        inside = (uv >= -0.5) & (uv < (camera.width - 0.5, camera.height - 0.5))  # NaN is not
        rows = np.flatnonzero(inside.all(axis=1))
        if not len(rows):
            continue
        origin = T_world_from_camera[:3, 3]
        hits = scenery.caster.cast(origin, xyz[rows] - origin, t_s)
        seen[rows] |= (hits.distance >= 1.0) | (hits.object_id == actor.object_id)
    return float(seen.mean())
