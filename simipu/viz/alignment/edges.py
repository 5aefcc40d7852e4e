"""Where a LiDAR sees a surface end: the places at which the image should have an edge too."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from simipu.records import Correspondences, FloatArray
    from simipu.store.views import PointCloud

LINE_COLUMNS = ("ring", "ring_index", "range_row")
JUMP_M, JUMP_SHARE, JUMP_STEPS = 0.5, 0.05, 3.0
MOST_GAP_STEPS = 4.0

IntArray = npt.NDArray[np.int64]


class Edges(NamedTuple):
    """Depth edges of one image.

    Attributes:
        side: (M, 2) float64 pixels where a surface ends to the left or right.
        top: (M, 2) float64 pixels where a surface ends upwards.
    """

    side: FloatArray
    top: FloatArray


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


def find_edges(pairs: Correspondences, line: IntArray) -> Edges:
    """Find the points of an image behind whose neighbour the depth jumps away.

    The surface ends between the last point on it and the next point beyond, on average half a step
    further on. A step is taken from the point before: what lies beyond is shifted by parallax.

    Args:
        pairs: the correspondences of one image.
        line: (N,) scan line of every point of the cloud.
    """
    keep = np.flatnonzero(pairs.visible)
    u, v = pairs.uv[keep].astype(np.float64).T
    depth = pairs.depth[keep].astype(np.float64)
    number = line[pairs.row[keep]]
    order = np.lexsort((u, number))
    u, v, depth, number = u[order], v[order], depth[order], number[order]
    if len(u) < 3:
        return Edges(np.empty((0, 2)), np.empty((0, 2)))
    uv = np.stack([u, v], axis=1)
    step = np.median(np.diff(u))

    one = np.arange(1, len(u) - 1)
    same = (number[one - 1] == number[one]) & (number[one + 1] == number[one])
    sides = []
    for before, after in ((-1, 1), (1, -1)):
        a, b = one[same] + before, one[same]
        found = _ends(depth, a, b, b + after)
        found &= np.abs(u[a] - u[b]) < MOST_GAP_STEPS * max(step, 1.0)
        sides.append(1.5 * uv[b[found]] - 0.5 * uv[a[found]])

    key = number * 1e6 + u
    up, down = (_nearest(key, (number + by) * 1e6 + u) for by in (1, -1))
    every = np.arange(len(u))
    near = [np.abs(u[other] - u) < MOST_GAP_STEPS * max(step, 1.0) for other in (up, down)]
    near = [
        n & (number[o] == number + by) for n, o, by in zip(near, (up, down), (1, -1), strict=True)
    ]
    both = near[0] & near[1]
    tops = []
    for below, above in ((up, down), (down, up)):
        b = every[both & (v[above] < v) & (v[below] > v)]
        found = b[_ends(depth, below[b], b, above[b])]
        end = uv[found].copy()
        end[:, 1] += 0.5 * (v[found] - v[below[found]])
        tops.append(end)
    return Edges(np.concatenate(sides), np.concatenate(tops))


def _ends(
    depth: FloatArray, before: IntArray, at: IntArray, after: IntArray
) -> npt.NDArray[np.bool_]:
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
