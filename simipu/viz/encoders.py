"""What gives features to pixels and points: a trained method, or the same with random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from simipu.methods.build import build_method
from simipu.viz.features import compute_features

if TYPE_CHECKING:
    from collections.abc import Callable

    from simipu.data.config import SampleConfig
    from simipu.data.sample import Cloud
    from simipu.methods.config import ModelConfig
    from simipu.methods.simipu import SimIPU
    from simipu.viz.features import ImagePoints

    PixelEncoder: TypeAlias = Callable[[Tensor, Tensor], Tensor]
    PointEncoder: TypeAlias = Callable[[Cloud, int], Tensor]


class Encoders(NamedTuple):
    """What gives features to pixels and to points.

    Attributes:
        pixels: images (B, 3, H, W), uv (B, N, 2) -> (B, N, C).
        points: clouds, number of queries -> (B, queries, C') of their first points.
    """

    pixels: PixelEncoder
    points: PointEncoder


def projected(method: SimIPU) -> Encoders:
    """Behind the projection heads, where pixels and points meet: unit vectors of one space."""
    return Encoders(
        method.embed_pixels, lambda cloud, queries: method.embed_points(cloud, queries=queries)
    )


def unprojected(method: SimIPU) -> Encoders:
    """What the two encoders themselves say: it is what other tasks start from."""
    return Encoders(
        method.image_encoder, lambda cloud, queries: method.point_encoder(*cloud, queries)
    )


def untrained(model: ModelConfig, image: ImagePoints, sample: SampleConfig) -> SimIPU:
    """The networks of a training as they would begin from random weights, the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method = build_method(model, pairs=sample.pairs).eval()
    settle_batch_norm(method, image, sample)
    return method


@torch.no_grad()
def settle_batch_norm(method: SimIPU, image: ImagePoints, sample: SampleConfig) -> None:
    """Give a method that was never trained the batch statistics of this image.

    Those that it begins with belong to no data: its features would tell of them, not of its
    random weights.
    """
    norms = [each for each in method.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all that comes
        norm.train()
    compute_features(projected(method), image, sample)
    method.eval()
