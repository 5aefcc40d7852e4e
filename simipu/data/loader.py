"""The workers that make the samples."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import forkserver, parent_process, resource_tracker
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, default_collate

from simipu.data.config import IMAGE_STRIDE
from simipu.data.sample import Sample, SampleKey
from simipu.errors import SimipuError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simipu.data.dataset import PairDataset
    from simipu.data.plan import BatchPlan


class _Batches(Dataset[Sample | SimipuError | OSError]):
    """Whole batches; a fault is returned: raised, it would end as the text of a traceback."""

    def __init__(self, dataset: PairDataset) -> None:
        self._dataset = dataset

    def __getitem__(self, keys: list[SampleKey]) -> Sample | SimipuError | OSError:
        try:
            return collate([self._dataset[key] for key in keys])
        except (SimipuError, OSError) as error:
            return error


def collate(samples: list[Sample]) -> Sample:
    """Samples as one, with a leading dimension; the images' channels stay last in memory.

    Images of different sizes are padded at the right and at the bottom to the next multiple of the
    coarsest stride that holds them all.
    """
    height, width = torch.stack([sample.size for sample in samples]).amax(dim=0).tolist()
    height, width = (-(-side // IMAGE_STRIDE) * IMAGE_STRIDE for side in (height, width))
    turned = [
        sample._replace(image=_padded(sample.image.permute(1, 2, 0), height, width))
        for sample in samples
    ]
    batch: Sample = default_collate(turned)
    return batch._replace(image=batch.image.permute(0, 3, 1, 2))


def _padded(image: Tensor, height: int, width: int) -> Tensor:
    """An (h, w, 3) image as a part of one of (height, width, 3)."""
    if image.shape[:2] == (height, width):
        return image
    return F.pad(image, (0, 0, 0, width - image.shape[1], 0, height - image.shape[0]))


def make_loader(
    dataset: PairDataset, plan: BatchPlan, *, workers: int, pin_memory: bool
) -> Iterator[Sample]:
    """The batches of ``plan``, made by ``workers`` processes: `Sample`s with a leading dimension.

    Workers are never forked from this process: they would inherit locks and file handles of threads
    that do not exist in them. With no workers the samples are made in the calling process.

    Raises:
        StoreError, OSError: the data of a batch are damaged, or cannot be read.
    """
    if workers:
        _start_forkserver()
    loader = DataLoader(
        _Batches(dataset),
        batch_size=None,
        sampler=plan,
        num_workers=workers,
        multiprocessing_context="forkserver" if workers else None,
        pin_memory=pin_memory,
        worker_init_fn=_end_with_trainer if workers else None,
        # Its own generator: the loader must not advance the global one.
        generator=torch.Generator(),
    )
    for batch in loader:
        if isinstance(batch, Exception):
            raise batch
        yield batch


def _start_forkserver() -> None:
    """Start the parent of all workers with SIGINT and SIGTERM blocked, which they inherit.

    Ctrl-C and batch systems signal the whole process group; the training process alone decides how
    to end. The mask holds from the first moment, and PyTorch's handlers do not undo it.
    """
    resource_tracker.ensure_running()  # to start it later would unblock the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_trainer(_worker: int) -> None:
    """End this worker when the training process is killed.

    PyTorch's workers wait for the end of the forkserver, which waits for the end of its workers.
    """
    trainer = parent_process()
    if trainer is None:
        raise RuntimeError("not called in a worker")

    def wait() -> None:
        trainer.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
