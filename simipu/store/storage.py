"""Files of a store on a local disk: ranged reads, and writes that are whole or absent.

The rest of the package reaches the disk through this class alone, so another kind of storage needs
only these methods.
"""

from __future__ import annotations

import hashlib
import os
import uuid
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from simipu.errors import StoreError
from simipu.store.schema import STAGING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_OPEN_FILES = 128
_BATCH_FILES = 64
_SYNC_THREADS = 16

Item = TypeVar("Item")


class DurableFile:
    """A file being written: append only, hashed as it grows."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, *parts: bytes | memoryview) -> None:
        """Append ``parts``, of single bytes, without joining them first."""
        for part in parts:
            self._hash.update(part)
            self.size += len(part)
        written = os.writev(self._descriptor, parts)
        for part in parts:
            rest = memoryview(part)[written:]
            written = max(0, written - len(part))
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    @property
    def sha256(self) -> str:
        """Hex digest of what was written."""
        return self._hash.hexdigest()


@dataclass(frozen=True, slots=True)
class _Written:
    """A file with all of its content, still open, and not yet in its place."""

    descriptor: int
    partial: Path
    target: Path


class Batch:
    """Files that are written one by one, and brought to the disk and to their places together."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._written: list[_Written] = []

    @contextmanager
    def create(self, path: str) -> Iterator[DurableFile]:
        """Write a file of the batch."""
        partial = self.root / STAGING / "partial" / uuid.uuid4().hex
        if not partial.parent.is_dir():
            _at_once(_sync_folder, sorted(_make_folder(partial.parent)))
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        file = _Written(descriptor, partial, self.root / path)
        try:
            yield DurableFile(descriptor)
        except BaseException:
            _discard([file])
            raise
        self._written.append(file)
        if len(self._written) == _BATCH_FILES:
            self.settle()

    def settle(self) -> None:
        """Bring what was written so far to the disk, and then to its places."""
        files, self._written = self._written, []
        try:
            _at_once(os.fsync, [file.descriptor for file in files])
            changed: set[Path] = set()
            for file in files:
                changed |= _make_folder(file.target.parent)
                file.partial.replace(file.target)
        finally:
            _discard(files)
        _at_once(_sync_folder, sorted(changed))

    def discard(self) -> None:
        """Remove what was not settled."""
        _discard(self._written)
        self._written = []


class _OpenFile:
    """A file open for reading, until nobody refers to it any more."""

    def __init__(self, path: Path) -> None:
        try:
            self.descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            raise _missing(path) from None
        # Not __del__: it would also run for an object whose file could not be opened.
        weakref.finalize(self, os.close, self.descriptor)


class LocalStorage:
    """A folder. Picklable; file handles are opened on first use in each process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        # A thread that reads holds its file: one that drops out of the cache meanwhile stays open.
        self._open = lru_cache(_OPEN_FILES)(lambda path: _OpenFile(root / path))

    def __reduce__(self) -> tuple[type[LocalStorage], tuple[Path]]:
        return (LocalStorage, (self.root,))

    def read(self, path: str) -> bytes:
        """The whole of a file.

        Raises:
            StoreError: there is no such file.
        """
        try:
            return (self.root / path).read_bytes()
        except FileNotFoundError:
            raise _missing(self.root / path) from None

    def size(self, path: str) -> int:
        """Size of a file in bytes."""
        file = self._open(path)
        return os.fstat(file.descriptor).st_size

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``; fewer at the end of the file."""
        file = self._open(path)  # a name: without it the file may be closed before the call
        return os.pread(file.descriptor, length, offset)

    @contextmanager
    def batch(self) -> Iterator[Batch]:
        """Write files so that afterwards each is there whole, and on the disk, or not at all."""
        batch = Batch(self.root)
        try:
            yield batch
            batch.settle()
        finally:
            batch.discard()

    @contextmanager
    def create(self, path: str) -> Iterator[DurableFile]:
        """Write a file so that afterwards it is there whole, and on the disk, or not at all."""
        with self.batch() as batch, batch.create(path) as file:
            yield file

    def write(self, path: str, data: bytes) -> None:
        """Write a whole file durably."""
        with self.create(path) as file:
            file.write(data)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files, and wait until that is on the disk; one that is absent does not matter."""
        changed: set[Path] = set()
        for path in paths:
            (self.root / path).unlink(missing_ok=True)
            changed.add((self.root / path).parent)
        _at_once(_sync_folder, sorted(changed))

    def files(self) -> list[str]:
        """Every file of the store, sorted, without work in progress."""
        found = []
        for folder, folders, names in os.walk(self.root):
            relative = Path(folder).relative_to(self.root).as_posix()
            if relative == ".":
                folders[:] = [name for name in folders if name != STAGING]
            found += [name if relative == "." else f"{relative}/{name}" for name in names]
        return sorted(found)


def _discard(files: Iterable[_Written]) -> None:
    """Close files, and remove those that are not in their places."""
    for file in files:
        os.close(file.descriptor)
        file.partial.unlink(missing_ok=True)


def _make_folder(folder: Path) -> set[Path]:
    """Make a folder and those above it; return the folders to sync for what is put into it."""
    if folder.is_dir():
        return {folder}
    changed = _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    return changed | {folder}


def _at_once(sync: Callable[[Item], None], items: Sequence[Item]) -> None:
    """Sync all items; the disk does many together in little more time than one."""
    if len(items) < 2:
        for item in items:
            sync(item)
        return
    with ThreadPoolExecutor(min(len(items), _SYNC_THREADS)) as threads:
        list(threads.map(sync, items))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _missing(path: Path) -> StoreError:
    return StoreError(
        "the file is missing",
        where=path,
        fix="If a command has rewritten the store since it was opened, open it again. Otherwise "
        "`simipu-prep verify` shows what else is missing: restore it, or convert again.",
    )
