"""The moment at which a store becomes, or changes into, what its root document says.

Every file is on the disk before the root document is replaced, and that replacement is one atomic
rename: whoever opens the store sees the old content or the new, never a mixture. The root names
the manifest by its SHA-256; the manifest lists every other file with its size and SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simipu.errors import IncompleteError, SimipuError, StoreError
from simipu.store import schema
from simipu.store.schema import ArraySpec
from simipu.store.shards import WrittenFile
from simipu.store.storage import LocalStorage


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
    try:
        document = json.loads(storage.read(schema.ROOT_DOCUMENT))
        attributes = document["attributes"]["simipu"]
        version = attributes["format_version"]
    except (ValueError, KeyError, TypeError):
        raise StoreError("not the root of a simipu store", where=path) from None
    if version.split(".")[0] != schema.FORMAT_VERSION.split(".")[0]:
        raise StoreError(
            f"the store has format {version}, this simipu reads {schema.FORMAT_VERSION}",
            where=storage.root,
            fix="Install the simipu that wrote it (`pip install -U simipu` if it is newer), or "
            "convert the data again.",
        )
    try:
        nodes = document["consolidated_metadata"]["metadata"]
        arrays = {
            path: schema.parse_array_document(path, node)
            for path, node in nodes.items()
            if node["node_type"] == "array"
        }
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"the array metadata is damaged: {error}", where=path) from None
    return Root(attributes=attributes, arrays=arrays)


def _not_a_store(storage: LocalStorage) -> SimipuError:
    if (storage.root / schema.STAGING).is_dir():
        done = len(list(storage.root.glob(f"{schema.STAGING}/convert/*.npz")))
        return IncompleteError(
            f"the conversion into this store has not ended ({done} blocks of frames are done)",
            where=storage.root,
            fix="Run the same `simipu-prep` command again: it goes on where it stopped.",
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
    storage: LocalStorage, arrays: Sequence[tuple[ArraySpec, int]]
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
    manifest = canonical_json({"files": listed})
    digest = hashlib.sha256(manifest).hexdigest()
    manifest_path = f"manifest-{digest[:16]}.json"
    storage.write(manifest_path, manifest)

    own = {
        **attributes,
        "format_version": schema.FORMAT_VERSION,
        "manifest": {"path": manifest_path, "sha256": digest},
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


def listed_files(storage: LocalStorage) -> list[WrittenFile]:
    """The files in the manifest: all of the store but its root document and the manifest."""
    manifest = json.loads(storage.read(read_root(storage).attributes["manifest"]["path"]))
    return [WrittenFile(path, *entry) for path, entry in sorted(manifest["files"].items())]


def remove_leftovers(storage: LocalStorage, root: Root) -> None:
    """Delete work in progress and what an earlier commit left superseded.

    Call it while holding the store for writing.
    """
    for old in storage.root.glob("manifest-*.json"):
        if old.name != root.attributes["manifest"]["path"]:
            old.unlink()
    current = {path.split("/")[1] for path in root.arrays if path.startswith("correspondence/")}
    for group in storage.root.glob("correspondence/*/"):
        if group.name not in current:
            shutil.rmtree(group)
    for path in (storage.root / schema.STAGING).iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix != ".lock":  # the writer, who holds it, removes it last
            path.unlink()


def _metadata(arrays: Sequence[tuple[ArraySpec, int]]) -> dict[str, dict[str, object]]:
    """Path -> Zarr metadata of every array and of the groups above them."""
    documents: dict[str, dict[str, object]] = {}
    for spec, rows in arrays:
        parts = spec.path.split("/")
        for depth in range(1, len(parts)):
            documents.setdefault("/".join(parts[:depth]), schema.group_document({}))
        documents[spec.path] = schema.array_document(spec, rows)
    return documents
