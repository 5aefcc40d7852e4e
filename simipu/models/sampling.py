"""Which points stand for a cloud, and who is whose neighbour: indices only, without gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

_DISTANCES_AT_ONCE = 2**26  # 256 MB in float32


@torch.no_grad()
def farthest_points(points: Tensor, count: int, *, given: int = 1) -> Tensor:
    """Choose points that are far from each other, beginning with the first ``given`` ones.

    Each further point is the one farthest from all chosen so far; of equals the first.

    Args:
        points: (B, P, D): coordinates, or coordinates and features.
        count: number of points to choose, at most P.
        given: number of points chosen beforehand, at least 1.

    Returns:
        (B, count) int64 indices; the first ``given`` are 0, 1, 2, ...
    """
    batch = torch.arange(len(points), device=points.device)
    chosen = torch.empty(len(points), count, dtype=torch.int64, device=points.device)
    chosen[:, :given] = torch.arange(given, device=points.device)
    remaining = _to_nearest_given(points, given)
    columns = points.unbind(-1) if points.shape[2] == 3 else ()
    for place in range(given, count):
        farthest = remaining.argmax(dim=1)
        chosen[:, place] = farthest
        point = points[batch, farthest]
        if columns:
            # One after the other: sums over contiguous rows are several times faster.
            distance = (columns[0] - point[:, :1]).square_()
            distance += (columns[1] - point[:, 1:2]).square_()
            distance += (columns[2] - point[:, 2:]).square_()
        else:
            distance = distances(point[:, None], points)[:, 0].square_()
        torch.minimum(remaining, distance, out=remaining)
    return chosen


def _to_nearest_given(points: Tensor, given: int) -> Tensor:
    """Squared distance of each point to the nearest of the first ones, (B, P)."""
    rows = max(1, _DISTANCES_AT_ONCE // (points.shape[0] * points.shape[1]))
    parts = [
        distances(part, points).amin(dim=1) for part in torch.split(points[:, :given], rows, dim=1)
    ]
    return torch.stack(parts).amin(dim=0).square_()


@torch.no_grad()
def nearest(centre: Tensor, xyz: Tensor, count: int, *, allowed: Tensor | None = None) -> Tensor:
    """The ``count`` nearest points of each centre.

    Args:
        centre: (B, M, 3).
        xyz: (B, P, 3).
        count: neighbours wanted.
        allowed: (B, P) bool; other points are nobody's neighbour. None allows all.

    Returns:
        (B, M, count) int64 indices, nearest first; where too few points are allowed, the nearest
        one is repeated.
    """
    wanted = min(count, xyz.shape[1])
    parts = [_nearest_of(part, xyz, wanted, allowed) for part in _in_parts(centre, xyz)]
    index = torch.cat(parts, dim=1)
    missing = count - wanted
    if missing > 0:
        index = torch.cat([index, index[..., :1].expand(-1, -1, missing)], dim=2)
    return index


def _nearest_of(centre: Tensor, xyz: Tensor, count: int, allowed: Tensor | None) -> Tensor:
    found = _allowed_distances(centre, xyz, allowed).topk(count, dim=2, largest=False)
    return torch.where(found.values.isfinite(), found.indices, found.indices[..., :1])


@torch.no_grad()
def in_annuli(
    centre: Tensor,
    xyz: Tensor,
    radii: Sequence[float],
    counts: Sequence[int],
    *,
    allowed: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """The first points, in the order of storage, of each annulus around each centre.

    Annulus j holds the points at a distance in [radii[j - 1], radii[j]), the first one those in
    [0, radii[0]); points at the centre itself are in all of them.

    Args:
        centre: (B, M, 3).
        xyz: (B, P, 3).
        radii: outer radius of each annulus, ascending.
        counts: neighbours wanted of each annulus.
        allowed: (B, P) bool; other points are nobody's neighbour. None allows all.

    Returns:
        For each annulus (B, M, count) int64 indices; where it holds fewer points, its first one is
        repeated, and where it holds none, point 0 stands in, as in the released code.
    """
    parts = [_annuli_of(part, xyz, radii, counts, allowed) for part in _in_parts(centre, xyz)]
    return tuple(torch.cat(scale, dim=1) for scale in zip(*parts, strict=True))


def _annuli_of(
    centre: Tensor,
    xyz: Tensor,
    radii: Sequence[float],
    counts: Sequence[int],
    allowed: Tensor | None,
) -> list[Tensor]:
    distance = _allowed_distances(centre, xyz, allowed).flatten(0, 1)
    # Few pairs are near each other: from here on only these are looked at.
    row, column = (distance < radii[-1]).nonzero(as_tuple=True)
    distance_of_pair = distance[row, column]
    found = []
    for inner, outer, count in zip((0.0, *radii[:-1]), radii, counts, strict=True):
        inside = (distance_of_pair >= inner) & (distance_of_pair < outer)
        inside |= distance_of_pair == 0
        index = _first_of_rows(row[inside], column[inside], len(distance), count)
        found.append(index.view(*centre.shape[:2], count))
    return found


def _first_of_rows(row: Tensor, column: Tensor, rows: int, count: int) -> Tensor:
    """The first ``count`` columns of each row, from pairs in ascending order: (rows, count)."""
    held = torch.bincount(row, minlength=rows)
    start = held.cumsum(0) - held
    rank = torch.arange(len(row), device=row.device) - start[row]
    first = torch.zeros(rows, dtype=torch.int64, device=row.device)
    first[row[rank == 0]] = column[rank == 0]
    index = first[:, None].repeat(1, count)
    wanted = rank < count
    index[row[wanted], rank[wanted]] = column[wanted]
    return index


def _in_parts(centre: Tensor, xyz: Tensor) -> tuple[Tensor, ...]:
    """Centres in portions: the distances of all at once would not fit a GPU."""
    rows = max(1, _DISTANCES_AT_ONCE // (xyz.shape[0] * xyz.shape[1]))
    return torch.split(centre, rows, dim=1)


def _allowed_distances(centre: Tensor, xyz: Tensor, allowed: Tensor | None) -> Tensor:
    distance = distances(centre, xyz)
    return distance if allowed is None else distance.masked_fill_(~allowed[:, None], torch.inf)


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Distances between all points of two sets: (B, M, D) and (B, P, D) give (B, M, P).

    Not through a matrix product: far from the origin that loses centimetres.
    """
    if a.is_cuda and a.shape[2] == 3:
        # cdist's kernel without a product spends a block of threads on each distance.
        return coordinate_distances(a, b)
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def coordinate_distances(a: Tensor, b: Tensor) -> Tensor:
    """`distances`, coordinate by coordinate."""
    total = (a[..., None, 0] - b[:, None, :, 0]).square_()
    for axis in (1, 2):
        total += (a[..., None, axis] - b[:, None, :, axis]).square_()
    return total.sqrt_()
