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
    points = columns(xyz)
    depth = along(T_camera_from_lidar[2], points)
    uv = pixels(points, np.where(depth > 0.0, depth, np.nan), T_camera_from_lidar, K, distortion)
    uv[:, ~np.isfinite(uv).all(axis=0)] = np.nan
    return np.ascontiguousarray(uv.T), depth


def columns(xyz: npt.ArrayLike) -> FloatArray:
    """Return (3, N) contiguous float64 columns x, y, z of (N, 3) points of any real dtype.

    The functions below compute with these. They are no copy where ``xyz`` is the transpose of
    such columns.
    """
    return np.ascontiguousarray(np.asarray(xyz).T, dtype=np.float64)


def along(row: FloatArray, points: FloatArray) -> FloatArray:
    """Return one coordinate, (N,), of (3, N) points by its row, (4,), of a transform."""
    x, y, z, one = row.tolist()
    with np.errstate(invalid="ignore", over="ignore"):
        total: FloatArray = x * points[0]
        total += y * points[1]  # in place: new arrays would take a third of the time
        total += z * points[2]
        total += one
    return total


def pixels(
    points: FloatArray,
    depth: FloatArray,
    T_camera_from_lidar: FloatArray,
    K: FloatArray,
    distortion: FloatArray,
) -> FloatArray:
    """Return the (2, N) float64 pixels of (3, N) points whose depth is known.

    Only points with a positive depth have one; see `project` for the rest.
    """
    x, y = (along(row, points) for row in T_camera_from_lidar[:2])
    with np.errstate(invalid="ignore", over="ignore"):
        return np.stack(camera.to_pixels(x / depth, y / depth, K, distortion))
