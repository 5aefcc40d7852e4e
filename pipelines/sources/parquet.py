"""Parquet files whose rows are too large to hold many of them at a time."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from simipu.errors import SourceError, UsageError

from .files import DOWNLOAD_AGAIN, refuse_useless, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class ParquetRows:
    """Reads single rows of a file; in rising order, nothing is decoded twice.

    Args:
        path: the file.
        columns: the columns to read; others are never touched.

    Raises:
        SourceError: the file is missing, empty, a Git LFS pointer, damaged, or lacks a column.
        UsageError: pyarrow is not installed.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self._columns = list(columns)
        with self._faults():
            self._file = _arrow().parquet.ParquetFile(path)
        names = set(self._file.schema_arrow.names)
        if missing := [name for name in columns if name not in names]:
            raise SourceError(
                f"has no column {', '.join(missing)}",
                where=path,
                fix="It is of another component or release. " + DOWNLOAD_AGAIN,
            )
        metadata = self._file.metadata
        counts = (metadata.row_group(k).num_rows for k in range(metadata.num_row_groups))
        self._starts = [*accumulate(counts, initial=0)]
        self._group = self._next = -1
        self._batches: Iterator[Any] = iter(())

    def __len__(self) -> int:
        return int(self._starts[-1])

    def column(self, name: str) -> list[Any]:
        """Return all values of a column that is small."""
        with self._faults():
            values: list[Any] = self._file.read(columns=[name]).column(0).to_pylist()
        return values

    def largest(self, name: str, rows: int) -> int:
        """Return a bound of the bytes of a column in so many rows, wherever they lie.

        That is the size of as many of the largest row groups: each row may be in another one.
        """
        metadata = self._file.metadata
        index = self._file.schema_arrow.names.index(name)
        groups = (metadata.row_group(k) for k in range(metadata.num_row_groups))
        sizes = sorted(group.column(index).total_uncompressed_size for group in groups)
        return int(sum(sizes[-rows:]))

    def row(self, number: int) -> dict[str, Any]:
        """Return a row: an Arrow scalar for each column."""
        group = next(k for k, stop in enumerate(self._starts[1:]) if number < stop)
        with self._faults():
            if group != self._group or number < self._next:
                self._group, self._next = group, self._starts[group]
                self._batches = self._file.iter_batches(
                    batch_size=1, row_groups=[group], columns=self._columns, use_threads=False
                )
            for batch in self._batches:
                self._next += 1
                if self._next > number:
                    return {name: batch.column(name)[0] for name in self._columns}
            raise OSError("it has fewer rows than it says")

    @contextmanager
    def _faults(self) -> Iterator[None]:
        pa = _arrow()
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            self._group = -1  # what was begun cannot go on
            refuse_useless(self.path)
            if isinstance(error, OSError) and error.errno is not None:
                raise unreadable(self.path, error) from None
            raise SourceError(
                f"is damaged or truncated, or no Parquet file: {str(error).splitlines()[0]}",
                where=self.path,
                fix=DOWNLOAD_AGAIN,
            ) from None


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            f"pyarrow cannot be imported ({error})", fix="pip install 'simipu[waymo]'"
        ) from None
    return pyarrow
