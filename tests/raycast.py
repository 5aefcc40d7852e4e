"""An exact world of planes, boxes and cylinders: what a LiDAR hits and what a camera then sees.

The independent truth of the occlusion tests: intersections are solved in closed form, nothing is
rasterised, and no code of the library is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

KITTI_ELEVATIONS_DEG = np.concatenate([np.linspace(2.0, -8.33, 32), np.linspace(-8.83, -24.33, 32)])
NUSCENES_ELEVATIONS_DEG = np.linspace(10.67, -30.67, 32)


@dataclass
class World:
    """Surfaces in metres; z is up.

    ground: normal (3,) and offset d of the plane n . p = d, or None.
    boxes: rows x0 y0 z0 x1 y1 z1. cylinders: rows x y radius z0 z1 (vertical, no caps).
    """

    ground: tuple[np.ndarray, float] | None = None
    boxes: list[tuple[float, ...]] = field(default_factory=list)
    cylinders: list[tuple[float, ...]] = field(default_factory=list)

    def hit(self, origin: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """First hit of each ray origin + t * direction with t > 0, as (N,) t; inf if none."""
        nearest = np.full(len(directions), np.inf)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.ground is not None:
                normal, offset = self.ground
                t = (offset - normal @ origin) / (directions @ normal)
                _keep_nearer(nearest, t, t > 0)
            for box in self.boxes:
                slabs = (np.reshape(box, (2, 1, 3)) - origin) / directions
                enter, leave = slabs.min(axis=0).max(axis=1), slabs.max(axis=0).min(axis=1)
                _keep_nearer(nearest, enter, (enter <= leave) & (enter > 0))
            a = (directions[:, :2] ** 2).sum(axis=1)
            for x, y, radius, z0, z1 in self.cylinders:
                offset_xy = origin[:2] - (x, y)
                b = directions[:, :2] @ offset_xy
                c = offset_xy @ offset_xy - radius**2
                root = np.sqrt(b * b - a * c)
                for t in ((-b - root) / a, (-b + root) / a):
                    z = origin[2] + t * directions[:, 2]
                    _keep_nearer(nearest, t, (t > 0) & (z >= z0) & (z <= z1))
        return nearest

    def sees(self, eye: np.ndarray, points: np.ndarray, tolerance_m: float = 1e-4) -> np.ndarray:
        """Whether nothing lies between the eye and each point."""
        rays = points - eye
        return self.hit(eye, rays) * np.linalg.norm(rays, axis=1) >= (
            np.linalg.norm(rays, axis=1) - tolerance_m
        )


def _keep_nearer(nearest: np.ndarray, t: np.ndarray, valid: np.ndarray) -> None:
    np.minimum(nearest, np.where(valid, t, np.inf), out=nearest)


def sweep(
    world: World,
    lidar: np.ndarray,
    elevations_deg: np.ndarray,
    azimuth_step_deg: float,
    *,
    yaw_deg: float = 0.0,
    half_width_deg: float = 180.0,
    max_range_m: float = 80.0,
) -> np.ndarray:
    """Points (N, 3) float64 in the world frame that a spinning LiDAR hits, beam by beam."""
    azimuth = np.arange(yaw_deg - half_width_deg, yaw_deg + half_width_deg, azimuth_step_deg)
    elevation, azimuth = (
        np.radians(grid).ravel() for grid in np.meshgrid(elevations_deg, azimuth, indexing="ij")
    )
    directions = np.column_stack(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        ]
    )
    t = world.hit(lidar, directions)
    return lidar + directions[t <= max_range_m] * t[t <= max_range_m, None]


def street(seed: int) -> World:
    """A street along x with facades, parked and driving cars, people, poles and trees.

    The ground is tilted by up to 3 degrees on either axis; the origin stays free.
    """
    random = np.random.default_rng(seed)
    slope_x, slope_y = np.tan(np.radians(random.uniform(-3, 3, 2)))
    world = World(ground=(np.array([-slope_x, -slope_y, 1.0]), 0.0))

    def stand(x: float, y: float, length: float, width: float, height: float) -> None:
        z = slope_x * x + slope_y * y
        half = np.array([length, width]) / 2
        if (np.abs([x, y]) > half + 3.0).any():
            world.boxes.append(
                (x - half[0], y - half[1], z - 2.0, x + half[0], y + half[1], z + height)
            )

    for side in (-1, 1):
        curb = random.uniform(4, 7)
        facade = curb + random.uniform(3, 12)
        for x in np.arange(-80, 80, 12.0):
            if random.random() < 0.75:
                depth = random.uniform(6, 12)
                setback = random.uniform(0, 3)
                stand(
                    x,
                    side * (facade + setback + depth / 2),
                    random.uniform(8, 12.5),
                    depth,
                    random.uniform(4, 12),
                )
        for x in np.arange(-60, 60, 6.5):
            if random.random() < 0.5:
                stand(
                    x + random.uniform(-0.7, 0.7),
                    side * (curb - 1),
                    random.uniform(3.5, 5),
                    random.uniform(1.6, 1.9),
                    random.choice([1.45, 1.6, 2.2]),
                )
        for _ in range(5):
            size = random.uniform(0.4, 0.7)
            stand(
                random.uniform(-40, 40),
                side * random.uniform(curb, facade),
                size,
                size,
                random.uniform(1.5, 1.9),
            )
        for x in np.arange(-50, 50, random.uniform(12, 20)):
            y = side * (curb + 0.7)
            z = slope_x * x + slope_y * y
            if np.hypot(x, y) > 3:
                world.cylinders.append((x, y, random.uniform(0.05, 0.25), z - 1, z + 6))
                if random.random() < 0.3:
                    world.boxes.append((x - 1.5, y - 1.5, z + 2.5, x + 1.5, y + 1.5, z + 6))
    for _ in range(3):
        stand(
            random.choice([-1, 1]) * random.uniform(6, 50),
            random.uniform(-2.5, 2.5),
            random.uniform(3.8, 8),
            random.uniform(1.7, 2.4),
            random.choice([1.5, 1.5, 3.0]),
        )
    return world


def camera_from_lidar(camera: np.ndarray, yaw_deg: float) -> np.ndarray:
    """T_camera_from_lidar of an upright camera that looks along the yaw.

    camera: (3,) position in the LiDAR frame, whose axes are those of the world.
    """
    cos, sin = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    T = np.eye(4)
    T[:3, :3] = [[sin, -cos, 0.0], [0.0, 0.0, -1.0], [cos, sin, 0.0]]
    T[:3, 3] = -T[:3, :3] @ camera
    return T
