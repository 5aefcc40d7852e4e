"""The moment at which a store becomes, or changes into, what its root document says.

Every file is on the disk before the root document is replaced, and that replacement is one atomic
rename: whoever opens the store sees the old content or the new, never a mixture. The root names
the manifest by its SHA-256; the manifest lists every other file with its size and SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simipu.errors import IncompleteError, SimipuError, StoreError
from simipu.store import schema
from simipu.store.shards import WrittenFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from simipu.store.schema import ArraySpec
    from simipu.store.storage import Batch, LocalStorage


@dataclass(frozen=True, kw_only=True, slots=True)
class Root:
    """What the root document says.

    Attributes:
        attributes: the "simipu" attributes.
        arrays: array path -> how it is laid out, and its number of rows.
    """

    attributes: Mapping[str, Any]
    arrays: Mapping[str, tuple[ArraySpec, int]]


def read_root(storage: LocalStorage) -> Root:
    """Read the root document.

    Raises:
        IncompleteError: a conversion has begun and not ended.
        StoreError: this is not a store, or one of another format version.
    """
    path = storage.root / schema.ROOT_DOCUMENT
    if not path.exists():
        raise _not_a_store(storage)
    data = storage.read(schema.ROOT_DOCUMENT)
    try:
        document = json.loads(data)
        attributes = document["attributes"]["simipu"]
        version = str(attributes["format_version"])
        nodes = document["consolidated_metadata"]["metadata"]
    except (ValueError, KeyError, TypeError):
        raise StoreError("not the root of a simipu store, or damaged", where=path) from None
    if version.split(".")[0] != schema.FORMAT_VERSION.split(".")[0]:
        raise StoreError(
            f"the store has format {version}, this simipu reads {schema.FORMAT_VERSION}",
            where=storage.root,
            fix="Install the simipu that wrote it (`pip install -U simipu` if it is newer), or "
            "convert the data again.",
        )
    # From here on the content is as it was written.
    if canonical_json(document) != data or root_digest(document) != attributes.get("root_sha256"):
        raise StoreError(
            "was changed: it does not have its own SHA-256",
            where=path,
            fix="Restore it from a copy, or convert the data again.",
        )
    try:
        arrays = {
            path: schema.parse_array_document(path, node)
            for path, node in nodes.items()
            if node["node_type"] == "array"
        }
    except ValueError as error:
        raise StoreError(f"the array metadata cannot be read: {error}", where=path) from None
    return Root(attributes=attributes, arrays=arrays)


def _not_a_store(storage: LocalStorage) -> SimipuError:
    if (storage.root / schema.STAGING).is_dir():
        done = len(list(storage.root.glob(f"{schema.STAGING}/convert/*.npz")))
        return IncompleteError(
            f"the conversion into this store has not ended ({done} blocks of frames are done)",
            where=storage.root,
            fix="Run the same `simipu-prep` command again: it goes on where it stopped.",
        )
    if any(storage.root.glob("manifest-*.json")):
        return StoreError(
            "the root document is missing",
            where=storage.root / schema.ROOT_DOCUMENT,
            fix="Restore it from a copy, or convert the data again with --overwrite.",
        )
    if not storage.root.exists():
        return StoreError(
            "there is no such store",
            where=storage.root,
            fix="Check the path, or make it with `simipu-prep ... --out`.",
        )
    return StoreError(
        "this is not a simipu store",
        where=storage.root,
        fix="Give the folder that `simipu-prep ... --out` wrote.",
    )


def canonical_json(value: object) -> bytes:
    """The one spelling of ``value`` that this format accepts."""
    return json.dumps(value, sort_keys=True, indent=1, allow_nan=False).encode() + b"\n"


def root_digest(document: Mapping[str, object]) -> str:
    """SHA-256 of a root document whose own digest is left empty."""
    attributes: Any = document["attributes"]
    blank = {"simipu": {**attributes["simipu"], "root_sha256": ""}}
    return hashlib.sha256(canonical_json({**document, "attributes": blank})).hexdigest()


def write_metadata(
    storage: LocalStorage | Batch, arrays: Sequence[tuple[ArraySpec, int]]
) -> list[WrittenFile]:
    """Write the ``zarr.json`` of arrays and of the groups above them, except the root's."""
    files = []
    for path, document in _metadata(arrays).items():
        with storage.create(f"{path}/{schema.ROOT_DOCUMENT}") as file:
            file.write(canonical_json(document))
        files.append(WrittenFile(f"{path}/{schema.ROOT_DOCUMENT}", file.size, file.sha256))
    return files


def commit(
    storage: LocalStorage,
    attributes: Mapping[str, object],
    arrays: Sequence[tuple[ArraySpec, int]],
    files: Iterable[WrittenFile],
) -> None:
    """Make ``files`` the store.

    Args:
        storage: the store; all ``files`` are in it.
        attributes: the "simipu" attributes, without manifest and digest.
        arrays: every array and its number of rows.
        files: every file but the root document and the manifest.
    """
    listed = {file.path: [file.size, file.sha256] for file in files}
    for path, (size, _) in listed.items():
        if storage.size(path) != size:
            raise StoreError("the file has changed since it was written", where=storage.root / path)
    manifest = canonical_json({"files": listed})
    digest = hashlib.sha256(manifest).hexdigest()
    storage.write(schema.manifest_path(digest), manifest)

    own = {
        **attributes,
        "format_version": schema.FORMAT_VERSION,
        "manifest": {"path": schema.manifest_path(digest), "sha256": digest},
        "root_sha256": "",
    }
    document = {
        **schema.group_document({"simipu": own}),
        "consolidated_metadata": {
            "kind": "inline",
            "must_understand": False,
            "metadata": _metadata(arrays),
        },
    }
    own["root_sha256"] = root_digest(document)
    storage.write(schema.ROOT_DOCUMENT, canonical_json(document))


def listed_files(storage: LocalStorage, root: Root) -> list[WrittenFile]:
    """The files in the manifest: all of the store but its root document and the manifest.

    Raises:
        StoreError: the manifest is missing or was changed.
    """
    path, digest = root.attributes["manifest"]["path"], root.attributes["manifest"]["sha256"]
    data = storage.read(path) if schema.is_manifest_path(path) else b""
    if hashlib.sha256(data).hexdigest() != digest:
        raise StoreError(
            "was changed: it does not have the SHA-256 that zarr.json names",
            where=storage.root / path,
            fix="Restore it from a copy, or convert the data again.",
        )
    return [WrittenFile(path, *entry) for path, entry in sorted(json.loads(data)["files"].items())]


def remove_work(storage: LocalStorage, *, keep: str = "") -> None:
    """Delete all work in progress, but for a file. Call it while holding the store for writing."""
    for path in (storage.root / schema.STAGING).iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        # The writer, who holds the locks, removes them last.
        elif path.suffix != ".lock" and path.name != keep:
            path.unlink()


def remove_leftovers(storage: LocalStorage) -> None:
    """Delete work in progress and what an earlier commit left superseded.

    Call it while holding the store for writing.
    """
    remove_work(storage)  # first: it promises files that are deleted below
    root = read_root(storage)
    for old in storage.root.glob("manifest-*.json"):
        if old.name != root.attributes["manifest"]["path"]:
            old.unlink()
    current = {path.split("/")[1] for path in root.arrays if path.startswith("correspondence/")}
    for group in storage.root.glob("correspondence/*/"):
        if group.name not in current:
            shutil.rmtree(group)


def _metadata(arrays: Sequence[tuple[ArraySpec, int]]) -> dict[str, dict[str, object]]:
    """Path -> Zarr metadata of every array and of the groups above them."""
    documents: dict[str, dict[str, object]] = {}
    for spec, rows in arrays:
        parts = spec.path.split("/")
        for depth in range(1, len(parts)):
            documents.setdefault("/".join(parts[:depth]), schema.group_document({}))
        documents[spec.path] = schema.array_document(spec, rows)
    return documents
