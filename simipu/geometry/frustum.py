"""Which points may be in an image: a cheap test before the exact arithmetic, which loses none.

A point of an image without distortion lies between the planes through the camera's centre and the
image's left and right border. That it does is tested in the points' own precision, mostly float32,
with the borders moved outwards by more than rounding can amount to.

How far. Let w be the normal of such a plane in the camera frame, ``w X >= 0`` for every X between
the planes, and scaled to pixels, so that moving the border by s pixels adds ``s z``. The sum
``(R^T w) p + w t`` over a point p of the lidar frame, X = R p + t, is off by at most 5 units in the
last place, u = 2^-24, of ``|R^T w| |p| + |w| |t|`` (N. J. Higham, "Accuracy and Stability of
Numerical Algorithms", 2002, section 3.1). Of a point in the image ``|X| <= C z`` is known, of one
that is kept ``z >= min_depth``, and so, R being a rotation but for a hundredth,

    error <= 11 u |w| B z    with    B = C + |t| / min_depth

With twice ``16 u B |w|`` for s the error stays below ``s z``, for the moved plane's larger ``|w|``
too, as long as ``16 u B <= 1/2``. The rest is room for the rounding of the float64 arithmetic.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from simipu.geometry import projection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simipu.records import FloatArray

_MOST_B = 2.0**19
_LEAST_M = 2.0**-60
"""Added to |t|: much smaller depths have no B, before products of float32 underflow."""


def candidates(
    points: npt.NDArray[np.floating[Any]],
    T_camera_from_lidar: FloatArray,
    K: FloatArray,
    distortion: FloatArray,
    *,
    low: Sequence[float],
    high: Sequence[float],
    min_depth_m: float,
) -> npt.NDArray[np.intp]:
    """Find the points that may be in an image.

    Args:
        points: (3, N) float32 or float64 columns x, y, z in the lidar frame, metres.
        T_camera_from_lidar: (4, 4) float64.
        K: (3, 3) float64 pinhole matrix with last row 0 0 1.
        distortion: (5,) float64 Brown coefficients k1 k2 p1 p2 k3.
        low: smallest u and v in the image.
        high: largest u and v.
        min_depth_m: smallest depth, greater than 0.

    Returns:
        Rows, ascending: of every point that `projection.pixels` puts into these bounds at this
        depth or farther, and of some more. With distortion, or a matrix that is no rotation, all
        points in front of the camera.
    """
    slope = None if distortion.any() else _widest_slope(K, low, high)
    R, t = T_camera_from_lidar[:3, :3], T_camera_from_lidar[:3, 3]
    if slope is not None and (np.abs(R @ R.T - np.eye(3)) < 0.01).all():
        B = 1.0 + slope + (math.hypot(*t.tolist()) + _LEAST_M) / min_depth_m
        if B <= _MOST_B:
            a, b, c = K[0].tolist()
            left = _moved_plane((a, b, c - low[0]), B, T_camera_from_lidar)
            right = _moved_plane((-a, -b, high[0] - c), B, T_camera_from_lidar)
            return np.flatnonzero(_between(left, right, points))
    with np.errstate(invalid="ignore", over="ignore"):
        depth = projection.along(T_camera_from_lidar[2], points.astype(np.float64, copy=False))
    return np.flatnonzero(depth >= min_depth_m)


def _widest_slope(K: FloatArray, low: Sequence[float], high: Sequence[float]) -> float | None:
    """Return a bound of (|X| + |Y|) / Z over the image; None if the matrix has none."""
    fx, skew, cx = map(float, K[0])
    fy, cy = float(K[1, 1]), float(K[1, 2])
    if not (fx > 0.0 and fy > 0.0):
        return None
    y = max(abs(low[1] - cy), abs(high[1] - cy)) / fy
    return (max(abs(low[0] - cx), abs(high[0] - cx)) + abs(skew) * y) / fx + y


def _moved_plane(
    normal: tuple[float, float, float], B: float, T_camera_from_lidar: FloatArray
) -> FloatArray:
    """Return a plane, moved outwards, in the lidar frame: (4,), of a size that no sum overflows."""
    a, b, c = normal
    size = abs(a) + abs(b) + abs(c)
    moved = np.array([a, b, c + 2.0 * 16.0 * 2.0**-24 * B * size])
    row: FloatArray = (0.25 / size) * moved @ T_camera_from_lidar[:3]
    return row


def _between(
    left: FloatArray, right: FloatArray, points: npt.NDArray[projection.Real]
) -> npt.NDArray[np.bool_]:
    """Tell which points lie on the inner side of both planes."""
    sides: list[npt.NDArray[np.bool_]] = []
    total, term = np.empty_like(points[:2])  # for both: new arrays would take half of the time
    with np.errstate(invalid="ignore", over="ignore"):
        for x, y, z, one in (left.tolist(), right.tolist()):
            np.multiply(x, points[0], out=total)
            total += np.multiply(y, points[1], out=term)
            total += np.multiply(z, points[2], out=term)
            sides.append(total >= -one)
    inner, other = sides
    return inner & other
