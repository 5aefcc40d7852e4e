"""Where a LiDAR sees a surface or a colour end: there the image should have an edge too.

A LiDAR measures only along its beams. What it sees end lies somewhere between the last return on
it and the next beam, so an edge is the segment between the two places, not a point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from simipu.records import Correspondences, FloatArray
    from simipu.store.views import PointCloud

LINE_COLUMNS = ("ring", "ring_index", "range_row")
JUMP_M, JUMP_SHARE, JUMP_STEPS = 0.5, 0.05, 3.0
MOST_GAP_STEPS, LEAST_HOLE_STEPS = 4.0, 6.0
LEVEL_M, LEVEL_SHARE = 0.3, 0.02
MARK_RANKS = 0.35
"""Share of an image's returns whose intensities lie between those on both sides of a mark."""

IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Edges(NamedTuple):
    """What ends in one image, as segments: [:, 0] is the last place on it, [:, 1] the next beam.

    Attributes:
        side: (M, 2, 2) float64 pixels: surfaces and marks that end to the left or right.
        top: (M, 2, 2) float64 pixels: surfaces that end upwards.
    """

    side: FloatArray
    top: FloatArray


class _Returns(NamedTuple):
    """Visible returns of an image, by scan line and from left to right."""

    uv: FloatArray
    depth: FloatArray
    line: IntArray
    rank: FloatArray  # of their intensity, from 0 to 1
    reach: float  # farthest that neighbours are apart along a line, in pixels


def scan_lines(points: PointCloud) -> IntArray | None:
    """Number the scan lines of a cloud.

    They come from a column that names them, else from files that hold one line after another, as
    KITTI's do: there a line ends where the azimuth jumps by more than half a turn.

    Returns:
        (N,) int64, neighbours in numbers being neighbours in space; None where none are found.
    """
    for name in LINE_COLUMNS:
        if name in points.columns:
            line = points[name].astype(np.int64)
            if "laser" in points.columns:  # each has lines of its own
                line += 1000 * points["laser"].astype(np.int64)
            return line
    jump = np.abs(np.diff(np.arctan2(points["y"], points["x"]))) > np.pi
    line = np.concatenate([[0], np.cumsum(jump)]).astype(np.int64)[: len(points)]
    # Points in any other order jump all the time, or never.
    return line if len(points) and 4 <= line[-1] < min(len(points) / 20, 300) else None


def find_edges(
    pairs: Correspondences, line: IntArray, intensity: npt.NDArray[np.generic] | None = None
) -> Edges:
    """Find where surfaces end, and along scan lines also where their intensity changes.

    The next beam's place is a step away from the last return, as the one before it is: what was
    measured beyond is shifted by parallax. Surfaces that end downwards are left out: under
    cars and crowns the image has its edges at shadows.

    Args:
        pairs: the correspondences of one image.
        line: (N,) scan line of every point of the cloud.
        intensity: (N,) of every point; None where the source has none.
    """
    keep = np.flatnonzero(pairs.visible)
    row = pairs.row[keep]
    order = np.lexsort((pairs.uv[keep, 0], line[row]))
    keep, row = keep[order], row[order]
    if len(keep) < 5:
        return Edges(np.empty((0, 2, 2)), np.empty((0, 2, 2)))
    uv = pairs.uv[keep].astype(np.float64)
    rank = np.zeros(len(keep))
    if intensity is not None:
        # Scales differ between data sets, and some have no bound: only the order is used.
        rank[np.argsort(intensity[row], kind="stable")] = np.arange(len(keep)) / len(keep)
    reach = MOST_GAP_STEPS * max(float(np.median(np.diff(uv[:, 0]))), 1.0)
    returns = _Returns(uv, pairs.depth[keep].astype(np.float64), line[row], rank, reach)
    sides = [_sides(returns, 1), _sides(returns, -1), _marks(returns)]
    return Edges(np.concatenate(sides), _tops(returns))


def _sides(returns: _Returns, after: int) -> FloatArray:
    """Where along a line the depth jumps away, or returns are missing, as before the sky."""
    uv, depth, line, _, reach = returns
    b = np.arange(1, len(uv) - 1)
    b = b[(line[b - 1] == line[b]) & (line[b + 1] == line[b])]
    a, c = b - after, b + after
    follows = np.abs(uv[a, 0] - uv[b, 0]) < reach
    hole = np.abs(uv[c, 0] - uv[b, 0]) > reach * LEAST_HOLE_STEPS / MOST_GAP_STEPS
    hole &= np.abs(depth[a] - depth[b]) < LEVEL_M
    found = follows & (_ends(depth, a, b, c) | hole)
    return _next_step(uv, a[found], b[found])


def _marks(returns: _Returns) -> FloatArray:
    """Where along a line the intensity jumps on a surface that goes on, as at lane marks."""
    uv, depth, line, rank, reach = returns
    a = np.arange(len(uv) - 3)
    a = a[line[a] == line[a + 3]]
    b, c, d = a + 1, a + 2, a + 3
    level = np.abs(depth[b] - depth[c]) < LEVEL_M + LEVEL_SHARE * depth[b]
    gaps = np.array([uv[y, 0] - uv[x, 0] for x, y in ((a, b), (b, c), (c, d))])
    jump = np.abs(rank[c] - rank[b])
    around = np.abs(rank[a] - rank[b]) + np.abs(rank[d] - rank[c])
    found = level & (gaps < reach).all(axis=0) & (jump > MARK_RANKS) & (around < 0.5 * jump)
    return np.stack([uv[b[found]], uv[c[found]]], axis=1)


def _tops(returns: _Returns) -> FloatArray:
    """Where from a line to the next one above it the depth jumps away."""
    uv, depth, line, _, reach = returns
    u, v = uv.T
    key = line * 1e6 + u
    up, down = (_nearest(key, (line + by) * 1e6 + u) for by in (1, -1))
    both = (line[up] == line + 1) & (line[down] == line - 1)
    both &= (np.abs(u[up] - u) < reach) & (np.abs(u[down] - u) < reach)
    tops = []
    for below, above in ((up, down), (down, up)):
        b = np.flatnonzero(both & (v[above] < v) & (v[below] > v))
        found = b[_ends(depth, below[b], b, above[b])]
        top = _next_step(uv, below[found], found)
        top[..., 0] = u[found, None]  # the neighbour below need not be straight below
        tops.append(top)
    return np.concatenate(tops)


def _next_step(uv: FloatArray, before: IntArray, at: IntArray) -> FloatArray:
    return np.stack([uv[at], 2 * uv[at] - uv[before]], axis=1)


def _ends(depth: FloatArray, before: IntArray, at: IntArray, after: IntArray) -> Mask:
    """Whether the depth jumps away after a point, and not merely as the slant before it goes on."""
    slant = np.abs(depth[at] - depth[before])
    jump = depth[after] - depth[at]
    least = JUMP_M + JUMP_SHARE * depth[at]
    return (slant < least) & (jump > least + JUMP_STEPS * slant)


def _nearest(ordered: FloatArray, wanted: FloatArray) -> IntArray:
    """Index of the nearest of ``ordered`` to each of ``wanted``."""
    right = np.clip(np.searchsorted(ordered, wanted), 1, len(ordered) - 1)
    nearer_left = wanted - ordered[right - 1] < ordered[right] - wanted
    index: IntArray = right - nearer_left
    return index
