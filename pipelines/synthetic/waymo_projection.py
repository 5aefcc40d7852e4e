"""Which cameras see a measured point, and in which pixels: Waymo's camera projections.

As in the real data set, a point is taken to stand still in the world, and nothing is taken to hide
it. The rolling shutter is solved with the true course of the vehicle, where the official code
extrapolates the image's pose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simipu.geometry import camera as lens
from simipu.geometry import se3

from .camera import exposure_s
from .rowwise import transformed

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from simipu.records import FloatArray

    from .motion import Trajectory
    from .waymo_content import Int32Array
    from .waymo_shutter import Shutter

_STEPS = 20
"""A step divides the error by W / (shift over the whole readout), which is 5 at the very least."""

_SOLVED_PX = 1e-7


def camera_projections(
    points: FloatArray, shutters: Mapping[int, Shutter], ego: Trajectory
) -> Int32Array:
    """Return the first two cameras that see each point.

    Args:
        points: (N, 3) world, metres.
        shutters: by number of the camera.
        ego: T_world_from_ego.

    Returns:
        (N, 6) int32: number, x and y of the pixel that contains the point; 0 where there is none.
    """
    found = np.zeros((len(points), 6), dtype=np.int32)
    for number in sorted(shutters):
        row, uv = _inside(points, shutters[number], ego)
        pixel = np.floor(uv + 0.5).astype(np.int32)
        entry = np.column_stack([np.full(len(row), number, dtype=np.int32), pixel])
        first = found[row, 0] == 0
        second = ~first & (found[row, 3] == 0)
        found[row[first], :3] = entry[first]
        found[row[second], 3:] = entry[second]
    return found


def _inside(
    points: FloatArray, shutter: Shutter, ego: Trajectory
) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Return the rows of the points in the image, and their (M, 2) pixels."""
    model = shutter.camera
    T_camera_from_ego = se3.invert(model.T_ego_from_camera)
    middle_s = float(exposure_s(model, model.width / 2 - 0.5, shutter.first_column_s))
    x, _, z = transformed(T_camera_from_ego @ se3.invert(ego.pose(middle_s)), points).T
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = x / z
    # Twice the image's half width leaves room for what the vehicle's motion shifts.
    row = np.flatnonzero((z > 0.0) & (np.abs(slope) < model.width / model.K[0, 0]))
    u = np.clip(model.K[0, 0] * slope[row] + model.K[0, 2], 0.0, model.width)
    v = np.zeros_like(u)
    for _ in range(_STEPS):
        before = u
        T_world_from_ego = ego.pose(exposure_s(model, u, shutter.first_column_s))
        offset = points[row] - T_world_from_ego[:, :3, 3]
        in_ego = np.einsum("nji,nj->ni", T_world_from_ego[:, :3, :3], offset)
        x, y, z = transformed(T_camera_from_ego, in_ego).T
        with np.errstate(divide="ignore", invalid="ignore"):
            u, v = lens.to_pixels(x / z, y / z, model.K, model.distortion)
        usable = (z > 0.0) & np.isfinite(u)
        row, u, v, before = row[usable], u[usable], v[usable], before[usable]
        if np.abs(u - before).max(initial=0.0) < _SOLVED_PX:
            break
    inside = (u >= -0.5) & (u < model.width - 0.5) & (v >= -0.5) & (v < model.height - 0.5)
    return row[inside], np.column_stack([u, v])[inside]
