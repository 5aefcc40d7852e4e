"""What happened since the last record: means of losses, speed, and time spent waiting for data."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from simipu.data.dataset import Sample
    from simipu.methods.simipu import Losses
    from simipu.train.runlog import Record


class Meter:
    """Collects steps; tensors stay on their device until a record is asked for."""

    def __init__(self) -> None:
        self._clear()

    def watch(self, batches: Iterable[Sample]) -> Iterator[Sample]:
        """Pass batches on, and time how long each one was waited for."""
        iterator = iter(batches)
        while True:
            begin = time.perf_counter()
            batch = next(iterator, None)
            self._waited_s += time.perf_counter() - begin
            if batch is None:
                return
            yield batch

    def add(self, losses: Losses, grad_norm: Tensor, images: int) -> None:
        """Count one finished step."""
        values = (
            losses.total,
            losses.intra.loss,
            losses.inter.loss,
            losses.intra.recall_at_1,
            losses.inter.recall_at_1,
            grad_norm,
        )
        self._values.append(torch.stack([value.detach() for value in values]))
        self._candidates.append(losses.inter.candidates)
        self._images += images

    def record(self) -> Record:
        """Means since the last record, and start anew.

        ``chance/loss`` and ``chance/recall`` are what guessing would give.
        """
        elapsed_s = time.perf_counter() - self._begin
        total, intra, inter, intra_recall, inter_recall, grad_norm = (
            torch.stack(self._values).float().mean(dim=0).tolist()
        )
        candidates = sum(self._candidates) / len(self._candidates)
        record = {
            "loss/total": total,
            "loss/intra": intra,
            "loss/inter": inter,
            "chance/loss": math.log(max(candidates, 1)),
            "recall/intra": intra_recall,
            "recall/inter": inter_recall,
            "chance/recall": 1 / max(candidates, 1),
            "grad_norm": grad_norm,
            "pairs": candidates,
            "frames_per_s": self._images / elapsed_s,
            "data_wait": self._waited_s / elapsed_s,
        }
        self._clear()
        return record

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done meanwhile is no training, and its time does not count."""
        begin = time.perf_counter()
        yield
        self._begin += time.perf_counter() - begin

    def _clear(self) -> None:
        self._values: list[Tensor] = []
        self._candidates: list[int] = []
        self._images = 0
        self._waited_s = 0.0
        self._begin = time.perf_counter()
