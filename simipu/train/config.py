"""Everything that determines a training run, as plain values."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from simipu.data.config import IMAGE_STRIDE, SampleConfig, Selection
from simipu.errors import UsageError
from simipu.methods.config import ModelConfig as ModelConfig  # a section among the others

PRECISIONS = ("auto", "float32", "bfloat16")
MEASUREMENTS = ("recall_at_1", "recall_at_5")
_LARGEST_INTEGER = 2**63 - 1  # in a tensor, a checkpoint, or a length

FREE_ON_RESUME = ("system", "checkpoint", "log")
"""Sections that say how a run is executed or watched, not what it computes: they may differ when it
is resumed. So may the paths of the stores, whose content is compared instead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """What is trained on, and what is measured on.

    Attributes:
        stores: to train on.
        held_out: to measure retrieval on; empty for no measurement.
        cameras_per_frame: images that an epoch shows of each frame, drawn anew in each epoch; None
            for all.
        policy: fields of the correspondence policy that every store must have, and their values.
    """

    stores: tuple[Selection, ...] = ()
    held_out: tuple[Selection, ...] = ()
    cameras_per_frame: int | None = None
    policy: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _at_least(1, "data.cameras_per_frame", self.cameras_per_frame)


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimConfig:
    """How a step is made.

    Where `simipu.methods.config.Switches` choose the hybrid optimiser, ``lr`` is the rate of the
    points, that of the rest is 30 times as high, and warm-up, weight decay and the bound of the
    gradient are the released ones, whatever is said here.

    Attributes:
        batch_size: images of a step, over all processes and parts of it.
        accumulate: parts that a step is computed in, one after the other, to save memory. A pair is
            told from those of its own part only.
        lr: peak learning rate.
        warmup: share of the run in which the learning rate rises; at least 20 steps, and at most
            half of the run.
        weight_decay: of AdamW, on weights but not on norms and biases.
        clip_norm: largest norm of the gradient.
        average: decay of a moving average of the weights, such as 0.999; None for none.
        precision: of the networks; "auto" is bfloat16 on a GPU and float32 on a CPU.
    """

    batch_size: int = 8
    accumulate: int = 1
    lr: float = 1e-3
    warmup: float = 0.05
    weight_decay: float = 0.05
    clip_norm: float = 5.0
    average: float | None = None
    precision: str = "auto"

    def __post_init__(self) -> None:
        _at_least(1, "optim.batch_size", self.batch_size)
        _at_least(1, "optim.accumulate", self.accumulate)
        _at_least(0, "optim.weight_decay", self.weight_decay)
        for name in ("lr", "clip_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(
                    f"optim.{name} is {getattr(self, name)}", fix="Give a positive number."
                )
        for name in ("warmup", "average"):
            if not 0 <= (getattr(self, name) or 0) < 1:
                raise UsageError(
                    f"optim.{name} is {getattr(self, name)}", fix="Give a number from 0 to below 1."
                )
        _one_of(PRECISIONS, "optim.precision", self.precision)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """How long, and from which seed.

    Attributes:
        steps: optimiser steps; None to derive them from ``epochs``.
        epochs: passes over the images; None to derive them from ``steps``.
        seed: of every random choice; below 2^63.
    """

    steps: int | None = None
    epochs: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps is not None and self.epochs is not None:
            raise UsageError(
                "run.steps and run.epochs are both given", fix="Give either --steps or --epochs."
            )
        for name, least in (("steps", 1), ("epochs", 1), ("seed", 0)):
            value = getattr(self, name)
            _at_least(least, f"run.{name}", value)
            if (value or 0) > _LARGEST_INTEGER:
                raise UsageError(f"run.{name} is {value}", fix=f"Give at most {_LARGEST_INTEGER}.")

    def total_steps(self, steps_per_epoch: int) -> int:
        """Steps of the whole run."""
        if self.steps is None and self.epochs is None:
            raise UsageError(
                "the length of the training is not given", fix="Give either --steps or --epochs."
            )
        return self.steps or (self.epochs or 0) * steps_per_epoch


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointConfig:
    """What is kept of a run.

    Attributes:
        every: interval in steps.
        keep: checkpoints kept, the newest ones.
        best: measurement of retrieval whose highest value is kept as best.pt as well.
    """

    every: int = 100
    keep: int = 3
    best: str = "recall_at_1"

    def __post_init__(self) -> None:
        _at_least(1, "checkpoint.every", self.every)
        _at_least(1, "checkpoint.keep", self.keep)
        _one_of(MEASUREMENTS, "checkpoint.best", self.best)


@dataclass(frozen=True, kw_only=True, slots=True)
class LogConfig:
    """How a run is watched.

    Attributes:
        every: interval of records, in steps.
        eval_every: interval of measurements of retrieval, in steps.
        depth_probe: measure then, too, how well depth can be read off the image features.
        wandb: project of Weights & Biases; None to leave it out.
    """

    every: int = 10
    eval_every: int = 100
    depth_probe: bool = False
    wandb: str | None = None

    def __post_init__(self) -> None:
        _at_least(1, "log.every", self.every)
        _at_least(1, "log.eval_every", self.eval_every)


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemConfig:
    """What a run is executed on.

    Attributes:
        workers: processes that make samples, for each training process; 0 makes them there.
        device: "auto", "cpu", "cuda" or "cuda:N".
        compile: compile the image backbone with torch.compile.
    """

    workers: int = 1
    device: str = "auto"
    compile: bool = False

    def __post_init__(self) -> None:
        _at_least(0, "system.workers", self.workers)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """Settings of a run, by section; `FREE_ON_RESUME` names those that may change later."""

    data: DataConfig = field(default_factory=DataConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    log: LogConfig = field(default_factory=LogConfig)
    system: SystemConfig = field(default_factory=SystemConfig)

    def __post_init__(self) -> None:
        images = self.optim.batch_size // self.optim.accumulate
        if images * self.sample.height * self.sample.width <= IMAGE_STRIDE**2:
            raise UsageError(
                f"a single image of {IMAGE_STRIDE} x {IMAGE_STRIDE} px is too little for batch "
                "norm: one cell remains of it in the coarsest feature map",
                fix="Choose a larger --batch-size or --image-size.",
            )

    def complete(self, strides: tuple[int, ...]) -> TrainConfig:
        """The same with nothing left to a preset; see `ModelConfig.complete`."""
        return replace(self, model=self.model.complete(strides))

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, for YAML and JSON."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _at_least(least: int, name: str, value: float | None) -> None:
    if value is not None and not value >= least:
        raise UsageError(f"{name} is {value}", fix=f"Give {least} or more.")


def _one_of(choices: tuple[str, ...], name: str, value: str) -> None:
    if value not in choices:
        raise UsageError(f"{name} is {value!r}", fix=f"Choose from: {', '.join(choices)}.")
