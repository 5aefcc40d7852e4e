"""What is told of a run: to the log, to whoever watches, and in words where something is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simipu.train.health import Health
    from simipu.train.runlog import Record, RunLog


class Listener(Protocol):
    """Who watches a run, as `simipu.train.console.Console` does."""

    def update(self, step: int, record: Record) -> None:
        """``step`` steps are finished; ``record`` is empty where there is none."""

    def warn(self, step: int, warning: str) -> None:
        """Something is wrong."""


class Report:
    """Passes records on.

    Args:
        log: where they are written; None in all processes but the first, which stay silent.
        listener: is told the same.
        health: finds what is wrong in them.
    """

    def __init__(self, log: RunLog | None, listener: Listener, health: Health) -> None:
        self._log = log
        self._listener = listener
        self._health = health
        self._measured = [] if log is None else [r for r in log.earlier if _is_retrieval(r)]

    def __call__(self, step: int, record: Record) -> None:
        """Report the numbers of a step."""
        if self._log is None:
            return
        self._log.write(step, record)
        self._listener.update(step, record)
        for warning in self._health.check(step, record):
            self.warn(step, warning)
        if _is_retrieval(record):
            self._measured.append({"step": step, **record})

    def warn(self, step: int, warning: str) -> None:
        """Report a sentence about something that is wrong."""
        if self._log is not None:
            self._log.warn(step, warning)
            self._listener.warn(step, warning)

    def has_retrieval(self, step: int) -> bool:
        """Whether retrieval was measured after ``step`` steps."""
        return any(record["step"] == step for record in self._measured)

    def is_best(self, record: Record, name: str) -> bool:
        """Whether the number ``name`` of a new measurement is higher than in all before."""
        value = record[name]
        return value is not None and all(value > (r[name] or 0.0) for r in self._measured)


def _is_retrieval(record: Mapping[str, object]) -> bool:
    return "retrieval/recall_at_1" in record
