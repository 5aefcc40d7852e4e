"""What a person sees while a run goes on."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, NoReturn, Self, TextIO

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from simipu.train.runlog import Record


class Console:
    """A progress bar with the latest record, and a line for each measurement of retrieval.

    Where the stream is no terminal, every record becomes a line instead of the bar.

    Args:
        stream: where to write.
        step: number of finished steps.
        steps: number of steps of the whole run.
        silent: show nothing.
    """

    def __init__(self, stream: TextIO, *, step: int, steps: int, silent: bool = False) -> None:
        self._stream = stream
        self._steps = steps
        self._silent = silent
        self._bar: tqdm[NoReturn] = tqdm(
            total=steps,
            initial=step,
            unit="step",
            file=stream,
            dynamic_ncols=True,
            smoothing=0.1,
            bar_format="{percentage:3.0f}% {bar:12} {n_fmt}/{total_fmt}  {desc}  {remaining} left",
            disable=silent or not stream.isatty(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def update(self, step: int, record: Record) -> None:
        """Show that ``step`` steps are finished, and their record if there is one."""
        self._bar.update(step - self._bar.n)
        if "loss/total" in record:
            text = describe_training(record)
            if self._bar.disable:
                self._write(f"step {step}/{self._steps}  {text}")
            else:
                self._bar.set_description_str(text)
        elif record:
            self._write(f"step {step}/{self._steps}  {describe_retrieval(record)}")

    def warn(self, step: int, warning: str) -> None:
        """Show a sentence about something that is wrong."""
        lines = textwrap.wrap(f"warning at step {step}: {warning}", 100, subsequent_indent="  ")
        self._write("\n".join(lines))

    def _write(self, line: str) -> None:
        if self._silent:
            return
        tqdm.write(line, file=self._stream)
        self._stream.flush()


def describe_training(record: Record) -> str:
    """Losses and recall (inter, intra) beside chance, speed and memory, in one line."""
    return (
        "inter {loss/inter:.2f} intra {loss/intra:.2f} (chance {chance/loss:.2f}), "
        "R@1 {recall/pixel_to_point_at_1:.0%} {recall/clean_to_augmented_at_1:.0%} "
        "(chance {chance/recall_at_1:.1%}), {frames_per_s:.1f} frames/s, {data_wait:.0%} waiting, "
        "{peak_memory_gib:.1f} GiB"
    ).format_map(record)


def describe_retrieval(record: Record) -> str:
    """Recall beside the control and chance, in one line."""
    text = (
        "pixel to point: R@1 {retrieval/recall_at_1:.1%} R@5 {retrieval/recall_at_5:.1%}"
    ).format_map(record)
    if record["retrieval/control_at_1"] is not None:
        text += (
            ", with another frame's image {retrieval/control_at_1:.1%} {retrieval/control_at_5:.1%}"
        ).format_map(record)
    text += ", chance R@1 {retrieval/chance_at_1:.1%}".format_map(record)
    if "depth/abs_rel" in record:
        text += "; depth AbsRel {depth/abs_rel:.3f}".format_map(record)
    return text


def describe_change(records: Sequence[Record]) -> str | None:
    """The first measurement of retrieval beside the last, as a table; None without two of them."""
    measured = [record for record in records if "retrieval/recall_at_1" in record]
    if len(measured) < 2:
        return None
    first, last = measured[0], measured[-1]
    lines = [
        "recall@1, pixel to point, on frames not trained on",
        f"{'':28}{'before':>8}{'after':>8}{'chance':>8}",
    ]
    for label, name in (
        ("with its own image", "recall_at_1"),
        ("with another frame's image", "control_at_1"),
    ):
        before, after = first[f"retrieval/{name}"], last[f"retrieval/{name}"]
        if before is not None and after is not None:
            chance = last["retrieval/chance_at_1"]
            lines.append(f"  {label:26}{before:>8.1%}{after:>8.1%}{chance:>8.1%}")
    return "\n".join(lines)
