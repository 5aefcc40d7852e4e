"""PointNet++ (https://arxiv.org/abs/1706.02413) on nearest neighbours, for chosen points.

Coordinates enter relative to a neighbourhood's centre only. With absolute coordinates the network
learns where in the image a point will appear and matches it without looking at the image.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from simipu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_RELATIVE = 4  # offset x, y, z and its length
_DISTANCES_AT_ONCE = 2**26  # 256 MB in float32
_INTERPOLATED = 3  # centres that a feature is interpolated from, as in the paper


class PointEncoder(nn.Module):
    """Features of the first points of a cloud, each from a growing neighbourhood.

    Every level abstracts its points to fewer centres; the features then flow back, level by level,
    to the centres of the first level, of which the queried points are a part.

    Args:
        centres: number of centres of each level, descending; fewer where a level has fewer points.
        widths: feature channels of each level.
        neighbours: points in a neighbourhood.
        features: channels of the input beside the coordinates.

    Attributes:
        channels: length of a feature.
    """

    def __init__(
        self,
        *,
        centres: Sequence[int] = (384, 160, 40),
        widths: Sequence[int] = (48, 96, 160),
        neighbours: int = 12,
        features: int = 1,
    ) -> None:
        super().__init__()
        self.centres = tuple(centres)
        self.neighbours = neighbours
        inputs = [features, *widths[:-1]]
        self.down = nn.ModuleList(
            shared_mlp(_RELATIVE + below, width, width)
            for below, width in zip(inputs, widths, strict=True)
        )
        # From coarse to fine: a level's own features beside those interpolated from the coarser.
        self.channels = widths[-1]
        self.up = nn.ModuleList(
            shared_mlp(self.channels + width, self.channels, self.channels)
            for width in reversed(widths[:-1])
        )

    def forward(self, xyz: Tensor, feature: Tensor, distinct: Tensor, queries: int) -> Tensor:
        """Encode the first ``queries`` points of each cloud.

        Args:
            xyz: (B, P, 3) float32, metres.
            feature: (B, P, F).
            distinct: (B, P) bool; False marks copies of other points, which are nobody's neighbour.
            queries: number of points wanted, at most that of the first level's centres.

        Returns:
            (B, queries, channels).
        """
        if queries > self.centres[0]:
            raise UsageError(
                f"{queries} points are asked of an encoder with {self.centres[0]} centres",
                fix="Take fewer pairs, or an encoder with more centres.",
            )
        levels = [(xyz, feature)]
        given = queries
        allowed: Tensor | None = distinct
        for count, mlp in zip(self.centres, self.down, strict=True):
            xyz, feature = levels[-1]
            count = min(count, xyz.shape[1])
            centre = gather(xyz, farthest_points(xyz, count, given=given))
            near = nearest(centre, xyz, self.neighbours, allowed=allowed)
            offset = gather(xyz, near) - centre[:, :, None]
            length = offset.norm(dim=-1, keepdim=True)
            edges = torch.cat([offset, length, gather(feature, near)], dim=-1)
            levels.append((centre, mlp(edges).amax(dim=2)))
            given, allowed = 1, None
        coarse_xyz, coarse = levels.pop()
        for mlp in self.up:
            xyz, feature = levels.pop()
            if len(levels) == 1:  # the first level: only the queried centres matter
                xyz, feature = xyz[:, :queries], feature[:, :queries]
            carried = interpolate(coarse_xyz, coarse, xyz)
            coarse_xyz, coarse = xyz, mlp(torch.cat([feature, carried], dim=-1))
        return coarse


class _ChannelsLastNorm(nn.BatchNorm1d):
    """Batch norm over the last dimension, whatever the others are."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, -2)).view_as(x)


def shared_mlp(*widths: int) -> nn.Sequential:
    """Linear layers with batch norm and ReLU on the last dimension, shared by all points."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [
            nn.Linear(inputs, outputs, bias=False),
            _ChannelsLastNorm(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


@torch.no_grad()
def farthest_points(xyz: Tensor, count: int, *, given: int = 1) -> Tensor:
    """Choose points that are far from each other, beginning with the first ``given`` ones.

    Each further point is the one farthest from all chosen so far; of equals the first.

    Args:
        xyz: (B, P, 3).
        count: number of points to choose, at most P.
        given: number of points chosen beforehand, at least 1.

    Returns:
        (B, count) int64 indices; the first ``given`` are 0, 1, 2, ...
    """
    batch = torch.arange(len(xyz), device=xyz.device)
    chosen = torch.empty(len(xyz), count, dtype=torch.int64, device=xyz.device)
    chosen[:, :given] = torch.arange(given, device=xyz.device)
    remaining = distances(xyz, xyz[:, :given]).amin(dim=2).square_()
    # Coordinates one after the other: sums over contiguous rows are several times faster.
    x, y, z = xyz.unbind(-1)
    for place in range(given, count):
        farthest = remaining.argmax(dim=1)
        chosen[:, place] = farthest
        point = xyz[batch, farthest]
        distance = (x - point[:, :1]).square_()
        distance += (y - point[:, 1:2]).square_()
        distance += (z - point[:, 2:]).square_()
        torch.minimum(remaining, distance, out=remaining)
    return chosen


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
    rows = max(1, _DISTANCES_AT_ONCE // (xyz.shape[0] * xyz.shape[1]))
    parts = [
        _nearest_of(part, xyz, wanted, allowed)
        for part in torch.split(centre, rows, dim=1)  # all distances at once would not fit a GPU
    ]
    index = torch.cat(parts, dim=1)
    missing = count - wanted
    if missing > 0:
        index = torch.cat([index, index[..., :1].expand(-1, -1, missing)], dim=2)
    return index


def _nearest_of(centre: Tensor, xyz: Tensor, count: int, allowed: Tensor | None) -> Tensor:
    distance = distances(centre, xyz)
    if allowed is not None:
        distance.masked_fill_(~allowed[:, None], torch.inf)
    found = distance.topk(count, dim=2, largest=False)
    return torch.where(found.values.isfinite(), found.indices, found.indices[..., :1])


def interpolate(from_xyz: Tensor, feature: Tensor, to_xyz: Tensor) -> Tensor:
    """Inverse-distance mean of the features of the three nearest points (equation 2 of the paper).

    Args:
        from_xyz: (B, M, 3) where the features are.
        feature: (B, M, C).
        to_xyz: (B, N, 3) where they are wanted.

    Returns:
        (B, N, C).
    """
    near = nearest(to_xyz, from_xyz, _INTERPOLATED)
    distance = (gather(from_xyz, near) - to_xyz[:, :, None]).norm(dim=-1)
    weight = 1 / (distance + 1e-8)
    weight = weight / weight.sum(dim=-1, keepdim=True)
    return torch.einsum("bnk,bnkc->bnc", weight, gather(feature, near))


def gather(values: Tensor, index: Tensor) -> Tensor:
    """``values[b, index[b, ...]]`` for every b: (B, P, C) and (B, ...) give (B, ..., C)."""
    flat = index.flatten(1)[..., None].expand(-1, -1, values.shape[2])
    return values.gather(1, flat).view(*index.shape, values.shape[2])


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Distances between all points of two clouds: (B, M, 3) and (B, P, 3) give (B, M, P).

    Not through a matrix product: far from the origin that loses centimetres.
    """
    if a.is_cuda:  # cdist's kernel without a product spends a block of threads on each distance
        return coordinate_distances(a, b)
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def coordinate_distances(a: Tensor, b: Tensor) -> Tensor:
    """`distances`, coordinate by coordinate."""
    total = (a[..., None, 0] - b[:, None, :, 0]).square_()
    for axis in (1, 2):
        total += (a[..., None, axis] - b[:, None, :, axis]).square_()
    return total.sqrt_()
