"""Files of a store on a local disk: ranged reads, and writes that are whole or absent.

The rest of the package reaches the disk through this class alone, so another kind of storage needs
only these methods.
"""

from __future__ import annotations

import hashlib
import os
import uuid
import weakref
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from simipu.errors import StoreError
from simipu.store.schema import STAGING

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPEN_FILES = 128


class DurableFile:
    """A file being written: append only, hashed as it grows."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append ``data``."""
        view = memoryview(data)
        self._hash.update(view)
        self.size += len(view)
        while view:
            view = view[os.write(self._descriptor, view) :]

    @property
    def sha256(self) -> str:
        """Hex digest of what was written."""
        return self._hash.hexdigest()


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
    def create(self, path: str) -> Iterator[DurableFile]:
        """Write a file so that it is there whole, and on the disk, or not at all."""
        target = self.root / path
        staging = self.root / STAGING / "partial"
        _make_folder(staging)
        partial = staging / uuid.uuid4().hex
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            try:
                yield DurableFile(descriptor)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            _make_folder(target.parent)
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)

    def write(self, path: str, data: bytes) -> None:
        """Write a whole file durably."""
        with self.create(path) as file:
            file.write(data)

    def files(self) -> list[str]:
        """Every file of the store, sorted, without work in progress."""
        found = []
        for folder, folders, names in os.walk(self.root):
            relative = Path(folder).relative_to(self.root).as_posix()
            if relative == ".":
                folders[:] = [name for name in folders if name != STAGING]
            found += [name if relative == "." else f"{relative}/{name}" for name in names]
        return sorted(found)


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, and have their names on the disk."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


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
