"""Sweeps of a turning LiDAR on a moving car: returns with noise, losses and intensities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .material import DROPOUT, SPECULAR, reflectivity
from .rowwise import dot, power, taken

if TYPE_CHECKING:
    import numpy.typing as npt

    from simipu.records import FloatArray

    from .caster import Caster
    from .hits import Hits
    from .motion import Trajectory
    from .sensors import LidarModel

_CLIP = 4.0
"""Noise beyond so many standard deviations is cut off."""

_BASE_LOSS = 0.01
_GLOSS_LOSS = 0.8
_WEAK_LOSS = 0.9
_FAINT = 0.012
"""Returned share of the light, with the fall by range, that is lost half of the time."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sweep:
    """The N returns of one sweep in firing order: column by column, within each from row 0 down.

    Attributes:
        ring: (N,) int32 row of the beam, 0 is the highest.
        column: (N,) int32.
        t_s: (N,) float64 firing time.
        direction: (N, 3) float64 unit vectors, lidar frame.
        range_m: (N,) float64 as measured, with the noise.
        intensity: (N,) float32 in [0, 1].
        object_id: (N,) int32 of what was hit, 0 for scenery.
        surface: (N, 3) float64 spot that was hit, exactly, world frame, at t_s.
    """

    ring: npt.NDArray[np.int32]
    column: npt.NDArray[np.int32]
    t_s: FloatArray
    direction: FloatArray
    range_m: FloatArray
    intensity: npt.NDArray[np.float32]
    object_id: npt.NDArray[np.int32]
    surface: FloatArray

    @property
    def xyz(self) -> FloatArray:
        """Return the (N, 3) float64 points in the lidar frame of each one's own firing time."""
        return self.direction * self.range_m[:, None]


def scan(
    caster: Caster, lidar: LidarModel, ego: Trajectory, t_start_s: float, rng: np.random.Generator
) -> Sweep:
    """Turn once.

    Args:
        caster: of the world.
        lidar: the LiDAR; each column fires from where the LiDAR is at that time.
        ego: T_world_from_ego.
        t_start_s: start of the turn.
        rng: for noise and losses; always drawn for all beams, so that what one beam meets changes
            nothing for another.
    """
    beams, turn = len(lidar.elevations_rad), np.arange(lidar.columns)
    noise = rng.standard_normal((lidar.columns, beams))
    luck = rng.random((lidar.columns, beams))
    azimuth = lidar.azimuth_rad(turn)
    off_axis = np.abs((azimuth + np.pi) % (2.0 * np.pi) - np.pi)
    fired = np.flatnonzero(off_axis <= lidar.field_of_view_rad / 2.0 + 1e-9)
    noise, luck, azimuth = noise[fired].ravel(), luck[fired].ravel(), azimuth[fired]

    t_column = t_start_s + lidar.time_s(fired)
    T_world_from_lidar = ego.pose(t_column) @ lidar.T_ego_from_lidar
    direction = _unit(azimuth, lidar.elevations_rad)
    components = [dot(T_world_from_lidar[:, None, i], direction) for i in range(3)]
    rays: FloatArray = np.stack(components).reshape(3, -1).T
    origins = np.repeat(T_world_from_lidar[:, :3, 3].T, beams, axis=1).T
    t_s = np.repeat(t_column, beams)
    hits = caster.cast(origins, rays, t_s)

    facing = np.minimum(hits.approach, np.float32(1.0))
    range_m = hits.distance + lidar.range_noise_m * np.clip(noise, -_CLIP, _CLIP)
    returned = (hits.distance <= lidar.max_range_m) & (range_m <= lidar.max_range_m)
    returned &= range_m > 0.0
    strength = reflectivity(hits.material, hits.uv, hits.tint)
    if lidar.dropout:
        returned &= luck >= _loss(hits, strength, facing, lidar.max_range_m)
    rows = np.flatnonzero(returned)
    intensity = strength * _echo(facing, hits.distance, lidar.max_range_m)
    surface: FloatArray = hits.distance[rows, None] * taken(rays, rows)
    surface += taken(origins, rows)
    return Sweep(
        ring=(rows % beams).astype(np.int32),
        column=fired[rows // beams].astype(np.int32),
        t_s=t_s[rows],
        direction=direction.reshape(-1, 3).take(rows, axis=0),
        range_m=range_m[rows],
        intensity=np.clip(intensity[rows], 0.0, 1.0).astype(np.float32),
        object_id=hits.object_id[rows],
        surface=np.ascontiguousarray(surface),
    )


def _unit(azimuth: FloatArray, elevation: FloatArray) -> FloatArray:
    """Return (columns, beams, 3) float64 directions in the lidar frame."""
    level, height = np.cos(elevation), np.sin(elevation)
    direction = np.empty((len(azimuth), len(elevation), 3))
    direction[..., 0] = np.cos(azimuth)[:, None] * level
    direction[..., 1] = np.sin(azimuth)[:, None] * level
    direction[..., 2] = height
    return direction


def _echo(facing: FloatArray, distance: FloatArray, max_range_m: float) -> FloatArray:
    """Return the (N,) share of a surface's reflectivity that the receiver reports.

    Receivers correct for the range, but not fully; rough surfaces answer at a slant, if less.
    """
    echo: FloatArray = (0.35 + 0.65 * facing) * np.exp(-0.7 * distance / max_range_m)
    return echo


def _loss(
    hits: Hits, strength: npt.NDArray[np.float32], facing: FloatArray, max_range_m: float
) -> FloatArray:
    """Return the (N,) chance that no return comes back.

    What a mirror does not send back is lost, at a slant most of all; what comes back faintly is
    lost the more often, the fainter.
    """
    slant = 1.0 - facing
    gloss = DROPOUT.take(hits.material) * (0.35 + 0.65 * slant)
    gloss += _GLOSS_LOSS * SPECULAR.take(hits.material) * power(slant, 3)
    near = np.minimum(hits.distance / max_range_m, 1.0)
    signal = strength * np.sqrt(facing) * (1.0 - 0.9 * near**2)
    weak = _WEAK_LOSS / (1.0 + (signal / _FAINT) ** 2)
    kept: FloatArray = (1.0 - _BASE_LOSS) * (1.0 - np.clip(gloss, 0.0, 1.0)) * (1.0 - weak)
    return 1.0 - kept
