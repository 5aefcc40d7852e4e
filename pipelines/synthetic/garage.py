"""Bodies for actors: vehicles painted anew from a few hulls, and a crowd of a few dozen people."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np

from . import lorries, people, vehicles
from .material import NUMBER

if TYPE_CHECKING:
    from .surface import FloatArray, Surface

_PLATES_OF_A_HULL = 3
_FIGURES = 910  # purpose of random numbers
_PALETTE = (
    (0.92, 0.92, 0.93),
    (0.78, 0.79, 0.80),
    (0.50, 0.52, 0.54),
    (0.20, 0.21, 0.23),
    (0.12, 0.12, 0.13),
    (0.62, 0.10, 0.10),
    (0.13, 0.20, 0.45),
    (0.30, 0.45, 0.62),
    (0.20, 0.34, 0.26),
    (0.75, 0.70, 0.58),
    (0.80, 0.42, 0.10),
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Body:
    """What an actor looks like, in the actor's frame: on the ground, about the origin."""

    category: str
    surface: Surface
    size_m: FloatArray


def centred(category: str, surface: Surface) -> Body:
    """Return a body with its origin at the middle of its box's bottom."""
    surface = surface.without_slivers()
    seen = surface.vertices[surface.triangles].reshape(-1, 3)
    low, high = seen.min(axis=0), seen.max(axis=0)
    T = np.eye(4)
    T[:3, 3] = -0.5 * (low + high)
    T[2, 3] = -low[2]
    return Body(category=category, surface=surface.placed(T), size_m=high - low)


class Garage:
    """Makes vehicles: hulls that are drawn once, painted anew."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def any(self, *, large: bool) -> Body:
        """Return some vehicle; only a large one may be a lorry or a bus."""
        rng = self._rng
        names = ["hatchback", "saloon", "estate", "suv", "small", "van", "minibus"]
        weights = [0.24, 0.2, 0.14, 0.16, 0.12, 0.08, 0.06]
        name = str(rng.choice(names, p=weights))
        if large and rng.random() < 0.2:
            name = str(rng.choice(["lorry", "bus"]))
        tint = np.array(_PALETTE[int(rng.integers(len(_PALETTE)))]) * rng.uniform(0.9, 1.05)
        hull = _hull(name, int(rng.integers(_PLATES_OF_A_HULL)))
        painted = hull.surface.repainted(NUMBER["car_paint"], np.clip(tint, 0.0, 1.0))
        return dataclasses.replace(hull, surface=painted)


class Crowd:
    """Makes people: figures that are drawn once, met again taller or smaller."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def pedestrian(self, *, walking: bool) -> Body:
        """Return someone on foot."""
        kind = "walking" if walking else "standing"
        return self._one("pedestrian", kind, 24 if walking else 10, 0.09)

    def cyclist(self) -> Body:
        """Return someone on a bicycle."""
        return self._one("cyclist", "cycling", 6, 0.03)

    def _one(self, category: str, kind: str, count: int, spread: float) -> Body:
        shape = _figure(kind, int(self._rng.integers(count)))
        scale = float(self._rng.uniform(1.0 - spread, 1.0 + spread))
        return centred(category, shape.placed(np.diag([scale, scale, scale, 1.0])))


# Drawing takes longer than all the rest of a world: every shape is drawn once in a process, from
# nothing but its number.


@functools.cache
def _hull(name: str, plate: int) -> Body:
    if name == "lorry":
        load = ((0.92, 0.92, 0.90), (0.35, 0.45, 0.70), (0.80, 0.75, 0.60))[plate % 3]
        return centred("truck", lorries.box_truck((1.0, 1.0, 1.0), load, plate))
    if name == "bus":
        return centred("truck", lorries.bus((1.0, 1.0, 1.0), plate))
    body = vehicles.BODIES[name]
    number = plate + 4 * list(vehicles.BODIES).index(name)
    return centred(body.category, vehicles.passenger_car(body, (1.0, 1.0, 1.0), number))


@functools.cache
def _figure(kind: str, number: int) -> Surface:
    if kind == "cycling":
        return people.cyclist(np.random.default_rng([number, 2, 0, 0, _FIGURES]))
    walking = kind == "walking"
    rng = np.random.default_rng([number, int(walking), 0, 0, _FIGURES])
    return people.pedestrian(rng, walking=walking)
