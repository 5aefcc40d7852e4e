"""Bodies for actors: vehicles painted anew from a few hulls, and a crowd of a few dozen people."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from . import people, vehicles
from .material import NUMBER

if TYPE_CHECKING:
    from .surface import FloatArray, Surface

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
    low, high = surface.vertices.min(axis=0), surface.vertices.max(axis=0)
    T = np.eye(4)
    T[:3, 3] = -0.5 * (low + high)
    T[2, 3] = -low[2]
    return Body(category=category, surface=surface.placed(T), size_m=high - low)


class Garage:
    """Makes vehicles; the hulls are drawn once and painted anew."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._hulls: dict[tuple[str, int], Body] = {}

    def any(self, *, large: bool) -> Body:
        """Return some vehicle; only a large one may be a lorry or a bus."""
        rng = self._rng
        names = ["hatchback", "saloon", "estate", "suv", "small", "van", "minibus"]
        weights = [0.24, 0.2, 0.14, 0.16, 0.12, 0.08, 0.06]
        name = str(rng.choice(names, p=weights))
        if large and rng.random() < 0.2:
            name = str(rng.choice(["lorry", "bus"]))
        tint = np.array(_PALETTE[int(rng.integers(len(_PALETTE)))]) * rng.uniform(0.9, 1.05)
        key = (name, int(rng.integers(2)))
        if key not in self._hulls:
            self._hulls[key] = self._drawn(*key)
        hull = self._hulls[key]
        painted = hull.surface.repainted(NUMBER["car_paint"], np.clip(tint, 0.0, 1.0))
        return dataclasses.replace(hull, surface=painted)

    def _drawn(self, name: str, plate: int) -> Body:
        number = int(self._rng.integers(16)) + plate
        if name == "lorry":
            load = (0.92, 0.92, 0.90) if plate else (0.35, 0.45, 0.70)
            return centred("truck", vehicles.box_truck((1.0, 1.0, 1.0), load, number))
        if name == "bus":
            return centred("truck", vehicles.bus((1.0, 1.0, 1.0), number))
        body = vehicles.BODIES[name]
        return centred(body.category, vehicles.passenger_car(body, (1.0, 1.0, 1.0), number))


_WALKING, _STANDING, _CYCLING = 16, 8, 4


class Crowd:
    """Makes people; those of one world are drawn once, and met again taller or smaller."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._walking = [people.pedestrian(rng, walking=True) for _ in range(_WALKING)]
        self._standing = [people.pedestrian(rng, walking=False) for _ in range(_STANDING)]
        self._cycling = [people.cyclist(rng) for _ in range(_CYCLING)]

    def pedestrian(self, *, walking: bool) -> Body:
        """Return someone on foot."""
        return self._one("pedestrian", self._walking if walking else self._standing, 0.09)

    def cyclist(self) -> Body:
        """Return someone on a bicycle."""
        return self._one("cyclist", self._cycling, 0.03)

    def _one(self, category: str, pool: list[Surface], spread: float) -> Body:
        shape = pool[int(self._rng.integers(len(pool)))]
        scale = float(self._rng.uniform(1.0 - spread, 1.0 + spread))
        return centred(category, shape.placed(np.diag([scale, scale, scale, 1.0])))
