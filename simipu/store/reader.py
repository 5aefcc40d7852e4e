"""Opening a store."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy.typing as npt

from simipu.errors import StoreError
from simipu.store import schema
from simipu.store.commit import Root, read_root
from simipu.store.shards import ShardedArray
from simipu.store.storage import LocalStorage
from simipu.store.views import FrameRange, FrameView

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from os import PathLike

    import zarr

Array = npt.NDArray[Any]


def open_store(path: str | PathLike[str]) -> Store:
    """Open a store for reading.

    Only its root document is read now; files are opened, in each process by itself, when a frame
    asks for them. A store can be pickled, and sent to worker processes.

    Raises:
        IncompleteError: a conversion has begun and not ended.
        StoreError: there is no store at ``path``, or this version cannot read it.
    """
    return Store(path)


@dataclass(frozen=True, slots=True)
class SceneView:
    """A scene: frames ``start`` to ``stop`` of the store, and what its source says of it."""

    name: str
    split: str
    start: int
    stop: int
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.stop - self.start


class Store:
    """A sequence of frames. See ``open_store``."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self._storage = LocalStorage(self.path)
        self._root: Root = read_root(self._storage)
        self._arrays: dict[str, ShardedArray] = {}
        self._tables: dict[str, Array] = {}

    def __reduce__(self) -> tuple[object, tuple[Path, str]]:
        return (_open_same, (self.path, self.attributes["root_sha256"]))

    def __len__(self) -> int:
        return int(self.attributes["counts"]["frames"])

    def __repr__(self) -> str:
        counts = self.attributes["counts"]
        return (
            f"<Store {self.path}: {self.attributes['source']['name']}, {len(self):,} frames in "
            f"{counts['scenes']:,} scenes, {len(self.cameras)} cameras, "
            f"{counts['points']:,} points, {counts['images']:,} images, "
            f"{'no ' if self.correspondence_policy is None else ''}correspondences>"
        )

    @overload
    def __getitem__(self, index: int) -> FrameView: ...
    @overload
    def __getitem__(self, index: slice) -> FrameRange: ...
    def __getitem__(self, index: int | slice) -> FrameView | FrameRange:
        return FrameRange(self, range(len(self)))[index]

    def __iter__(self) -> Iterator[FrameView]:
        return iter(FrameRange(self, range(len(self))))

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What the root document says: source, options, counts, frames left out, policy."""
        return self._root.attributes

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of all cameras, in the store's order."""
        return tuple(self.attributes["cameras"])

    @cached_property
    def point_columns(self) -> dict[str, str]:
        """Point column name -> NumPy dtype, in the order of the source's point files."""
        return dict(self.attributes["point_columns"])

    @property
    def correspondence_policy(self) -> dict[str, Any] | None:
        """The policy that made the correspondences, or None where there are none."""
        entry = self.attributes["correspondence"]
        return None if entry is None else dict(entry["policy"])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the manifest: equal for stores with equal content."""
        return str(self.attributes["manifest"]["sha256"])

    @cached_property
    def scenes(self) -> tuple[SceneView, ...]:
        """All scenes, in order."""
        starts = self.table("scenes/start").tolist()
        counts = self.table("scenes/count").tolist()
        names = schema.decode_text(self.table("scenes/name"))
        splits = schema.decode_text(self.table("scenes/split"))
        attributes: list[dict[str, str]] = [{} for _ in names]
        for key in self.attributes.get("scene_attributes", ()):
            texts = schema.decode_text(self.table(f"scenes/attributes/{key}"))
            for scene, text in zip(attributes, texts, strict=True):
                scene[key] = text
        return tuple(
            SceneView(name, split, start, start + count, of_scene)
            for name, split, start, count, of_scene in zip(
                names, splits, starts, counts, attributes, strict=True
            )
        )

    def frame_texts(self, name: str) -> list[str]:
        """The ids of all frames, or one of their attributes, to find frames by.

        Args:
            name: "id", or one of ``attributes["frame_attributes"]``.

        Raises:
            StoreError: the frames have no such attribute.
        """
        if name == "id":
            return schema.decode_text(self.table("frames/id"))
        return schema.decode_text(self.table(f"frames/attributes/{name}"))

    @property
    def group(self) -> zarr.Group:
        """The same store through zarr-python."""
        import zarr

        return zarr.open_group(self.path, mode="r")

    def table(self, path: str) -> Array:
        """The whole of an array with one row a frame or scene, e.g. "lidar/count"; kept."""
        if path not in self._tables:
            array = self.array(path)
            self._tables[path] = array.read(0, array.rows)
        return self._tables[path]

    def array(self, path: str) -> ShardedArray:
        """One array, to be read by rows."""
        if path not in self._arrays:
            if path not in self._root.arrays:
                raise StoreError(f"the store has no array {path!r}", where=self.path)
            self._arrays[path] = ShardedArray(self._storage, *self._root.arrays[path])
        return self._arrays[path]

    @property
    def layouts(self) -> Mapping[str, tuple[schema.ArraySpec, int]]:
        """Every array's layout and number of rows, by path."""
        return self._root.arrays


def _open_same(path: Path, root_sha256: str) -> Store:
    """Open a store that came from another process, unless it has become another one."""
    store = Store(path)
    if store.attributes["root_sha256"] != root_sha256:
        raise StoreError(
            "the store was rewritten after it had been opened",
            where=path,
            fix="Start again: what was read before does not belong to what is there now.",
        )
    return store
