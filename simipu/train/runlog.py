"""The records of a run: a JSONL file, one object a line, and the same for TensorBoard."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from torch.utils.tensorboard import SummaryWriter

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

Record = Mapping[str, float | int | None]


class RunLog:
    """Writes the records of steps; what an earlier attempt wrote beyond ``step`` is dropped.

    Args:
        run: the run folder.
        step: number of steps that are already finished; with 0 the records begin anew.

    Attributes:
        last: the last record that an earlier attempt left, its "step" included; empty if none did.
    """

    def __init__(self, run: Path, *, step: int) -> None:
        path, board = run / "log.jsonl", run / "tensorboard"
        self.last: Record = {}
        if step:
            self.last = _truncate(path, step)
        else:
            path.unlink(missing_ok=True)
            if board.exists():
                shutil.rmtree(board)
        self._file = path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(board), purge_step=step + 1 if step else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._board.close()

    def write(self, step: int, record: Record) -> None:
        """Record numbers by name; None marks one that does not exist, and NaN becomes None."""
        clean = {name: _finite(value) for name, value in record.items()}
        self._file.write(json.dumps({"step": step, **clean}) + "\n")
        self._file.flush()
        for name, value in clean.items():
            if value is not None:
                self._board.add_scalar(name, value, step)


def read_log(run: Path) -> list[Record]:
    """The records of the run folder ``run``, in order, each with its "step"."""
    return [record for _, record in _records(run / "log.jsonl")]


def _finite(value: float | int | None) -> float | int | None:
    return value if value is None or math.isfinite(value) else None


def _truncate(path: Path, step: int) -> Record:
    """Drop the records beyond ``step``; the last of the others is returned."""
    kept = [(line, record) for line, record in _records(path) if record["step"] <= step]
    partial = path.with_suffix(".partial")
    partial.write_text("".join(line + "\n" for line, _ in kept), encoding="utf-8")
    partial.replace(path)
    return kept[-1][1] if kept else {}


def _records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Whole lines and what they hold; none where the log was deleted."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:  # a line cut off by a crash
            continue
        yield line, record
