"""Running tasks: here, in local worker processes, or on a dask cluster that already runs."""

from __future__ import annotations

import logging
import pickle
import signal
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import cache, partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

from simipu.errors import IncompleteError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CONNECT_TIMEOUT = "20s"

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int,
    scheduler: str | None = None,
) -> Iterator[Result]:
    """Yield the result of each task as it ends, in any order.

    Args:
        function: picklable; writes its own files, so that only small results travel.
        tasks: picklable arguments.
        workers: local processes; with 1, or one task, everything runs in this process.
        scheduler: address of a running dask scheduler, e.g. "tcp://head:8786", used instead of
            local workers. Its workers need simipu and must see the same paths.

    Raises:
        IncompleteError: a worker process was lost, or the scheduler cannot be reached.
        UsageError: the address is none, the scheduler or a worker has other versions, or a worker
            cannot import ``function`` or a task.
        Exception: whatever ``function`` raised; tasks not yet started are dropped.
    """
    if scheduler is None and min(workers, len(tasks)) <= 1:
        yield from map(function, tasks)
        return
    from distributed import KilledWorker, as_completed

    with _client(min(workers, len(tasks)), scheduler) as client:
        call: Callable[[Any], object] = function
        arguments: Sequence[object] = tasks
        if scheduler is not None:  # local workers are this installation, and import what it does
            call = partial(_call, scheduler, _versions(), pickle.dumps(function))
            arguments = [pickle.dumps(task) for task in tasks]
        futures = client.map(call, arguments, pure=False, retries=0)
        try:
            for future in as_completed(futures, loop=client.loop):
                yield future.result()
        except (KilledWorker, CancelledError):
            raise IncompleteError(
                "a worker process or the scheduler was lost (killed, or out of memory)",
                fix="Run the same command again: it goes on where it stopped. With little memory, "
                "use fewer --workers.",
            ) from None
        finally:
            client.cancel(futures)


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    if scheduler is not None:
        if "://" not in scheduler:
            raise UsageError(
                "not the address of a scheduler", where=scheduler, fix="e.g. tcp://head:8786"
            )
        try:
            client = Client(scheduler, timeout=CONNECT_TIMEOUT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise IncompleteError(
                f"no dask scheduler answers ({error})",
                where=scheduler,
                fix="Start one with `dask scheduler` and workers with `dask worker`, or leave out "
                "--scheduler to use local workers.",
            ) from None
        with client:
            _refuse_other_versions(client, scheduler)
            yield client
        return
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=None,
            # Any free port: the default one warns where a second run has it already.
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        # Ctrl-C reaches the whole process group; only this process should answer it.
        client.run(_ignore_interrupts)
        yield client


def _call(scheduler: str | None, versions: dict[str, str], function: bytes, task: bytes) -> object:
    """Call a pickled function with a pickled task, on a worker that may not be like this process.

    They travel as bytes, for a worker that cannot unpickle what dask itself sends dies, and without
    workers the client waits for ever. A worker may join late: each task asks what it has.
    """
    if (there := _versions()) != versions:
        raise _other_versions("a worker", there, versions, scheduler)
    try:
        unpickled, argument = pickle.loads(function), pickle.loads(task)  # from our own client
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"a worker cannot import the reader of this data set ({error})",
            where=scheduler,
            fix="Install its package where the workers run, or start them with its folder in "
            "PYTHONPATH.",
        ) from error
    return unpickled(argument)


@cache
def _versions() -> dict[str, str]:
    """Of what the bytes of a store depend on; those of a mixture could not be made again."""
    return {name: version(name) for name in ("simipu", "numpy", "numcodecs")}


def _refuse_other_versions(client: Any, scheduler: str) -> None:
    """Ask the scheduler and the workers that are there, before any of them needs simipu."""
    here = _versions()
    try:
        there = {"the scheduler": client.run_on_scheduler(_versions)}
    except ImportError as error:
        there = {"the scheduler": error}
    on_workers = client.run(_versions, on_error="return")
    there |= {f"worker {address}": found for address, found in on_workers.items()}
    for who, found in there.items():
        if found != here:
            raise _other_versions(who, found, here, scheduler)


def _other_versions(
    who: str, there: object, here: dict[str, str], scheduler: str | None
) -> UsageError:
    return UsageError(
        f"{who} has {there}, this process has {here}",
        where=scheduler,
        fix="Install the same versions everywhere.",
    )


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
