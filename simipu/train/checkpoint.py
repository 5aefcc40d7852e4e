"""Checkpoints that are either whole or absent."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

import torch

from simipu.errors import SimipuError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KEPT = 3
_PATTERN = "step-*.pt"


def save_checkpoint(folder: Path, step: int, state: Mapping[str, object]) -> Path:
    """Write ``state`` as the checkpoint of ``step`` and delete all but the last three.

    The file gets its name only when it is complete and on the disk, so that an interruption at any
    moment leaves the earlier checkpoints as they were.

    Args:
        folder: created if missing.
        step: number of finished steps.
        state: tensors, numbers, strings and containers of them; nothing else can be read back.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:09d}.pt"
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        torch.save(dict(state), file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    _sync_folder(folder)
    for old in list_checkpoints(folder)[:-KEPT]:
        old.unlink()
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in ``folder``, oldest first; empty if there is no such folder."""
    return sorted(folder.glob(_PATTERN))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU, without running any code that it may contain.

    Raises:
        SimipuError: the file is damaged or not a checkpoint.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise _damaged(path) from error
    if not isinstance(state, dict) or "step" not in state:
        raise _damaged(path)
    return state


def _damaged(path: Path) -> SimipuError:
    return SimipuError(
        "this is not a whole checkpoint",
        where=path,
        fix="Delete it and resume again: the one before it will be used.",
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
