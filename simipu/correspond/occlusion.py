"""Which projected LiDAR points lie behind a nearer surface, as seen from the camera.

LiDAR and camera stand apart, so a near surface shifts in the image against what lies behind it
and may cover points that the LiDAR sees past its edge. A plain z-buffer answers this badly:
the samples are too sparse to fill a surface, and a window wide enough to fill it flags every
sloping road. The test here uses four facts:

* Along one LiDAR ray, the pixel moves in proportion to inverse depth, towards or away from the
  epipole. A point can only be covered from the side that nearer surfaces come from, and only if
  the shift between the two depths is a fair part of the distance between neighbouring samples:
  otherwise the LiDAR, which sees the point, would have had to see the surface in front of it.
  This spares roads and facades seen at a slant: their neighbouring samples hardly shift.
* A surface that covers a point has samples on both flanks of it on that side: nearer points below
  left and below right cover it, below left alone is an edge beside it.
* A covered point lies among the samples of what covers it, so one of them is right beside it. On
  one surface seen at a slant the next nearer sample is a whole sample distance away.
* How far to look follows from the density of the samples, so that the same rule serves 32 and 64
  beams and any image size.

Cost: linear in the points and in the grid's cells, of which there are fewer than pixels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from simipu.records import FloatArray

# Vertical over horizontal distance of neighbouring samples: about 2.3 for 64 beams, 4 for 32.
ASPECT = 2.7
# Size of a grid cell in sample distances; the windows on the flanks span 2 x 2 and 2 x 3 cells.
FLANK_CELL = (1.4, 0.55)
# Likewise; the window around a point spans 5 x 5 cells: 0.8 to 1.2 sample distances to each side
# across, 0.5 to 0.8 up and down. Level ground shifts by the camera's drop below the LiDAR over the
# LiDAR's height, 0.05 to 0.2 sample distances, which must leave the next row of it outside.
BESIDE_CELL = (0.4, 0.26)
# Least shift, in sample distances, between a point and the surface that covers it.
MIN_SHIFT = 0.08
# Least step in depth, relative to the nearer surface: above range noise and ripples of a surface.
MIN_STEP = 0.07
# The same for the sample that is right beside the point.
MIN_STEP_BESIDE = 0.1


def visible(
    uv: npt.NDArray[np.float32], depth: npt.NDArray[np.float32], epipole: FloatArray
) -> npt.NDArray[np.bool_]:
    """Tell which points the camera sees.

    Args:
        uv: (M, 2) float32 pixels of all points of one sweep that lie in the image.
        depth: (M,) float32 metres along the optical axis, positive.
        epipole: (3,) float64 position of the LiDAR in the image, ``K @ t`` with t the translation
            of ``T_camera_from_lidar``: homogeneous pixels, scaled so that the third component
            is in metres. Lens distortion is left out; it hardly changes a shift.

    Returns:
        (M,) bool, False for points behind a nearer surface.
    """
    if len(depth) == 0:
        return np.ones(0, dtype=np.bool_)
    u, v = np.ascontiguousarray(uv.T, dtype=np.float64)
    spacing_u, spacing_v = sample_spacing(u, v)
    # Shift of a point per unit of inverse depth, in sample distances.
    shift_u = (epipole[0] - u * epipole[2]) / spacing_u
    shift_v = (epipole[1] - v * epipole[2]) / spacing_v
    nearness = 1.0 / depth.astype(np.float64)

    column, row = u / spacing_u, v / spacing_v
    grid = _Grid(column, row, nearness, FLANK_CELL)
    # Indexed by the top left cell of the window.
    two_columns = _longer(grid.nearest, 1)
    two_rows = _longer(two_columns, grid.stride)
    three_rows = _longer(two_rows, grid.stride)
    # Each side is covered as far as its worse flank.
    below_or_above = np.where(shift_v < 0.0, grid.cell, grid.cell - grid.stride)
    surface_v = np.minimum(two_rows[below_or_above - 1], two_rows[below_or_above])
    left_or_right = np.where(shift_u > 0.0, grid.cell - 1, grid.cell)
    surface_u = np.minimum(three_rows[left_or_right - 2 * grid.stride], three_rows[left_or_right])

    hidden = np.zeros(len(depth), dtype=np.bool_)
    for surface, shift in ((surface_u, shift_u), (surface_v, shift_v)):
        step = surface - nearness
        hidden |= (step > MIN_STEP * nearness) & (step * np.abs(shift) > MIN_SHIFT)
    hidden &= _nearest_around(column, row, nearness) > (1.0 + MIN_STEP_BESIDE) * nearness
    return ~hidden


class _Grid:
    """The largest nearness in each cell of a grid over the samples.

    It is kept flat, with a border of two empty cells, as far as the windows reach: a window's
    maximum over all cells is then the maximum of shifted copies.

    Attributes:
        nearest: flat cells.
        stride: cells in a row.
        cell: (M,) the cell of each sample.
    """

    def __init__(
        self,
        column: FloatArray,
        row: FloatArray,
        nearness: FloatArray,
        size: tuple[float, float],
    ) -> None:
        i = ((row - row.min()) / size[1]).astype(np.intp)
        j = ((column - column.min()) / size[0]).astype(np.intp)
        self.stride = int(j.max()) + 5
        self.cell = (i + 2) * self.stride + j + 2
        self.nearest = np.zeros((int(i.max()) + 5) * self.stride)
        np.maximum.at(self.nearest, self.cell, nearness)


def _longer(windows: FloatArray, step: int) -> FloatArray:
    """Maxima over windows, each joined with the one ``step`` cells on."""
    return np.maximum(windows[:-step], windows[step:])


def _nearest_around(column: FloatArray, row: FloatArray, nearness: FloatArray) -> FloatArray:
    """Return the (M,) largest nearness among the samples right beside each one, and its own."""
    grid = _Grid(column, row, nearness, BESIDE_CELL)
    windows = grid.nearest
    for stride in (1, grid.stride):  # five cells each way, indexed by the first
        three = _longer(_longer(windows, stride), stride)
        windows = _longer(three, 2 * stride)
    around: FloatArray = windows[grid.cell - 2 * grid.stride - 2]
    return around


def sample_spacing(u: FloatArray, v: FloatArray) -> tuple[float, float]:
    """Estimate the distance between neighbouring samples.

    The median number of points per block, over blocks of about 24 points, gives the area of a
    sample, `ASPECT` its shape.

    Args:
        u: (M,) float64 pixels, M > 0.
        v: (M,) float64 pixels.

    Returns:
        Horizontal and vertical distance in pixels, at least 1 and `ASPECT`.
    """
    u, v = u - u.min(), v - v.min()
    block_area = 24.0 * (u.max() + 1.0) * (v.max() + 1.0) / len(u)
    block_px = math.sqrt(block_area)
    column, row = (u / block_px).astype(np.intp), (v / block_px).astype(np.intp)
    block = row * (column.max() + 1) + column
    points_per_block = np.median(np.bincount(block)[block])
    horizontal = max(1.0, math.sqrt(block_area / points_per_block / ASPECT))
    return horizontal, ASPECT * horizontal
