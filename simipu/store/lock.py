"""One writer at a time. Locks are the kernel's, so a killed process holds none."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from simipu.errors import UsageError
from simipu.store.schema import STAGING

_WAIT_FOR_WORKERS_S = 60.0


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Hold the store at ``root`` for writing; creates the folder, and removes it if still empty.

    Raises:
        UsageError: another process is writing to the store.
    """
    staging = root / STAGING
    path = staging / "writer.lock"
    descriptor = _lock_file(path)
    try:
        _wait_for_orphans(staging / "workers.lock", root)
        yield
    finally:
        # Only this process may do this: it still holds the lock.
        (staging / "workers.lock").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        for folder in (staging / "partial", staging, root):
            with suppress(OSError):  # not empty: work to be continued, or the store itself
                folder.rmdir()
        os.close(descriptor)


@contextmanager
def working(root: Path) -> Iterator[None]:
    """Held by a worker while it writes, so that a new writer waits for workers of a killed one."""
    descriptor = os.open(root / STAGING / "workers.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _lock_file(path: Path) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            continue  # the folder was removed by a writer that just ended
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise _busy(path.parent.parent, "another process is writing to this store") from None
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)  # locked a file that its last owner had already removed


def _wait_for_orphans(path: Path, root: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    deadline = time.monotonic() + _WAIT_FOR_WORKERS_S
    try:
        while True:
            try:
                return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise _busy(root, "workers of an earlier run still write here") from None
                time.sleep(0.05)
    finally:
        os.close(descriptor)


def _busy(root: Path, what: str) -> UsageError:
    return UsageError(what, where=root, fix="Wait until it has ended, or give another --out.")
