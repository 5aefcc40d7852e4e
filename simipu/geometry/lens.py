"""From directions to pixels and back, for lenses that need to be known outside of the image too."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simipu.errors import UsageError
from simipu.geometry import camera

if TYPE_CHECKING:
    from simipu.records import FloatArray

SMALLEST_DEPTH_M = 1e-3

_UNDISTORT_STEPS = 100
_WIDEST = 1e3
"""Directions farther than this many focal lengths from the axis are in no image."""


@dataclass(frozen=True, slots=True, eq=False)
class Lens:
    """A camera, without a place.

    Attributes:
        K: (3, 3) float64 pinhole matrix.
        distortion: (5,) float64 Brown coefficients k1 k2 p1 p2 k3.
        max_radius: see `camera.max_radius`.
        width, height: of the image in pixels.
    """

    K: FloatArray
    distortion: FloatArray
    max_radius: float
    width: int
    height: int

    def directions(
        self, x: FloatArray, y: FloatArray, z: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return x / z and y / z of points, continuous everywhere.

        A point beside the camera or behind it is put at a very small depth, and a direction beyond
        `max_radius` on the border of that field.
        """
        z = np.maximum(z, SMALLEST_DEPTH_M)
        x, y = x / z, y / z
        if self.max_radius < math.inf:
            beyond = np.sqrt(x * x + y * y) * ((1.0 + 1e-12) / self.max_radius)
            np.maximum(beyond, 1.0, out=beyond)
            x, y = x / beyond, y / beyond
        return x, y

    def pixels_and_directions(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, ...]:
        """Return u, v, x, y."""
        return (*camera.to_pixels(x, y, self.K, self.distortion), x, y)

    def undistorted(self, u: float, v: float) -> FloatArray:
        """Return the direction (x, y) of a pixel, by fixed-point iteration.

        Raises:
            UsageError: there is none.
        """
        k1, k2, p1, p2, k3 = self.distortion
        bent = np.linalg.inv(self.K)[:2] @ [u, v, 1.0]
        x, y = bent
        for _ in range(_UNDISTORT_STEPS):
            s = x * x + y * y
            radial = 1.0 + s * (k1 + s * (k2 + s * k3))
            aside = 2.0 * p1 * x * y + p2 * (s + 2.0 * x * x)
            aslant = p1 * (s + 2.0 * y * y) + 2.0 * p2 * x * y
            x, y = (bent - [aside, aslant]) / radial
        back = camera.to_pixels(np.array([x]), np.array([y]), self.K, self.distortion)
        if not np.allclose(np.ravel(back), [u, v], rtol=0.0, atol=1e-6):
            raise UsageError(
                f"the lens has no direction for the pixel ({u}, {v}): its distortion is "
                f"{self.distortion.tolist()}",
                fix='Use the timing "pixels", which needs none.',
            )
        return np.array([x, y])

    def field(self) -> float:
        """Return a radius, in focal lengths, beyond which no direction is in the image.

        Tangential distortion moves a direction of radius r by at most ``3 (|p1| + |p2|) r^2``.
        """
        ends = [[u, v, 1.0] for u in (-0.5, self.width - 0.5) for v in (-0.5, self.height - 0.5)]
        farthest = np.linalg.norm(np.array(ends) @ np.linalg.inv(self.K)[:2].T, axis=1).max()
        k1, k2, p1, p2, k3 = self.distortion
        r = np.geomspace(1e-2 * farthest, max(farthest, min(self.max_radius, _WIDEST)), 4096)
        s = r * r
        least = r * (1.0 + s * (k1 + s * (k2 + s * k3))) - 3.0 * (abs(p1) + abs(p2)) * s
        possible = np.flatnonzero(least <= farthest)
        return float(r[min(possible[-1] + 1, len(r) - 1)])
