"""Measurements of several seeds, and what they have in common."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """Numbers of one encoder in one setting, by one seed.

    Attributes:
        probe: "retrieval", "depth" or "points".
        subject: name of the encoder, or of the baseline.
        setting: what was asked, in words.
        values: number of each metric; None where it could not be measured.
    """

    probe: str
    subject: str
    setting: str
    values: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """One number over several seeds.

    Attributes:
        values: of each seed that has one.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float | None:
        """Mean; None without values."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation, by n - 1; None for fewer than two values."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """`Measurement`s that differ in the seed only."""

    probe: str
    subject: str
    setting: str
    metrics: Mapping[str, Spread]


def summarise(measurements: Iterable[Measurement]) -> list[Row]:
    """Put the seeds of each encoder and setting together, in the order of their first ones."""
    found: dict[tuple[str, str, str], list[Measurement]] = {}
    for one in measurements:
        found.setdefault((one.probe, one.subject, one.setting), []).append(one)
    return [
        Row(
            probe=probe,
            subject=subject,
            setting=setting,
            metrics={
                name: Spread(
                    values=tuple(value for one in group if (value := one.values[name]) is not None)
                )
                for name in group[0].values
            },
        )
        for (probe, subject, setting), group in found.items()
    ]
