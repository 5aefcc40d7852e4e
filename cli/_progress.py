"""One progress bar for each stage of work, on standard error."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def progress_bars(unit: str) -> Iterator[Callable[[str, int, int], None]]:
    """Yield ``advance(stage, done, total)``; a new stage begins a new bar with ETA and rate."""
    from tqdm import tqdm

    bars: dict[str, tqdm[NoReturn]] = {}

    def advance(stage: str, done: int, total: int) -> None:
        if stage not in bars:
            for bar in bars.values():
                bar.close()
            # Work done by an earlier run counts as done, but not in the rate.
            bars[stage] = tqdm(
                desc=stage,
                total=total,
                initial=done,
                unit=unit,
                unit_scale=unit == "B",
                smoothing=0.1,
                dynamic_ncols=True,
            )
        else:
            bars[stage].update(done)

    try:
        yield advance
    finally:
        for bar in bars.values():
            bar.close()
