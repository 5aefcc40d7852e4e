"""Where each return's spot lies in an image, and whether the camera really sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simipu.geometry.projection import project

from .camera import exposure_s
from .rowwise import dot, turned, turned_back
from .truth import CameraTruth

if TYPE_CHECKING:
    import numpy.typing as npt

    from simipu.records import FloatArray

    from .caster import Caster
    from .motion import Trajectory
    from .sensors import CameraModel

    _Rows = npt.NDArray[np.intp]

_NEARER_M = 5e-3
_NEARER = 1e-4
"""What is nearer by more than this, and this share of the distance, hides a spot."""

_SOLVED_S = 1e-10
_STEPS = 20


def locate(
    caster: Caster,
    surface: FloatArray,
    object_id: npt.NDArray[np.int32],
    t_s: FloatArray,
    camera: CameraModel,
    ego: Trajectory,
    t_exposure_s: float,
) -> CameraTruth:
    """Find the spots that returns came from in an image.

    What moved since has taken its spots along. With a rolling shutter, each spot is where it is
    when the column of pixels that it appears in is exposed.

    Args:
        caster: of the world.
        surface: (N, 3) float64 spots, world frame, each at its time t_s.
        object_id: (N,) int32 of what they are on.
        t_s: (N,) float64 seconds.
        camera: the camera.
        ego: T_world_from_ego.
        t_exposure_s: as `camera.exposure_s`.

    Returns:
        The spots in front of the camera and inside the image, [-0.5, W - 0.5) x [-0.5, H - 0.5).
    """
    view = _View(
        caster=caster, surface=surface, object_id=object_id, t_s=t_s, camera=camera, ego=ego
    )
    times: float | FloatArray = t_exposure_s
    if camera.readout_s > 0.0:
        rows, times = _exposed(view, t_exposure_s)
    else:
        rows = view.ahead(t_exposure_s)
    spots, uv, depth = view.seen(rows, times)
    inside = _inside(uv, camera)
    rows, spots = rows[inside], spots[inside]
    if np.ndim(times):
        times = np.asarray(times)[inside]
    centres = view.centres(times)
    ways = spots - centres
    length = np.sqrt(dot(ways, ways))
    free = caster.distance(centres, ways, times) * length
    return CameraTruth(
        row=rows.astype(np.uint32),
        uv=uv[inside],
        depth=depth[inside],
        reached=free >= length - (_NEARER_M + _NEARER * length),
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _View:
    """Spots on their surfaces and a camera on its car, at any time."""

    caster: Caster
    surface: FloatArray
    object_id: npt.NDArray[np.int32]
    t_s: FloatArray
    camera: CameraModel
    ego: Trajectory

    def ahead(self, t_s: float) -> _Rows:
        """Return the rows of spots that may be before the camera at a time."""
        T_world_from_camera = self.ego.pose(t_s) @ self.camera.T_ego_from_camera
        axis = T_world_from_camera[:3, 2]
        # Not quite the camera's own z where its rotation is only as good as printed digits.
        least = dot(T_world_from_camera[:3, 3], axis) - _NEARER_M
        return np.flatnonzero((dot(self.surface, axis) > least) | (self.object_id > 0))

    def seen(
        self, rows: _Rows, times: float | FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return spots (M, 3) in the world, their pixels (M, 2) and depths (M,) at times."""
        spots = self.caster.moved(self.surface[rows], self.object_id[rows], self.t_s[rows], times)
        T_world_from_ego = self.ego.pose(np.atleast_1d(times))
        in_ego = turned_back(T_world_from_ego, spots - T_world_from_ego[:, :3, 3])
        T_camera_from_ego = np.linalg.inv(self.camera.T_ego_from_camera)
        uv, depth = project(in_ego, T_camera_from_ego, self.camera.K, self.camera.distortion)
        return spots, uv, depth

    def centres(self, times: float | FloatArray) -> FloatArray:
        """Return the camera's centre in the world, (3,) at one time or (M, 3)."""
        T_world_from_ego = self.ego.pose(np.atleast_1d(times))
        centre = self.camera.T_ego_from_camera[:3, 3]
        centres = turned(T_world_from_ego, centre) + T_world_from_ego[:, :3, 3]
        return centres if np.ndim(times) else centres[0]


def _exposed(view: _View, t_s: float) -> tuple[_Rows, FloatArray]:
    """Return the rows that may be in the image and when the column that each is in is exposed.

    A spot's time is where ``exposure_s(u(t)) = t``; found by the secant method, from the middle of
    the readout. Spots for which there is none during about the readout are not in the image.
    """
    camera = view.camera
    middle_s = t_s + camera.readout_s / 2.0
    _, uv, _ = view.seen(np.arange(len(view.surface)), middle_s)
    # Nothing moves by half an image during half a readout, unless it touches the lens.
    u_near = np.abs(uv[:, 0] - (camera.width - 1) / 2.0) <= camera.width
    rows = np.flatnonzero(u_near)
    earliest, latest = t_s - camera.readout_s, t_s + 2.0 * camera.readout_s
    before = np.full(len(rows), middle_s)
    off_before = exposure_s(camera, uv[rows, 0], t_s) - before
    times = np.clip(before + off_before, earliest, latest)
    active, solved = np.arange(len(rows)), np.zeros(len(rows), dtype=bool)
    for _ in range(_STEPS):
        _, uv, _ = view.seen(rows[active], times[active])
        off = exposure_s(camera, uv[:, 0], t_s) - times[active]
        solved[active] = np.abs(off) <= _SOLVED_S
        step = times[active] - before[active]
        with np.errstate(divide="ignore", invalid="ignore"):
            secant = -off * step / (off - off_before[active])
        change = np.where(np.isfinite(secant), secant, off)
        before[active], off_before[active] = times[active], off
        unsolved = ~solved[active] & np.isfinite(change)
        active, change = active[unsolved], change[unsolved]
        if not len(active):
            break
        times[active] = np.clip(times[active] + change, earliest, latest)
    return rows[solved], times[solved]


def _inside(uv: FloatArray, camera: CameraModel) -> _Rows:
    """Return the rows of pixels (N, 2) that are inside the image; NaN is not."""
    high = (camera.width - 0.5, camera.height - 0.5)
    with np.errstate(invalid="ignore"):
        return np.flatnonzero(((uv >= -0.5) & (uv < high)).all(axis=1))
