"""Is every byte of a store what was committed? Reads all of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from simipu.errors import StoreError
from simipu.store import schema
from simipu.store.commit import canonical_json, listed_files, read_root, root_digest
from simipu.store.shards import WrittenFile
from simipu.store.storage import LocalStorage

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
        StoreError: there is no store.
    """
    storage = LocalStorage(path)
    faults = list(_check_root(storage))
    if faults:
        return faults
    files = listed_files(storage)

    def check(file: WrittenFile) -> Fault | None:
        fault = _check_file(path, file)
        progress(file.size, total)
        return fault

    total = sum(file.size for file in files)
    with ThreadPoolExecutor(threads) as pool:
        faults += [fault for fault in pool.map(check, files) if fault is not None]
    known = {file.path for file in files}
    known |= {schema.ROOT_DOCUMENT, read_root(storage).attributes["manifest"]["path"]}
    faults += [
        Fault(name, "is not part of the store") for name in storage.files() if name not in known
    ]
    return sorted(faults, key=lambda fault: fault.path)


def stored_bytes(path: Path) -> int:
    """Size of all files of the store together, as its manifest has it."""
    return sum(file.size for file in listed_files(LocalStorage(path)))


def _check_root(storage: LocalStorage) -> Iterator[Fault]:
    """The chain root document -> manifest."""
    try:
        root = read_root(storage)
    except StoreError as error:
        if not (storage.root / schema.ROOT_DOCUMENT).exists():
            raise
        yield Fault(schema.ROOT_DOCUMENT, error.what)
        return
    data = storage.read(schema.ROOT_DOCUMENT)
    document = json.loads(data)
    if canonical_json(document) != data or root_digest(document) != root.attributes.get(
        "root_sha256"
    ):
        yield Fault(schema.ROOT_DOCUMENT, "was changed: it does not have its own SHA-256")
        return
    manifest = root.attributes["manifest"]
    try:
        data = storage.read(manifest["path"])
    except StoreError:
        yield Fault(manifest["path"], "is missing")
        return
    if hashlib.sha256(data).hexdigest() != manifest["sha256"]:
        yield Fault(manifest["path"], "was changed: it does not have the SHA-256 in zarr.json")


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
