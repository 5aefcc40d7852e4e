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
a rule, and a point is hidden if the sum is positive. There is one rule for LiDARs beside the
camera, and one for those that stand apart. The weights are those of a logistic regression on
ray-cast worlds and slopes, other ones than those that the test is measured on.

Cost: linear in the points and in the grid's cells, of which there are fewer than pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .occlusion_rules import AMONG, APART, BESIDE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simipu.records import FloatArray

    from .occlusion_rules import Rule

# Vertical over horizontal distance of neighbouring samples: about 2.3 for 64 beams, 4 for 32.
ASPECT = 2.7
# Side of a grid cell in sample distances; each cell keeps its nearest sample.
CELL = 0.6
# Cells that are looked at on each side of a point's own.
REACH = 2
# Least shift, in sample distances, of what may cover a point at all.
MIN_SHIFT = 0.08
# A sample counts fully at the point and not at all at this many sample distances.
FAR = 1.2
# What a distance along the other axis counts for, where one axis is asked for.
OTHER_AXIS = 0.3
# Shift, in sample distances, at which a term that falls with it is halved.
HALF_SHIFT = 0.05
# Shifts are kept from zero by this, in sample distances.
TINY = 0.02


def visible(
    uv: npt.NDArray[np.float32],
    depth: npt.NDArray[np.float32],
    epipole: FloatArray,
    is_apart: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.bool_]:
    """Tell which points the camera sees.

    Args:
        uv: (M, 2) float32 pixels of all points of one sweep that lie in the image.
        depth: (M,) float32 metres along the optical axis, positive.
        epipole: (3,) float64 position of the LiDAR in the image, ``K @ t`` with t its position in
            the camera frame: homogeneous pixels, scaled so that the third component is in metres.
            (M, 3) where the points come from several lasers: for each point, that of its own.
            Lens distortion is left out; it hardly changes a shift.
        is_apart: for a cloud of several lasers, (M,) whether a point comes from one that stands
            apart from the camera, by more than `APART_M`; None for a cloud of one.

    Returns:
        (M,) bool, False for points behind a nearer surface.
    """
    seen = np.ones(len(depth), dtype=np.bool_)
    if len(depth) == 0:
        return seen
    grid = grid_of(uv, depth, epipole)
    parts = [(BESIDE, None)] if is_apart is None else [(AMONG, ~is_apart), (APART, is_apart)]
    for rule, of_rule in parts:
        around = neighbourhood(grid, rule, of_rule)
        score = np.full(len(around.points), rule.weights[0])
        # One by one: the sum is then the same in whatever order the points come.
        for weight, value in zip(rule.weights[1:], evidence(around, rule), strict=True):
            score += weight * value
        seen[around.points[score > 0.0]] = False
    return seen


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Grid:
    """All M points, and the nearest of each cell: the samples.

    Cells are kept flat, with a border of empty ones as far as the windows reach.

    Attributes:
        x: (M,) float64 place across, in sample distances.
        y: (M,) likewise, up and down.
        z: (M,) float64 depth.
        shift_u: (M,) float64 how far the point has shifted from infinity, in sample distances.
        shift_v: (M,) likewise.
        cell: (M,) the point's cell.
        stride: cells in a row.
        nearest: nearness of the sample of each cell, 0 in empty ones.
        sample: index of the sample of each cell; anything in empty ones.
        step_near: (M,) float64 largest step in nearness of a sample within 3 x 3 cells.
        step: (M,) likewise within 5 x 5 cells.
    """

    x: FloatArray
    y: FloatArray
    z: FloatArray
    shift_u: FloatArray
    shift_v: FloatArray
    cell: npt.NDArray[np.intp]
    stride: int
    nearest: FloatArray
    sample: npt.NDArray[np.intp]
    step_near: FloatArray
    step: FloatArray


def grid_of(
    uv: npt.NDArray[np.float32], depth: npt.NDArray[np.float32], epipole: FloatArray
) -> Grid:
    """Lay the points out in cells. Arguments as those of `visible`, of one point or more."""
    u, v = np.ascontiguousarray(uv.T, dtype=np.float64)
    u0, v0, z = u.min(), v.min(), depth.astype(np.float64)
    spacing_u, spacing_v = sample_spacing(u, v)
    nearness = 1.0 / z
    # From infinity to the point's depth.
    shift_u = (epipole[..., 0] - u * epipole[..., 2]) * nearness / spacing_u
    shift_v = (epipole[..., 1] - v * epipole[..., 2]) * nearness / spacing_v
    x, y = (u - u0) / spacing_u, (v - v0) / spacing_v

    i, j = (y / CELL).astype(np.intp) + REACH, (x / CELL).astype(np.intp) + REACH
    stride = int(j.max()) + REACH + 1
    cell = i * stride + j
    nearest = np.zeros((int(i.max()) + REACH + 1) * stride)
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
    return Grid(
        x=x,
        y=y,
        z=z,
        shift_u=shift_u,
        shift_v=shift_v,
        cell=cell,
        stride=stride,
        nearest=nearest,
        sample=sample,
        step_near=three[cell - (stride + 1)] * z - 1.0,
        step=five[cell - 2 * (stride + 1)] * z - 1.0,
    )


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
    grid: Grid, rule: Rule, of_rule: npt.NDArray[np.bool_] | None = None
) -> Neighbourhood:
    """Find the points that may be covered, with the samples around.

    Args:
        grid: of all points; samples of any laser may cover any point.
        rule: by which the points are judged.
        of_rule: (M,) which of them are; None for all.
    """
    shift = np.maximum(np.abs(grid.shift_u), np.abs(grid.shift_v))
    may_cover = (grid.step_near > rule.min_step) | (grid.step > rule.min_step_afar)
    may_cover &= grid.step * shift > MIN_SHIFT
    points = np.flatnonzero(may_cover if of_rule is None else may_cover & of_rule)

    cells = np.arange(-REACH, REACH + 1)
    window = (cells[:, None] * grid.stride + cells).ravel()
    around = grid.cell[points][:, None] + window
    steps = grid.nearest[around] * grid.z[points][:, None] - 1.0
    paired = np.flatnonzero(steps >= -rule.min_step)
    of = paired // len(window)
    its, other = points[of], grid.sample[around.ravel()[paired]]
    shift_right, shift_down = grid.shift_u[points], grid.shift_v[points]
    return Neighbourhood(
        points=points,
        shift_right=np.abs(shift_right),
        shift_down=np.abs(shift_down),
        of=of,
        step=steps.ravel()[paired],
        right=(grid.x[other] - grid.x[its]) * np.where(shift_right < 0.0, -1.0, 1.0)[of],
        down=(grid.y[other] - grid.y[its]) * np.where(shift_down < 0.0, -1.0, 1.0)[of],
    )


def evidence(around: Neighbourhood, rule: Rule) -> Iterator[FloatArray]:
    """Yield what speaks for and against each point being covered, (C,) float64 each.

    In the order of the weights of a `Rule`, which says what each one is.
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
    level = np.flatnonzero((step <= rule.min_step) & (aside + above > 0.0))  # but not itself
    well_nearer = np.flatnonzero(step > rule.quadrant_step)
    for closeness, kind in ((across, well_nearer), (along, well_nearer), (across, level)):
        yield from _largest(closeness[kind], quadrant[kind], count, 4)

    nearer = np.flatnonzero(step > rule.min_step)
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
