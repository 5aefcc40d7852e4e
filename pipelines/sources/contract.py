"""What a data set's reader promises, as one call for its tests.

    from simipu.pipelines.sources.contract import check_source

    def test_my_source_keeps_its_promises():
        check_source(MyRig("/data/my_rig"))

It needs no test framework: what is broken is told by a `ContractError`, an ``AssertionError``.
"""

from __future__ import annotations

import inspect
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simipu.errors import SimipuError
from simipu.pipelines.sources import plausible
from simipu.pipelines.sources.checked import Checked
from simipu.pipelines.sources.contract_process import Observed, leaves, observe
from simipu.pipelines.sources.registry import missing_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from simipu.pipelines.sources.base import Source
    from simipu.records import FrameRef, Scan

MAX_PICKLED_BYTES = 1 << 20
THREADS = 4


class ContractError(AssertionError):
    """A source breaks the contract; says how, and what to do."""


class Report(NamedTuple):
    """What was checked.

    Attributes:
        frames: frames of the data set.
        read: how many of them were read.
        pickled_bytes: size of the source as it travels to a worker.
    """

    frames: int
    read: int
    pickled_bytes: int


def check_source(
    source: Source, *, frames: int | None = 8, frames_share_files: bool = False
) -> Report:
    """Check that a source keeps what the converter relies on.

    * Scanning again finds the same, and a scan reads no frame: it neither calls ``read`` nor opens
      large or binary files that ``read`` opens.
    * Names are unique, records have the types and shapes of ``simipu.records``, bounds hold.
    * The source is picklable and small, and so are the references of its frames. Frames are the
      same, byte for byte, when read again, in several threads, and in another process.
    * The frames of a scene are in the order of their times; times, calibration and clouds are
      plausible, and points of the cloud lie in the images (see `plausible`).
    * Where a file of a frame is missing, the error is a ``SourceError`` that names it. (Only files
      opened through Python are known here.)

    Args:
        source: the source, on a data set that is whole. Its class must be importable: not of a
            script that is being run.
        frames: how many frames to read, in pairs of neighbours all over the data set, or None for
            all. Each is read some five times.
        frames_share_files: many frames lie in one file, so that a scan must look into it.

    Returns:
        What was checked.

    Raises:
        ContractError: something of that does not hold.
    """
    _require(
        not inspect.isclass(source),
        "check_source takes an instance",
        "Call it with MyRig(root), not with MyRig.",
    )
    missing = missing_parts(source)
    _require(not missing, f"it has no {', '.join(missing)}", "See simipu.pipelines.sources.base.")
    unused = _pickled(source)
    checked = Checked(source)
    with _telling():
        scan = checked.scan()
        info = checked.info
    refs = [ref for scene in scan.scenes for ref in scene.frames]
    _require(bool(refs), "the scan found no frame", "Give it a data set with some frames.")
    _check_scanned_again(checked, scan)
    with _telling():
        _same(dict(leaves(info)), leaves(checked.info), "info after another scan")
    pickled = _pickled(source)
    _check_refs(refs)

    chosen = _choose(len(refs), frames)
    some = [refs[index] for index in chosen]
    with _telling():
        read = [checked.read(ref) for ref in some]
    expected = [dict(leaves(frame)) for frame in read]
    _check_read_again(checked, some, expected, "read again")
    with ThreadPoolExecutor(THREADS) as pool, _telling():
        again = list(pool.map(checked.read, some * 2))
    for ref, values, frame in zip(some * 2, expected * 2, again, strict=True):
        _same(values, leaves(frame), f"frame {ref.id!r} read in one of {THREADS} threads")
    seen = observe(unused, pickled, some)
    _check_elsewhere(seen, some, expected, frames_share_files=frames_share_files)

    with _telling():
        at = dict(zip(chosen, read, strict=True))
        plausible.check_times(scan, at)
        for frame in read:
            plausible.check_geometry(frame)
        plausible.check_overlap(read)
    return Report(frames=len(refs), read=len(read), pickled_bytes=len(pickled))


def _require(condition: bool, what: str, fix: str) -> None:
    if not condition:
        raise ContractError(f"{what}\n  {fix}")


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except (SimipuError, plausible.Implausible) as error:
        raise ContractError(str(error)) from error


def _pickled(source: Source) -> bytes:
    try:
        data = pickle.dumps(source)
    except Exception as error:
        raise ContractError(
            f"the source cannot be pickled: {type(error).__name__}: {error}\n"
            "  Keep paths in it, and no open files, locks, lambdas or tables."
        ) from error
    _require(
        len(data) <= MAX_PICKLED_BYTES,
        f"the source has {len(data):,} bytes when pickled, more than {MAX_PICKLED_BYTES:,}",
        "It travels to every worker: what a frame needs belongs into the key of its FrameRef.",
    )
    return data


def _check_scanned_again(checked: Checked, scan: Scan) -> None:
    with _telling():
        again = checked.scan()
    _require(
        again == scan,
        f"scanning again found something else: {_difference(scan, again)}",
        "Sort what the file system lists; no times of day, no random numbers.",
    )


def _difference(one: Scan, other: Scan) -> str:
    for scene, second in zip(one.scenes, other.scenes, strict=False):
        if scene.name != second.name:
            return f"scene {scene.name!r}, then {second.name!r}"
        for ref, ref2 in zip(scene.frames, second.frames, strict=False):
            if ref != ref2:
                return f"{ref}, then {ref2}"
        if scene != second:
            return f"scene {scene.name!r} differs"
    if len(one.scenes) != len(other.scenes):
        return f"{len(one.scenes)} scenes, then {len(other.scenes)}"
    return "other skipped frames"


def _check_refs(refs: list[FrameRef]) -> None:
    for ref in refs:
        try:
            same = pickle.loads(pickle.dumps(ref)) == ref
        except Exception as error:
            raise ContractError(f"the reference of frame {ref.id!r}: {error}") from error
        _require(same, f"{ref} is not the same after pickling", "Use JSON values in its key.")


def _choose(count: int, frames: int | None) -> list[int]:
    """Numbers of frames in pairs of neighbours, evenly over all."""
    if frames is None or frames >= count:
        return list(range(count))
    first = np.linspace(0, count - 2, max(frames // 2, 1)).astype(int).tolist()
    return sorted({index + step for index in first for step in (0, 1)})


def _check_read_again(
    checked: Checked, refs: list[FrameRef], expected: list[dict[str, str]], how: str
) -> None:
    for ref, values in zip(refs, expected, strict=True):
        with _telling():
            frame = checked.read(ref)
        _same(values, leaves(frame), f"frame {ref.id!r} {how}")


def _check_elsewhere(
    seen: Observed | str,
    refs: list[FrameRef],
    expected: list[dict[str, str]],
    *,
    frames_share_files: bool,
) -> None:
    if isinstance(seen, str):
        raise ContractError(
            f"in another process it failed: {seen}\n"
            "  Its class must be importable there: put it into a module, not into the script or "
            "function that is being run. What it needs must be in the pickled source or the key."
        )
    for ref, values, found in zip(refs, expected, seen.frames, strict=True):
        _same(values, found.items(), f"frame {ref.id!r} read in another process")
    _require(
        not seen.reads_in_scan,
        f"the scan calls read(), {seen.reads_in_scan} times",
        "A scan lists files and takes their sizes: of a large data set it must end in seconds.",
    )
    _require(
        frames_share_files or not seen.opened_by_scan,
        f"the scan opens files of frames, such as {', '.join(seen.opened_by_scan[:3])}",
        "A scan lists files and takes their sizes; it opens small text files only.",
    )
    _require(
        not seen.unnamed,
        f"where {', '.join(seen.unnamed)}",
        "Raise a simipu.errors.SourceError(..., where=path) there, as files.read_bytes does.",
    )


def _same(values: Mapping[str, str], found: Iterable[tuple[str, str]], what: str) -> None:
    other = dict(found)
    for name in {**values, **other}:
        _require(
            values.get(name) == other.get(name),
            f"{what} differs in {name}: {values.get(name)}, then {other.get(name)}",
            "What is read may depend on the files, the options and the reference alone.",
        )
