"""The order of the samples, and the workers that make them."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from simipu.data.dataset import PairDataset, Sample, SampleKey
from simipu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


class BatchPlan(Sampler[list[SampleKey]]):
    """Batches of the steps ``start`` to ``stop``, from shuffled epochs.

    What does not fill a batch at the end of an epoch is left out of it. The batch of a step depends
    on (seed, step) alone, so that a run continued at any step sees the
    batches that it would have seen.

    Args:
        samples: number of samples in the data set.
        batch_size: samples per step.
        seed: of the shuffling.
        start, stop: steps to plan.
    """

    def __init__(self, *, samples: int, batch_size: int, seed: int, start: int, stop: int) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.seed = seed
        self.start = start
        self.stop = stop
        self.steps_per_epoch = samples // batch_size
        if not self.steps_per_epoch:
            raise UsageError(
                f"{samples} images do not fill one batch of {batch_size}",
                fix="Choose a smaller batch size or more frames.",
            )

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[SampleKey]]:
        epoch, order = -1, np.empty(0, dtype=np.int64)
        for step in range(self.start, self.stop):
            step_epoch, place = divmod(step, self.steps_per_epoch)
            if step_epoch != epoch:
                epoch = step_epoch
                order = np.random.default_rng([self.seed, epoch]).permutation(self.samples)
            chosen = order[place * self.batch_size : (place + 1) * self.batch_size]
            yield [(epoch, int(index)) for index in chosen]


def make_loader(
    dataset: PairDataset, plan: BatchPlan, *, workers: int, pin_memory: bool
) -> DataLoader[Sample]:
    """The batches of ``plan``, made by ``workers`` processes: `Sample`s with a leading dimension.

    Workers are never forked: a forked process inherits locks and file handles of threads that do
    not exist in it. With no workers the samples are made in the calling process.
    """
    return DataLoader(
        dataset,
        batch_sampler=plan,
        num_workers=workers,
        multiprocessing_context="forkserver" if workers else None,
        pin_memory=pin_memory,
        worker_init_fn=_ignore_interrupt if workers else None,
        # Its own generator: the loader must not advance the global one.
        generator=torch.Generator(),
    )


def _ignore_interrupt(_worker: int) -> None:
    # Ctrl-C reaches the whole process group; the training process alone decides how to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
