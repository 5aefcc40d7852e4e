"""From a data set to a store: plan, convert block by block, commit."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

from simipu.errors import EmptyFrameError, IncompleteError, SourceError
from simipu.pipelines import destination
from simipu.pipelines.cluster import run_tasks
from simipu.pipelines.finalise import finalise
from simipu.pipelines.plan import ConvertTask, make_plan, relative_to_root
from simipu.pipelines.sources.checked import Checked
from simipu.records import FrameRef, Skipped, SourceInfo
from simipu.store import extents, lock
from simipu.store.fragment import Fragments
from simipu.store.storage import LocalStorage
from simipu.store.writer import FrameWriter

if TYPE_CHECKING:
    from pathlib import Path

    from simipu.pipelines.sources.base import Source

Progress = Callable[[str, int, int], object]
"""Called with (what is done, frames done now or 0 to begin, frames in all)."""

_FAULTS_SHOWN = 5
_WAY_OUT = "Or add --skip-bad to leave such frames out."


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """Where the work runs. It never changes the result.

    Attributes:
        workers: local processes. With more than one, a script that calls this needs the usual
            ``if __name__ == "__main__":``, because each process imports the script.
        scheduler: address of a dask scheduler to use instead.
    """

    workers: int = 1
    scheduler: str | None = None


def convert(
    source: Source,
    out: Path,
    *,
    resources: Resources,
    limit: int | None = None,
    overwrite: bool = False,
    skip_bad: bool = False,
    task_bytes: int = extents.TASK_BYTES,
    progress: Progress = lambda *_: None,
) -> None:
    """Convert a data set into a store without correspondences, or go on with it.

    Nothing happens where the same conversion is already complete.

    Args:
        source: reads the data set.
        out: the store.
        resources: where to run.
        limit: convert only so many frames; faults that the scan finds beyond them count too.
        overwrite: replace a store with other content.
        skip_bad: leave faulty frames out, and list them, instead of stopping at the first.
        task_bytes: source bytes for each task to aim for.
        progress: told how far it is.

    Raises:
        SourceError: a file of the data set is at fault.
        UsageError: ``out`` holds something else, or is being written to.
        IncompleteError: stopped half-way; the same call goes on.
    """
    source = Checked(source)  # readers of third parties, and ours: nothing of theirs is trusted
    plan = make_plan(source, limit=limit, task_bytes=task_bytes)
    faults = [skipped for skipped in plan.skipped if not skipped.expected]
    if faults and not skip_bad:
        raise _faults_error(faults, source.root, limit)
    if not plan.tasks:
        raise SourceError("no frame is left to convert", where=source.root)
    destination.refuse_foreign(out)
    storage = LocalStorage(out)
    fragments = Fragments(storage, destination.JOB)

    def count(tasks: Iterable[ConvertTask]) -> int:
        return sum(len(task.frames) for task in tasks)

    def done_so_far() -> int:
        return count(task for task in plan.tasks if fragments.has(task.name))

    total = count(plan.tasks)
    with lock.writing(out) as run, stopping(done_so_far, total, out):
        if not destination.begin(storage, plan, overwrite=overwrite):
            return
        done = {task.name for task in plan.tasks if _is_done(fragments, task)}
        pending = [task for task in plan.tasks if task.name not in done]
        # What is left of another state of the source, and of blocks to be done again. A block's
        # files may be those of other blocks in another state, so all of it goes before any is.
        fragments.keep_only(done)
        progress("convert", total - count(pending), total)
        function = partial(_convert_block, source, source.info, out, run, skip_bad)
        for frames in run_tasks(
            function, pending, workers=resources.workers, scheduler=resources.scheduler
        ):
            progress("convert", frames, total)
        finalise(storage, plan, fragments, source.info)
        destination.end(storage)


def _is_done(fragments: Fragments, task: ConvertTask) -> bool:
    fragment = fragments.read(task.name)
    # A faulty frame may have been mended since, in a way that its digest does not show.
    return fragment is not None and all(entry["expected"] for entry in fragment.notes["skipped"])


@contextmanager
def stopping(done: Callable[[], int], total: int, out: Path) -> Iterator[None]:
    """Turn an interruption or a full disk into an error that says how to go on."""
    resume = "Run the same command again to go on."
    try:
        yield
    except KeyboardInterrupt:
        raise IncompleteError(
            f"stopped: {done():,} of {total:,} frames are done", where=out, fix=resume
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise IncompleteError(
            f"no space is left on the disk: {done():,} of {total:,} frames are done",
            where=out,
            fix=f"Free some space. {resume}",
        ) from None


def _convert_block(
    source: Source, info: SourceInfo, out: Path, run: str, skip_bad: bool, task: ConvertTask
) -> int:
    """Convert one block; returns its number of frames. Runs in a worker."""
    storage = LocalStorage(out)
    skipped: list[Skipped] = []
    with lock.working(out, run):
        with (
            storage.batch() as batch,
            FrameWriter(
                batch,
                cameras=info.cameras,
                attributes=info.frame_attributes,
                point_columns=info.point_columns,
                points=task.points,
                images=task.images,
            ) as writer,
        ):
            for ref in task.frames:
                try:
                    frame = source.read(ref)
                except SourceError as error:
                    if not (skip_bad or isinstance(error, EmptyFrameError)):
                        error.fix = f"{error.fix or 'Mend the file.'} {_WAY_OUT}"
                        raise
                    skipped.append(_skipped(ref, error, source.root))
                    continue
                writer.append(frame)
        notes = {"skipped": [asdict(entry) for entry in skipped]}
        Fragments(storage, destination.JOB).write(task.name, writer.fragment(notes))
    return len(task.frames)


def _skipped(ref: FrameRef, error: SourceError, root: Path) -> Skipped:
    entry = Skipped(
        frame_id=ref.id,
        path=error.where or "",
        reason=error.what,
        expected=isinstance(error, EmptyFrameError),
    )
    return relative_to_root(entry, root)


def _faults_error(faults: Sequence[Skipped], root: Path, limit: int | None) -> SourceError:
    # One damaged calibration or timestamps file is the fault of many frames.
    frames = Counter((fault.path, fault.reason) for fault in faults)
    shown = [
        f"  {path}: {reason}" + (f" ({count:,} frames)" if count > 1 else "")
        for (path, reason), count in list(frames.items())[:_FAULTS_SHOWN]
    ]
    if len(frames) > _FAULTS_SHOWN:
        shown.append(f"  ... and {len(frames) - _FAULTS_SHOWN:,} more")
    return SourceError(
        "\n".join([f"{len(faults):,} frames of the data set are at fault:", *shown]),
        where=root,
        fix="Mend the files, or add --skip-bad to leave these frames out. Nothing was written."
        + ("" if limit is None else " They count wherever they are, also beyond --limit."),
    )
