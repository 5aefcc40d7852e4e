"""Weights of image backbones from local files, whatever prefix their tensors have there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import timm
import torch
from timm.models import load_state_dict

from simipu.errors import SimipuError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from os import PathLike

    from torch import Tensor, nn

_PREFIXES = ("", "backbone.", "img_backbone.", "image_encoder.backbone.", "model.", "encoder.")
_FIX = "Give weights of this very backbone, named as timm or torchvision does."
_NAMED = 4  # tensors in a message


def load_weights(backbone: nn.Module, name: str, path: str | PathLike[str]) -> None:
    """Fill a backbone's feature network from a file of the whole network.

    Args:
        backbone: timm's model ``name`` with ``features_only``.
        name: timm's name of it.
        path: a .safetensors file, or one of torch.save that holds nothing but tensors and plain
            values. Its names may have a prefix such as ``backbone.``; beside that prefix it may
            hold other networks, and within it the network's own classifier: these are left out.

    Raises:
        SimipuError: the file cannot be read, lacks tensors, has some of another shape, or some that
            the network does not know.
    """
    try:
        # Whatever timm's default: nothing in the file is run.
        given = load_state_dict(str(path), weights_only=True)
    except Exception as error:  # timm, torch and safetensors raise many kinds
        raise SimipuError(
            f"the weights cannot be read: {error}",
            where=path,
            fix="Give a .safetensors file, or a .pth file with tensors only.",
        ) from error
    wanted = backbone.state_dict()
    whole = _names_of(name)
    names = _names_in(whole, wanted)
    given = _without_prefix(given, names)
    wrong = {
        "lacks": [
            theirs
            for ours, theirs in names.items()
            if theirs not in given and not ours.endswith("num_batches_tracked")
        ],
        "has other shapes of": [
            theirs
            for ours, theirs in names.items()
            if theirs in given and given[theirs].shape != wanted[ours].shape
        ],
        "has besides": sorted(set(given) - whole),
    }
    found = [f"{what} {_listed(tensors)}" for what, tensors in wrong.items() if tensors]
    if found:
        raise SimipuError(
            f"these are no weights of {name!r}: the file {' and '.join(found)}",
            where=path,
            fix=_FIX,
        )
    backbone.load_state_dict(
        {ours: given[theirs] for ours, theirs in names.items() if theirs in given}, strict=False
    )


def _names_of(name: str) -> set[str]:
    """Names of all tensors of timm's whole network, the classifier included."""
    with torch.device("meta"):
        return set(timm.create_model(name, pretrained=False).state_dict())


def _names_in(whole: Collection[str], wanted: Collection[str]) -> dict[str, str]:
    """What the whole network calls each tensor of its feature network."""
    # Where timm cuts a network into stages, it joins names: stages_0 is part 0 of stages.
    known = {
        spelling: theirs
        for theirs in whole
        for spelling in (f"model.{theirs}", theirs.replace(".", "_", 1), theirs)
    }
    return {ours: known[ours] for ours in wanted}


def _without_prefix(given: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """The tensors under the prefix that fits most of them."""
    candidates = [
        {key.removeprefix(prefix): value for key, value in given.items() if key.startswith(prefix)}
        for prefix in _PREFIXES
    ]
    theirs = set(names.values())
    return max(candidates, key=lambda tensors: len(theirs & set(tensors)))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
