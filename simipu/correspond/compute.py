"""From the points of a sweep and a camera's calibration to rows, pixels, depth and visibility."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from simipu.correspond import occlusion
from simipu.errors import UsageError
from simipu.geometry import projection
from simipu.records import Correspondences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simipu.correspond.policy import Policy
    from simipu.records import FloatArray

_INFINITY = np.float32(np.inf)


def correspond(
    xyz: npt.NDArray[np.floating[Any]],
    *,
    T_camera_from_lidar: FloatArray,
    K: FloatArray,
    distortion: FloatArray,
    width: int,
    height: int,
    policy: Policy,
    T_ego_from_lidar: FloatArray | None = None,
    ego_box_m: Sequence[float] | None = None,
) -> Correspondences:
    """Find every point that is in front of the camera and inside its image.

    Args:
        xyz: (N, 3) points in the lidar frame, metres; non-finite points are never rows. The
            transpose of (3, N) float64 columns need not be converted for each camera anew.
        T_camera_from_lidar: (4, 4) float64, with the ego motion between sweep and image in it.
        K: (3, 3) float64 pinhole matrix.
        distortion: (5,) float64 Brown coefficients k1 k2 p1 p2 k3.
        width: of the image in pixels; it spans [-0.5, width - 0.5).
        height: of the image in pixels; it spans [-0.5, height - 0.5).
        policy: smallest depth, borders, occlusion test, and what becomes of the ego points.
        T_ego_from_lidar: (4, 4) float64 mounting pose, for ``ego_box_m``.
        ego_box_m: body of the recording vehicle in the ego frame (see `in_ego_box`); without
            both no point counts as an ego point.

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
    points = projection.columns(xyz)
    # Most points of a full turn lie behind the camera: their depth alone rejects them.
    z = projection.along(T_camera_from_lidar[2], points)
    row = np.flatnonzero((z >= policy.min_depth_m) & (z <= np.finfo(np.float32).max))
    z = z.take(row)
    u, v = projection.pixels(points.take(row, axis=1), z, T_camera_from_lidar, K, distortion)

    low = np.array(policy.margin_px[:2]) - 0.5
    high = np.array([width, height]) - 0.5 - policy.margin_px[2:]
    inside = np.flatnonzero((u >= low[0]) & (u < high[0]) & (v >= low[1]) & (v < high[1]))
    row = row[inside]
    largest_inside = np.nextafter(_at_least(high), -_INFINITY)
    uv = np.stack([u[inside], v[inside]], axis=1).astype(np.float32)
    uv = np.clip(uv, _at_least(low), largest_inside)
    depth = np.maximum(z[inside].astype(np.float32), _at_least(policy.min_depth_m))

    visible = np.ones(len(row), dtype=np.bool_)
    if policy.ego_points != "keep" and T_ego_from_lidar is not None and ego_box_m is not None:
        visible = ~in_ego_box(points.take(row, axis=1).T, T_ego_from_lidar, ego_box_m)
        if policy.ego_points == "exclude":
            row, uv, depth = row[visible], uv[visible], depth[visible]
            visible = visible[visible]
    if policy.occlusion != "none":
        epipole = K @ T_camera_from_lidar[:3, 3]
        visible[visible] = occlusion.visible(uv[visible], depth[visible], epipole)
    return Correspondences(row=row.astype(np.uint32), uv=uv, depth=depth, visible=visible)


def in_ego_box(
    xyz: npt.NDArray[np.floating[Any]], T_ego_from_lidar: FloatArray, ego_box_m: Sequence[float]
) -> npt.NDArray[np.bool_]:
    """Tell which points lie in a box around the recording vehicle: its own returns.

    Args:
        xyz: (N, 3) points in the lidar frame, metres.
        T_ego_from_lidar: (4, 4) float64.
        ego_box_m: the vehicle's body in the ego frame: x_min, y_min, z_min, x_max, y_max, z_max.

    Returns:
        (N,) bool.
    """
    points = projection.columns(xyz)
    inside = np.ones(len(xyz), dtype=np.bool_)
    for row, low, high in zip(T_ego_from_lidar[:3], ego_box_m[:3], ego_box_m[3:], strict=True):
        place = projection.along(row, points)
        inside &= (place >= low) & (place <= high)
    return inside


def _at_least(bound: float | FloatArray) -> npt.NDArray[np.float32]:
    """Return the smallest float32 that is not below the bound."""
    exact = np.asarray(bound, dtype=np.float64)
    rounded = exact.astype(np.float32)
    return np.where(rounded < exact, np.nextafter(rounded, _INFINITY), rounded)
