"""Worker processes of this machine, which start sooner than those of a dask cluster."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from simipu.errors import IncompleteError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Task = TypeVar("Task")


def run(function: Callable[[Task], None], tasks: Sequence[Task], *, workers: int) -> None:
    """Run tasks, in order, each by the next process that is free.

    Args:
        function: picklable; called once for each task.
        tasks: picklable.
        workers: processes; with 1, or one task, everything runs in this process.

    Raises:
        IncompleteError: a process was lost.
        Exception: whatever ``function`` raised; tasks not yet started are dropped.
    """
    if min(workers, len(tasks)) <= 1:
        for task in tasks:
            function(task)
        return
    pool = ProcessPoolExecutor(
        min(workers, len(tasks)), mp_context=get_context("spawn"), initializer=_begin
    )
    try:
        for done in as_completed([pool.submit(function, task) for task in tasks]):
            done.result()
    except BrokenProcessPool:
        raise IncompleteError(
            "a worker process was lost (killed, or out of memory)",
            fix="Run the same command again: it goes on where it stopped. With little memory, "
            "use fewer --workers.",
        ) from None
    finally:
        # What runs is not waited for: its next look at the lock ends it.
        pool.shutdown(wait=False, cancel_futures=True)


def _begin() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # read when Open3D is loaded; its idle threads would spin
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it reaches all, and only the parent answers it
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
