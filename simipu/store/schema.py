"""Every name, dtype, chunk and codec of the store, and nothing else: the format in code.

``docs/store.md`` is its prose. All arrays are sharded along their first axis only and every inner
chunk ends in a CRC-32C, so a flipped byte is found when it is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

TextTable = npt.NDArray[np.uint8]

FORMAT_VERSION = "1.1"
MISSING_TIME_NS = np.iinfo(np.int64).min
"""Marks a time that the source does not have; a missing pose is all NaN."""

ROOT_DOCUMENT = "zarr.json"
STAGING = ".simipu"
"""Folder for work in progress inside a store; gone when the work is committed."""

SHUTTER_DIRECTIONS = ("", "top_to_bottom", "left_to_right", "bottom_to_top", "right_to_left")
"""What the numbers in camera/shutter_direction mean; 0: no rolling shutter is known."""

FRAMES_PER_CHUNK = 1024
FRAMES_PER_SHARD = 64 * FRAMES_PER_CHUNK
POINTS_PER_CHUNK = 16 * 1024
POINTS_PER_SHARD = 512 * POINTS_PER_CHUNK
IMAGE_BYTES_PER_CHUNK = 256 * 1024
IMAGE_BYTES_PER_SHARD = 512 * IMAGE_BYTES_PER_CHUNK
PAIRS_PER_CHUNK = 16 * 1024
PAIRS_PER_SHARD = 512 * PAIRS_PER_CHUNK

_GROUPS = ("scenes", "frames", "lidar", "camera", "correspondence")
_MANIFEST = re.compile(r"manifest-[0-9a-f]{16}\.json")

_ZARR_DTYPES = {
    "|b1": "bool",
    "|u1": "uint8",
    "|i1": "int8",
    "<u2": "uint16",
    "<i2": "int16",
    "<u4": "uint32",
    "<i4": "int32",
    "<u8": "uint64",
    "<i8": "int64",
    "<f4": "float32",
    "<f8": "float64",
}
_NUMPY_DTYPES = {zarr: numpy for numpy, zarr in _ZARR_DTYPES.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class ArraySpec:
    """One array: rows along the first axis, sharded.

    Attributes:
        path: where it lies in the store, e.g. "lidar/points/x".
        dtype: NumPy dtype string, little endian.
        row_shape: shape of one row; () for a flat array.
        chunk_rows, shard_rows: rows of an inner chunk and of a shard file.
        compressed: Blosc LZ4 with byte shuffle, or stored as is.
    """

    path: str
    dtype: str
    row_shape: tuple[int, ...] = ()
    chunk_rows: int = FRAMES_PER_CHUNK
    shard_rows: int = FRAMES_PER_SHARD
    compressed: bool = True

    def __post_init__(self) -> None:
        if self.dtype not in _ZARR_DTYPES:
            raise ValueError(f"{self.path}: dtype {self.dtype!r} is not one that the store knows")
        if self.shard_rows % self.chunk_rows:
            raise ValueError(f"{self.path}: a shard must hold whole chunks")

    @property
    def chunks_per_shard(self) -> int:
        """Inner chunks in one shard."""
        return self.shard_rows // self.chunk_rows

    @property
    def row_bytes(self) -> int:
        """Decoded size of one row."""
        return int(np.prod(self.row_shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize

    def shard_path(self, shard: int) -> str:
        """The file of shard number ``shard``, relative to the store."""
        return "/".join([self.path, "c", str(shard), *("0" for _ in self.row_shape)])


def manifest_path(sha256: str) -> str:
    """The name of a manifest, by its hash."""
    return f"manifest-{sha256[:16]}.json"


def is_manifest_path(path: str) -> bool:
    """Whether a path is the name of a manifest."""
    return _MANIFEST.fullmatch(path) is not None


def is_store_entry(name: str) -> bool:
    """Whether a file or folder of that name belongs at the top of a store."""
    return name in (ROOT_DOCUMENT, STAGING, *_GROUPS) or is_manifest_path(name)


def array_document(spec: ArraySpec, rows: int) -> dict[str, object]:
    """The Zarr v3 metadata of an array of ``rows`` rows."""
    itemsize = np.dtype(spec.dtype).itemsize
    endian = {"configuration": {"endian": "little"}} if itemsize > 1 else {}
    codecs: list[dict[str, object]] = [{"name": "bytes", **endian}]
    if spec.compressed:
        blosc = {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": itemsize}
        codecs.append({"name": "blosc", "configuration": {**blosc, "blocksize": 0}})
    codecs.append({"name": "crc32c"})
    sharding = {
        "chunk_shape": [spec.chunk_rows, *spec.row_shape],
        "codecs": codecs,
        "index_codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "crc32c"},
        ],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [rows, *spec.row_shape],
        "data_type": _ZARR_DTYPES[spec.dtype],
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [spec.shard_rows, *spec.row_shape]},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": False if spec.dtype == "|b1" else 0.0 if "f" in spec.dtype else 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {},
        "storage_transformers": [],
    }


def group_document(attributes: Mapping[str, object]) -> dict[str, object]:
    """The Zarr v3 metadata of a group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}


def parse_array_document(path: str, document: Mapping[str, object]) -> tuple[ArraySpec, int]:
    """The spec and the number of rows that ``document`` describes.

    Raises:
        ValueError: it is not an array as this format writes it.
    """
    try:
        shape: list[int] = document["shape"]  # type: ignore[assignment]
        sharding = document["codecs"][0]["configuration"]  # type: ignore[index]
        grid = document["chunk_grid"]["configuration"]  # type: ignore[index]
        spec = ArraySpec(
            path=path,
            dtype=_NUMPY_DTYPES[str(document["data_type"])],
            row_shape=tuple(shape[1:]),
            chunk_rows=sharding["chunk_shape"][0],
            shard_rows=grid["chunk_shape"][0],
            compressed=any(codec["name"] == "blosc" for codec in sharding["codecs"]),
        )
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{path}: not an array of this format ({error!r})") from error
    if array_document(spec, shape[0]) != dict(document):
        raise ValueError(f"{path}: chunks or codecs differ from this format's")
    return spec, shape[0]


def _per_frame(path: str, dtype: str, *row_shape: int) -> ArraySpec:
    return ArraySpec(path=path, dtype=dtype, row_shape=row_shape)


def frame_text_paths(attributes: Sequence[str]) -> tuple[str, ...]:
    """The arrays of texts with one row a frame."""
    return ("frames/id", *(f"frames/attributes/{name}" for name in attributes), "camera/id")


def text_array(path: str, table: TextTable) -> ArraySpec:
    """The array that holds a table of texts; its last axis is as long as its longest text."""
    return _per_frame(path, "|u1", *table.shape[1:])


SHUTTER_PATHS = (
    "camera/shutter_direction",
    "camera/shutter_start_ns",
    "camera/shutter_end_ns",
    "camera/linear_velocity_m_s",
    "camera/angular_velocity_rad_s",
)


def frame_arrays(cameras: int) -> tuple[ArraySpec, ...]:
    """The arrays with one row a frame, those of texts apart."""
    return (
        _per_frame("frames/scene", "<i4"),
        _per_frame("frames/timestamp_ns", "<i8"),
        _per_frame("frames/T_world_from_ego", "<f8", 4, 4),
        _per_frame("lidar/start", "<i8"),
        _per_frame("lidar/count", "<i8"),
        _per_frame("lidar/T_ego_from_lidar", "<f8", 4, 4),
        _per_frame("lidar/timestamp_ns", "<i8"),
        _per_frame("lidar/timestamp_start_ns", "<i8"),
        _per_frame("lidar/timestamp_end_ns", "<i8"),
        _per_frame("camera/valid", "|b1", cameras),
        _per_frame("camera/start", "<i8", cameras),
        _per_frame("camera/nbytes", "<i8", cameras),
        _per_frame("camera/width", "<i4", cameras),
        _per_frame("camera/height", "<i4", cameras),
        _per_frame("camera/K", "<f8", cameras, 3, 3),
        _per_frame("camera/distortion", "<f8", cameras, 5),
        _per_frame("camera/T_camera_from_lidar", "<f8", cameras, 4, 4),
        _per_frame("camera/T_ego_from_camera", "<f8", cameras, 4, 4),
        _per_frame("camera/T_world_from_ego", "<f8", cameras, 4, 4),
        _per_frame("camera/timestamp_ns", "<i8", cameras),
        _per_frame(SHUTTER_PATHS[0], "|u1", cameras),
        _per_frame(SHUTTER_PATHS[1], "<i8", cameras),
        _per_frame(SHUTTER_PATHS[2], "<i8", cameras),
        _per_frame(SHUTTER_PATHS[3], "<f8", cameras, 3),
        _per_frame(SHUTTER_PATHS[4], "<f8", cameras, 3),
    )


SCENE_ARRAYS = (_per_frame("scenes/start", "<i8"), _per_frame("scenes/count", "<i8"))
"""The arrays with one row a scene, those of texts apart."""


def point_arrays(columns: Mapping[str, str]) -> tuple[ArraySpec, ...]:
    """One flat array for each point column."""
    return tuple(
        ArraySpec(
            path=f"lidar/points/{name}",
            dtype=dtype,
            chunk_rows=POINTS_PER_CHUNK,
            shard_rows=POINTS_PER_SHARD,
        )
        for name, dtype in columns.items()
    )


IMAGE_DATA = ArraySpec(
    path="camera/data",
    dtype="|u1",
    chunk_rows=IMAGE_BYTES_PER_CHUNK,
    shard_rows=IMAGE_BYTES_PER_SHARD,
    compressed=False,  # PNG and JPEG do not compress further
)


def pair_extent_arrays(group: str, cameras: int) -> tuple[ArraySpec, ...]:
    """Where the correspondences of each frame and camera lie."""
    return (
        _per_frame(f"{group}/start", "<i8", cameras),
        _per_frame(f"{group}/count", "<i8", cameras),
    )


def pair_arrays(group: str) -> tuple[ArraySpec, ...]:
    """The flat columns of all correspondences."""
    columns = {"point": "<u4", "u": "<f4", "v": "<f4", "depth": "<f4", "visible": "|b1"}
    return tuple(
        ArraySpec(
            path=f"{group}/{name}",
            dtype=dtype,
            chunk_rows=PAIRS_PER_CHUNK,
            shard_rows=PAIRS_PER_SHARD,
        )
        for name, dtype in columns.items()
    )


def encode_text(texts: Iterable[str]) -> TextTable:
    """Texts as rows of UTF-8 bytes, padded with zeros to the longest, which counts at least 1."""
    encoded = [text.encode() for text in texts]
    width = max([1, *map(len, encoded)])
    padded = b"".join(text.ljust(width, b"\0") for text in encoded)
    return np.frombuffer(padded, np.uint8).reshape(len(encoded), width)


def join_text(tables: Sequence[TextTable]) -> TextTable:
    """Tables of texts, one after the other."""
    width = max(table.shape[-1] for table in tables)
    widened = [
        np.pad(table, [(0, 0)] * (table.ndim - 1) + [(0, width - table.shape[-1])])
        for table in tables
    ]
    return np.concatenate(widened)


def decode_text(rows: TextTable) -> list[str]:
    """The texts of (n, width) rows of UTF-8 bytes."""
    return [row.tobytes().rstrip(b"\0").decode() for row in rows]
