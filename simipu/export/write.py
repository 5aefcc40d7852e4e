"""Writing an export and its model card."""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save

from simipu.data.photometric import IMAGENET_MEAN, IMAGENET_STD
from simipu.errors import UsageError
from simipu.export.card import describe
from simipu.export.points import INPUTS, METADATA

if TYPE_CHECKING:
    from pathlib import Path

    from simipu.export.names import Export
    from simipu.export.run import TrainedRun


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What was written.

    Attributes:
        file, card: the weights, and the model card beside them.
        sha256, bytes: of the weights' file.
        tensors: number of tensors in it.
        warnings: sentences that the card has, too.
    """

    file: Path
    card: Path
    sha256: str
    bytes: int
    tensors: int
    warnings: tuple[str, ...]


def check_destination(out: Path, target: str, *, overwrite: bool) -> None:
    """Refuse a place or an ending before anything is read.

    Raises:
        UsageError: another ending than .safetensors, or .pth for mmdet; no such folder; or one of
            the two files exists and may not be overwritten.
    """
    endings = (".safetensors", ".pth") if target == "mmdet" else (".safetensors",)
    if out.suffix not in endings:
        raise UsageError(
            f"weights for {target} are not written as {out.suffix or 'a file without ending'}",
            where=f"--out {out}",
            fix=f"Let the name end in {' or '.join(endings)}.",
        )
    if not out.parent.is_dir():
        raise UsageError(
            "there is no such folder", where=out.parent, fix="Make it, or choose another --out."
        )
    for path in (out, card_path(out)):
        if path.is_dir() or (path.exists() and not overwrite):
            raise UsageError(
                "this exists already", where=path, fix="Add --overwrite, or choose another --out."
            )


def card_path(out: Path) -> Path:
    """Where the model card of ``out`` is."""
    return out.with_name(out.name + ".md")


def write_export(trained: TrainedRun, export: Export, out: Path) -> Written:
    """Write the weights and their card: the same run gives the same bytes.

    Args:
        trained: the run that ``export`` was made from.
        export: the tensors by their target's names.
        out: ends in .pth for a dictionary of tensors, else safetensors.
    """
    warnings = (*trained.warnings, *export.warnings)
    if export.target == "mmdet" and out.suffix != ".pth":
        warnings += (
            "Configs of mmdetection load .pth files only: let --out end in .pth for them.",
        )
    about = _metadata(trained, export)
    content = _encode(export, about, pickled=out.suffix == ".pth")
    sha256 = hashlib.sha256(content).hexdigest()
    card = describe(trained, export, about, file=out.name, sha256=sha256, warnings=warnings)
    _replace(out, content)
    _replace(card_path(out), card.encode())
    return Written(
        file=out,
        card=card_path(out),
        sha256=sha256,
        bytes=len(content),
        tensors=len(export.tensors),
        warnings=warnings,
    )


def _metadata(trained: TrainedRun, export: Export) -> dict[str, Any]:
    about: dict[str, Any] = {
        "target": export.target,
        "model": export.model,
        "settings": dict(export.settings),
        "absent": list(export.absent),
        "batch_norm": [norm._asdict() for norm in export.batch_norm],
        "run": trained.name,
        "step": trained.step,
        "weights": trained.weights,
        "data": [
            {"source": data.source, "licence": data.licence, "fingerprint": data.fingerprint}
            for data in trained.data
        ],
        "simipu": version("simipu"),
    }
    if export.target == "points":
        about["sample"] = {name: trained.settings["sample"][name] for name in INPUTS}
    else:
        about["image"] = {
            "channels": "RGB",
            "range": [0, 1],
            "mean": list(IMAGENET_MEAN),
            "std": list(IMAGENET_STD),
        }
    return about


def _encode(export: Export, about: dict[str, Any], *, pickled: bool) -> bytes:
    # Contiguous, and each with a storage of its own: no memory layout of the training is left.
    tensors = {
        name: tensor.detach().clone(memory_format=torch.contiguous_format)
        for name, tensor in export.tensors.items()
    }
    if pickled:
        buffer = io.BytesIO()  # given a path, PyTorch would write the file's name into it
        torch.save(tensors, buffer)
        return buffer.getvalue()
    # One key: safetensors writes several in random order.
    return save(tensors, metadata={METADATA: json.dumps(about, sort_keys=True)})


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
