"""From the points of a sweep and a camera's calibration to rows, pixels, depth and visibility."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from simipu.correspond import occlusion
from simipu.errors import UsageError
from simipu.geometry import se3
from simipu.geometry.projection import depth_along_axis, project
from simipu.records import Correspondences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simipu.correspond.policy import Policy
    from simipu.records import FloatArray

_INFINITY = np.float32(np.inf)


def correspond(
    xyz: npt.NDArray[np.float32],
    *,
    T_camera_from_lidar: FloatArray,
    K: FloatArray,
    distortion: FloatArray,
    width: int,
    height: int,
    policy: Policy,
    ego_points: npt.NDArray[np.bool_] | None = None,
) -> Correspondences:
    """Find every point that is in front of the camera and inside its image.

    Args:
        xyz: (N, 3) float32 points in the lidar frame, metres; non-finite points are never rows.
        T_camera_from_lidar: (4, 4) float64, with the ego motion between sweep and image in it.
        K: (3, 3) float64 pinhole matrix.
        distortion: (5,) float64 Brown coefficients k1 k2 p1 p2 k3.
        width: of the image in pixels; it spans [-0.5, width - 0.5).
        height: of the image in pixels; it spans [-0.5, height - 0.5).
        policy: smallest depth, borders, occlusion test, and what becomes of the ego points.
        ego_points: (N,) bool, which points the recording vehicle itself returned
            (see `in_ego_box`), or None: none of them.

    Returns:
        The correspondences, computed in float64. Their float32 values keep the policy's bounds:
        a value that would be rounded over one becomes the nearest float32 inside.

    Raises:
        UsageError: xyz is not (N, 3).
    """
    if xyz.ndim != 2 or xyz.shape[1] != 3:
        raise UsageError(
            f"points must have shape (N, 3), not {xyz.shape}", fix="Give the columns x y z only."
        )
    # Most points of a full turn lie behind the camera: their depth alone rejects them.
    depth = depth_along_axis(xyz, T_camera_from_lidar)
    in_front = np.flatnonzero((depth >= policy.min_depth_m) & (depth <= np.finfo(np.float32).max))
    uv, depth = project(xyz.take(in_front, axis=0), T_camera_from_lidar, K, distortion)

    low = np.array(policy.margin_px[:2]) - 0.5
    high = np.array([width, height]) - 0.5 - policy.margin_px[2:]
    u, v = uv.T
    kept = (u >= low[0]) & (u < high[0]) & (v >= low[1]) & (v < high[1])
    if ego_points is not None and policy.ego_points == "exclude":
        kept &= ~ego_points[in_front]
    inside = np.flatnonzero(kept)
    largest_inside = np.nextafter(_at_least(high), -_INFINITY)
    uv_inside = np.clip(uv[inside].astype(np.float32), _at_least(low), largest_inside)
    depth_inside = np.maximum(depth[inside].astype(np.float32), _at_least(policy.min_depth_m))

    row = in_front[inside]
    visible = np.ones(len(row), dtype=np.bool_)
    if ego_points is not None and policy.ego_points == "hide":
        visible = ~ego_points[row]
    if policy.occlusion != "none":
        epipole = K @ T_camera_from_lidar[:3, 3]
        visible[visible] = occlusion.visible(uv_inside[visible], depth_inside[visible], epipole)
    return Correspondences(
        row=row.astype(np.uint32), uv=uv_inside, depth=depth_inside, visible=visible
    )


def in_ego_box(
    xyz: npt.NDArray[np.float32], T_ego_from_lidar: FloatArray, ego_box_m: Sequence[float]
) -> npt.NDArray[np.bool_]:
    """Tell which points lie in a box around the recording vehicle: its own returns.

    Args:
        xyz: (N, 3) float32 points in the lidar frame, metres.
        T_ego_from_lidar: (4, 4) float64.
        ego_box_m: the vehicle's body in the ego frame: x_min, y_min, z_min, x_max, y_max, z_max.

    Returns:
        (N,) bool.
    """
    ego = se3.apply(T_ego_from_lidar, xyz)
    inside: npt.NDArray[np.bool_] = ((ego >= ego_box_m[:3]) & (ego <= ego_box_m[3:])).all(axis=1)
    return inside


def _at_least(bound: float | FloatArray) -> npt.NDArray[np.float32]:
    """Return the smallest float32 that is not below the bound."""
    exact = np.asarray(bound, dtype=np.float64)
    rounded = exact.astype(np.float32)
    return np.where(rounded < exact, np.nextafter(rounded, _INFINITY), rounded)
