"""Rows to shard files and back, for the one kind of array that the schema has.

These are standard Zarr v3 ``sharding_indexed`` files, written and read without a Zarr library:
a shard is streamed to disk in one pass and read by byte ranges, several times faster than the
general machinery allows (docs/adr/0003). The tests hold both directions against zarr-python,
tensorstore and zarrs.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from google_crc32c import value as crc32c
from numcodecs import blosc

from simipu.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simipu.store.schema import ArraySpec
    from simipu.store.storage import Batch, DurableFile, LocalStorage

Array = npt.NDArray[np.generic]
Bytes = npt.NDArray[np.uint8]

_ABSENT = np.uint64(2**64 - 1)
_CRC_BYTES = 4
_BLOSC_HEADER_BYTES = 16

# One thread: workers are processes already, and the bytes must not depend on the machine.
blosc.use_threads = False


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A finished file: path relative to the store, size in bytes, SHA-256 in hex."""

    path: str
    size: int
    sha256: str


class ShardWriter:
    """Appends rows to one array, into the rows allotted to it, which begin with a shard.

    It must be the only writer of the shards that it touches. Use as a context manager: leaving it
    without an error writes what remains; ``files`` then lists what was written.
    """

    def __init__(self, storage: LocalStorage | Batch, spec: ArraySpec, rows: range) -> None:
        if rows.start % spec.shard_rows:
            raise ValueError(f"{spec.path}: row {rows.start} does not begin a shard")
        self.files: list[WrittenFile] = []
        self.next_row = rows.start
        self._stop = rows.stop
        self._storage = storage
        self._spec = spec
        self._pending = np.empty((spec.chunk_rows, *spec.row_shape), spec.dtype)
        self._file: DurableFile | None = None
        self._open_file = ExitStack()
        self._index: list[tuple[int, int]] = []

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None:
            self._close()
        else:
            self._open_file.__exit__(kind, error, trace)  # type: ignore[arg-type]

    def append(self, rows: Array) -> None:
        """Append ``rows`` (n, *row_shape), which must have the array's dtype.

        Raises:
            StoreError: there are more rows than were allotted.
        """
        if rows.dtype != np.dtype(self._spec.dtype) or rows.shape[1:] != self._spec.row_shape:
            raise ValueError(
                f"{self._spec.path}: rows are {rows.dtype} {rows.shape[1:]}, "
                f"not {self._spec.dtype} {self._spec.row_shape}"
            )
        if self.next_row + len(rows) > self._stop:
            raise StoreError(
                "more rows than were planned",
                where=self._storage.root / self._spec.path,
                fix="The source gave a bound (max_points, max_image_bytes) that is too small.",
            )
        done = 0
        while done < len(rows):
            filled = self.next_row % self._spec.chunk_rows
            part = rows[done : done + self._spec.chunk_rows - filled]
            self._pending[filled : filled + len(part)] = part
            done += len(part)
            self.next_row += len(part)
            if self.next_row % self._spec.chunk_rows == 0:
                self._write_chunk()
            if self.next_row % self._spec.shard_rows == 0:
                self._finish_shard((self.next_row - 1) // self._spec.shard_rows)

    def _close(self) -> None:
        filled = self.next_row % self._spec.chunk_rows
        if filled:
            self._pending[filled:] = np.zeros((), self._spec.dtype)
            self._write_chunk()
        if self._file is not None:
            self._finish_shard(self.next_row // self._spec.shard_rows)

    def _write_chunk(self) -> None:
        if self._file is None:
            shard = (self.next_row - 1) // self._spec.shard_rows
            self._file = self._open_file.enter_context(
                self._storage.create(self._spec.shard_path(shard))
            )
        if self._spec.compressed:
            data = blosc.compress(self._pending, b"lz4", 5, blosc.SHUFFLE)
        else:
            data = self._pending.reshape(-1).view(np.uint8)
        self._index.append((self._file.size, len(data) + _CRC_BYTES))
        self._file.write(memoryview(data), _crc(data))

    def _finish_shard(self, shard: int) -> None:
        assert self._file is not None
        index = np.full((self._spec.chunks_per_shard, 2), _ABSENT, "<u8")
        index[: len(self._index)] = self._index
        encoded = index.tobytes()
        self._file.write(encoded, _crc(encoded))
        path = self._spec.shard_path(shard)
        file, self._file, self._index = self._file, None, []
        self._open_file.close()
        self.files.append(WrittenFile(path, file.size, file.sha256))


def write_array(storage: LocalStorage | Batch, spec: ArraySpec, rows: Array) -> list[WrittenFile]:
    """Write a whole array at once."""
    with ShardWriter(storage, spec, range(len(rows))) as writer:
        writer.append(rows)
    return writer.files


class ShardedArray:
    """Reads rows of one array by byte ranges. Shard indexes are kept in memory."""

    def __init__(self, storage: LocalStorage, spec: ArraySpec, rows: int) -> None:
        self.spec = spec
        self.rows = rows
        self._storage = storage
        self._indexes: dict[int, npt.NDArray[np.int64] | None] = {}

    def read(self, start: int, stop: int) -> Array:
        """Rows ``start`` to ``stop``.

        Raises:
            StoreError: a byte of them is missing or wrong.
        """
        out = np.empty((stop - start, *self.spec.row_shape), self.spec.dtype)
        for encoded, skip, place in self._chunks(start, stop):
            self._decode(encoded, skip, out[place])
        return out

    def read_bytes(self, start: int, stop: int) -> bytes:
        """Rows ``start`` to ``stop`` of an array that is not compressed, as they are stored.

        Raises:
            StoreError: a byte of them is missing or wrong.
        """
        row_bytes = self.spec.row_bytes
        return b"".join(
            encoded[skip * row_bytes : (skip + place.stop - place.start) * row_bytes].data
            for encoded, skip, place in self._chunks(start, stop)
        )

    def _chunks(self, start: int, stop: int) -> Iterator[tuple[Bytes, int, slice]]:
        """The encoded chunks of some rows: each with how many of its rows to skip, and where
        those that follow belong among the rows asked for.
        """
        spec = self.spec
        if not 0 <= start <= stop <= self.rows:
            raise IndexError(f"{spec.path}: rows {start}:{stop} of {self.rows}")
        row = start
        while row < stop:
            shard, first = divmod(row, spec.shard_rows)
            end = min(stop - row + first, spec.shard_rows)
            for chunk, encoded in self._read_from_shard(shard, first, end):
                chunk_first = chunk * spec.chunk_rows
                low, high = max(chunk_first, first), min(chunk_first + spec.chunk_rows, end)
                place = slice(row - start + low - first, row - start + high - first)
                yield encoded, low - chunk_first, place
            row += end - first

    def _read_from_shard(self, shard: int, first: int, end: int) -> Iterator[tuple[int, Bytes]]:
        """The chunks of one shard that have its rows ``first`` to ``end``: number and content."""
        spec = self.spec
        numbers = range(first // spec.chunk_rows, -(-end // spec.chunk_rows))
        path = spec.shard_path(shard)
        extents: list[list[int]] = self._index(shard)[numbers.start : numbers.stop].tolist()
        if any(offset < 0 or size < 0 for offset, size in extents):
            raise _damaged(self._storage, path, "rows that the store lists are not in the file")
        # The writer appends chunks in order, so one read covers them all.
        low = min(offset for offset, _ in extents)
        high = max(offset + size for offset, size in extents)
        data = np.frombuffer(self._storage.read_range(path, low, high - low), np.uint8)
        for chunk, (offset, size) in zip(numbers, extents, strict=True):
            encoded = data[offset - low : offset - low + size]
            if len(encoded) < size or not _crc_is_right(encoded):
                raise _damaged(self._storage, path, f"inner chunk {chunk} fails its CRC-32C")
            content = encoded[:-_CRC_BYTES]
            if self._decoded_bytes(content) != spec.chunk_rows * spec.row_bytes:
                raise _damaged(
                    self._storage, path, f"inner chunk {chunk} does not hold as much as it must"
                )
            yield chunk, content

    def _decoded_bytes(self, content: Bytes) -> int:
        """What an encoded chunk says that it holds; -1 where its header cannot be right.

        Blosc's header: the sizes decoded, of a block and encoded, little endian, from byte 4 on.
        """
        if not self.spec.compressed:
            return len(content)
        if len(content) < _BLOSC_HEADER_BYTES:
            return -1
        decoded, _, encoded = content[4:_BLOSC_HEADER_BYTES].view("<u4").tolist()
        return decoded if encoded == len(content) else -1

    def _decode(self, encoded: Bytes, skip: int, out: Array) -> None:
        """Rows ``skip`` onwards of an encoded chunk into ``out``."""
        spec = self.spec
        if not spec.compressed:
            begin = skip * spec.row_bytes
            part = encoded[begin : begin + out.nbytes]
            out[...] = part.view(spec.dtype).reshape(out.shape)
        elif len(out) == spec.chunk_rows:
            blosc.decompress(encoded, out)
        else:
            chunk = np.frombuffer(blosc.decompress(encoded), spec.dtype)
            rows = chunk.reshape(spec.chunk_rows, *spec.row_shape)
            out[...] = rows[skip : skip + len(out)]

    def _index(self, shard: int) -> npt.NDArray[np.int64]:
        """(chunks, 2) offset and size of each inner chunk; -1 where there is none."""
        index = self._indexes.get(shard)
        if index is None:
            path = self.spec.shard_path(shard)
            length = self.spec.chunks_per_shard * 16 + _CRC_BYTES
            size = self._storage.size(path)
            data = np.frombuffer(
                self._storage.read_range(path, max(size - length, 0), length), np.uint8
            )
            if len(data) < length or not _crc_is_right(data):
                raise _damaged(self._storage, path, "the shard's index fails its CRC-32C")
            index = data[:-_CRC_BYTES].view("<i8").reshape(-1, 2)
            self._indexes[shard] = index
        return index


def _crc(data: bytes | Bytes) -> bytes:
    return int(crc32c(data)).to_bytes(_CRC_BYTES, "little")


def _crc_is_right(data: Bytes) -> bool:
    stored = int.from_bytes(data[-_CRC_BYTES:], "little")
    return int(crc32c(data[:-_CRC_BYTES])) == stored


def _damaged(storage: LocalStorage, path: str, what: str) -> StoreError:
    return StoreError(
        what,
        where=storage.root / path,
        fix="If a command has rewritten the store since it was opened, open it again. Otherwise "
        "restore the file from a copy, or convert again.",
    )
