"""One street as a whole: everything that stands or moves, and the ego's drive through it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from simipu.errors import UsageError

from .ground import ground, snap
from .motion import Trajectory
from .pavements import Pavements
from .plots import Plots
from .street import plan_street
from .surface import join
from .traffic import STEP_S, Drive, Traffic, headed, wander

if TYPE_CHECKING:
    from .surface import FloatArray, Surface
    from .terrain import Road
    from .traffic import Mover, Path

LONGEST_S = 90.0
"""Longest duration: beyond it a street would leave the range where float32 is exact enough."""
_BEHIND_M = 105.0
_AHEAD_M = 150.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Actor:
    """Something that could be labelled: a vehicle or a person.

    Attributes:
        object_id: 1 and up, unique in the world.
        category: "car", "van", "truck", "pedestrian" or "cyclist".
        size_m: (3,) float64 length, width, height of the tight box.
        trajectory: T_world_from_actor; the actor's frame has its origin at the centre of the
            box's bottom face, x forward, y left, z up.
        surface: in the actor's frame; None if it stands still and is part of `World.static`.
    """

    object_id: int
    category: str
    size_m: FloatArray
    trajectory: Trajectory
    surface: Surface | None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class World:
    """A street in local coordinates near the origin, metres, z up.

    Attributes:
        seed: (seed, scene).
        static: all that does not move, with the parked actors.
        actors: moving and parked.
        ego: T_world_from_ego; the origin is the rear axle projected to the ground, x forward.
        duration_s: the ego and all that moves keep clear of each other and of the scenery for
            t in [-1, duration_s + 1].
        to_sun: (3,) float64 unit vector.
        overcast: 0 for a clear day, 1 for a covered sky.
        road: the street's course and height.
    """

    seed: tuple[int, int]
    static: Surface
    actors: tuple[Actor, ...]
    ego: Trajectory
    duration_s: float
    to_sun: FloatArray
    overcast: float
    road: Road


def make_world(seed: int, scene: int, *, duration_s: float) -> World:
    """Build the street of one scene; the same arguments give the same world.

    Args:
        seed: of the data set.
        scene: number of the scene; each is another street.
        duration_s: how long the ego drives, seconds.

    Raises:
        UsageError: if the duration is negative or longer than `LONGEST_S`.
    """
    if not 0.0 <= duration_s <= LONGEST_S:
        raise UsageError(
            f"A scene of {duration_s:g} s cannot be made",
            fix=f"Ask for 0 to {LONGEST_S:g} s, and for more scenes instead of longer ones.",
        )
    rngs = [np.random.default_rng([seed, scene, purpose]) for purpose in range(5)]
    t = np.arange(-2.0, duration_s + 2.0 + STEP_S, STEP_S)
    drive = Drive.drawn(rngs[0], 6.4, 10.6)
    s = drive.travelled(t) - float(drive.travelled(np.array([duration_s / 2.0]))[0])
    street = plan_street(rngs[1], (snap(s[0] - _BEHIND_M), snap(s[-1] + _AHEAD_M)))
    ego = headed(t, s, -street.lane_m / 2.0 + wander(rngs[0], t, 0.15), (0.0, 0.0))
    plots = Plots(rng=rngs[2], street=street)
    plots.build()
    pavements = Pavements(rng=rngs[3], street=street)
    pavements.furnish()
    traffic = Traffic(rngs[4], street, ego, t, taken=pavements.taken, drives=plots.drives)
    patches = [*street.patches, *plots.patches]
    parts = [
        ground(street.road, patches, street.lines_m, pavement=street.pavement, plots=street.plots)
    ]
    parts += plots.parts + pavements.parts
    actors: list[Actor] = []
    for mover in traffic.resting:
        actor = _actor(len(actors) + 1, mover, street.road, None)
        actors.append(dataclasses.replace(actor, surface=None))
        parts.append(
            mover.body.surface.of_object(actor.object_id).placed(actor.trajectory.pose(0.0))
        )
    for mover in traffic.moving:
        actors.append(_actor(len(actors) + 1, mover, street.road, t))
    rng = np.random.default_rng([seed, scene, 5])
    return World(
        seed=(seed, scene),
        static=join(parts).without_slivers(),
        actors=tuple(actors),
        ego=Trajectory.through(t, street.road.resting(ego.s, ego.d, ego.yaw)),
        duration_s=duration_s,
        to_sun=_sun(rng),
        overcast=float(rng.choice([0.0, 0.0, 0.15, 0.35, 0.75])),
        road=street.road,
    )


def _actor(object_id: int, mover: Mover, road: Road, t: FloatArray | None) -> Actor:
    poses = _poses(
        mover.path, road, upright=mover.upright, base_m=0.6 * float(mover.body.size_m[0])
    )
    trajectory = Trajectory.at_rest(poses[0]) if t is None else Trajectory.through(t, poses)
    return Actor(
        object_id=object_id,
        category=mover.body.category,
        size_m=mover.body.size_m,
        trajectory=trajectory,
        surface=mover.body.surface.of_object(object_id),
    )


def _poses(path: Path, road: Road, *, upright: bool, base_m: float) -> FloatArray:
    if not upright:
        return road.resting(path.s, path.d, path.yaw, base_m=base_m)
    angle = road.heading(path.s) + path.yaw
    poses = np.zeros((len(path.s), 4, 4))
    poses[:, 0, 0] = poses[:, 1, 1] = np.cos(angle)
    poses[:, 1, 0] = np.sin(angle)
    poses[:, 0, 1] = -poses[:, 1, 0]
    poses[:, 2, 2] = poses[:, 3, 3] = 1.0
    poses[:, :3, 3] = road.points(path.s, path.d)
    return poses


def _sun(rng: np.random.Generator) -> FloatArray:
    elevation, azimuth = rng.uniform(0.5, 1.05), rng.uniform(0.0, 2.0 * np.pi)
    flat = np.cos(elevation)
    return np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])
