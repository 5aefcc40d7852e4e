"""What the point encoders are made of: shared layers, and the gathering of neighbours."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

Coordinates: TypeAlias = Literal["none", "relative", "absolute"]
"""What a point encoder sees of coordinates: nothing, as in the released code, which looks at the
features alone; those relative to a neighbourhood's centre; or those in the points' frame. With the
latter it learns where in the image a point will appear, and matches it without looking."""

COORDINATE_CHANNELS: Mapping[Coordinates, int] = {"none": 0, "relative": 4, "absolute": 3}


class _ChannelsLastNorm(nn.BatchNorm1d):
    """Batch norm over the last dimension, whatever the others are."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, -2)).view_as(x)


def shared_mlp(*widths: int, eps: float = 1e-5) -> nn.Sequential:
    """Linear layers with batch norm and ReLU on the last dimension, shared by all points."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [
            nn.Linear(inputs, outputs, bias=False),
            _ChannelsLastNorm(outputs, eps=eps),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def gather(values: Tensor, index: Tensor) -> Tensor:
    """``values[b, index[b, ...]]`` for every b: (B, P, C) and (B, ...) give (B, ..., C)."""
    flat = index.flatten(1)[..., None].expand(-1, -1, values.shape[2])
    return values.gather(1, flat).view(*index.shape, values.shape[2])


def interpolate(from_xyz: Tensor, feature: Tensor, to_xyz: Tensor, near: Tensor) -> Tensor:
    """Inverse-distance mean of the features of the nearest points (PointNet++, equation 2).

    Args:
        from_xyz: (B, M, 3) where the features are.
        feature: (B, M, C).
        to_xyz: (B, N, 3) where they are wanted.
        near: (B, N, K) indices of the K nearest of ``from_xyz``; three in the paper.

    Returns:
        (B, N, C).
    """
    distance = (gather(from_xyz, near) - to_xyz[:, :, None]).norm(dim=-1)
    weight = 1 / (distance + 1e-8)
    weight = weight / weight.sum(dim=-1, keepdim=True)
    return torch.einsum("bnk,bnkc->bnc", weight, gather(feature, near))


def edges(
    xyz: Tensor, feature: Tensor, centre: Tensor, near: Tensor, coordinates: Coordinates
) -> Tensor:
    """What a centre is told of each of its neighbours.

    Args:
        xyz: (B, P, 3) all points.
        feature: (B, P, F) their features.
        centre: (B, M, 3).
        near: (B, M, K) indices of each centre's neighbours.
        coordinates: which of the neighbours' coordinates are told; relative ones are the offset
            from the centre and its length.

    Returns:
        (B, M, K, COORDINATE_CHANNELS[coordinates] + F).
    """
    features = gather(feature, near)
    if coordinates == "none":
        return features
    seen = gather(xyz, near)
    if coordinates == "relative":
        offset = seen - centre[:, :, None]
        seen = torch.cat([offset, offset.norm(dim=-1, keepdim=True)], dim=-1)
    return torch.cat([seen, features], dim=-1)
