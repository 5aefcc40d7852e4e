"""Checkpoints that are either whole or absent."""

from __future__ import annotations

import os
import pickle
import zipfile
from typing import TYPE_CHECKING, Any, TypedDict

import torch

from simipu.errors import SimipuError

if TYPE_CHECKING:
    from pathlib import Path

BEST = "best.pt"
_PATTERN = f"step-{'[0-9]' * 9}.pt"


class State(TypedDict):
    """What a checkpoint holds: tensors, numbers, strings and containers of them.

    No state of a random generator: what is drawn in a step depends on the seed and the step alone.

    Attributes:
        step: number of finished steps.
        config: the settings of the run, as `TrainConfig.to_dict` gives them.
        fingerprints: of the stores that are trained on, then of those that are measured on.
        method, optimizer: their state dictionaries.
        ema: state dictionary of the method with averaged weights; None where none are kept.
    """

    step: int
    config: dict[str, Any]
    fingerprints: list[str]
    method: dict[str, Any]
    optimizer: dict[str, Any]
    ema: dict[str, Any] | None


def save_checkpoint(folder: Path, state: State, *, keep: int) -> Path:
    """Write ``state`` as the checkpoint of its step and delete all but the last ``keep``.

    Args:
        folder: created if missing.
        state: nothing but what `State` says can be read back.
        keep: number of checkpoints.
    """
    path = write_state(folder / f"step-{state['step']:09d}.pt", state)
    for old in list_checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def write_state(path: Path, state: State) -> Path:
    """Write ``state`` as the file ``path``, in a folder that is created if missing.

    The file gets its name only when it is complete and on the disk, so that an interruption at any
    moment leaves what was there before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        torch.save(dict(state), file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    _sync_folder(path.parent)
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in ``folder``, oldest first; empty if there is no such folder."""
    return sorted(folder.glob(_PATTERN))


def load_checkpoint(path: Path) -> State:
    """Read a checkpoint to the CPU, without running any code that it may contain.

    Raises:
        SimipuError: the file is damaged or not a checkpoint.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch.load does not compare the checksums
        if damaged is not None:
            raise _damaged(path)
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except (
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        raise _damaged(path) from error
    if not isinstance(state, dict) or "step" not in state:
        raise _damaged(path)
    if state.keys() != State.__required_keys__:
        raise SimipuError(
            "this checkpoint is of another version of simipu",
            where=path,
            fix="Continue with the version in the run folder's provenance.json, or begin anew.",
        )
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
