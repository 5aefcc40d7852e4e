"""Labels: the box of every object that a laser got a return from."""

from __future__ import annotations

import base64
import hashlib
import math
from typing import TYPE_CHECKING

import numpy as np

from .waymo_content import LASERS, Box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simipu.records import FloatArray

    from .waymo_range_image import LaserScan
    from .waymo_segment import Segment
    from .world import Actor, World

_TYPES = {"car": 1, "van": 1, "truck": 1, "pedestrian": 2, "cyclist": 4}  # of Label.Type
_STEP_S = 0.05  # for accelerations


def make_boxes(
    segment: Segment, world: World, scans: Sequence[LaserScan], t_s: float
) -> tuple[Box, ...]:
    """Return the boxes at the time of the frame's pose, ordered by their names.

    Numbers of points count both returns from the object itself, wherever it was when they were
    measured; a box that moves does not hold all of them.
    """
    points = _counts(scans)
    top_points = _counts([scan for scan in scans if scan.laser == LASERS["TOP"]])
    T_vehicle_from_world = np.linalg.inv(world.ego.pose(t_s))
    boxes = [
        _box(
            segment,
            actor,
            T_vehicle_from_world,
            t_s,
            (points[actor.object_id], top_points.get(actor.object_id, 0)),
        )
        for actor in world.actors
        if points.get(actor.object_id)
    ]
    return tuple(sorted(boxes, key=_name))


def _name(box: Box) -> str:
    return box.object_id


def _counts(scans: Sequence[LaserScan]) -> dict[int, int]:
    ids = [sweep.object_id for scan in scans for sweep in scan.returns]
    numbers, counts = np.unique(np.concatenate(ids), return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def _box(
    segment: Segment,
    actor: Actor,
    T_vehicle_from_world: FloatArray,
    t_s: float,
    points: tuple[int, int],
) -> Box:
    T_vehicle_from_actor = T_vehicle_from_world @ actor.trajectory.pose(t_s)
    centre = T_vehicle_from_actor @ [0.0, 0.0, actor.size_m[2] / 2.0, 1.0]
    R = segment.T_published_from_world[:3, :3]
    before, now, after = (R @ _velocity(actor, t) for t in (t_s - _STEP_S, t_s, t_s + _STEP_S))
    return Box(
        object_id=_object_name(segment, actor.object_id),
        type=_TYPES[actor.category],
        centre_m=centre[:3],
        size_m=actor.size_m,
        heading_rad=math.atan2(T_vehicle_from_actor[1, 0], T_vehicle_from_actor[0, 0]),
        velocity_m_s=now,
        acceleration_m_s2=(after - before) / (2.0 * _STEP_S),
        points=points[0],
        top_points=points[1],
    )


def _velocity(actor: Actor, t_s: float) -> FloatArray:
    """Return the (3,) velocity of the middle of an actor's box, along the world's axes."""
    linear, angular = actor.trajectory.velocity(t_s)
    R_world_from_actor = actor.trajectory.pose(t_s)[:3, :3]
    middle: FloatArray = np.array([0.0, 0.0, actor.size_m[2] / 2.0])
    velocity: FloatArray = linear + R_world_from_actor @ np.cross(angular, middle)
    return velocity


def _object_name(segment: Segment, object_id: int) -> str:
    """Return 22 letters, digits, - and _, like a real one."""
    digest = hashlib.sha256(f"{segment.context} {object_id}".encode()).digest()
    return base64.urlsafe_b64encode(digest).decode()[:22]
