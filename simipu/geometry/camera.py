"""The pinhole camera with Brown-Conrady distortion, in OpenCV's order k1 k2 p1 p2 k3.

Formulas: D. C. Brown, "Decentering distortion of lenses", 1966, as written in OpenCV's
documentation of ``calib3d``. Camera frame: x right, y down, z forward.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from simipu.records import FloatArray


def to_pixels(
    x: FloatArray, y: FloatArray, K: FloatArray, distortion: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Map directions to pixels.

    Args:
        x: (N,) float64 directions X / Z in the camera frame.
        y: (N,) float64 directions Y / Z in the camera frame.
        K: (3, 3) float64 pinhole matrix with last row 0 0 1.
        distortion: (5,) float64 coefficients k1 k2 p1 p2 k3; zeros for a rectified image.

    Returns:
        u, v: (N,) float64 pixels, integers at pixel centres; NaN beyond `max_radius`, where the
        distortion model would fold far directions back into the image.
    """
    if distortion.any():
        x, y = _distort(x, y, distortion)
    return K[0, 0] * x + K[0, 1] * y + K[0, 2], K[1, 1] * y + K[1, 2]


def max_radius(distortion: FloatArray) -> float:
    """Return the largest radius up to which the radial distortion is one-to-one.

    The distorted radius ``r (1 + k1 r^2 + k2 r^4 + k3 r^6)`` grows with r up to the first
    positive root of its derivative ``1 + 3 k1 s + 5 k2 s^2 + 7 k3 s^3`` in ``s = r^2``. Beyond it
    the polynomial says nothing about the lens.

    Args:
        distortion: (5,) float64 coefficients k1 k2 p1 p2 k3.

    Returns:
        The radius in units of the focal length (tangent of the angle to the optical axis);
        infinity if the distorted radius grows for ever.
    """
    k1, k2, _, _, k3 = distortion
    # In 1 / s the polynomial is monic: tiny coefficients do no harm to its roots.
    roots = np.roots([1.0, 3.0 * k1, 5.0 * k2, 7.0 * k3])
    inverse_squares = roots.real[np.isreal(roots) & (roots.real > 0.0)]
    return math.sqrt(1.0 / float(inverse_squares.max())) if inverse_squares.size else math.inf


def _distort(x: FloatArray, y: FloatArray, distortion: FloatArray) -> tuple[FloatArray, FloatArray]:
    k1, k2, p1, p2, k3 = distortion
    xx, xy, yy = x * x, x * y, y * y
    s = xx + yy
    limit = max_radius(distortion)
    s[s > limit * limit] = np.nan
    radial = 1.0 + s * (k1 + s * (k2 + s * k3))
    return (
        x * radial + 2.0 * p1 * xy + p2 * (s + 2.0 * xx),
        y * radial + p1 * (s + 2.0 * yy) + 2.0 * p2 * xy,
    )
