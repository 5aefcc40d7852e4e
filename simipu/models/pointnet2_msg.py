"""The point encoder of SimIPU's released code: PointNet++ with multi-scale grouping, as in 3DSSD.

Sampling is that of 3DSSD (https://arxiv.org/abs/2002.10187): D-FPS takes the points farthest from
each other, F-FPS those farthest from each other in coordinates and features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from simipu.errors import UsageError
from simipu.models.graph import Graph, Level
from simipu.models.layers import COORDINATE_CHANNELS, Coordinates, edges, gather, shared_mlp
from simipu.models.sampling import farthest_points, in_annuli

if TYPE_CHECKING:
    from collections.abc import Sequence


class Stage(NamedTuple):
    """A stage of set abstraction.

    Attributes:
        radii_m: outer radius of each annulus around a centre.
        neighbours: points of each annulus.
        widths: channels of the layers that each annulus goes through.
        channels: of the stage's result.
    """

    radii_m: tuple[float, ...]
    neighbours: tuple[int, ...]
    widths: tuple[tuple[int, ...], ...]
    channels: int


RELEASED = (
    Stage((0.2, 0.4, 0.8), (32, 32, 64), ((32, 32, 64), (32, 32, 64), (64, 64, 128)), 128),
    Stage((0.4, 0.8, 1.6), (32, 32, 64), ((64, 64, 128), (64, 64, 128), (128, 128, 256)), 256),
    Stage((1.6, 3.2, 4.8), (16, 16, 16), ((128, 128, 256), (128, 128, 256), (256, 256, 512)), 1024),
)
_EPS = 1e-3  # of the batch norms within an annulus


class SetAbstraction(nn.Module):
    """What a stage makes of the neighbourhoods: one feature for each centre.

    Args:
        stage: its widths.
        features: channels of the points.
        coordinates: what is seen of the coordinates.
    """

    def __init__(self, stage: Stage, features: int, coordinates: Coordinates) -> None:
        super().__init__()
        self.coordinates = coordinates
        inputs = COORDINATE_CHANNELS[coordinates] + features
        self.annuli = nn.ModuleList(
            shared_mlp(inputs, *widths, eps=_EPS) for widths in stage.widths
        )
        self.aggregate = shared_mlp(sum(widths[-1] for widths in stage.widths), stage.channels)

    def forward(self, xyz: Tensor, feature: Tensor, level: Level) -> Tensor:
        """(B, P, 3) points with (B, P, F) features give (B, M, channels) of the centres."""
        centre = gather(xyz, level.centre)
        pooled = [
            mlp(edges(xyz, feature, centre, near, self.coordinates)).amax(dim=2)
            for mlp, near in zip(self.annuli, level.near, strict=True)
        ]
        aggregated: Tensor = self.aggregate(torch.cat(pooled, dim=-1))
        return aggregated


class PointNet2MSG(nn.Module):
    """Features of the centres that remain after three stages of set abstraction.

    The first stage chooses its centres by D-FPS; the second one part by F-FPS and another by D-FPS,
    some perhaps twice; the third one part by F-FPS among the second's first ``ffps_rows`` centres,
    another by D-FPS among the rest. As released, F-FPS thus takes 512 of 512, no choice at all, and
    D-FPS has half of the second stage's choice by F-FPS to choose from: a remnant of 3DSSD, whose
    second stage is half as large.

    Args:
        centres: number of centres of each stage; of the second and third (by F-FPS, by D-FPS).
        ffps_rows: how many of the second stage's centres F-FPS looks at in the third.
        stages: radii, neighbours and widths of the stages.
        features: channels of the input beside the coordinates.
        coordinates: what is seen of the coordinates.

    Attributes:
        channels: length of a feature.
    """

    def __init__(
        self,
        *,
        centres: tuple[int, tuple[int, int], tuple[int, int]] = (4096, (1024, 1024), (512, 512)),
        ffps_rows: int = 512,
        stages: Sequence[Stage] = RELEASED,
        features: int = 1,
        coordinates: Coordinates = "none",
    ) -> None:
        super().__init__()
        self.centres = centres
        self.ffps_rows = ffps_rows
        self.stages = tuple(stages)
        inputs = [features, *(stage.channels for stage in stages[:-1])]
        self.abstractions = nn.ModuleList(
            SetAbstraction(stage, below, coordinates)
            for stage, below in zip(stages, inputs, strict=True)
        )
        self.channels = stages[-1].channels

    def forward(self, xyz: Tensor, feature: Tensor, distinct: Tensor, queries: int) -> Tensor:
        """Encode the first ``queries`` points of each cloud.

        They are the centres of the last stage, and those that F-FPS and D-FPS begin with before.

        Args:
            xyz: (B, P, 3) float32, metres.
            feature: (B, P, F).
            distinct: (B, P) bool; False marks copies of other points, which are nobody's neighbour.
            queries: number of points wanted, at most that of the second stage's centres by F-FPS.

        Returns:
            (B, queries, channels).
        """
        return self.sample(xyz, feature, distinct, queries)[0]

    def sample(
        self, xyz: Tensor, feature: Tensor, distinct: Tensor, queries: int | None = None
    ) -> tuple[Tensor, Graph]:
        """Encode points of each cloud, and tell which and along which neighbours.

        Args:
            xyz: as for `forward`.
            feature: likewise.
            distinct: likewise.
            queries: likewise; None for the encoder's own choice of centres, as released.

        Returns:
            (B, N, channels), and the graph to `encode` similar copies with, whose ``rows`` are
            those of the N encoded points.

        Raises:
            UsageError: more points are asked than there are centres, or the cloud has too few.
        """
        self._check(xyz.shape[1], queries)
        levels = []
        allowed: Tensor | None = distinct
        for place, (stage, abstract) in enumerate(zip(self.stages, self.abstractions, strict=True)):
            chosen = self._choose(place, xyz, feature, queries)
            centre = gather(xyz, chosen)
            near = in_annuli(centre, xyz, stage.radii_m, stage.neighbours, allowed=allowed)
            levels.append(Level(chosen, near))
            feature = abstract(xyz, feature, levels[-1])
            xyz, allowed = centre, None
        return feature, Graph(tuple(levels))

    def encode(self, graph: Graph, xyz: Tensor, feature: Tensor) -> Tensor:
        """Encode the points that a graph was made for, or the same ones of a similar copy.

        Args:
            graph: of `sample`.
            xyz: (B, P, 3) float32: that cloud, perhaps rotated, mirrored, scaled or moved.
            feature: (B, P, F).

        Returns:
            (B, N, channels).
        """
        for level, abstract in zip(graph.levels, self.abstractions, strict=True):
            feature = abstract(xyz, feature, level)
            xyz = gather(xyz, level.centre)
        return feature

    def _choose(self, place: int, xyz: Tensor, feature: Tensor, queries: int | None) -> Tensor:
        first, second, third = self.centres
        given = queries or 1
        if place == 0:
            return farthest_points(xyz, min(first, xyz.shape[1]), given=given)
        if place == 2 and queries:
            return torch.arange(queries, device=xyz.device).expand(len(xyz), -1)
        by_features, by_distance = second if place == 1 else third
        # Where F-FPS looks, and from which row on D-FPS does.
        end, start = (xyz.shape[1], 0) if place == 1 else (self.ffps_rows, self.ffps_rows)
        joined = torch.cat([xyz, feature], dim=-1)[:, :end]
        near_in_features = farthest_points(joined, min(by_features, joined.shape[1]), given=given)
        rest = xyz[:, start:]
        far = farthest_points(rest, min(by_distance, rest.shape[1])) + start
        return torch.cat([near_in_features, far], dim=1)

    def _check(self, points: int, queries: int | None) -> None:
        most = min(self.centres[0], self.centres[1][0])
        if queries is not None and queries > most:
            raise UsageError(
                f"{queries} points are asked of an encoder with {most} centres",
                fix="Take fewer pairs, or an encoder with more centres.",
            )
        first = min(self.centres[0], points)
        if queries is None and sum(min(n, first) for n in self.centres[1]) <= self.ffps_rows:
            raise UsageError(
                f"a cloud of {points} points leaves D-FPS nothing beyond the {self.ffps_rows} "
                "points that F-FPS chooses from",
                fix="Take larger clouds, or an encoder with fewer centres.",
            )
