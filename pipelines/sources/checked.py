"""Any source, with its results checked and its mistakes told in one line."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING

from simipu.errors import SimipuError, SourceError

from .generated import as_generated
from .validate import check_info, check_scan
from .validate_frame import check_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from simipu.records import Frame, FrameRef, Scan, SourceInfo

    from .base import Source


class ForeignError(SimipuError):
    """The code of a source raised something that is not an error of simipu.

    What it raised is the cause, and stays so when the error comes from another process.
    """

    def __reduce__(self) -> tuple[object, ...]:
        cause = self.__cause__
        trace = "" if cause is None else "".join(traceback.format_exception(cause))
        return (_rebuild, (type(self), self.what, self.where, self.fix, trace))


class ForeignSourceError(ForeignError, SourceError):
    """Likewise, where the data may be at fault: such a frame can be left out."""


class _RemoteError(Exception):
    """Stands for an exception of another process, whose traceback is its text."""

    def __str__(self) -> str:
        return f"in another process:\n{self.args[0]}"


class Checked:
    """A source whose results are checked before anything relies on them.

    Args:
        source: the source; its own errors pass through, except for those that are no
            `SimipuError`: they become one that names the source, the frame and the exception.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._info: SourceInfo | None = None

    @property
    def root(self) -> Path:
        """The source's root."""
        return self._source.root

    @property
    def info(self) -> SourceInfo:
        """The source's description.

        Raises:
            SourceError: it is faulty.
        """
        if self._info is None:
            with self._blaming("info"):
                info = self._source.info
            self._check("", check_info, info)
            self._info = as_generated(info, self.root)
        return self._info

    def scan(self) -> Scan:
        """Scan, and check what was found; same errors as `Source.scan`, and for what is faulty."""
        with self._blaming("scan()"):
            scan = self._source.scan()
        self._check("", check_scan, scan)
        self._info = None  # a scan may find out what there is to describe
        return scan

    def read(self, ref: FrameRef) -> Frame:
        """Read a frame and check it; same errors as `Source.read`, and for what is faulty."""
        with self._blaming(f"frame {ref.id!r}"):
            frame = self._source.read(ref)
        self._check(f"frame {ref.id!r}: ", check_frame, frame, ref, self.info)
        return frame

    def _check(self, prefix: str, check: Callable[..., None], *arguments: object) -> None:
        with self._blaming(f"{prefix}{check.__name__}"):
            try:
                check(*arguments)
            except SourceError as error:
                what = f"{prefix}{error.what}"
                raise SourceError(what, where=self._name(), fix=error.fix) from None

    @contextmanager
    def _blaming(self, doing: str) -> Iterator[None]:
        try:
            yield
        except SimipuError:
            raise
        except Exception as error:
            if _is_of_the_machine(error):
                raise
            # What cannot be imported is no fault of a frame: leaving it out would not help.
            kind = ForeignError if isinstance(error, ImportError) else ForeignSourceError
            raise kind(
                f"{doing}: {type(error).__name__}: {error}{self._place(error)}",
                where=self._name(),
                fix="The code of this source should raise a simipu.errors.SourceError that names "
                "the file at fault. --debug shows the traceback.",
            ) from error

    def _name(self) -> str:
        kind = type(self._source)
        return f"{kind.__module__}:{kind.__qualname__}"

    def _place(self, error: Exception) -> str:
        """The last line of the source's own module that ran."""
        file = getattr(sys.modules.get(type(self._source).__module__), "__file__", None)
        for entry in reversed(traceback.extract_tb(error.__traceback__)):
            if entry.filename == file:
                return f" ({os.path.basename(file)}, line {entry.lineno})"
        return ""


def _is_of_the_machine(error: Exception) -> bool:
    """Tell whether the fault is neither the data's nor the code's, such as a disk that fails.

    Pillow's errors about images are OSErrors without a number.
    """
    missing = isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
    numbered = isinstance(error, OSError) and error.errno is not None
    return isinstance(error, MemoryError) or (numbered and not missing)


def _rebuild(
    cls: type[ForeignError], what: str, where: str | None, fix: str | None, trace: str
) -> ForeignError:
    error = cls(what, where=where, fix=fix)
    error.__cause__ = _RemoteError(trace) if trace else None
    return error
