"""Rigid transforms ``T_dst_from_src``: (4, 4) float64 acting on column vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from simipu.records import FloatArray


def apply(T_dst_from_src: FloatArray, xyz: npt.ArrayLike) -> FloatArray:
    """Transform points.

    Args:
        T_dst_from_src: (4, 4) float64.
        xyz: (N, 3) points in the src frame, of any real dtype.

    Returns:
        (N, 3) float64 points in the dst frame.
    """
    points = np.asarray(xyz, dtype=np.float64)
    moved: FloatArray = points @ T_dst_from_src[:3, :3].T + T_dst_from_src[:3, 3]
    return moved


def invert(T_dst_from_src: FloatArray) -> FloatArray:
    """Return ``T_src_from_dst``, (4, 4) float64, of a rigid ``T_dst_from_src``.

    The rotation is transposed, not inverted: the result is only as good an inverse as the
    rotation is orthonormal (see `is_rigid`).
    """
    R_src_from_dst = T_dst_from_src[:3, :3].T
    T_src_from_dst = np.eye(4)
    T_src_from_dst[:3, :3] = R_src_from_dst
    T_src_from_dst[:3, 3] = -R_src_from_dst @ T_dst_from_src[:3, 3]
    return T_src_from_dst


def is_rigid(T: npt.ArrayLike, *, tolerance: float = 1e-5) -> bool:
    """Tell whether a matrix is a rotation and a translation.

    Args:
        T: (4, 4) matrix.
        tolerance: largest deviation allowed in any entry of ``R @ R.T - I``; calibration files
            with seven printed digits need about 1e-6.

    Returns:
        True if T is (4, 4), finite, ends in the row 0 0 0 1, and its rotation is orthonormal
        within the tolerance and keeps handedness (determinant +1, not -1).
    """
    matrix = np.asarray(T, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        return False
    R = matrix[:3, :3]
    return bool(
        np.array_equal(matrix[3], [0.0, 0.0, 0.0, 1.0])
        and np.abs(R @ R.T - np.eye(3)).max() <= tolerance
        and np.linalg.det(R) > 0
    )
