"""The rows of a nuScenes table, one after the other: the largest tables exceed a gigabyte."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from simipu.errors import SimipuError, SourceError

from .files import LFS_MAX_BYTES, read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Row = dict[str, Any]

UNPACK_TABLES = "Unpack the archive of the metadata (such as v1.0-trainval_meta.tgz) again."
_CHUNK = 4 << 20  # characters
_LONGEST_ROW = 1 << 20
_BEGIN = re.compile(r"\s*\[\s*(\]?)")
_SEPARATOR = re.compile(r"\s*([,\]])\s*")
_DECODER = json.JSONDecoder()


def read_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Read a JSON list of objects without ever holding all of it.

    Yields:
        (number, row), numbers from 1.

    Raises:
        SourceError: the file is missing, empty, a Git LFS pointer, not JSON, no list, or has a
            row that is no object.
    """
    try:
        # Only what is small can be empty or a pointer; a file that is missing is found there too.
        if not path.is_file() or path.stat().st_size < LFS_MAX_BYTES:
            read_bytes(path)
        yield from _parse(path)
    except UnicodeDecodeError as error:
        raise _damaged(path, f"is not UTF-8 text: {error.reason}") from None
    except SourceError as fault:
        raise SourceError(fault.what, where=path, fix=UNPACK_TABLES) from None
    except OSError as error:
        raise SimipuError(
            f"the file cannot be read: {error.strerror}",
            where=path,
            fix="Check the permissions of the file and its folders, and the disk.",
        ) from None


def _parse(path: Path) -> Iterator[tuple[int, Row]]:
    number = 0
    with path.open(encoding="utf-8") as file:
        text = file.read(_CHUNK)
        begin = _BEGIN.match(text)
        if begin is None:
            raise _damaged(path, "is no list of rows: it does not begin with '['")
        position, separator = begin.end(), begin[1]
        while separator != "]":
            parsed = _parse_row(text, position)
            while parsed is None:
                # More of the file helps only where a row was cut off.
                more = file.read(_CHUNK) if len(text) - position < _LONGEST_ROW else ""
                if not more:
                    raise _damaged(path, f"is not JSON from row {number + 1} on")
                text, position = (text[position:] + more).lstrip(), 0
                parsed = _parse_row(text, position)
            row, separator, position = parsed
            number += 1
            if not isinstance(row, dict):
                raise _damaged(path, f"row {number} is no object, but {str(row)[:40]!r}")
            yield number, row
        if text[position:].strip() or file.read(_CHUNK).strip():
            raise _damaged(path, "is not JSON: it goes on after the end of the list")


def _parse_row(text: str, position: int) -> tuple[Any, str, int] | None:
    """Return a row, "," or "]" after it, and where the next one begins; None if it is cut off."""
    try:
        row, end = _DECODER.raw_decode(text, position)
    except (ValueError, RecursionError):
        return None
    separator = _SEPARATOR.match(text, end)
    return None if separator is None else (row, separator[1], separator.end())


def _damaged(path: Path, what: str) -> SourceError:
    return SourceError(what, where=path, fix=UNPACK_TABLES)
