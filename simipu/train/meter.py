"""What happened since the last record: means of losses, speed, and time spent waiting for data."""

from __future__ import annotations

import math
import resource
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from simipu.data.sample import Sample
    from simipu.methods.simipu import Losses
    from simipu.train.distributed import World
    from simipu.train.runlog import Record

_DIRECTIONS = {
    "inter": ("pixel_to_point", "point_to_pixel"),
    "intra": ("clean_to_augmented", "augmented_to_clean"),
}
_EMBEDDINGS = {"inter": ("pixels", "points"), "intra": ("clean", "augmented")}


class Meter:
    """Collects steps; tensors stay on their device until a record is asked for.

    Args:
        world: the processes over which the means are taken.
        pairs: pairs that an image has at most.
    """

    def __init__(self, world: World, *, pairs: int) -> None:
        self._world = world
        self._pairs = pairs
        self._names: list[str] = []
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

    def add(self, losses: Losses, images: int) -> None:
        """Count a batch of one process, with its losses."""
        values = _measure(losses)
        self._names = list(values)
        self._values.append(torch.stack([value.detach().float() for value in values.values()]))
        self._candidates.append(losses.inter.candidates)
        self._images += images * self._world.size

    def record(self, norms: Mapping[str, Tensor], device: torch.device) -> Record:
        """Means since the last record, and start anew. All processes must ask at the same step.

        Args:
            norms: of the last step's gradient, by part of the model.
            device: whose peak of memory is read.
        """
        elapsed_s = time.perf_counter() - self._begin
        values = torch.stack(self._values).mean(dim=0).cpu()
        local = torch.tensor([self._waited_s / elapsed_s, peak_memory_gib(device)])
        *means, data_wait, memory = self._world.mean(torch.cat([values, local])).tolist()
        candidates = sum(self._candidates) / len(self._candidates)
        possible = self._pairs * self._images / len(self._candidates)
        record = dict(zip(self._names, means, strict=True))
        record |= {
            "chance/recall_at_1": math.exp(-record["chance/loss"]),
            "pairs/told_apart": candidates,
            "pairs/valid": candidates / possible,
            "frames_per_s": self._images / elapsed_s,
            "data_wait": data_wait,
            "peak_memory_gib": memory,
            **{f"grad_norm/{name}": float(norm) for name, norm in norms.items()},
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


def _measure(losses: Losses) -> dict[str, Tensor]:
    """The numbers of a batch, by the name that they have in the log."""
    values = {"loss/total": losses.total, "chance/loss": losses.inter.chance}
    for name, contrast in (("inter", losses.inter), ("intra", losses.intra)):
        values[f"loss/{name}"] = contrast.loss
        values[f"alignment/{name}"] = contrast.alignment
        for place, direction in enumerate(_DIRECTIONS[name]):
            values[f"recall/{direction}_at_1"] = contrast.recall_at_1[place]
            values[f"recall/{direction}_at_5"] = contrast.recall_at_5[place]
        for place, embedding in enumerate(_EMBEDDINGS[name]):
            values[f"uniformity/{embedding}"] = contrast.uniformity[place]
    return values


def peak_memory_gib(device: torch.device) -> float:
    """Most memory that was in use: PyTorch's on a GPU, the process's on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
