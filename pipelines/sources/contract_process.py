"""A source watched in a process of its own: what it opens, and what it reads there.

Only there, because Python has no way to end the watching (PEP 578).
"""

from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simipu.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simipu.records import FrameRef

    from .base import Source

_SMALL_BINARY_BYTES = 1 << 10  # less may be opened by a scan, to recognise a Git LFS pointer
_SMALL_TEXT_BYTES = 1 << 16
_START = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from simipu.pipelines.sources.contract_process import main; main(sys.argv[1])"
)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What a source did in another process.

    Attributes:
        frames: the `leaves` of each frame.
        reads_in_scan: how often the scan called ``read``.
        opened_by_scan: large or binary files that both the scan and the reading of frames opened.
        unnamed: what came of the absence of a file, where it was no error that names it.
    """

    frames: list[dict[str, str]] = field(default_factory=list)
    reads_in_scan: int = 0
    opened_by_scan: list[str] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)


def observe(unused: bytes, pickled: bytes, refs: Sequence[FrameRef]) -> Observed | str:
    """Scan and read in another process.

    Args:
        unused: the pickled source, before it was scanned.
        pickled: the pickled source, as it travels to a worker.
        refs: frames to read.

    Returns:
        What was seen; or the last line of the traceback, if it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        job = pickle.dumps((unused, pickled, pickle.dumps(list(refs))))
        (Path(folder) / "job").write_bytes(job)
        result = subprocess.run(
            [sys.executable, "-c", _START, folder, *sys.path],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            lines = result.stderr.strip().splitlines()
            return lines[-1] if lines else f"it ended with exit code {result.returncode}"
        seen: dict[str, Any] = json.loads((Path(folder) / "seen").read_text())
        return Observed(**seen)


def leaves(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Every field of a record with what it holds, arrays and bytes by their digests."""
    if is_dataclass(value):
        for part in fields(value):
            inner = f"{name}.{part.name}" if name else part.name
            yield from leaves(getattr(value, part.name), inner)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{name}[{key!r}]")
    elif isinstance(value, np.ndarray):
        yield name, f"{value.dtype.str} {value.shape} {sha256(value.tobytes()).hexdigest()}"
    elif isinstance(value, bytes):
        yield name, f"{len(value)} bytes {sha256(value).hexdigest()}"
    else:
        yield name, repr(value)


def main(folder: str) -> None:
    """Do the work of the other process; `observe` wrote the job."""
    unused, pickled, packed_refs = pickle.loads((Path(folder) / "job").read_bytes())
    refs: list[FrameRef] = pickle.loads(packed_refs)
    source: Source = pickle.loads(pickled)
    opened = _Opened(source.root)
    sys.addaudithook(opened.hook)

    # Reading first: a worker never scans.
    frames = []
    for ref in refs:
        frames.append(dict(leaves(source.read(ref))))
        if len(frames) == 1:
            of_first = dict(opened.files)
    by_reading = dict(opened.files)
    reads_in_scan = _scan(pickle.loads(unused), opened)
    both = [path for path in opened.files if path in by_reading and _is_bulk(path)]
    unnamed = [text for path in of_first if (text := _without(path, pickled, refs[0], opened))]
    seen = Observed(
        frames=frames,
        reads_in_scan=reads_in_scan,
        opened_by_scan=sorted(both),
        unnamed=unnamed,
    )
    (Path(folder) / "seen").write_text(json.dumps(asdict(seen)))


class _Opened:
    """Files below a folder that Python opens, in order; one of them can be made to be absent."""

    def __init__(self, root: Path) -> None:
        self._root = os.path.abspath(root) + os.sep
        self.files: dict[str, None] = {}
        self.absent = ""

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if path.startswith(self._root):
            self.files[path] = None
            if path == self.absent:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _scan(source: Source, opened: _Opened) -> int:
    """Scan; returns how often it called ``read``. ``opened`` then has what it opened."""
    kind: Any = type(source)
    original = kind.read
    calls: list[None] = []

    def read(*arguments: Any) -> Any:
        calls.append(None)
        return original(*arguments)

    kind.read = read
    opened.files.clear()
    try:
        source.scan()
    finally:
        kind.read = original
    return len(calls)


def _is_bulk(path: str) -> bool:
    """Tell whether a file is more than small text."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        is_binary = b"\0" in file.read(4096)
    return size > (_SMALL_BINARY_BYTES if is_binary else _SMALL_TEXT_BYTES)


def _without(path: str, pickled: bytes, ref: FrameRef, opened: _Opened) -> str:
    """Say what is wrong with the error that the absence of a file causes; "" where nothing is.

    A file whose content the pickled source has already, or that is optional, causes none.
    """
    source: Source = pickle.loads(pickled)
    opened.absent = path
    try:
        source.read(ref)
    except SourceError as error:
        if os.path.basename(path) in str(error):
            return ""
        told = str(error)
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
    else:
        return ""
    finally:
        opened.absent = ""
    return f"{path} is missing, the error is {told!r}"
