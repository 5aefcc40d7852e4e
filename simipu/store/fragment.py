"""What one finished task leaves for the final step: its rows of the small arrays, and its files.

A fragment is written last, whole and durably, so its presence means that everything it lists is on
the disk. Its name holds a digest of the task: the fragment of a task that has since become another
one is not taken for it, and is removed before a file that it lists is overwritten, or it would be
believed when the task is as it was again. It is an ``.npz`` without pickles, in the staging folder.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from simipu.errors import IncompleteError
from simipu.store.schema import STAGING
from simipu.store.shards import WrittenFile

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from simipu.store.storage import LocalStorage

Array = npt.NDArray[Any]

_LEDGER = "ledger"


@dataclass(frozen=True, slots=True)
class Fragment:
    """The outcome of one task.

    Attributes:
        rows: array path -> the task's rows.
        files: the shard files that it wrote.
        notes: JSON values for the final step, such as frames left out.
    """

    rows: Mapping[str, Array]
    files: list[WrittenFile]
    notes: Mapping[str, Any] = field(default_factory=dict)


class Fragments:
    """The fragments of one job, e.g. "convert", in the staging folder of a store."""

    def __init__(self, storage: LocalStorage, job: str) -> None:
        self._storage = storage
        self._folder = f"{STAGING}/{job}"

    def _path(self, task: str) -> str:
        return f"{self._folder}/{task}.npz"

    def has(self, task: str) -> bool:
        """Whether a task has left something, without reading it."""
        return (self._storage.root / self._path(task)).exists()

    def write(self, task: str, fragment: Fragment) -> None:
        """Declare a task done."""
        ledger = {"files": [asdict(file) for file in fragment.files], "notes": fragment.notes}
        arrays: dict[str, Any] = {_LEDGER: np.frombuffer(json.dumps(ledger).encode(), np.uint8)}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays, **fragment.rows)
        self._storage.write(self._path(task), buffer.getvalue())

    def read(self, task: str) -> Fragment | None:
        """What a task left; None where it is not done."""
        try:
            with np.load(self._storage.root / self._path(task), allow_pickle=False) as archive:
                rows = {name: archive[name] for name in archive.files}
            ledger = json.loads(rows.pop(_LEDGER).tobytes())
            files = [WrittenFile(**file) for file in ledger["files"]]
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
            return None
        return Fragment(rows, files, ledger["notes"])

    def keep_only(self, tasks: Collection[str]) -> None:
        """Remove what other tasks left, for good; to be done before their files are overwritten."""
        kept = {self._path(task) for task in tasks}
        found = (self._storage.root / self._folder).glob("*.npz")
        paths = [path.relative_to(self._storage.root).as_posix() for path in found]
        self._storage.remove(path for path in paths if path not in kept)

    def read_all(self, tasks: Iterable[str]) -> list[Fragment]:
        """What all tasks left, in order.

        Raises:
            IncompleteError: one of them is not done.
        """
        fragments = []
        for task in tasks:
            fragment = self.read(task)
            if fragment is None:
                raise IncompleteError(
                    "the work of a block of frames is lost",
                    where=self._storage.root / self._path(task),
                    fix="Run the same command again: it does that block once more.",
                )
            fragments.append(fragment)
        return fragments


def joined_rows(fragments: Iterable[Fragment]) -> dict[str, list[Array]]:
    """Array path -> the rows of each fragment, in order."""
    joined: dict[str, list[Array]] = {}
    for fragment in fragments:
        for path, rows in fragment.rows.items():
            joined.setdefault(path, []).append(rows)
    return joined
