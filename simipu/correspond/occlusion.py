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
regression on ray-cast worlds and slopes, other ones than those that the test is measured on:
those that `tests/benchmarks/occlusion_fit.py` prints.

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

# Vertical over horizontal distance of neighbouring samples: about 2.3 for 64 beams, 4 for 32.
ASPECT = 2.7
# Side of a grid cell in sample distances; each cell keeps its nearest sample.
CELL = 0.6
# Cells that are looked at on each side of a point's own.
REACH = 2
# Least step in nearness, as a share of the point's, and least shift, in sample distances, of what
# may cover a point at all: above range noise, ripples of a surface and the slant of level ground.
MIN_STEP = 0.07
MIN_SHIFT = 0.08
# Least step where the nearer samples are in the outermost cells only: most of these are the next
# row of one surface seen at a slant, and to look at all of them would take most of the time.
MIN_STEP_AFAR = 0.3
# A sample counts fully at the point and not at all at this many sample distances.
FAR = 1.2
# What a distance along the other axis counts for, where one axis is asked for.
OTHER_AXIS = 0.3
# Step in nearness of the samples that count as evidence by their quadrant.
QUADRANT_STEP = 0.15
# Shift, in sample distances, at which a term that falls with it is halved.
HALF_SHIFT = 0.05
# Shifts are kept from zero by this, in sample distances.
TINY = 0.02

WEIGHTS = (
    # Of every point.
    -1.09,
    # Closeness, as it counts across, of the closest sample that is nearer by QUADRANT_STEP, in the
    # upper left, upper right, lower left and lower right.
    -2.04, -1.36, 1.48, 1.23,
    # The same, as it counts up and down.
    2.10, 1.96, 0.03, 0.96,
    # Closeness, across, of the closest sample that is level with the point, by quadrant.
    -2.20, -0.80, 1.05, 0.99,
    # Sums of closeness, across times up and down, over the nearer and the level samples.
    1.58, -1.52,
    # Closeness, across, of the closest nearer sample that did not come past the point, and of the
    # closest that did; closeness times how far it came past.
    -0.52, -2.12, 2.01,
    # The same, up and down.
    0.12, 2.57, 1.25,
    # The very closest of the nearer samples: 1 / (1 + its shift / HALF_SHIFT); how far.
    -1.19, -0.61,
    # Logarithm of its shift to the right and down.
    1.08, -0.48,
    # Logarithm of the point's own shift to the right and down.
    -0.73, -0.15,
)  # fmt: skip


def visible(
    uv: npt.NDArray[np.float32], depth: npt.NDArray[np.float32], epipole: FloatArray
) -> npt.NDArray[np.bool_]:
    """Tell which points the camera sees.

    Args:
        uv: (M, 2) float32 pixels of all points of one sweep that lie in the image.
        depth: (M,) float32 metres along the optical axis, positive.
        epipole: (3,) float64 position of the LiDAR in the image, ``K @ t`` with t its position in
            the camera frame: homogeneous pixels, scaled so that the third component is in metres.
            (M, 3) where the points come from several lasers: for each point, that of its own.
            Lens distortion is left out; it hardly changes a shift.

    Returns:
        (M,) bool, False for points behind a nearer surface.
    """
    seen = np.ones(len(depth), dtype=np.bool_)
    if len(depth) == 0:
        return seen
    around = neighbourhood(uv, depth, epipole)
    score = np.full(len(around.points), WEIGHTS[0])
    # One by one: the sum is then the same in whatever order the points come.
    for weight, value in zip(WEIGHTS[1:], evidence(around), strict=True):
        score += weight * value
    seen[around.points[score > 0.0]] = False
    return seen


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Neighbourhood:
    """The C points that something may cover, and the P pairs of one of them with a sample near it.

    Only nearer and level samples are paired. Everything is mirrored so that nearer surfaces shift
    right and down. All but the indices are float64.

    Attributes:
        points: (C,) which of the points.
        shift_right: (C,) how far the point has shifted from infinity, in sample distances; a
            sample has shifted ``step`` times that further.
        shift_down: (C,) likewise.
        of: (P,) which of the C points.
        step: (P,) nearness of the sample over the point's own, less one: positive for nearer ones.
        right: (P,) place of the sample against the point's, in sample distances.
        down: (P,) likewise.
    """

    points: npt.NDArray[np.intp]
    shift_right: FloatArray
    shift_down: FloatArray
    of: npt.NDArray[np.intp]
    step: FloatArray
    right: FloatArray
    down: FloatArray


def neighbourhood(
    uv: npt.NDArray[np.float32], depth: npt.NDArray[np.float32], epipole: FloatArray
) -> Neighbourhood:
    """Find the points that may be covered, with the samples around.

    Arguments as those of `visible`, of one point or more.
    """
    u, v = np.ascontiguousarray(uv.T, dtype=np.float64)
    u0, v0, z = u.min(), v.min(), depth.astype(np.float64)
    spacing_u, spacing_v = sample_spacing(u, v)
    nearness = 1.0 / z
    # From infinity to the point's depth.
    shift_u = (epipole[..., 0] - u * epipole[..., 2]) * nearness / spacing_u
    shift_v = (epipole[..., 1] - v * epipole[..., 2]) * nearness / spacing_v
    x, y = (u - u0) / spacing_u, (v - v0) / spacing_v

    # The grid is kept flat, with a border of empty cells as far as the windows reach.
    i, j = (y / CELL).astype(np.intp) + REACH, (x / CELL).astype(np.intp) + REACH
    stride = int(j.max()) + REACH + 1
    cell = i * stride + j
    nearest = np.zeros((int(i.max()) + REACH + 1) * stride)  # nearness, 0 in empty cells
    np.maximum.at(nearest, cell, nearness)
    samples = np.flatnonzero(nearness == nearest[cell])
    its_cell = cell[samples]
    sample = np.empty(len(nearest), dtype=np.intp)
    sample[its_cell] = samples  # the last one stays
    if (sample[its_cell] != samples).any():
        # Of equally near ones always the same, in whatever order the points come.
        order = np.lexsort((u[samples], v[samples]))
        sample[its_cell[order]] = samples[order]

    # Maxima over 3 x 3 and 5 x 5 cells, indexed by the first.
    three = nearest
    for one in (1, stride):
        three = _longer(_longer(three, one), one)
    five = _longer(_longer(three, 2), 2 * stride)
    step_near = three[cell - (stride + 1)] * z - 1.0
    step = five[cell - 2 * (stride + 1)] * z - 1.0
    shift = np.maximum(np.abs(shift_u), np.abs(shift_v))
    points = np.flatnonzero(
        ((step_near > MIN_STEP) | (step > MIN_STEP_AFAR)) & (step * shift > MIN_SHIFT)
    )

    cells = np.arange(-REACH, REACH + 1)
    window = (cells[:, None] * stride + cells).ravel()
    around = cell[points][:, None] + window
    steps = nearest[around] * z[points][:, None] - 1.0
    paired = np.flatnonzero(steps >= -MIN_STEP)
    of = paired // len(window)
    its, other = points[of], sample[around.ravel()[paired]]
    shift_right, shift_down = shift_u[points], shift_v[points]
    return Neighbourhood(
        points=points,
        shift_right=np.abs(shift_right),
        shift_down=np.abs(shift_down),
        of=of,
        step=steps.ravel()[paired],
        right=(x[other] - x[its]) * np.where(shift_right < 0.0, -1.0, 1.0)[of],
        down=(y[other] - y[its]) * np.where(shift_down < 0.0, -1.0, 1.0)[of],
    )


def evidence(around: Neighbourhood) -> Iterator[FloatArray]:
    """Yield what speaks for and against each point being covered, (C,) float64 each.

    In the order of `WEIGHTS`, which says what each one is.
    """
    of, step, right, down = around.of, around.step, around.right, around.down
    count = len(around.points)
    aside, above = np.abs(right), np.abs(down)
    across, along = (
        np.maximum(0.0, 1.0 - (a + OTHER_AXIS * b) / FAR)
        for a, b in ((aside, above), (above, aside))
    )
    both = across * along
    quadrant = 2 * (2 * of + (down > 0.0)) + (right > 0.0)
    level = np.flatnonzero((step <= MIN_STEP) & (aside + above > 0.0))  # but not itself
    well_nearer = np.flatnonzero(step > QUADRANT_STEP)
    for closeness, kind in ((across, well_nearer), (along, well_nearer), (across, level)):
        yield from _largest(closeness[kind], quadrant[kind], count, 4)

    nearer = np.flatnonzero(step > MIN_STEP)
    for kind in (nearer, level):
        total = np.zeros(count)
        np.add.at(total, of[kind], both[kind])
        yield total

    of, step, across, along = of[nearer], step[nearer], across[nearer], along[nearer]
    # Along the shift: how far ahead of the point a sample is, and how much farther it came.
    length = np.hypot(around.shift_right, around.shift_down) + TINY
    ahead = (around.shift_right / length)[of] * right[nearer]
    ahead += (around.shift_down / length)[of] * down[nearer]
    past = step * length[of] - ahead
    came_past = 2 * of + (past > 0.0)
    how_far = np.clip(past, 0.0, 1.0)
    for closeness in (across, along):
        yield from _largest(closeness, came_past, count, 2)
        yield from _largest(closeness * how_far, of, count)

    distance = np.maximum(aside[nearer], above[nearer])
    least = np.full(count, np.inf)
    np.minimum.at(least, of, distance)
    closest = np.flatnonzero(distance == least[of])
    (its_step,) = _largest(step[closest], of[closest], count)
    shifts = around.shift_right, around.shift_down
    yield 1.0 / (1.0 + its_step * np.maximum(*shifts) / HALF_SHIFT)
    yield least
    for shift in shifts:
        yield np.log(its_step * shift + TINY)
    for shift in shifts:
        yield np.log(shift + TINY)


def _largest(
    values: FloatArray, group: npt.NDArray[np.intp], count: int, parts: int = 1
) -> FloatArray:
    """Return the largest of the values, 0 or more, of each group.

    Args:
        values: (P,) float64.
        group: (P,) less than ``count * parts``.
        count: C, the number of points.
        parts: groups of each point, one after the other.

    Returns:
        (parts, C) float64; 0 for groups without a value.
    """
    largest = np.zeros(count * parts)
    np.maximum.at(largest, group, values)
    return largest.reshape(count, parts).T


def _longer(windows: FloatArray, step: int) -> FloatArray:
    """Maxima over windows, each joined with the one ``step`` cells on."""
    return np.maximum(windows[:-step], windows[step:])


def sample_spacing(u: FloatArray, v: FloatArray) -> tuple[float, float]:
    """Estimate the distance between neighbouring samples.

    The number of points per block, over blocks of about 24 points, gives the area of a sample,
    `ASPECT` its shape. It is the number that half of the points have in their block at most.

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
    points = np.sort(np.bincount(row * (column.max() + 1) + column))
    points_per_block = points[np.searchsorted(np.cumsum(points), len(u) / 2)]
    horizontal = max(1.0, math.sqrt(block_area / points_per_block / ASPECT))
    return horizontal, ASPECT * horizontal
