"""Reading a store: frames, clouds, images and correspondences, each loaded when asked for."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from simipu.errors import StoreError
from simipu.records import Column, Correspondences, FloatArray
from simipu.store import schema
from simipu.store.commit import Root, read_root
from simipu.store.shards import ShardedArray
from simipu.store.storage import LocalStorage

if TYPE_CHECKING:
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
    """A scene: frames ``start`` to ``stop`` of the store."""

    name: str
    split: str
    start: int
    stop: int

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

    def __reduce__(self) -> tuple[type[Store], tuple[Path]]:
        return (Store, (self.path,))

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
        return tuple(
            SceneView(name, split, start, start + count)
            for name, split, start, count in zip(names, splits, starts, counts, strict=True)
        )

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


class FrameRange(Sequence["FrameView"]):
    """Frames of a store, chosen by a slice; each is made when asked for."""

    def __init__(self, store: Store, indices: range) -> None:
        self._store = store
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> FrameView: ...
    @overload
    def __getitem__(self, index: slice) -> FrameRange: ...
    def __getitem__(self, index: int | slice) -> FrameView | FrameRange:
        if isinstance(index, slice):
            return FrameRange(self._store, self._indices[index])
        try:
            return FrameView(self._store, self._indices[index])
        except IndexError:
            raise IndexError(f"frame {index} of {len(self)}") from None

    def __repr__(self) -> str:
        return f"<{len(self):,} frames of {self._store.path}>"


class FrameView:
    """One frame of a store. Poses and times that the source does not have are None."""

    def __init__(self, store: Store, index: int) -> None:
        self._store = store
        self.index = index

    def __repr__(self) -> str:
        return (
            f"<Frame {self.index} {self.id!r}: {len(self.points):,} points, "
            f"{', '.join(self.cameras)}>"
        )

    @property
    def store(self) -> Store:
        """The store that the frame is of."""
        return self._store

    @cached_property
    def id(self) -> str:
        """The source's own name of the frame."""
        return schema.decode_text(self._store.table("frames/id")[self.index : self.index + 1])[0]

    @property
    def _scene(self) -> SceneView:
        return self._store.scenes[int(self._store.table("frames/scene")[self.index])]

    @property
    def scene(self) -> str:
        """Name of the frame's scene."""
        return self._scene.name

    @property
    def split(self) -> str:
        """Split that the frame's scene belongs to; "" where the source names none."""
        return self._scene.split

    @property
    def timestamp_ns(self) -> int | None:
        """The frame's time."""
        return _time(self._store.table("frames/timestamp_ns")[self.index])

    @property
    def T_world_from_ego(self) -> FloatArray | None:
        """(4, 4) ego pose at the sweep's time."""
        return _pose(self._store.table("frames/T_world_from_ego")[self.index])

    @cached_property
    def points(self) -> PointCloud:
        """The point cloud; columns are read when asked for."""
        return PointCloud(self._store, self.index)

    @cached_property
    def cameras(self) -> Mapping[str, CameraView]:
        """The cameras that have an image in this frame, by name."""
        valid = self._store.table("camera/valid")[self.index]
        return {
            name: CameraView(self._store, self.index, number)
            for number, name in enumerate(self._store.cameras)
            if valid[number]
        }


class PointCloud:
    """The points of one frame, in the lidar frame, column by column."""

    def __init__(self, store: Store, index: int) -> None:
        self._store = store
        self._index = index
        self._start = int(store.table("lidar/start")[index])
        self._count = int(store.table("lidar/count")[index])

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"<{len(self):,} points: {', '.join(self.columns)}>"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in the source's order."""
        return tuple(self._store.point_columns)

    def __getitem__(self, column: str) -> Column:
        """One column, (N,) in its own dtype."""
        if column not in self.columns:
            raise KeyError(f"no point column {column!r}; there are {', '.join(self.columns)}")
        array = self._store.array(f"lidar/points/{column}")
        return array.read(self._start, self._start + self._count)

    @property
    def xyz(self) -> npt.NDArray[np.float32]:
        """(N, 3) float32 metres."""
        return np.stack([self["x"], self["y"], self["z"]], axis=1).astype(np.float32, copy=False)

    @property
    def T_ego_from_lidar(self) -> FloatArray | None:
        """(4, 4) mounting pose."""
        return _pose(self._store.table("lidar/T_ego_from_lidar")[self._index])

    @property
    def timestamp_ns(self) -> int | None:
        """The time that the cloud stands for."""
        return _time(self._store.table("lidar/timestamp_ns")[self._index])

    @property
    def timestamp_start_ns(self) -> int | None:
        """First firing of the sweep."""
        return _time(self._store.table("lidar/timestamp_start_ns")[self._index])

    @property
    def timestamp_end_ns(self) -> int | None:
        """Last firing of the sweep."""
        return _time(self._store.table("lidar/timestamp_end_ns")[self._index])


class CameraView:
    """One camera of one frame: its image, calibration and correspondences."""

    def __init__(self, store: Store, frame: int, number: int) -> None:
        self._store = store
        self._frame = frame
        self._number = number

    def __repr__(self) -> str:
        return f"<Camera {self.name!r} of frame {self._frame}: {self.width} x {self.height}>"

    def _value(self, name: str) -> Any:
        return self._store.table(f"camera/{name}")[self._frame, self._number]

    @property
    def name(self) -> str:
        """The camera's name."""
        return self._store.cameras[self._number]

    @property
    def width(self) -> int:
        """Width of the image in pixels."""
        return int(self._value("width"))

    @property
    def height(self) -> int:
        """Height of the image in pixels."""
        return int(self._value("height"))

    @property
    def K(self) -> FloatArray:
        """(3, 3) pinhole matrix."""
        return np.array(self._value("K"))

    @property
    def distortion(self) -> FloatArray:
        """(5,) Brown coefficients k1 k2 p1 p2 k3."""
        return np.array(self._value("distortion"))

    @property
    def T_camera_from_lidar(self) -> FloatArray:
        """(4, 4) from the cloud to this camera, ego motion between the two included where known."""
        return np.array(self._value("T_camera_from_lidar"))

    @property
    def T_ego_from_camera(self) -> FloatArray | None:
        """(4, 4) mounting pose."""
        return _pose(self._value("T_ego_from_camera"))

    @property
    def T_world_from_ego(self) -> FloatArray | None:
        """(4, 4) ego pose at the image's time."""
        return _pose(self._value("T_world_from_ego"))

    @property
    def timestamp_ns(self) -> int | None:
        """Capture time of the image."""
        return _time(self._value("timestamp_ns"))

    def encoded(self) -> bytes:
        """The PNG or JPEG file, as the source has it."""
        start = int(self._value("start"))
        data: bytes = self._store.array("camera/data").read(start, start + self._nbytes).tobytes()
        return data

    @property
    def _nbytes(self) -> int:
        return int(self._value("nbytes"))

    def image(self) -> npt.NDArray[np.uint8]:
        """The decoded image, (height, width, 3) uint8 RGB."""
        from PIL import Image

        with Image.open(io.BytesIO(self.encoded())) as image:
            return np.asarray(image.convert("RGB"))

    @property
    def correspondences(self) -> Correspondences:
        """The points that lie in this image.

        Raises:
            StoreError: none have been computed.
        """
        entry = self._store.attributes["correspondence"]
        if entry is None:
            raise StoreError(
                "the store has no correspondences",
                where=self._store.path,
                fix=f"Run `simipu-prep correspond {self._store.path}`.",
            )
        group = entry["group"]
        start = int(self._store.table(f"{group}/start")[self._frame, self._number])
        stop = start + int(self._store.table(f"{group}/count")[self._frame, self._number])

        def column(name: str) -> Array:
            return self._store.array(f"{group}/{name}").read(start, stop)

        return Correspondences(
            row=column("point"),
            uv=np.stack([column("u"), column("v")], axis=1),
            depth=column("depth"),
            visible=column("visible"),
        )


def _time(value: np.int64) -> int | None:
    return None if value == schema.MISSING_TIME_NS else int(value)


def _pose(value: FloatArray) -> FloatArray | None:
    return None if np.isnan(value).all() else np.array(value)
