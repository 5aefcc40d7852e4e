"""From LiDAR points to pixels and depth.

All sums are written out element by element: unlike those of a BLAS product, the last bits of a
point's result then depend neither on the number of threads nor on which other points are there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from simipu.geometry import camera

if TYPE_CHECKING:
    from simipu.records import FloatArray


def project(
    xyz: npt.ArrayLike, T_camera_from_lidar: FloatArray, K: FloatArray, distortion: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Project points into an image.

    Args:
        xyz: (N, 3) points in the lidar frame, metres, of any real dtype.
        T_camera_from_lidar: (4, 4) float64.
        K: (3, 3) float64 pinhole matrix with last row 0 0 1.
        distortion: (5,) float64 Brown coefficients k1 k2 p1 p2 k3.

    Returns:
        uv: (N, 2) float64 pixels, integers at pixel centres, not limited to any image; NaN for
            points that are not in front of the camera (depth <= 0), not finite, or beyond the
            field where the distortion is one-to-one (`camera.max_radius`).
        depth: (N,) float64 metres along the optical axis.
    """
    points = _columns(xyz)
    with np.errstate(invalid="ignore", over="ignore"):
        x, y, depth = (_along(row, points) for row in T_camera_from_lidar[:3])
        in_front = np.where(depth > 0.0, depth, np.nan)
        u, v = camera.to_pixels(x / in_front, y / in_front, K, distortion)
    uv = np.stack([u, v], axis=1)
    uv[~(np.isfinite(u) & np.isfinite(v))] = np.nan
    return uv, depth


def depth_along_axis(xyz: npt.ArrayLike, T_camera_from_lidar: FloatArray) -> FloatArray:
    """Return only the (N,) float64 depth of `project`, bit for bit."""
    with np.errstate(invalid="ignore", over="ignore"):
        return _along(T_camera_from_lidar[2], _columns(xyz))


def _columns(xyz: npt.ArrayLike) -> FloatArray:
    return np.ascontiguousarray(np.asarray(xyz).T, dtype=np.float64)


def _along(row: FloatArray, points: FloatArray) -> FloatArray:
    total: FloatArray = row[0] * points[0] + row[1] * points[1] + row[2] * points[2] + row[3]
    return total
