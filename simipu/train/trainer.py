"""The training loop."""

from __future__ import annotations

import json
import math
import platform
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np
import timm
import torch

import simipu
from simipu.data.dataset import PairDataset, Sample
from simipu.data.loader import BatchPlan, make_loader
from simipu.data.photometric import prepare_images
from simipu.errors import IncompleteError, SimipuError, UsageError
from simipu.methods.simipu import Losses, SimIPU
from simipu.train.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint
from simipu.train.config import TrainConfig, check_disjoint, checkpoint_folder, parse_frames
from simipu.train.optim import learning_rate, make_optimizer
from simipu.train.retrieval import Retrieval, measure_retrieval
from simipu.train.runlog import Record, RunLog

if TYPE_CHECKING:
    from simipu.store.reader import Store

Listener = Callable[[int, Record], None]


class Trainer:
    """One run of pre-training in a folder of its own.

    The folder holds ``config.json`` (settings, versions, the store's fingerprint), ``log.jsonl``,
    ``tensorboard/`` and ``checkpoints/``. On the CPU a run that was interrupted and resumed ends
    with the same weights, bit for bit, as one that was not.

    Args:
        config: the settings.
        store: the store named in the settings, opened.
        run: the run folder; created if missing.
        resume: go on from the last checkpoint in ``run``, or begin if there is none yet.

    Raises:
        UsageError: the settings do not fit the store, each other, or the run to be resumed.
        StoreError: the store has no correspondences.
    """

    def __init__(self, config: TrainConfig, store: Store, run: Path, *, resume: bool) -> None:
        self.config = config
        self.store = store
        self.run = run
        self.device = _device(config.device)

        frames = parse_frames(config.frames, len(store))
        self.dataset = PairDataset(store, frames, config.sample, seed=config.seed, augment=True)
        self.eval_dataset = None
        if config.eval_frames is not None:
            held_out = parse_frames(config.eval_frames, len(store))
            check_disjoint(frames, held_out)
            self.eval_dataset = PairDataset(
                store, held_out, config.sample, seed=config.seed, augment=False
            )
        self.steps_per_epoch = self._plan(0, 0).steps_per_epoch
        self.steps = config.steps or (config.epochs or 0) * self.steps_per_epoch

        state = self._earlier_state(resume=resume)
        torch.manual_seed(config.seed)
        self.method = SimIPU(config.image_backbone, pairs=config.sample.pairs).to(self.device)
        if self.device.type == "cuda":
            self.method.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = make_optimizer(
            self.method, lr=config.lr, weight_decay=config.weight_decay
        )
        self.step = 0
        if state is not None:
            self._restore(state)

    def train(self, listener: Listener) -> Retrieval | None:
        """Train to the end.

        Args:
            listener: told the number of finished steps and the record of each step.

        Returns:
            Retrieval on the held-out frames after the last step; None if there are none.

        Raises:
            IncompleteError: SIGINT or SIGTERM came; a checkpoint was written first.
            SimipuError: the loss is not finite.
        """
        self.run.mkdir(parents=True, exist_ok=True)
        self._write_config()
        retrieval = None
        with RunLog(self.run, step=self.step) as log, _stop_requests() as stop_requested:
            if self.step == 0:
                self._evaluate(log)
            for record in self._steps():
                last = self.step == self.steps
                ...
        return retrieval
