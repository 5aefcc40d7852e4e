"""How steep the surface is that a point lies on, estimated from the points around it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

NEIGHBOURS = 24
RADIUS_M = 1.5
FLATNESS = 0.02

Float32Array = npt.NDArray[np.float32]

_ROWS_AT_ONCE = 64


def uprightness(
    xyz_m: Float32Array, queries_m: Float32Array
) -> tuple[Float32Array, npt.NDArray[np.bool_]]:
    """|n_z| of the surface's unit normal n at some points: 1 on level ground, 0 on a wall.

    n is the direction in which the nearest points spread least. Where they lie along a line, as on
    a single ring of a lidar, or are too far apart, there is no telling.

    Args:
        xyz_m: (N, 3) the whole cloud, z upwards.
        queries_m: (n, 3) points of it.

    Returns:
        (n,) float32 of the values, and (n,) bool: where there are `NEIGHBOURS` points within
        `RADIUS_M` whose spread across is at least `FLATNESS` of that along, as variances.
    """
    cloud = torch.from_numpy(np.ascontiguousarray(xyz_m)).double()
    values = np.zeros(len(queries_m), dtype=np.float32)
    known = np.zeros(len(queries_m), dtype=np.bool_)
    count = min(NEIGHBOURS, len(cloud))
    for begin in range(0, len(queries_m), _ROWS_AT_ONCE):
        rows = slice(begin, begin + _ROWS_AT_ONCE)
        centre = torch.from_numpy(np.ascontiguousarray(queries_m[rows])).double()
        distance = torch.cdist(centre, cloud, compute_mode="donot_use_mm_for_euclid_dist")
        near = distance.topk(count, dim=1, largest=False)
        around = cloud[near.indices]
        around = around - around.mean(dim=1, keepdim=True)
        spread, axes = torch.linalg.eigh(around.mT @ around / count)  # ascending
        values[rows] = axes[:, 2, 0].abs().numpy()
        flat = spread[:, 1] >= FLATNESS * spread[:, 2]
        close = near.values[:, -1] <= RADIUS_M
        known[rows] = (flat & close & (count == NEIGHBOURS)).numpy()
    return values, known
