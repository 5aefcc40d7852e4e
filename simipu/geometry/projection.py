"""From LiDAR points to pixels and depth.

All sums are written out element by element: unlike those of a BLAS product, the last bits of a
point's result then depend neither on the number of threads nor on which other points are there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from simipu.geometry import camera

if TYPE_CHECKING:
    from simipu.records import FloatArray

Real = TypeVar("Real", np.float32, np.float64)


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
    x, y, depth = moved(T_camera_from_lidar, columns(xyz))
    uv = np.stack(pixels(x, y, np.where(depth > 0.0, depth, np.nan), K, distortion))
    uv[:, ~np.isfinite(uv).all(axis=0)] = np.nan
    return np.ascontiguousarray(uv.T), depth


def columns(xyz: npt.ArrayLike) -> FloatArray:
    """Return (3, N) contiguous float64 columns x, y, z of (N, 3) points of any real dtype.

    The functions below compute with these. They are no copy where ``xyz`` is the transpose of
    such columns.
    """
    return np.ascontiguousarray(np.asarray(xyz).T, dtype=np.float64)


def along(row: FloatArray, points: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """Return one coordinate, (N,), of (3, N) points by its row, (4,), of a transform.

    It is computed in the points' own precision, and warns of values that are not finite.
    """
    x, y, z, one = row.tolist()
    # In place: new arrays would take half of the time.
    total: npt.NDArray[Real] = x * points[0]
    term = y * points[1]
    total += term
    total += np.multiply(z, points[2], out=term)
    total += one
    return total


def moved(T_dst_from_src: FloatArray, points: FloatArray) -> list[FloatArray]:
    """Return x, y and z, (N,) each, of (3, N) points in another frame."""
    with np.errstate(invalid="ignore", over="ignore"):
        return [along(row, points) for row in T_dst_from_src[:3]]


def pixels(
    x: FloatArray, y: FloatArray, z: FloatArray, K: FloatArray, distortion: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the pixels u and v, (N,) float64 each, of points in the camera frame.

    Only points with a positive depth have one; see `project` for the rest.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return camera.to_pixels(x / z, y / z, K, distortion)
