"""The records of a run: a JSONL file, one object a line, and the same for those who draw curves."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from torch.utils.tensorboard import SummaryWriter

from simipu.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

Record = Mapping[str, float | int | None]


class RunLog:
    """Writes the records of steps; what an earlier attempt wrote beyond ``step`` is dropped.

    Args:
        run: the run folder.
        step: number of steps that are already finished; with 0 the records begin anew.
        wandb: project of Weights & Biases; None to leave it out.

    Attributes:
        earlier: the records that an earlier attempt left, each with its "step".
    """

    def __init__(self, run: Path, *, step: int, wandb: str | None = None) -> None:
        path, board = run / "log.jsonl", run / "tensorboard"
        self.earlier: list[Record] = []
        if step:
            self.earlier = _truncate(path, step)
        else:
            path.unlink(missing_ok=True)
            if board.exists():
                shutil.rmtree(board)
        self._wandb = None if wandb is None else _open_wandb(wandb, run)
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
        if self._wandb is not None:
            self._wandb.finish(exit_code=0 if error is None else 1)

    def write(self, step: int, record: Record) -> None:
        """Record numbers by name; None marks one that does not exist, and NaN becomes None."""
        clean = {name: _finite(value) for name, value in record.items()}
        self._write_line({"step": step, **clean})
        for name, value in clean.items():
            if value is not None:
                self._board.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb.log({n: v for n, v in clean.items() if v is not None}, step=step)

    def warn(self, step: int, text: str) -> None:
        """Record a sentence about something that is wrong."""
        self._write_line({"step": step, "warning": text})
        self._board.add_text("warning", text, step)

    def _write_line(self, content: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(content) + "\n")
        self._file.flush()


def read_log(run: Path) -> list[Record]:
    """The records of the run folder ``run``, in order, each with its "step"."""
    return [record for _, record in _records(run / "log.jsonl")]


def _finite(value: float | int | None) -> float | int | None:
    return value if value is None or math.isfinite(value) else None


def _open_wandb(project: str, run: Path) -> Any:
    """A run of Weights & Biases; written to the run folder, unless WANDB_MODE says otherwise."""
    try:
        import wandb
    except ImportError as error:
        raise UsageError(
            f"log.wandb is {project!r}, but Weights & Biases is not installed",
            fix="Install it with `pip install wandb`, or leave log.wandb out.",
        ) from error
    return wandb.init(
        project=project,
        name=run.resolve().name,
        dir=str(run),
        mode=os.environ.get("WANDB_MODE", "offline"),
    )


def _truncate(path: Path, step: int) -> list[Record]:
    """Drop the records beyond ``step``; the others are returned."""
    kept = [(line, record) for line, record in _records(path) if record["step"] <= step]
    partial = path.with_suffix(".partial")
    partial.write_text("".join(line + "\n" for line, _ in kept), encoding="utf-8")
    partial.replace(path)
    return [record for _, record in kept]


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
