"""The order in which samples are seen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from simipu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simipu.data.sample import SampleKey
    from simipu.data.selection import Images

IndexArray = npt.NDArray[np.int64]


class EpochOrder:
    """Which images an epoch shows, and in which order: a function of (seed, epoch) alone.

    An image of weight w is shown floor(w) times, and once more for a share of the images that is
    drawn anew in each epoch, so that all epochs are equally long.

    Args:
        parts: the images, in the order of the data set's indices.
        seed: of the shuffling.
        cameras_per_frame: show only so many cameras of each frame, drawn anew in each epoch.
    """

    def __init__(
        self, parts: Sequence[Images], *, seed: int, cameras_per_frame: int | None = None
    ) -> None:
        self.seed = seed
        self._parts = [(part.frames, part.weight) for part in parts]
        self._limit = cameras_per_frame
        # A weight of 2 lets an image be seen twice an epoch, by different random choices.
        self._visits = max(math.ceil(weight) for _, weight in self._parts)
        self._length = len(self(0))

    def __len__(self) -> int:
        return self._length

    def __call__(self, epoch: int) -> IndexArray:
        """The samples of an epoch: (n, 2) int64, a `SampleKey` in each row."""
        rng = np.random.default_rng([self.seed, epoch])
        keys: list[IndexArray] = []
        first = 0
        for frames, weight in self._parts:
            for visit in range(math.ceil(weight)):
                shown = self._draw_cameras(rng, frames)
                shown = shown[: round(min(1.0, weight - visit) * len(shown))]
                visits = np.full(len(shown), epoch * self._visits + visit)
                keys.append(np.column_stack([visits, shown + first]))
            first += len(frames)
        order: IndexArray = rng.permutation(np.concatenate(keys))
        return order

    def _draw_cameras(self, rng: np.random.Generator, frames: npt.NDArray[np.int32]) -> IndexArray:
        """Images in random order, at most ``cameras_per_frame`` of each frame."""
        order = rng.permutation(len(frames))
        if self._limit is None:
            return order.astype(np.int64, copy=False)
        by_frame = order[np.argsort(frames[order], kind="stable")]
        _, begin, counts = np.unique(frames[by_frame], return_index=True, return_counts=True)
        place = np.arange(len(frames)) - np.repeat(begin, counts)
        chosen = np.zeros(len(frames), dtype=np.bool_)
        chosen[by_frame[place < self._limit]] = True
        shown: IndexArray = order[chosen[order]]
        return shown


class BatchPlan(Sampler["list[SampleKey]"]):
    """The batches that one process sees in the steps ``start`` to ``stop``.

    What does not fill a batch at the end of an epoch is left out of it. The batch of a step depends
    on (seed, step) alone, so that a run continued at any step, by any number of processes, sees
    the batches that it would have seen.

    Args:
        order: of each epoch.
        batch_size: samples of a step, over all processes.
        start, stop: steps to plan.
        parts: smaller batches, one after the other, that make up a step of one process.
        rank, processes: this process, and their number.
    """

    def __init__(
        self,
        order: EpochOrder,
        *,
        batch_size: int,
        start: int,
        stop: int,
        parts: int = 1,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.order = order
        self.batch_size = batch_size
        self.start = start
        self.stop = stop
        self.parts = parts
        self._rank = rank
        self._processes = processes
        self.steps_per_epoch = len(order) // batch_size
        if not self.steps_per_epoch:
            raise UsageError(
                f"{len(order)} images do not fill one batch of {batch_size}",
                fix="Choose a smaller batch size or more frames.",
            )
        if batch_size % (parts * processes):
            raise UsageError(
                f"a batch of {batch_size} cannot be shared out evenly to {processes} processes, "
                f"{parts} times each",
                fix=f"Choose a multiple of {parts * processes} as --batch-size: it counts the "
                "images of all processes together.",
            )

    def __len__(self) -> int:
        return (self.stop - self.start) * self.parts

    def __iter__(self) -> Iterator[list[SampleKey]]:
        epoch, order = -1, np.empty((0, 2), dtype=np.int64)
        size = self.batch_size // (self.parts * self._processes)
        for step in range(self.start, self.stop):
            step_epoch, place = divmod(step, self.steps_per_epoch)
            if step_epoch != epoch:
                epoch, order = step_epoch, self.order(step_epoch)
            for part in range(self.parts):
                first = place * self.batch_size + (part * self._processes + self._rank) * size
                yield [(visit, index) for visit, index in order[first : first + size].tolist()]
