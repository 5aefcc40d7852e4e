"""PointNet++ (https://arxiv.org/abs/1706.02413) on nearest neighbours, for chosen points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from simipu.errors import UsageError
from simipu.models.graph import Graph, Level
from simipu.models.layers import (
    COORDINATE_CHANNELS,
    Coordinates,
    edges,
    gather,
    interpolate,
    shared_mlp,
)
from simipu.models.sampling import farthest_points, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        coordinates: what is seen of the coordinates.

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
        coordinates: Coordinates = "relative",
    ) -> None:
        super().__init__()
        self.centres = tuple(centres)
        self.neighbours = neighbours
        self.coordinates = coordinates
        inputs = [features, *widths[:-1]]
        self.down = nn.ModuleList(
            shared_mlp(COORDINATE_CHANNELS[coordinates] + below, width, width)
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
        return self.sample(xyz, feature, distinct, queries)[0]

    def sample(
        self, xyz: Tensor, feature: Tensor, distinct: Tensor, queries: int
    ) -> tuple[Tensor, Graph]:
        """`forward`, and the graph that it went along, to `encode` similar copies with."""
        graph = self.group(xyz, distinct, queries)
        return self.encode(graph, xyz, feature), graph

    @torch.no_grad()
    def group(self, xyz: Tensor, distinct: Tensor, queries: int) -> Graph:
        """Choose the centres of all levels and their neighbours; arguments as for `forward`."""
        if queries > self.centres[0]:
            raise UsageError(
                f"{queries} points are asked of an encoder with {self.centres[0]} centres",
                fix="Take fewer pairs, or an encoder with more centres.",
            )
        levels, up = [], []
        given = queries
        allowed: Tensor | None = distinct
        for place, count in enumerate(self.centres):
            chosen = farthest_points(xyz, min(count, xyz.shape[1]), given=given)
            centre = gather(xyz, chosen)
            levels.append(Level(chosen, (nearest(centre, xyz, self.neighbours, allowed=allowed),)))
            if place > 0:
                # Of the first level only the queried centres matter.
                wanted = xyz[:, :queries] if place == 1 else xyz
                up.append(nearest(wanted, centre, _INTERPOLATED))
            xyz, given, allowed = centre, 1, None
        return Graph(tuple(levels), tuple(reversed(up)))

    def encode(self, graph: Graph, xyz: Tensor, feature: Tensor) -> Tensor:
        """Encode the points that a graph was made for, or the same ones of a similar copy.

        Args:
            graph: of `group`.
            xyz: (B, P, 3) float32: that cloud, perhaps rotated, mirrored, scaled or moved.
            feature: (B, P, F).

        Returns:
            (B, queries, channels).
        """
        levels = [(xyz, feature)]
        for level, mlp in zip(graph.levels, self.down, strict=True):
            xyz, feature = levels[-1]
            centre = gather(xyz, level.centre)
            seen = edges(xyz, feature, centre, level.near[0], self.coordinates)
            levels.append((centre, mlp(seen).amax(dim=2)))
        coarse_xyz, coarse = levels.pop()
        for near, mlp in zip(graph.up, self.up, strict=True):
            xyz, feature = (values[:, : near.shape[1]] for values in levels.pop())
            carried = interpolate(coarse_xyz, coarse, xyz, near)
            coarse_xyz, coarse = xyz, mlp(torch.cat([feature, carried], dim=-1))
        return coarse
