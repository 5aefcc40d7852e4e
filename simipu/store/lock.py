"""One writer at a time. Locks are the kernel's, so a killed process holds none.

A writer holds ``writer.lock``. Its workers share ``workers.lock`` while they write; that file names
the run that they belong to. A worker may outlive its run, on a cluster by much: the next writer
waits until none is writing, and then names a new run, so that whoever comes late gives up.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from simipu.errors import IncompleteError, UsageError
from simipu.store.schema import STAGING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT_FOR_WORKERS_S = 60.0


@contextmanager
def writing(root: Path) -> Iterator[str]:
    """Hold the store at ``root`` for writing; creates the folder, and removes it if still empty.

    Yields:
        The name of this run, for `working`.

    Raises:
        UsageError: another process is writing to the store.
    """
    staging = root / STAGING
    descriptor = _lock_writer(staging / "writer.lock", root)
    try:
        run = _begin_run(staging / "workers.lock", root)
        shutil.rmtree(staging / "partial", ignore_errors=True)  # left by a killed run
        yield run
    finally:
        if _end_run(staging / "workers.lock"):
            shutil.rmtree(staging / "partial", ignore_errors=True)
            (staging / "writer.lock").unlink(missing_ok=True)
            for folder in (staging, root):
                with suppress(OSError):  # not empty: work to be continued, or the store itself
                    folder.rmdir()
        os.close(descriptor)


@contextmanager
def working(root: Path, run: str) -> Iterator[None]:
    """Held by a worker while it writes.

    Args:
        root: the store.
        run: what `writing` yielded to the process that gave out the work.

    Raises:
        IncompleteError: that run has ended.
    """
    path = root / STAGING / "workers.lock"
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise _ended(root) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if not _is_at(descriptor, path) or os.pread(descriptor, 64, 0).decode() != run:
            raise _ended(root)
        yield
    finally:
        os.close(descriptor)


def _lock_writer(path: Path, root: Path) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            continue  # the folder was removed by a writer that just ended
        if not _try_lock(descriptor):
            os.close(descriptor)
            raise _busy(root, "another process is writing to this store")
        if _is_at(descriptor, path):
            return descriptor
        os.close(descriptor)  # the last owner had already removed this file


def _begin_run(path: Path, root: Path) -> str:
    """Wait for the workers of earlier runs, then name a new one."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    deadline = time.monotonic() + WAIT_FOR_WORKERS_S
    try:
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise _busy(root, "workers of an earlier run are still writing to this store")
            time.sleep(0.05)
        run = uuid.uuid4().hex
        os.pwrite(descriptor, run.encode(), 0)
        return run
    finally:
        os.close(descriptor)


def _end_run(path: Path) -> bool:
    """Remove the workers' lock, unless one of them still writes; say whether it is gone."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        if not _try_lock(descriptor):
            return False
        path.unlink()
        return True
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def _busy(root: Path, what: str) -> UsageError:
    return UsageError(what, where=root, fix="Wait until it has ended, or give another --out.")


def _ended(root: Path) -> IncompleteError:
    return IncompleteError("the run that this work belongs to has ended", where=root)
