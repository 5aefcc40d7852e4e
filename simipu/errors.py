"""The errors that a user can meet: each says what happened, where, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike


class SimipuError(Exception):
    """Base of every error that simipu raises on purpose.

    Args:
        what: what is wrong, as one sentence without a final full stop.
        where: the file, array or option at fault.
        fix: what the user can do about it.
    """

    exit_code = 1

    def __init__(
        self, what: str, *, where: str | PathLike[str] | None = None, fix: str | None = None
    ) -> None:
        super().__init__(what, where, fix)
        self.what = what
        self.where = None if where is None else str(where)
        self.fix = fix

    def __str__(self) -> str:
        text = self.what if self.where is None else f"{self.where}: {self.what}"
        return text if self.fix is None else f"{text}\n  {self.fix}"

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process boundaries; keyword-only arguments need their own way back.
        return (_rebuild, (type(self), self.what, self.where, self.fix))


def _rebuild(cls: type[SimipuError], what: str, where: str | None, fix: str | None) -> SimipuError:
    return cls(what, where=where, fix=fix)


class SourceError(SimipuError):
    """A file of the data set being converted is missing, damaged or contradicts another."""


class EmptyFrameError(SourceError):
    """A frame without content, as the official data set has some: it is left out and listed."""


class StoreError(SimipuError):
    """A store is damaged, of another version, or lacks what was asked of it."""


class UsageError(SimipuError):
    """The command or call cannot be meant as it was given."""

    exit_code = 2


class IncompleteError(SimipuError):
    """Work stopped before its end; the same command continues it."""

    exit_code = 3
