"""The networks that settings describe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from simipu.methods.simipu import SimIPU
from simipu.models.image import ImageEncoder
from simipu.models.points import build_point_encoder

if TYPE_CHECKING:
    from simipu.methods.config import ModelConfig

HIDDEN = 256
RELEASED_EPS, RELEASED_MOMENTUM = 1e-3, 0.01


def build_method(model: ModelConfig, *, pairs: int, image_weights: str | None = None) -> SimIPU:
    """The method with random weights, but for those of ``image_weights``.

    Args:
        model: the preset and its switches.
        pairs: pairs per image, for which the point encoder must have room.
        image_weights: file that the backbone begins with. Not taken from ``model``: what was
            trained has its weights in a checkpoint, and that file may be gone.

    Raises:
        UsageError: timm has no such backbone, or it cannot serve, or the weights do not fit it.
    """
    switches = model.switches
    image_encoder = ImageEncoder(
        model.image_backbone,
        switches.strides,
        weights=image_weights,
        padding=switches.padding,
    )
    point_encoder = build_point_encoder(
        switches.point_encoder, pairs=pairs, coordinates=switches.coordinates
    )
    hidden: int | None = HIDDEN
    if model.preset == "compat":
        hidden = None
        for module in image_encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = RELEASED_EPS, RELEASED_MOMENTUM
    return SimIPU(image_encoder, point_encoder, switches, pairs=pairs, hidden=hidden)
