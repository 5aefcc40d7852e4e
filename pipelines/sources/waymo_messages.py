"""The official protobuf messages of the Waymo Open Dataset, without TensorFlow.

They come with the wheel ``waymo-open-dataset-tf-2-12-0``. It asks for TensorFlow and old versions
of much else, but its message classes need nothing except protobuf: installed with ``--no-deps``,
and imported only when a file is read, it stands in nobody's way.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from simipu.errors import SourceError, UsageError

from .files import DOWNLOAD_AGAIN

if TYPE_CHECKING:
    from pathlib import Path

WHEEL = "waymo-open-dataset-tf-2-12-0==1.6.7"

_LARGEST_MATRIX_BYTES = 64 << 20  # the largest of the data set are a tenth of that

_Numbers = tuple[npt.NDArray[Any], tuple[int, ...]]


def messages() -> Any:
    """Return the module of the message classes, ``dataset_pb2``.

    Raises:
        UsageError: it is not installed, or does not fit the protobuf that is.
    """
    try:
        from waymo_open_dataset import dataset_pb2
    except Exception as error:
        # A class made for another protobuf raises TypeError or protobuf's own errors.
        raise UsageError(
            f"Waymo's message classes cannot be imported ({error})",
            fix=f"pip install 'simipu[waymo]', then pip install --no-deps {WHEEL} "
            "(it needs no TensorFlow so).",
        ) from None
    return dataset_pb2


def parse_frame(payload: bytes, path: Path, name: str) -> Any:
    """Return the ``waymo.open_dataset.Frame`` that a record holds.

    Args:
        payload: of the record.
        path: its file, for the error.
        name: what the error calls the record.

    Raises:
        SourceError: it is another message, or none.
    """
    frame = _parse(messages().Frame, payload)
    # Protobuf keeps fields that it does not know: any bytes of its syntax are "a Frame".
    if frame is None or not (
        frame.context.name and frame.timestamp_micros and frame.pose.transform
    ):
        raise SourceError(
            f"{name} is not a Frame of the perception data set",
            where=path,
            fix="Files of the motion and end-to-end data sets are TFRecords too, but without "
            "these: use segment-*_with_camera_labels.tfrecord.",
        )
    return frame


def parse_beginning(data: bytes) -> Any:
    """Return a ``Frame`` of which only the context and the timestamp are known.

    Args:
        data: the first bytes of a serialised ``Frame``.

    Returns:
        The frame; None if the bytes do not reach beyond both, or do not begin with them.
    """
    _, stop = _first_field(data)
    time = data[stop : stop + 11]  # tag, and at most ten bytes
    end = next((k for k, byte in enumerate(time) if k and byte < 0x80), None)
    if stop == 0 or time[:1] != b"\x10" or end is None:
        return None
    return _parse(messages().Frame, data[: stop + end + 1])


def read_matrix(compressed: bytes, dtype: npt.DTypeLike, path: Path, name: str) -> npt.NDArray[Any]:
    """Decompress a ``MatrixFloat`` or ``MatrixInt32``.

    Args:
        compressed: zlib stream of the message.
        dtype: float32 or int32, which says which of the two.
        path: the file, for the error.
        name: what the error calls the matrix.

    Returns:
        An array of that dtype, in the shape that the message gives.

    Raises:
        SourceError: it is damaged.
    """
    try:
        stream = zlib.decompressobj()
        data = stream.decompress(compressed, _LARGEST_MATRIX_BYTES + 1)
    except zlib.error as error:
        raise _damaged(f"{name} is damaged: it cannot be decompressed ({error})", path) from None
    if not stream.eof:
        is_cut = len(data) <= _LARGEST_MATRIX_BYTES
        what = "is cut short" if is_cut else f"has more than {_LARGEST_MATRIX_BYTES:,} bytes"
        raise _damaged(f"{name} is damaged: decompressed, it {what}", path)
    found = _packed_numbers(data, np.dtype(dtype)) or _any_numbers(data, np.dtype(dtype))
    if found is None:
        raise _damaged(f"{name} is damaged: it is not a matrix of {np.dtype(dtype)}", path)
    values, shape = found
    if not shape or min(shape) < 0 or math.prod(shape) != values.size:
        raise _damaged(f"{name} is damaged: {values.size:,} values in the shape {shape}", path)
    return values.reshape(shape)


def _any_numbers(data: bytes, dtype: np.dtype[Any]) -> _Numbers | None:
    """Read a matrix by the official class; None if it is not one."""
    kind = messages().MatrixFloat if dtype == np.float32 else messages().MatrixInt32
    matrix = _parse(kind, data)
    return matrix and (np.array(matrix.data, dtype=dtype), tuple(matrix.shape.dims))


def _packed_numbers(data: bytes, dtype: np.dtype[Any]) -> _Numbers | None:
    """Read a matrix that is laid out as always, several times faster; None for any other.

    That is: first the numbers (field 1, packed), then the shape. A frame has 60 MB of numbers, and
    the official class would take a third of the time that it takes to read one.
    """
    start, stop = _first_field(data)
    rest = _parse(messages().MatrixFloat, data[stop:])
    is_whole = dtype != np.float32 or (stop - start) % 4 == 0
    if start == 0 or stop > len(data) or rest is None or rest.data or not is_whole:
        return None
    packed = np.frombuffer(data, np.uint8, stop - start, start)
    values = packed.view("<f4") if dtype == np.float32 else _small_integers(packed)
    return None if values is None else (values, tuple(rest.shape.dims))


def _small_integers(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32] | None:
    """Decode varints of one or two bytes, so up to 16,383; None if there is a longer one.

    A byte of 128 or more holds the lower seven bits of a number that its successor completes.
    """
    low = np.flatnonzero(packed >= 0x80)
    if low.size and (low[-1] == len(packed) - 1 or (np.diff(low) == 1).any()):
        return None
    values = packed[packed < 0x80].astype(np.int32)
    index = low - np.arange(low.size)
    values[index] = values[index] << 7 | (packed[low] & 0x7F)
    return values


def _first_field(data: bytes) -> tuple[int, int]:
    """Return where field 1 begins and ends, if it comes first and has a length; else 0, 0."""
    length = 0
    for k, byte in enumerate(data[1:6] if data[:1] == b"\x0a" else b""):
        length |= (byte & 0x7F) << 7 * k
        if byte < 0x80:
            return k + 2, k + 2 + length
    return 0, 0


def _parse(kind: Any, data: bytes) -> Any:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        return kind.FromString(data)
    except DecodeError:
        return None


def _damaged(what: str, path: Path) -> SourceError:
    return SourceError(what, where=path, fix=DOWNLOAD_AGAIN)
