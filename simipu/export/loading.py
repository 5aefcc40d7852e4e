"""Code that loads an export, for its model card."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simipu.export.names import Export

_MODULE = """\
import {library}
from safetensors.torch import load_file

model = {make}
result = model.load_state_dict(load_file("{file}"), strict=False)
assert not result.unexpected_keys
assert set(result.missing_keys) <= {absent}
"""

_TO_PTH = """\
import torch
from safetensors.torch import load_file

torch.save(load_file("{file}"), "{pth}")
"""

_MMDET = """\
model = dict(
    data_preprocessor=dict(mean={mean}, std={std}, bgr_to_rgb=True),
    {prefix}=dict(
        {network},
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        style="pytorch",
        norm_cfg=dict(type="BN", requires_grad=True{norm}),
        init_cfg=dict(type="Pretrained", checkpoint="{pth}", prefix="{prefix}"),
    ),
)
"""

_POINTS = """\
from simipu.export.points import load_point_encoder

encoder = load_point_encoder("{file}")

# xyz (B, P, 3) float32, metres; intensity (B, P, 1) float32, standardised, or zeros;
# distinct (B, P) bool, False for copies that fill up a cloud. The first `queries` points are
# encoded: features is (B, queries, {channels}), and queries at most {queries}.
features = encoder(xyz, intensity, distinct, queries)
"""


def loading_code(export: Export, about: Mapping[str, Any], *, file: str) -> str:
    """Python that loads ``file``, and nothing less or more than its tensors, into its target.

    Args:
        export: what the file holds.
        about: its metadata.
        file: its name.
    """
    if export.target == "mmdet":
        return _mmdet_config(export, about, file)
    if export.target == "points":
        settings = export.settings
        return _POINTS.format(
            file=file, channels=settings["widths"][-1], queries=settings["centres"][0]
        )
    make = {
        "timm": f'timm.create_model("{export.model}")',
        "torchvision": f'torchvision.models.get_model("{export.model}", weights=None)',
    }
    return _MODULE.format(
        library=export.target,
        make=make[export.target],
        file=file,
        absent=_set(export.absent),
    )


def _set(names: Sequence[str]) -> str:
    return "{" + ", ".join(map(json.dumps, names)) + "}" if names else "set()"


def _mmdet_config(export: Export, about: Mapping[str, Any], file: str) -> str:
    prefix = next(iter(export.tensors)).partition(".")[0]
    network = dict(export.settings)
    if prefix == "img_backbone":  # in mmdetection3d, whose own registry has other networks
        network["type"] = f"mmdet.{network['type']}"
    pth = file.removesuffix(".safetensors").removesuffix(".pth") + ".pth"
    norms = export.batch_norm
    config = _MMDET.format(
        mean=[round(255 * value, 3) for value in about["image"]["mean"]],
        std=[round(255 * value, 3) for value in about["image"]["std"]],
        prefix=prefix,
        network=", ".join(f"{name}={json.dumps(value)}" for name, value in network.items()),
        norm=f", eps={norms[0].eps:g}, momentum={norms[0].momentum}" if len(norms) == 1 else "",
        pth=pth,
    )
    return config if pth == file else _TO_PTH.format(file=file, pth=pth) + "\n" + config
