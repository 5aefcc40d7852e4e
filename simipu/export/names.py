"""What another library calls each tensor of an encoder, and what it would do differently."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import timm
import torchvision
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from simipu.errors import UsageError
from simipu.export.points import settings_of
from simipu.models.pointnet2 import PointEncoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from simipu.methods.simipu import SimIPU

TARGETS = ("torchvision", "timm", "mmdet", "points")
PREFIXES = ("backbone", "img_backbone")

# Of these timm and torchvision have the same networks under the same names.
TORCHVISION = (
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d",
    "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2",
)  # fmt: skip

# How mmdetection makes the same networks, with torchvision's names. It has no wide ResNets.
MMDET: Mapping[str, Mapping[str, Any]] = {
    **{f"resnet{depth}": {"type": "ResNet", "depth": depth} for depth in (18, 34, 50, 101, 152)},
    "resnext50_32x4d": {"type": "ResNeXt", "depth": 50, "groups": 32, "base_width": 4},
    "resnext101_32x8d": {"type": "ResNeXt", "depth": 101, "groups": 32, "base_width": 8},
    "resnext101_64x4d": {"type": "ResNeXt", "depth": 101, "groups": 64, "base_width": 4},
}


class BatchNorm(NamedTuple):
    """What a batch norm has beside its tensors."""

    eps: float
    momentum: float | None


_MMDET_BATCH_NORM = BatchNorm(eps=1e-5, momentum=0.1)  # mmcv.cnn.build_norm_layer


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """An encoder as another library knows it.

    Attributes:
        target: one of `TARGETS`.
        model: timm's and torchvision's name of the network, or the class of the point encoder.
        settings: with which the target makes it, where not by that name.
        tensors: by the target's names.
        absent: the target's names of tensors that were not trained, e.g. of the classifier.
        batch_norm: what the batch norms were trained with, without repetition; empty without any.
        warnings: sentences on what differs in the target.
    """

    target: str
    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor]
    absent: tuple[str, ...] = ()
    batch_norm: tuple[BatchNorm, ...]
    warnings: tuple[str, ...] = ()


def make_export(method: SimIPU, backbone: str, target: str, *, prefix: str = "backbone") -> Export:
    """Name the tensors of an encoder as ``target`` does.

    Args:
        method: the trained networks.
        backbone: timm's name of the image encoder.
        target: one of `TARGETS`.
        prefix: what a detector of mmdetection calls its image encoder: one of `PREFIXES`.

    Raises:
        UsageError: ``target`` has no such network.
    """
    if target == "points":
        encoder = method.point_encoder
        if not isinstance(encoder, PointEncoder):
            raise UsageError(
                "only the point encoder pointnet2 can be exported, and this run has another",
                where=f"--to {target}",
                fix="Export its image encoder: --to timm, torchvision or mmdet.",
            )
        return Export(
            target=target,
            model="PointEncoder",
            settings=settings_of(encoder),
            tensors=encoder.state_dict(),
            batch_norm=_distinct(encoder),
        )
    images = method.image_encoder.backbone
    if target == "timm":
        return _matched(images, timm.create_model(backbone), target=target, model=backbone)
    name = backbone.partition(".")[0]  # what follows names weights, which were not used
    known = TORCHVISION if target == "torchvision" else tuple(MMDET)
    if name not in known:
        raise UsageError(
            f"{target} has no network like timm's {name!r} under names known here",
            where=f"--to {target}",
            fix="Use --to timm, which fits every backbone; or train one that it has: "
            f"{', '.join(known)}.",
        )
    if target == "torchvision":
        reference = torchvision.models.get_model(name, weights=None)
        return _matched(images, reference, target=target, model=name)
    layers = Counter((norm, _MMDET_BATCH_NORM) for norm in _batch_norms(images).values())
    return Export(
        target=target,
        model=name,
        settings=MMDET[name],
        tensors={f"{prefix}.{key}": tensor for key, tensor in images.state_dict().items()},
        batch_norm=_distinct(images),
        warnings=_differences(images, layers, target),
    )


def _matched(encoder: nn.Module, reference: nn.Module, *, target: str, model: str) -> Export:
    """The tensors of ``encoder`` by the names of ``reference``, the target's own network."""
    theirs = reference.state_dict()
    # Where timm cuts a network into stages, it joins names: stages_0 is part 0 of stages.
    known = {
        spelling: name
        for name in theirs
        for spelling in (f"model.{name}", name.replace(".", "_", 1), name)
    }
    ours = encoder.state_dict()
    unknown = [
        name
        for name, tensor in ours.items()
        if name not in known or theirs[known[name]].shape != tensor.shape
    ]
    tensors = {known[name]: tensor for name, tensor in ours.items() if name in known}
    if unknown or len(tensors) != len(ours):
        raise UsageError(
            f"{target}'s {model!r} is another network: {', '.join(unknown[:3])} do not fit",
            where=f"--to {target}",
            fix="Use the versions of timm and torchvision that the run was trained with.",
        )
    norms = _batch_norms(reference)
    layers = Counter((norm, norms[known[name]]) for name, norm in _batch_norms(encoder).items())
    return Export(
        target=target,
        model=model,
        tensors=tensors,
        absent=tuple(name for name in theirs if name not in tensors),
        batch_norm=_distinct(encoder),
        warnings=_differences(encoder, layers, target),
    )


def _batch_norms(network: nn.Module) -> dict[str, BatchNorm]:
    """Settings of every batch norm, by the name of its running mean."""
    return {
        f"{name}.running_mean": BatchNorm(module.eps, module.momentum)
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm)
    }


def _distinct(network: nn.Module) -> tuple[BatchNorm, ...]:
    return tuple(dict.fromkeys(_batch_norms(network).values()))


def _differences(
    encoder: nn.Module, layers: Counter[tuple[BatchNorm, BatchNorm]], target: str
) -> tuple[str, ...]:
    norms = tuple(
        f"{count} batch norms were trained with eps {ours.eps:g} and momentum {ours.momentum}; "
        f"{target} makes them with eps {theirs.eps:g} and momentum {theirs.momentum}. "
        "Set them after loading, else the features differ."
        for (ours, theirs), count in layers.items()
        if ours != theirs
    )
    convolutions = (module for module in encoder.modules() if isinstance(module, nn.Conv2d))
    modes = Counter(module.padding_mode for module in convolutions)
    del modes["zeros"]
    return norms + tuple(
        f"{count} convolutions were trained with the padding mode {mode!r}; {target} pads with "
        "zeros. Set their padding_mode after loading, else the features differ."
        for mode, count in modes.items()
    )
