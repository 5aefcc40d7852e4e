"""The run folder: nobody else's data, and one process at a time."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from simipu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


def _refused(what: str, where: Path) -> UsageError:
    return UsageError(what, where=where, fix="Choose another --out.")
