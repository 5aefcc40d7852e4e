"""The training loop."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from simipu.data.dataset import PairDataset, Sample
from simipu.data.loader import BatchPlan, make_loader
from simipu.data.photometric import prepare_images
from simipu.errors import IncompleteError, SimipuError, StoreError, UsageError
from simipu.methods.simipu import Losses, SimIPU
from simipu.train.checkpoint import State, list_checkpoints, load_checkpoint, save_checkpoint
from simipu.train.config import TrainConfig, check_disjoint, parse_frames, write_run_config
from simipu.train.meter import Meter
from simipu.train.optim import learning_rate, make_optimizer
from simipu.train.retrieval import measure_retrieval
from simipu.train.runfolder import check_run_folder, hold_run_folder
from simipu.train.runlog import Record, RunLog

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from simipu.store.reader import Store

Listener = Callable[[int, Record], None]


class Trainer:
    """One run of pre-training, in a folder of its own.

    The folder holds ``config.json`` (settings, versions, the store's fingerprint), ``log.jsonl``,
    ``tensorboard/`` and ``checkpoints/``. One process at a time trains in it. On the CPU a run that
    was interrupted and resumed ends with the same weights, bit for bit, as one that was not.

    Args:
        config: the settings.
        store: the store named in the settings, opened.
        run: the run folder; created by `train` if missing.
        resume: go on from the last checkpoint in ``run``, or begin if there is none yet.

    Attributes:
        step: number of finished steps.
        steps: number of steps of the whole run.

    Raises:
        UsageError: the settings do not fit the store, each other, or the run to be resumed, or
            ``run`` is no place for a run.
        StoreError: the store has no correspondences or none of the frames has an image.
    """

    def __init__(self, config: TrainConfig, store: Store, run: Path, *, resume: bool) -> None:
        self.config = config
        self.store = store
        self.run = run
        check_run_folder(run)
        self.device = _choose_device(config.device)
        self.step = 0

        frames = parse_frames(config.frames, len(store))
        self._dataset = PairDataset(store, frames, config.sample, seed=config.seed, augment=True)
        self._held_out: PairDataset | None = None
        if config.eval_frames is not None:
            held_out = parse_frames(config.eval_frames, len(store))
            check_disjoint(frames, held_out)
            self._held_out = PairDataset(
                store, held_out, config.sample, seed=config.seed, augment=False
            )
        self.steps = config.steps or 0
        steps_per_epoch = self._plan().steps_per_epoch
        if config.epochs is not None:
            self.steps = config.epochs * steps_per_epoch

        state = self._find_state(resume=resume)
        torch.manual_seed(config.seed)
        self.method = SimIPU(config.image_backbone, pairs=config.sample.pairs).to(self.device)
        if self.device.type == "cuda":
            self.method.to(memory_format=torch.channels_last)
        self._optimizer = make_optimizer(
            self.method, lr=config.lr, weight_decay=config.weight_decay
        )
        if state is not None:
            self._restore(state)

    def train(self, listener: Listener) -> None:
        """Train from `step` to the end.

        Args:
            listener: told the number of finished steps and, where there is one, a record.

        Raises:
            IncompleteError: SIGINT or SIGTERM came; a checkpoint was written first.
            StoreError: an image is damaged, or no image has a visible point.
            SimipuError: the loss or its gradient is not finite any more.
            UsageError: another process is training in the run folder, or was meanwhile.
        """
        config = self.config
        with hold_run_folder(self.run), _stop_requests() as stop, self._open_log() as log:
            loader = make_loader(
                self._dataset,
                self._plan(),
                workers=config.workers,
                pin_memory=self.device.type == "cuda",
            )

            def report(record: Record) -> None:
                log.write(self.step, record)
                listener(self.step, record)

            # Before the first step, and where an interruption came between checkpoint and this.
            measured = log.last.get("step") == self.step and "retrieval/pixels" in log.last
            if self._due(config.eval_every) and not measured:
                self._evaluate(report)
            self.method.train()
            meter = Meter()
            for batch in meter.watch(loader):
                losses, grad_norm = self._train_step(batch)
                self.step += 1
                meter.add(losses, grad_norm, images=len(batch.image))
                stopping = stop.is_set()  # read once: the signal may come at any moment
                if self._due(config.log_every) or stopping:
                    record = meter.record()
                    self._check_pairs(record)
                    report({**record, "lr": self._optimizer.param_groups[0]["lr"]})
                else:
                    listener(self.step, {})
                if self._due(config.checkpoint_every) or stopping:
                    self._save()
                if stopping and self.step < self.steps:
                    raise IncompleteError(
                        f"stopped at step {self.step} of {self.steps}",
                        where=self.run,
                        fix="Run the same command with --resume to continue.",
                    )
                if self._due(config.eval_every):
                    with meter.paused():
                        self._evaluate(report)

    def _open_log(self) -> RunLog:
        if self._newest_checkpoint() != self._newest:
            raise UsageError(
                "another process has trained in this folder since this one began",
                where=self.run,
                fix="Start again with --resume, or choose another --out.",
            )
        write_run_config(self.run, self.config, self.store)
        return RunLog(self.run, step=self.step)

    def _due(self, interval: int) -> bool:
        return self.step % interval == 0 or self.step == self.steps

    def _plan(self) -> BatchPlan:
        return BatchPlan(
            samples=len(self._dataset),
            batch_size=self.config.batch_size,
            seed=self.config.seed,
            start=self.step,
            stop=self.steps,
        )

    def _train_step(self, batch: Sample) -> tuple[Losses, Tensor]:
        rate = learning_rate(self.step, steps=self.steps, peak=self.config.lr)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        batch = batch.to(self.device)
        images = prepare_images(batch.image, batch.jitter)
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            images = images.contiguous(memory_format=torch.channels_last)
        # On CPUs without bfloat16 units autocast is over ten times slower than float32.
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=on_gpu):
            losses: Losses = self.method(images, batch)
        self._optimizer.zero_grad()
        losses.total.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.method.parameters(), self.config.clip_norm)
        if not torch.stack([losses.total.detach(), norm]).isfinite().all():
            raise SimipuError(
                f"the loss of step {self.step + 1} is {losses.total.item()}, "
                f"the norm of its gradient {norm.item()}",
                where=self.run,
                fix="Begin anew with a lower --lr and another --out.",
            )
        self._optimizer.step()
        return losses, norm

    def _check_pairs(self, record: Record) -> None:
        if not record["pairs"]:
            raise StoreError(
                f"none of the last images up to step {self.step} has a visible point",
                where=self.store.path,
                fix=f"See what the store holds with: simipu-prep info {self.store.path}",
            )

    def _evaluate(self, report: Callable[[Record], None]) -> None:
        if self._held_out is not None:
            result = measure_retrieval(self.method, self._held_out, self.device)
            report({f"retrieval/{name}": value for name, value in asdict(result).items()})

    def _find_state(self, *, resume: bool) -> State | None:
        self._newest = self._newest_checkpoint()
        if self._newest is None:
            return None
        if not resume:
            raise UsageError(
                "the run folder has checkpoints already",
                where=self.run,
                fix="Add --resume to continue that run, or choose another --out.",
            )
        state = load_checkpoint(self._newest)
        differences = self.config.differences(state["config"])
        if state["store_fingerprint"] != self.store.fingerprint:
            differences.append("the content of the store")
        if differences:
            raise UsageError(
                "the run was begun with other settings: " + "; ".join(differences),
                where=self.run,
                fix="Resume with the settings in its config.json, or choose another --out.",
            )
        return state

    @property
    def _checkpoints(self) -> Path:
        return self.run / "checkpoints"

    def _newest_checkpoint(self) -> Path | None:
        return next(reversed(list_checkpoints(self._checkpoints)), None)

    def _save(self) -> None:
        state: State = {
            "step": self.step,
            "config": self.config.to_json(),
            "store_fingerprint": self.store.fingerprint,
            "method": self.method.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "rng": torch.get_rng_state(),
        }
        self._newest = save_checkpoint(self._checkpoints, state)

    def _restore(self, state: State) -> None:
        self.step = state["step"]
        self.method.load_state_dict(state["method"])
        self._optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"])


def _choose_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d{1,2})?", name):
        raise UsageError(
            f"there is no device {name!r}", fix="Choose --device auto, cpu, cuda or cuda:N."
        )
    device = torch.device(name)
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise UsageError(
            f"there is no device {name!r}: PyTorch finds {count} CUDA devices",
            fix="Choose --device auto, cpu, or cuda:N with a smaller N.",
        )
    return device


@contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; a second signal ends the program at once."""
    stop = threading.Event()

    def request(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals
        return
    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
