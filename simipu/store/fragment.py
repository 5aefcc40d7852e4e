"""What one finished task leaves for the final step: its rows of the small arrays, and its files.

A fragment is written last, whole and durably, so its presence means that everything it lists is on
the disk. It lives in the staging folder as an ``.npz`` without pickles.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from simipu.store.schema import STAGING
from simipu.store.shards import WrittenFile
from simipu.store.storage import LocalStorage

Array = npt.NDArray[Any]

_LEDGER = "ledger"


class Fragment:
    """The outcome of one task.

    Attributes:
        rows: array path -> rows of this task.
        files: the shard files that it wrote.
        notes: JSON values for the final step, such as frames left out.
    """

    def __init__(
        self,
        rows: Mapping[str, Array],
        files: Iterable[WrittenFile],
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        self.rows = dict(rows)
        self.files = list(files)
        self.notes = dict(notes or {})


class Fragments:
    """The fragments of one job, e.g. "convert", in the staging folder of a store."""

    def __init__(self, storage: LocalStorage, job: str) -> None:
        self._storage = storage
        self._folder = f"{STAGING}/{job}"

    def _path(self, task: int) -> str:
        return f"{self._folder}/{task:06d}.npz"

    def has(self, task: int) -> bool:
        """Whether the task is done."""
        return (self._storage.root / self._path(task)).exists()

    def write(self, task: int, fragment: Fragment) -> None:
        """Declare the task done."""
        ledger = {"files": [asdict(file) for file in fragment.files], "notes": fragment.notes}
        encoded = np.frombuffer(json.dumps(ledger).encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, **{_LEDGER: encoded}, **fragment.rows)  # type: ignore[arg-type]
        self._storage.write(self._path(task), buffer.getvalue())

    def ledger(self, task: int) -> tuple[list[WrittenFile], dict[str, Any]]:
        """The files and notes of a finished task."""
        with self._open(task) as archive:
            ledger = json.loads(archive[_LEDGER].tobytes())
        return [WrittenFile(**file) for file in ledger["files"]], ledger["notes"]

    def rows(self, tasks: int, path: str) -> Iterator[Array]:
        """The rows of one array, task by task."""
        for task in range(tasks):
            with self._open(task) as archive:
                yield archive[path]

    def _open(self, task: int) -> np.lib.npyio.NpzFile:
        archive: np.lib.npyio.NpzFile = np.load(
            self._storage.root / self._path(task), allow_pickle=False
        )
        return archive
