"""KITTI raw's timestamps files: line i is the time of frame i.

A line reads ``2011-09-26 13:02:25.964389445``.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from simipu.errors import SourceError

from .files import UNPACK_AGAIN, read_text

if TYPE_CHECKING:
    from pathlib import Path

_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.(\d{9})", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TimesFile:
    """The lines of a timestamps file, not yet understood; None where there is no such file."""

    path: Path
    lines: list[str] | None

    def line(self, index: int) -> str:
        """Return the line of a frame; "" where the file is absent or the line is empty.

        Raises:
            SourceError: the file ends before that line.
        """
        if self.lines is None:
            return ""
        if index >= len(self.lines):
            raise SourceError(
                f"has {len(self.lines)} lines, too few for frame {index} (line {index + 1})",
                where=self.path,
                fix=f"{UNPACK_AGAIN} Or remove this file to convert without its times.",
            )
        return self.lines[index]


def read_times(path: Path) -> TimesFile:
    """Read a timestamps file, which may be absent.

    A line may be empty: official drives have empty lines where a scan was lost.

    Raises:
        SourceError: the file is unreadable.
    """
    if not os.path.lexists(path):
        return TimesFile(path, None)
    return TimesFile(path, [line.strip() for line in read_text(path).splitlines()])


def parse_time_ns(text: str, index: int, path: Path) -> int | None:
    """Convert the line of a frame to nanoseconds since 1970, exactly.

    The files hold local times without a zone; they are counted as if they were UTC.

    Args:
        text: what `TimesFile.line` returned.
        index: index of the frame, for the error.
        path: the file, for the error.

    Returns:
        int64 nanoseconds; None where the line is empty.

    Raises:
        SourceError: the line is not a date and time.
    """
    if not text:
        return None
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        since_epoch = datetime.fromisoformat(f"{match[1]}+00:00") - _EPOCH
    except ValueError:
        raise SourceError(
            f"line {index + 1} is not a time such as 2011-09-26 13:02:25.964389445: {text[:40]!r}",
            where=path,
            fix=UNPACK_AGAIN,
        ) from None
    seconds = since_epoch.days * 86_400 + since_epoch.seconds
    return seconds * 1_000_000_000 + int(match[2])
