"""From a data set to a store: plan, convert block by block, commit."""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from simipu.errors import IncompleteError, SimipuError, SourceError, UsageError
from simipu.pipelines.cluster import run_tasks
from simipu.pipelines.finalise import finalise
from simipu.pipelines.plan import PLAN, ConvertTask, Plan, make_plan, resume_plan
from simipu.pipelines.sources.base import Source
from simipu.records import Skipped, SourceInfo
from simipu.store import extents, lock, schema
from simipu.store.commit import canonical_json, read_root, remove_leftovers
from simipu.store.fragment import Fragments
from simipu.store.storage import LocalStorage
from simipu.store.writer import FrameWriter

Progress = Callable[[str, int, int], object]
"""Called with (what is done, frames done now or 0 to begin, frames in all)."""

JOB = "convert"
_FAULTS_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """Where the work runs. It never changes the result.

    Attributes:
        workers: local processes.
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
        limit: convert only so many frames.
        overwrite: replace a store with other content.
        skip_bad: leave faulty frames out, and list them, instead of stopping at the first.
        task_bytes: source bytes for each task to aim for.
        progress: told how far it is.

    Raises:
        SourceError: a file of the data set is at fault.
        UsageError: ``out`` holds something else, or is being written to.
        IncompleteError: stopped half-way; the same call goes on.
    """
    scan = source.scan()
    faults = [skipped for skipped in scan.skipped if not skipped.expected]
    if faults and not skip_bad:
        raise _faults_error(faults)
    info = source.info
    plan = make_plan(scan, info, limit=limit, task_bytes=task_bytes)
    if not plan.tasks:
        raise SourceError(
            f"no frame is left to convert: all {len(scan.skipped):,} are at fault",
            where=scan.skipped[0].path,
            fix=scan.skipped[0].reason,
        )
    refuse_foreign(out)
    storage = LocalStorage(out)
    with lock.writing(out):
        fragments = Fragments(storage, JOB)
        plan_or_none = _begin(storage, plan, fragments, overwrite=overwrite)
        if plan_or_none is None:
            return
        plan = plan_or_none
        _run(source, storage, plan, fragments, resources, skip_bad, progress)
        finalise(storage, plan, fragments, info)


def refuse_foreign(out: Path) -> None:
    """Refuse to write where something else is.

    Raises:
        UsageError: ``out`` exists and is neither a store, nor one in the making, nor empty.
    """
    if not out.exists() or (out / schema.STAGING).is_dir():
        return
    if out.is_dir() and not any(out.iterdir()):
        return
    try:
        read_root(LocalStorage(out))
    except SimipuError as error:
        raise UsageError(
            f"exists and cannot be written to as a store: {error.what}",
            where=out,
            fix="Give another --out, or move it away yourself.",
        ) from None


def _begin(
    storage: LocalStorage, plan: Plan, fragments: Fragments, *, overwrite: bool
) -> Plan | None:
    """The plan to carry out, or None where it has been."""
    complete = (storage.root / schema.ROOT_DOCUMENT).exists()
    if complete and not overwrite:
        root = read_root(storage)
        if root.attributes["plan_sha256"] != plan.sha256:
            raise UsageError(
                "this store was made from other data or with other options",
                where=storage.root,
                fix="`simipu-prep info` shows which. Give another --out, or add --overwrite.",
            )
        remove_leftovers(storage, root)
        return None
    if not complete and (storage.root / PLAN).exists():
        try:
            return resume_plan(storage, plan, fragments.has)
        except SimipuError:
            if not overwrite:
                raise
    _clear(storage)
    storage.write(PLAN, canonical_json(plan.document()))
    return plan


def _clear(storage: LocalStorage) -> None:
    """Remove all content, the root first, so that what is left never looks like a store."""
    (storage.root / schema.ROOT_DOCUMENT).unlink(missing_ok=True)
    (storage.root / PLAN).unlink(missing_ok=True)
    for path in storage.root.iterdir():
        if path.name == schema.STAGING:
            shutil.rmtree(path / JOB, ignore_errors=True)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _run(
    source: Source,
    storage: LocalStorage,
    plan: Plan,
    fragments: Fragments,
    resources: Resources,
    skip_bad: bool,
    progress: Progress,
) -> None:
    total = sum(len(task.frames) for task in plan.tasks)
    pending = [task for task in plan.tasks if not fragments.has(task.index)]
    done = total - sum(len(task.frames) for task in pending)
    progress("convert", done, total)
    function = partial(_convert_block, source, source.info, storage.root, skip_bad)
    with stopping(lambda: done, total, storage.root):
        for frames in run_tasks(
            function, pending, workers=resources.workers, scheduler=resources.scheduler
        ):
            done += frames
            progress("convert", frames, total)


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
    source: Source, info: SourceInfo, out: Path, skip_bad: bool, task: ConvertTask
) -> int:
    """Convert one block; returns its number of frames. Runs in a worker."""
    storage = LocalStorage(out)
    skipped: list[Skipped] = []
    with lock.working(out):
        writer = FrameWriter(
            storage,
            cameras=info.cameras,
            point_columns=info.point_columns,
            points=task.points,
            images=task.images,
        )
        with writer:
            for ref in task.frames:
                try:
                    frame = source.read(ref)
                except SourceError as error:
                    if not skip_bad:
                        raise _with_way_out(error) from None
                    skipped.append(
                        Skipped(frame_id=ref.id, path=error.where or "", reason=error.what)
                    )
                    continue
                writer.append(frame)
        notes = {"scene": task.scene, "skipped": [asdict(entry) for entry in skipped]}
        Fragments(storage, JOB).write(task.index, writer.fragment(notes))
    return len(task.frames)


def _with_way_out(error: SourceError) -> SourceError:
    fix = f"{error.fix or 'Mend the file.'} Or add --skip-bad to leave such frames out."
    return SourceError(error.what, where=error.where, fix=fix)


def _faults_error(faults: Sequence[Skipped]) -> SourceError:
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
        fix="Mend the files, or add --skip-bad to leave these frames out. Nothing was written.",
    )
