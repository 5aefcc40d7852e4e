"""The training loop."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from simipu.data.dataset import PairDataset
from simipu.data.loader import make_loader
from simipu.data.photometric import prepare_images
from simipu.data.plan import BatchPlan, EpochOrder
from simipu.data.selection import check_held_out, select_images
from simipu.errors import IncompleteError, SimipuError, StoreError, UsageError
from simipu.evaluate.retrieval import measure_retrieval
from simipu.evaluate.watch import DepthWatch
from simipu.methods.build import build_method
from simipu.store.reader import open_store
from simipu.train.average import WeightAverage
from simipu.train.checkpoint import (
    BEST,
    State,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
    write_state,
)
from simipu.train.distributed import World, choose_device, parallelise
from simipu.train.health import Health
from simipu.train.meter import Meter
from simipu.train.optim import (
    HybridOptimizer,
    cosine_rate,
    gradient_norms,
    make_optimizer,
    released_rate,
    warmup_steps,
)
from simipu.train.report import Listener, Report
from simipu.train.runfolder import check_run_folder, describe_run, hold_run_folder
from simipu.train.runlog import RunLog
from simipu.train.settings import changed_settings
from simipu.train.signals import stop_requests
from simipu.train.transfer import to_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from simipu.data.config import Selection
    from simipu.data.sample import Sample
    from simipu.data.selection import Images
    from simipu.methods.simipu import Losses
    from simipu.store.reader import Store
    from simipu.train.config import TrainConfig
    from simipu.train.runlog import Record


def open_stores(config: TrainConfig) -> dict[str, Store]:
    """The stores that the settings name, by path.

    Raises:
        StoreError: one of them cannot be read.
    """
    selections = (*config.data.stores, *config.data.held_out)
    return {path: open_store(path) for path in dict.fromkeys(each.path for each in selections)}


class Trainer:
    """One run of pre-training, in a folder of its own.

    The folder holds ``config.yaml``, which repeats the run; ``provenance.json`` (versions, the
    stores' fingerprints), ``log.jsonl``, ``tensorboard/`` and ``checkpoints/``. One run at a time
    trains in it. On the CPU a run that was interrupted and resumed ends with the same weights, bit
    for bit, as one that was not.

    Args:
        config: the settings.
        stores: the stores that they name, by path.
        run: the run folder; created by `train` if missing.
        resume: go on from the last checkpoint in ``run``, or begin if there is none yet.
        world: the processes that train together; all of them must see ``run``.

    Attributes:
        step: number of finished steps.
        steps: number of steps of the whole run.

    Raises:
        UsageError: the settings do not fit the stores, each other, or the run to be resumed, or
            ``run`` is no place for a run.
        StoreError: a store has no correspondences or none of the selected frames has an image.
    """

    def __init__(
        self,
        config: TrainConfig,
        stores: Mapping[str, Store],
        run: Path,
        *,
        resume: bool,
        world: World | None = None,
    ) -> None:
        self.config = config
        self.run = run
        self.world = world or World()
        check_run_folder(run)
        self.device = choose_device(config.system.device, self.world)
        self.step = 0

        seed = config.run.seed
        parts = self._select(stores, config.data.stores)
        if not parts:
            raise UsageError(
                "there is no store to train on", fix="Name one: simipu-train STORE --out RUN"
            )
        held_out = self._select(stores, config.data.held_out)
        self._stores = [part.store for part in (*parts, *held_out)]
        self._doubts = check_held_out(parts, held_out)
        rules = config.model.switches.sample_rules
        self._dataset = PairDataset(parts, config.sample, seed=seed, augment=True, rules=rules)
        self._held_out: PairDataset | None = None
        if held_out:
            self._held_out = PairDataset(held_out, config.sample, seed=seed, augment=False)
        self._depth_watch: DepthWatch | None = None
        self._order = EpochOrder(parts, seed=seed, cameras_per_frame=config.data.cameras_per_frame)
        self.steps = 0
        self._steps_per_epoch = self._plan().steps_per_epoch
        self.steps = config.run.total_steps(self._steps_per_epoch)
        self._is_hybrid = config.model.switches.optimizer == "hybrid"
        self._warmup = 0 if self._is_hybrid else warmup_steps(self.steps, config.optim.warmup)

        state = self._find_state(resume=resume)
        torch.manual_seed(seed)
        self.method = build_method(
            config.model,
            pairs=config.sample.pairs,
            image_weights=config.model.image_weights if state is None else None,
        )
        self.config = config.complete(self.method.image_encoder.strides)
        self.method.to(self.device)
        if self.device.type == "cuda":
            # Not of the points, where convolutions may have weights of five axes.
            self.method.image_encoder.to(memory_format=torch.channels_last)
        self._optimizer = self._make_optimizer()
        self._rates = [group["lr"] for group in self._optimizer.param_groups]
        self._average: WeightAverage | None = None
        if config.optim.average is not None:
            self._average = WeightAverage(self.method, config.optim.average)
        if state is not None:
            self._restore(state)
        self._parallel = parallelise(self.method, self.world, self.device)
        if config.system.compile:  # only now: what comes before looks at one small image
            self.method.image_encoder.backbone.compile()

    def train(self, listener: Listener) -> None:
        """Train from `step` to the end.

        Args:
            listener: told the number of finished steps, the records, and what is wrong.

        Raises:
            IncompleteError: SIGINT or SIGTERM came; a checkpoint was written first.
            StoreError: an image is damaged, or no image has a visible point.
            SimipuError: the loss or its gradient is not finite any more.
            UsageError: another process is training in the run folder, or was meanwhile.
        """
        config = self.config
        holding = hold_run_folder(self.run) if self.world.is_first else nullcontext()
        with holding, stop_requests() as stop, self._open_log() as log:
            report = Report(log, listener, Health(warmup=self._warmup))
            meter = Meter(self.world, pairs=config.sample.pairs)
            batches = to_device(meter.watch(self._load()), self.device)
            if self.step == 0:
                for doubt in self._doubts:
                    report.warn(0, doubt)
            # Before the first step, and where an interruption came between checkpoint and this.
            measured = self.world.from_first(report.has_retrieval(self.step))
            if self._due(config.log.eval_every) and not measured:
                with meter.paused():
                    self._evaluate(report)
            self.method.train()
            while parts := list(islice(batches, config.optim.accumulate)):
                recording = self._due(config.log.every, ahead=1)
                norms = self._train_step(parts, meter, with_norms=recording)
                self.step += 1
                # Asked once, and by all processes together: the signal may come at any moment.
                stopping = self.world.any(stop.is_set())
                if recording or stopping:
                    record = meter.record(norms, self.device)
                    self._check_pairs(record)
                    report(self.step, {**record, "lr": self._optimizer.param_groups[0]["lr"]})
                else:
                    listener.update(self.step, {})
                if self._due(config.checkpoint.every) or stopping:
                    self._save()
                if stopping and self.step < self.steps:
                    raise IncompleteError(
                        f"stopped at step {self.step} of {self.steps}",
                        where=self.run,
                        fix="Run the same command with --resume to continue.",
                    )
                if self._due(config.log.eval_every):
                    with meter.paused():
                        self._evaluate(report)

    def _make_optimizer(self) -> torch.optim.Optimizer | HybridOptimizer:
        optim = self.config.optim
        if self._is_hybrid:
            return HybridOptimizer(self.method, lr=optim.lr)
        return make_optimizer(self.method, lr=optim.lr, weight_decay=optim.weight_decay)

    def _set_learning_rate(self) -> None:
        if self._is_hybrid:
            share = released_rate(self.step, steps_per_epoch=self._steps_per_epoch)
        else:
            share = cosine_rate(self.step, steps=self.steps, warmup=self._warmup)
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = share * rate

    def _select(self, stores: Mapping[str, Store], wanted: Sequence[Selection]) -> list[Images]:
        policy = self.config.data.policy
        return [select_images(stores[each.path], each, policy=policy) for each in wanted]

    def _open_log(self) -> AbstractContextManager[RunLog | None]:
        """The log, which the first process writes."""
        if self._newest_checkpoint() != self._newest:
            raise UsageError(
                "another process has trained in this folder since this one began",
                where=self.run,
                fix="Start again with --resume, or choose another --out.",
            )
        self.world.wait()  # until all have read what is there
        if not self.world.is_first:
            return nullcontext()
        if self._newest is None:  # of an attempt whose records are dropped as well
            (self._checkpoints / BEST).unlink(missing_ok=True)
        describe_run(self.run, self.config, self._stores, self.world.size)
        return RunLog(self.run, step=self.step, wandb=self.config.log.wandb)

    def _due(self, interval: int, *, ahead: int = 0) -> bool:
        step = self.step + ahead
        return step % interval == 0 or step == self.steps

    def _plan(self) -> BatchPlan:
        optim = self.config.optim
        return BatchPlan(
            self._order,
            batch_size=optim.batch_size,
            start=self.step,
            stop=self.steps,
            parts=optim.accumulate,
            rank=self.world.rank,
            processes=self.world.size,
        )

    def _load(self) -> Iterator[Sample]:
        on_gpu = self.device.type == "cuda"
        workers = self.config.system.workers
        return make_loader(self._dataset, self._plan(), workers=workers, pin_memory=on_gpu)

    def _train_step(
        self, parts: Sequence[Sample], meter: Meter, *, with_norms: bool
    ) -> dict[str, Tensor]:
        """One step of the optimiser: the mean gradient of all parts, and its norms if wanted."""
        self._set_learning_rate()
        self._optimizer.zero_grad()
        # What the networks draw depends on the step alone, so that nothing has to be remembered.
        torch.manual_seed(_step_seed(self.config.run.seed, self.step, self.world.rank))
        total = torch.zeros((), device=self.device)
        for number, batch in enumerate(parts, start=1):
            with self._synchronised(number == len(parts)):
                losses = self._forward(batch)
                (losses.total / len(parts)).backward()  # type: ignore[no-untyped-call]
            total += losses.total.detach()
            meter.add(losses, images=len(batch.image))
        norms = gradient_norms(self.method) if with_norms else {}
        largest = math.inf if self._is_hybrid else self.config.optim.clip_norm
        norm = torch.nn.utils.clip_grad_norm_(self.method.parameters(), largest)
        if not torch.stack([total, norm]).isfinite().all():
            raise SimipuError(
                f"the loss of step {self.step + 1} is {total.item() / len(parts)}, "
                f"the norm of its gradient {norm.item()}",
                where=self.run,
                fix="Begin anew with a lower --lr and another --out.",
            )
        self._optimizer.step()
        if self._average is not None:
            self._average.update(self.method, self.step)
        return norms | ({"total": norm} if with_norms else {})

    def _forward(self, batch: Sample) -> Losses:
        images = prepare_images(batch.image, batch.jitter, batch.size)
        on_gpu = self.device.type == "cuda"
        layout = torch.channels_last if on_gpu else torch.contiguous_format
        images = images.contiguous(memory_format=layout)
        # On CPUs without bfloat16 units autocast is over ten times slower than float32.
        precision = self.config.optim.precision
        enabled = precision == "bfloat16" or (precision == "auto" and on_gpu)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled):
            losses: Losses = self._parallel(images, batch)
        return losses

    def _synchronised(self, is_last: bool) -> AbstractContextManager[None]:
        """Gradients are exchanged once a step, with those of its last part."""
        if is_last or not isinstance(self._parallel, DistributedDataParallel):
            return nullcontext()
        return self._parallel.no_sync()

    def _check_pairs(self, record: Record) -> None:
        if not record["pairs/told_apart"]:
            path = self._stores[0].path
            raise StoreError(
                f"none of the last images up to step {self.step} has a visible point",
                where=path,
                fix=f"See what the store holds with: simipu-prep info {path}",
            )

    def _evaluate(self, report: Report) -> None:
        """Measure retrieval and depth, of the averaged weights where there are some."""
        if self._held_out is None:
            return
        if self.world.is_first:
            method = self.method if self._average is None else self._average.method
            result = asdict(measure_retrieval(method, self._held_out, self.device))
            record = {f"retrieval/{name}": value for name, value in result.items()}
            if self.config.log.depth_probe:
                record |= self._probe_depth(method, self._held_out)
            best = f"retrieval/{self.config.checkpoint.best}"
            if self.step and report.is_best(record, best):  # what is not trained is never the best
                write_state(self._checkpoints / BEST, self._state())
            report(self.step, record)
        self.world.wait()

    def _probe_depth(self, method: nn.Module, held_out: PairDataset) -> dict[str, float]:
        if self._depth_watch is None:
            sample, model = self.config.sample, self.config.model
            self._depth_watch = DepthWatch(self._dataset.parts, held_out.parts, sample, model)
        errors = self._depth_watch(method, self.device)
        return {f"depth/{name}": value for name, value in errors.items()}

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
        changes = changed_settings(self.config, state["config"])
        if state["fingerprints"] != self._fingerprints:
            changes.append("the content of the stores")
        if changes:
            raise UsageError(
                "the run was begun with other settings: " + "; ".join(changes),
                where=self.run,
                fix="Resume with the settings in its config.yaml, or choose another --out.",
            )
        return state

    @property
    def _fingerprints(self) -> list[str]:
        return [store.fingerprint for store in self._stores]

    @property
    def _checkpoints(self) -> Path:
        return self.run / "checkpoints"

    def _newest_checkpoint(self) -> Path | None:
        return next(reversed(list_checkpoints(self._checkpoints)), None)

    def _state(self) -> State:
        return {
            "step": self.step,
            "config": self.config.to_dict(),
            "fingerprints": self._fingerprints,
            "method": self.method.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "ema": None if self._average is None else self._average.method.state_dict(),
        }

    def _save(self) -> None:
        if self.world.is_first:
            keep = self.config.checkpoint.keep
            self._newest = save_checkpoint(self._checkpoints, self._state(), keep=keep)

    def _restore(self, state: State) -> None:
        self.step = state["step"]
        self.method.load_state_dict(state["method"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._average is not None and state["ema"] is not None:
            self._average.method.load_state_dict(state["ema"])


def _step_seed(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0])
