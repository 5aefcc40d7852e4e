"""The point encoder in a file of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from simipu.errors import SimipuError
from simipu.models.layers import COORDINATE_CHANNELS
from simipu.models.pointnet2 import PointEncoder

if TYPE_CHECKING:
    from os import PathLike

METADATA = "simipu"
"""Key of the metadata in an exported file; its value is JSON."""
INPUTS = ("points", "intensity", "min_range_m", "max_range_m")
"""The settings of a sample that say what a point encoder was trained on."""


def settings_of(encoder: PointEncoder) -> dict[str, Any]:
    """The arguments that make an encoder like this one."""
    layers = [
        [layer for layer in level.modules() if isinstance(layer, nn.Linear)]
        for level in encoder.down
    ]
    seen = COORDINATE_CHANNELS[encoder.coordinates]
    return {
        "centres": list(encoder.centres),
        "widths": [linear[-1].out_features for linear in layers],
        "neighbours": encoder.neighbours,
        "features": layers[0][0].in_features - seen,
        "coordinates": encoder.coordinates,
    }


def is_point_encoder(path: str | PathLike[str]) -> bool:
    """Whether a file is what ``simipu-export --to points`` writes; its tensors are not read."""
    try:
        with safe_open(str(path), framework="pt") as file:
            return bool(json.loads((file.metadata() or {})[METADATA])["target"] == "points")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return False


def read_inputs(path: str | PathLike[str]) -> dict[str, Any]:
    """The settings `INPUTS` that an exported point encoder was trained with, as they stand there.

    Files of earlier versions have none.
    """
    with safe_open(str(path), framework="pt") as file:
        found = json.loads(file.metadata()[METADATA]).get("sample")
    return (
        {name: found[name] for name in INPUTS if name in found} if isinstance(found, dict) else {}
    )


def load_point_encoder(path: str | PathLike[str]) -> PointEncoder:
    """Load what ``simipu-export --to points`` wrote; nothing in the file is run.

    Args:
        path: a .safetensors file.

    Returns:
        The encoder on the CPU, in evaluation mode.

    Raises:
        SimipuError: the file is no exported point encoder, or damaged.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            about = json.loads((file.metadata() or {})[METADATA])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if about["target"] != "points":
            raise ValueError(f"it holds an encoder for {about['target']}")
        # Without memory at first: the settings are only believed once the tensors fit them.
        with torch.device("meta"):
            encoder = PointEncoder(**about["settings"])
        encoder.load_state_dict(tensors, assign=True)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise SimipuError(
            f"this is no exported point encoder: {error}",
            where=path,
            fix="Write one with: simipu-export RUN --to points --out points.safetensors",
        ) from error
    return encoder.eval()
