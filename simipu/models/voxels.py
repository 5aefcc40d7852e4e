"""Voxels of a batch of clouds, and features at points between them."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from simipu.errors import UsageError

_MOST_CELLS = 2**31  # spconv numbers the cells of a grid with 32 bits


class Voxels(NamedTuple):
    """The occupied cells of a regular grid.

    Attributes:
        cell: (V, 4) int32, batch entry and x, y, z in the grid, in ascending order; contiguous.
        voxel: (B, P) int64, which of the V voxels each point lies in.
        position: (B, P, 3) coordinates of the points in cells; k + 0.5 is the centre of cell k.
        shape: cells of the grid along x, y, z.
        batch: number of clouds.
    """

    cell: Tensor
    voxel: Tensor
    position: Tensor
    shape: tuple[int, int, int]
    batch: int


@torch.no_grad()
def find_voxels(xyz: Tensor, size_m: float) -> Voxels:
    """Sort points into the cells of a grid that is aligned with the axes and the origin.

    Each cloud's cells count from its own least ones: coarser cells, of several of these, are then
    the same whatever other clouds are in the batch.

    Args:
        xyz: (B, P, 3) float32, metres.
        size_m: edge of a cell.

    Raises:
        UsageError: the points are too far apart for a grid of such cells.
    """
    position = xyz / size_m
    position = position - position.amin(dim=1, keepdim=True).floor()
    cell = position.floor()
    extent = cell.amax(dim=(0, 1)) + 1
    if not len(xyz) * extent.double().prod() < _MOST_CELLS:  # likewise where it is not finite
        raise UsageError(
            f"the points span {[int(n) if n < 1e18 else n for n in extent.tolist()]} voxels of "
            f"{size_m:g} m, too many to be numbered",
            fix="Leave out points that are far away, or choose larger voxels.",
        )
    entry = torch.arange(len(xyz), device=xyz.device)[:, None, None].expand(-1, xyz.shape[1], 1)
    shape = (int(extent[0]), int(extent[1]), int(extent[2]))
    keys, voxel = torch.unique(
        _key(torch.cat([entry, cell.long()], dim=-1), shape), return_inverse=True
    )
    found = torch.stack(_unravel(keys, shape), dim=1)
    return Voxels(found.int().contiguous(), voxel, position, shape, len(xyz))


def mean_in_voxels(values: Tensor, voxels: Voxels, counted: Tensor) -> Tensor:
    """Mean over the points of each voxel: (B, P, C) and ``counted``, (B, P) bool, give (V, C).

    Zeros where no point is counted.
    """
    weight = counted.flatten().to(values.dtype)[:, None]
    index = voxels.voxel.flatten()
    total = values.new_zeros(len(voxels.cell), values.shape[2])
    total = total.index_add(0, index, values.flatten(0, 1) * weight)
    number = values.new_zeros(len(voxels.cell), 1).index_add(0, index, weight)
    return total / number.clamp(min=1)


def offsets_in_voxels(voxels: Voxels) -> Tensor:
    """Where each point lies in its voxel, (B, P, 3), from -0.5 to 0.5 cells from its centre."""
    return voxels.position - voxels.position.floor() - 0.5


def interpolate_voxels(features: Tensor, voxels: Voxels, queries: int) -> Tensor:
    """Trilinear interpolation at the first points of each cloud.

    Of the eight voxels whose centres surround a point, the occupied ones take part; the point's
    own always is.

    Args:
        features: (V, C).
        voxels: of the clouds.
        queries: number of points wanted of each cloud.

    Returns:
        (B, queries, C).
    """
    index, weight = _surrounding(voxels, queries)
    return torch.einsum("bnk,bnkc->bnc", weight, features[index])


@torch.no_grad()
def _surrounding(voxels: Voxels, queries: int) -> tuple[Tensor, Tensor]:
    """Voxels around each of the first points, (B, N, 8) int64, and their weights, of sum one."""
    position = voxels.position[:, :queries] - 0.5  # centres now lie on integers
    below = position.floor()
    corner = torch.tensor(list(itertools.product((0, 1), repeat=3)), device=position.device)
    share = position - below
    weight = torch.where(corner == 1, share[:, :, None], 1 - share[:, :, None]).prod(dim=-1)
    cell = below.long()[:, :, None] + corner
    entry = torch.arange(len(cell), device=cell.device)[:, None, None, None]
    wanted = _key(torch.cat([entry.expand(*cell.shape[:3], 1), cell], dim=-1), voxels.shape)
    keys = _key(voxels.cell.long(), voxels.shape)
    index = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    limits = torch.tensor(voxels.shape, device=cell.device)
    occupied = (keys[index] == wanted) & ((cell >= 0) & (cell < limits)).all(dim=-1)
    weight = weight * occupied
    return index, weight / weight.sum(dim=-1, keepdim=True)


def _key(cell: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """One number for a cell (..., 4): int64, ascending as the cells are."""
    entry, x, y, z = cell.unbind(-1)
    return ((entry * shape[0] + x) * shape[1] + y) * shape[2] + z


def _unravel(key: Tensor, shape: tuple[int, int, int]) -> tuple[Tensor, ...]:
    rest, z = key // shape[2], key % shape[2]
    rest, y = rest // shape[1], rest % shape[1]
    return rest // shape[0], rest % shape[0], y, z
