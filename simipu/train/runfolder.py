"""The run folder: nobody else's data, one process at a time, and all that repeats the run."""

from __future__ import annotations

import fcntl
import json
import platform
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from simipu.errors import UsageError
from simipu.train.settings import write_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from simipu.store.reader import Store
    from simipu.train.config import TrainConfig

CONFIG = "config.yaml"
PROVENANCE = "provenance.json"
MARK = "simipu-run"
"""File that tells a run folder from others; a training process holds a lock on it."""


def check_run_folder(run: Path) -> None:
    """Refuse a place where a run could overwrite what is not its own.

    Raises:
        UsageError: ``run`` is in a file or in a store, or holds something else than a run.
    """
    place = run.resolve()
    for folder in (place, *place.parents):
        if folder.exists() and not folder.is_dir():
            raise _refused("this is a file, not a folder for a run", folder)
        if (folder / "zarr.json").exists():
            raise _refused("this is a store, not a folder for a run", folder)
    if place.exists() and any(place.iterdir()) and not (place / MARK).exists():
        raise _refused("the folder is neither empty nor that of a run", run)


@contextmanager
def hold_run_folder(run: Path) -> Iterator[None]:
    """Keep other processes from training in ``run``, which is created if missing.

    The lock is the kernel's: however the process ends, it is gone with it.

    Raises:
        UsageError: another process is training there, or it is no place for a run.
    """
    check_run_folder(run)
    run.mkdir(parents=True, exist_ok=True)
    with (run / MARK).open("a", encoding="utf-8") as mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _refused("another process is training in this folder", run) from None
        yield


def describe_run(run: Path, config: TrainConfig, stores: Iterable[Store], processes: int) -> None:
    """Write what is needed to repeat the run ``run``.

    ``config.yaml`` has the settings, ``provenance.json`` what they met: the content of the stores
    and the versions of what computes.
    """
    repeat = f"# simipu-train --config {CONFIG} --out ANOTHER_FOLDER\n"
    _replace(run / CONFIG, repeat + write_yaml(config))
    content = {
        "stores": [
            {
                "path": str(store.path),
                "fingerprint": store.fingerprint,
                "correspondence_policy": store.correspondence_policy,
            }
            for store in stores
        ],
        "processes": processes,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("simipu", "torch", "timm", "numpy")},
        },
    }
    _replace(run / PROVENANCE, json.dumps(content, indent=2) + "\n")


def _replace(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _refused(what: str, where: Path) -> UsageError:
    return UsageError(what, where=where, fix="Choose another --out.")
