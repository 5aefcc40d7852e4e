"""Is every byte of a store what was committed? Reads all of it."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from simipu.errors import StoreError
from simipu.store import schema
from simipu.store.commit import listed_files, read_root
from simipu.store.storage import LocalStorage

if TYPE_CHECKING:
    from collections.abc import Callable

    from simipu.store.shards import WrittenFile

_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: a path relative to the store, and what is wrong with it."""

    path: str
    what: str


def verify(
    path: Path, *, threads: int = 2, progress: Callable[[int, int], object] = lambda *_: None
) -> list[Fault]:
    """Find every file that is missing, changed or foreign.

    Args:
        path: the store.
        threads: files hashed at once.
        progress: called after each file with its bytes and those of all.

    Returns:
        The faults, in order of path; none when the store is whole.

    Raises:
        IncompleteError: the conversion has not ended.
        StoreError: there is no store, or one of another format version.
    """
    storage = LocalStorage(path)
    try:
        root = read_root(storage)
        files = listed_files(storage, root)
    except StoreError as error:
        where = Path(error.where or path)
        if path not in where.parents:
            raise  # it is about the store as a whole
        return [Fault(where.relative_to(path).as_posix(), error.what)]
    total = sum(file.size for file in files)
    progress(0, total)
    faults = []
    with ThreadPoolExecutor(threads) as pool:
        for file, fault in zip(files, pool.map(partial(_check_file, path), files), strict=True):
            progress(file.size, total)
            if fault is not None:
                faults.append(fault)
    known = {file.path for file in files}
    known |= {schema.ROOT_DOCUMENT, root.attributes["manifest"]["path"]}
    if (path / schema.STAGING).is_dir():
        # A command is adding correspondences, or was stopped: the store itself has none of this.
        known |= {name for name in storage.files() if _may_be_in_progress(name)}
    faults += [
        Fault(name, "is not part of the store") for name in storage.files() if name not in known
    ]
    return sorted(faults, key=lambda fault: fault.path)


def _may_be_in_progress(name: str) -> bool:
    return name.startswith("correspondence/") or schema.is_manifest_path(name)


def _check_file(root: Path, file: WrittenFile) -> Fault | None:
    name = file.path
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        return Fault(name, "leaves the store")
    sha256 = hashlib.sha256()
    try:
        with (root / relative).open("rb") as stream:
            found = stream.seek(0, 2)
            if found != file.size:
                return Fault(name, f"has {found:,} bytes instead of {file.size:,}")
            stream.seek(0)
            while data := stream.read(_READ_BYTES):
                sha256.update(data)
    except FileNotFoundError:
        return Fault(name, "is missing")
    except OSError as error:
        return Fault(name, f"cannot be read: {error.strerror}")
    if sha256.hexdigest() != file.sha256:
        return Fault(name, "was changed: its SHA-256 is not the manifest's")
    return None
