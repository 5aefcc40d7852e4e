"""TFRecord files, without TensorFlow: found by their lengths, read one at a time, checked whole.

A record is its length (uint64), a CRC of these eight bytes, its payload, and a CRC of the payload,
all little-endian; nothing stands before the first record or after the last. The CRCs are CRC-32C,
masked. Format: TensorFlow's guide "TFRecord and tf.train.Example", "TFRecords format details".
"""

from __future__ import annotations

import os
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import google_crc32c

from simipu.errors import SourceError

from .files import DOWNLOAD_AGAIN, refuse_useless, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_HEADER = struct.Struct("<QI")
_CRC = struct.Struct("<I")
_GZIP = b"\x1f\x8b"


class Record(NamedTuple):
    """Where a record lies in its file.

    Attributes:
        number: counted from 0.
        offset: of its first byte, which is that of its length.
        length: bytes of its payload.
    """

    number: int
    offset: int
    length: int

    @property
    def payload(self) -> int:
        """Offset of the payload."""
        return self.offset + _HEADER.size

    @property
    def end(self) -> int:
        """Offset of what follows the record."""
        return self.payload + self.length + _CRC.size


def index_records(path: Path) -> list[Record]:
    """Find every record of a file; payloads are skipped, not read.

    Raises:
        SourceError: the file is missing, empty, a Git LFS pointer or no TFRecord file, a record's
            length is damaged, or the file ends within a record.
        SimipuError: it cannot be read now.
    """
    refuse_useless(path)
    with _opened(path) as file:
        return list(_records(file, os.fstat(file.fileno()).st_size, path))


def read_record(path: Path, record: Record) -> bytes:
    """Read the payload of one record.

    Args:
        path: the file.
        record: as `index_records` found it.

    Raises:
        SourceError: the file is missing, a CRC is wrong, or no such record is there any more.
        SimipuError: it cannot be read now.
    """
    with _opened(path) as file:
        if _read_length(file, record.number, record.offset, path) != record.length:
            raise _fault(
                "has another length than before: the file was changed",
                record.number,
                record.offset,
                path,
                fix="Run the command again to look at the files anew.",
            )
        payload = file.read(record.length)
        trailer = file.read(_CRC.size)
    if len(trailer) < _CRC.size:
        raise _truncated(record, record.payload + len(payload) + len(trailer), path)
    if _masked_crc(payload) != _CRC.unpack(trailer)[0]:
        raise _fault("is damaged: the CRC of its data is wrong", record.number, record.offset, path)
    return payload


def read_beginnings(path: Path, records: Sequence[Record], nbytes: int) -> Iterator[bytes]:
    """Read the first bytes of each payload; their CRCs are not checked.

    Args:
        path: the file.
        records: as `index_records` found them.
        nbytes: how many bytes of each.

    Raises:
        SourceError: the file is missing.
        SimipuError: it cannot be read now.
    """
    with _opened(path) as file:
        for record in records:
            file.seek(record.payload)
            yield file.read(min(nbytes, record.length))


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        refuse_useless(path)
        raise unreadable(path, error) from None


def _records(file: BinaryIO, size: int, path: Path) -> Iterator[Record]:
    number = offset = 0
    while offset < size:
        record = Record(number, offset, _read_length(file, number, offset, path))
        if record.end > size:
            raise _truncated(record, size, path)
        yield record
        number, offset = number + 1, record.end


def _read_length(file: BinaryIO, number: int, offset: int, path: Path) -> int:
    file.seek(offset)
    header = file.read(_HEADER.size)
    if number == 0 and header.startswith(_GZIP):
        raise SourceError(
            "is compressed with gzip; segments of the data set are plain TFRecord files",
            where=path,
            fix="Decompress it (`gunzip`) and give it the ending .tfrecord.",
        )
    if len(header) < _HEADER.size:
        raise _fault(
            f"is truncated: {len(header)} of the {_HEADER.size} bytes of its header are there",
            number,
            offset,
            path,
        )
    length, crc = _HEADER.unpack(header)
    if _masked_crc(header[:8]) != crc:
        if number == 0:
            raise SourceError(
                "is not a TFRecord file: it does not begin with a length and its CRC",
                where=path,
                fix=DOWNLOAD_AGAIN,
            )
        raise _fault("is damaged: the CRC of its length is wrong", number, offset, path)
    return int(length)


def _masked_crc(data: bytes) -> int:
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _truncated(record: Record, size: int, path: Path) -> SourceError:
    return _fault(
        f"is truncated: it should end at byte {record.end:,}, but the file ends at {size:,}",
        record.number,
        record.offset,
        path,
    )


def _fault(
    what: str, number: int, offset: int, path: Path, fix: str = DOWNLOAD_AGAIN
) -> SourceError:
    return SourceError(f"record {number} at byte {offset:,} {what}", where=path, fix=fix)
