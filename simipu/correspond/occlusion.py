"""Which projected LiDAR points lie behind a nearer surface, as seen from the camera.

LiDAR and camera stand apart, so a near surface shifts in the image against what lies behind it
and may cover points that the LiDAR sees past its edge. A plain z-buffer answers this badly:
the samples are too sparse to fill a surface, and a window wide enough to fill it flags every
sloping road. Whether the surface between and beyond a few samples covers a point is a guess; the
test here adds up the evidence for it. It rests on these facts:

* A surface that covers a point has samples close around it, in more than one quadrant: nearer
  points below left and below right cover it, below left alone is an edge beside it.
* Along one LiDAR ray, the pixel moves in proportion to inverse depth, towards or away from the
  epipole: nearer surfaces all come from one side, and it is known how far. The LiDAR sees the
  point, so what covers it has come from that side at least up to it. A nearer sample that still
  lay beyond the point before the shift belongs to a surface that moves away from it. This spares
  roads and facades seen at a slant: their neighbouring samples hardly shift.
* The more of the samples around are nearer, and the fewer are level with the point, the less of
  its own surface shows.
* Distances count in distances between neighbouring samples, estimated from their density, so
  that the same rule serves 32 and 64 beams and any image size.

Each piece of evidence is a number between 0 and a few; they are added with the weights of
`WEIGHTS`, and a point is hidden if the sum is positive. The weights are those of a logistic
regression on ray-cast worlds and slopes, other ones than those that the test is measured on;
`tests/benchmarks/occlusion_fit.py` fits such weights.

Cost: linear in the points and in the grid's cells, of which there are fewer than pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simipu.records import FloatArray

    _Array32 = npt.NDArray[np.float32]

# Vertical over horizontal distance of neighbouring samples: about 2.3 for 64 beams, 4 for 32.
ASPECT = 2.7
# Side of a grid cell in sample distances; each cell keeps its nearest sample.
CELL = 0.45
# Cells that are looked at on each side of a point's own.
REACH = 3
# So many points at a time, so that what is worked on stays in the processor's cache.
CHUNK = 1024
# Least step in nearness, as a share of the point's, and least shift, in sample distances, of what
# may cover a point at all: above range noise, ripples of a surface and the slant of level ground.
MIN_STEP = 0.05
MIN_SHIFT = 0.08
# Least step where the nearer sample is in the outermost cells: most of these are the next row of
# one surface seen at a slant, and to look at all of them would take most of the time.
MIN_STEP_AFAR = 0.5
# A sample counts fully at the point and not at all at this many sample distances.
FAR = 1.2
# What a distance along the other axis counts for, where one axis is asked for.
OTHER_AXIS = 0.3
# Step in nearness of the samples that count as evidence by their quadrant.
QUADRANT_STEP = 0.15
# No larger step, and no larger distance in sample distances, makes a difference.
MOST_STEP = 3.0
FARTHEST = 1.8
# Shift, in sample distances, at which a term that falls with it is halved.
HALF_SHIFT = 0.05
# Shifts are kept from zero by this, in sample distances.
TINY = 0.02

WEIGHTS = (
    # Of every point.
    -2.10,
    # Closeness, as it counts across, of the closest sample that is nearer by QUADRANT_STEP, in the
    # upper left, upper right, lower left and lower right.
    -1.92, -1.55, 1.84, 0.93,
    # The same, as it counts up and down.
    2.59, 2.73, 0.24, 1.06,
    # Closeness, across, of the closest sample that is level with the point, by quadrant.
    -2.70, -0.93, 1.98, 1.63,
    # Closeness, across, of the closest nearer sample that came past the point; that came past and
    # lies beyond it; that did not come past; and closeness times how far it came past.
    -2.91, -0.47, 0.21, 2.23,
    # The same, up and down.
    3.02, 0.86, 0.31, 2.30,
    # Sums of closeness over the nearer, the level and the farther samples.
    1.81, -2.69, -0.09,
    # The very closest of the nearer samples: its step; 1 / (1 + its shift / HALF_SHIFT); how far.
    0.41, -1.93, -0.76,
    # Logarithm of its shift to the right and down.
    1.63, -1.32,
    # Logarithm of the point's own shift to the right and down.
    -1.20, 0.35,
)  # fmt: skip


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
    seen = np.ones(len(depth), dtype=np.bool_)
    for around in neighbourhoods(uv, depth, epipole):
        score = np.full(len(around.points), np.float32(WEIGHTS[0]))
        # One by one: the sum is then the same in whatever order the points come.
        for weight, value in zip(WEIGHTS[1:], evidence(around), strict=True):
            score += np.float32(weight) * value
        seen[around.points[score > 0.0]] = False
    return seen


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Neighbourhood:
    """The C points that something may cover, each with the K x K cells around it.

    Everything is mirrored so that nearer surfaces shift right and down. All float32.

    Attributes:
        points: (C,) which of the points.
        step: (K, K, C) nearness of a cell's sample over the point's own, less one: positive
            for nearer samples, -1 for empty cells.
        right: (K, K, C) place of the sample against the point's, in sample distances.
        down: (K, K, C) likewise.
        shift_right: (C,) how far the point has shifted from infinity, in sample distances; a
            sample has shifted ``step`` times that further.
        shift_down: (C,) likewise.
    """

    points: npt.NDArray[np.intp]
    step: _Array32
    right: _Array32
    down: _Array32
    shift_right: _Array32
    shift_down: _Array32


def neighbourhoods(
    uv: npt.NDArray[np.float32], depth: npt.NDArray[np.float32], epipole: FloatArray
) -> Iterator[Neighbourhood]:
    """Yield the points that may be covered, some at a time, with the samples around.

    Arguments as those of `visible`.
    """
    if len(depth) == 0:
        return
    u, v = np.ascontiguousarray(uv.T, dtype=np.float64)
    spacing_u, spacing_v = sample_spacing(u, v)
    nearness = 1.0 / depth.astype(np.float64)
    # From infinity to the point's depth.
    shift_u = (epipole[0] - u * epipole[2]) * nearness / spacing_u
    shift_v = (epipole[1] - v * epipole[2]) * nearness / spacing_v
    x, y = (u - u.min()) / spacing_u, (v - v.min()) / spacing_v

    i, j = (y / CELL).astype(np.intp) + REACH, (x / CELL).astype(np.intp) + REACH
    stride = int(j.max()) + REACH + 1
    cell = i * stride + j
    # The grid is kept flat, with a border of empty cells as far as the windows reach.
    nearest = np.full((int(i.max()) + REACH + 1) * stride, len(depth))
    order = np.argsort(nearness, kind="stable")
    nearest[cell[order]] = order  # the last one stays
    # The last element stands for empty cells.
    near32, x32, y32 = (np.append(a, 0.0).astype(np.float32) for a in (nearness, x, y))

    five = seven = near32[nearest]
    for one in (1, stride):  # maxima over 5 x 5 and 7 x 7 cells, indexed by the first
        five = _longer(_longer(_longer(five, one), one), 2 * one)
        seven = _longer(_longer(_longer(seven, one), 2 * one), 3 * one)
    step_near = five[cell - 2 * (stride + 1)] / near32[:-1] - np.float32(1.0)
    step = seven[cell - 3 * (stride + 1)] / near32[:-1] - np.float32(1.0)
    shift = np.maximum(np.abs(shift_u), np.abs(shift_v))
    candidates = np.flatnonzero(
        ((step_near > MIN_STEP) | (step > MIN_STEP_AFAR)) & (step * shift > MIN_SHIFT)
    )

    cells = np.arange(-REACH, REACH + 1)
    for first in range(0, len(candidates), CHUNK):
        points = candidates[first : first + CHUNK]
        to_right = np.where(shift_u[points] < 0.0, -1, 1)
        to_bottom = np.where(shift_v[points] < 0.0, -1, 1)
        columns = cell[points] + cells[:, None] * to_right
        other = nearest[columns + (cells[:, None] * (stride * to_bottom))[:, None]]
        yield Neighbourhood(
            points=points,
            step=near32[other] / near32[points] - np.float32(1.0),
            right=(x32[other] - x32[points]) * to_right.astype(np.float32),
            down=(y32[other] - y32[points]) * to_bottom.astype(np.float32),
            shift_right=np.abs(shift_u[points]).astype(np.float32),
            shift_down=np.abs(shift_v[points]).astype(np.float32),
        )


def evidence(around: Neighbourhood) -> Iterator[_Array32]:
    """Yield what speaks for and against each point being covered, (C,) float32 each.

    In the order of `WEIGHTS`, which says what each one is.
    """
    step, right, down = around.step, around.right, around.down
    aside, above = np.abs(right), np.abs(down)
    close = [
        np.maximum(0.0, 1.0 - (a + np.float32(OTHER_AXIS) * b) / np.float32(FAR))
        for a, b in ((aside, above), (above, aside))
    ]
    nearer = step > np.float32(MIN_STEP)
    level = (np.abs(step) <= np.float32(MIN_STEP)) & (aside + above > 0.0)  # but not itself
    farther = (step < -np.float32(MIN_STEP)) & (step > -1.0)
    well_nearer = step > np.float32(QUADRANT_STEP)
    for closeness, kind in ((close[0], well_nearer), (close[1], well_nearer), (close[0], level)):
        yield from _largest_by_quadrant(closeness * kind, right <= 0.0, down <= 0.0)

    # Along the shift: how far ahead of the point a sample is, and how much farther it came.
    length = np.hypot(around.shift_right, around.shift_down) + np.float32(TINY)
    ahead = (around.shift_right / length) * right + (around.shift_down / length) * down
    past = step * length - ahead
    came_past = nearer & (past > 0.0)
    kinds = came_past, came_past & (ahead > 0.0), nearer & ~came_past
    how_far = np.minimum(past, np.float32(1.0)) * came_past
    for closeness in close:
        for kind in (*kinds, how_far):
            yield _largest(closeness * kind)

    both = close[0] * close[1]
    for kind in (nearer, level, farther):
        yield (both * kind).sum(axis=(0, 1))

    distance = np.where(nearer, np.maximum(aside, above), np.float32(FARTHEST))
    least = distance.min(axis=(0, 1))
    its_step = np.maximum(_largest(step * (distance <= least)), np.float32(MIN_STEP))
    shifts = around.shift_right, around.shift_down
    yield np.minimum(its_step, np.float32(MOST_STEP))
    yield 1.0 / (1.0 + np.float32(1.0 / HALF_SHIFT) * its_step * np.maximum(*shifts))
    yield least
    for factor in (its_step, np.float32(1.0)):
        for shift in shifts:
            yield np.log(factor * shift + np.float32(TINY))


def _largest_by_quadrant(
    values: _Array32, left: npt.NDArray[np.bool_], upper: npt.NDArray[np.bool_]
) -> Iterator[_Array32]:
    """Yield the largest of (K, K, C) values, 0 or more, in the four quadrants."""
    first, last = slice(0, REACH + 1), slice(REACH, None)  # the middle belongs to both
    for rows, is_row in ((first, upper), (last, ~upper)):
        half = values[rows] * is_row[rows]
        for columns, is_column in ((first, left), (last, ~left)):
            yield _largest(half[:, columns] * is_column[rows, columns])


def _largest(values: _Array32) -> _Array32:
    largest: _Array32 = values.max(axis=(0, 1), initial=np.float32(0.0))
    return largest


def _longer(windows: FloatArray, step: int) -> FloatArray:
    """Maxima over windows, each joined with the one ``step`` cells on."""
    return np.maximum(windows[:-step], windows[step:])


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
