"""Everything that determines a training run."""

from __future__ import annotations

import json
import math
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

from simipu.data.dataset import IMAGE_STRIDE, SampleConfig
from simipu.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from simipu.store.reader import Store

PRESETS = ("fixed",)
_LARGEST_INTEGER = 2**63 - 1  # in a tensor, a checkpoint, or a length

# These change how a run is executed or watched, not what it computes: they may differ on resuming.
_FREE_ON_RESUME = frozenset(
    {"store", "workers", "device", "log_every", "eval_every", "checkpoint_every"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """Settings of a run; all but those of execution must be equal when it is resumed.

    Attributes:
        store: path of the store.
        preset: variant of the method.
        image_backbone: name of a timm backbone.
        sample: sizes of a sample.
        frames: frames to train on, as "start:stop"; either side may be empty.
        eval_frames: frames to measure retrieval on, likewise; None for no measurement.
        steps: optimiser steps; None to derive them from ``epochs``.
        epochs: passes over the frames; None to derive them from ``steps``.
        batch_size: images per step.
        lr: peak learning rate.
        weight_decay: of AdamW, on weights but not on norms and biases.
        clip_norm: largest norm of the gradient.
        seed: of every random choice; below 2^63.
        workers: processes that make samples; 0 makes them in the training process.
        device: "auto", "cpu", "cuda" or "cuda:N".
        log_every, eval_every, checkpoint_every: intervals in steps.
    """

    store: str
    preset: str = "fixed"
    image_backbone: str = "resnet50"
    sample: SampleConfig = field(default_factory=SampleConfig)
    frames: str = ":"
    eval_frames: str | None = None
    steps: int | None = None
    epochs: int | None = None
    batch_size: int = 8
    lr: float = 1e-3
    weight_decay: float = 0.05
    clip_norm: float = 5.0
    seed: int = 0
    workers: int = 1
    device: str = "auto"
    log_every: int = 10
    eval_every: int = 100
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(
                f"there is no preset {self.preset!r}", fix=f"Choose from: {', '.join(PRESETS)}."
            )
        if (self.steps is None) == (self.epochs is None):
            raise UsageError(
                "the length of the training must be given once",
                fix="Give either --steps or --epochs.",
            )
        for name in (
            "steps",
            "epochs",
            "batch_size",
            "log_every",
            "eval_every",
            "checkpoint_every",
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{_option(name)} is {value}", fix="Give 1 or more.")
        for name in ("seed", "workers", "weight_decay"):
            if getattr(self, name) < 0:
                raise UsageError(f"{_option(name)} is {getattr(self, name)}", fix="Give 0 or more.")
        for name in ("lr", "clip_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(
                    f"{_option(name)} is {getattr(self, name)}", fix="Give a positive number."
                )
        for name in ("seed", "steps", "epochs"):
            if (getattr(self, name) or 0) > _LARGEST_INTEGER:
                raise UsageError(
                    f"{_option(name)} is {getattr(self, name)}",
                    fix=f"Give at most {_LARGEST_INTEGER}.",
                )
        if self.batch_size * self.sample.height * self.sample.width <= IMAGE_STRIDE**2:
            raise UsageError(
                f"a single image of {IMAGE_STRIDE} x {IMAGE_STRIDE} px is too little for batch "
                "norm: one cell remains of it in the coarsest feature map",
                fix="Choose a larger --batch-size or --image-size.",
            )

    def to_json(self) -> dict[str, object]:
        """The settings as plain values for JSON."""
        return asdict(self)

    def differences(self, other: Mapping[str, object]) -> list[str]:
        """What differs from the settings ``other`` of an earlier run, as "name: theirs -> ours"."""
        ours, theirs = _flatten(self.to_json()), _flatten(other)
        return [
            f"{name}: {theirs.get(name)} -> {ours.get(name)}"
            for name in sorted(ours.keys() | theirs.keys())
            if name not in _FREE_ON_RESUME and ours.get(name) != theirs.get(name)
        ]


def parse_frames(text: str, total: int) -> range:
    """Frame indices of "start:stop" in a store of ``total`` frames; either side may be empty.

    Raises:
        UsageError: the text is no such range, or selects nothing, or goes beyond the last frame.
    """
    match = re.fullmatch(r"(\d*):(\d*)", text)
    if not match:
        raise UsageError(
            f"{text!r} is no range of frames", fix='Write it as "0:16", ":16" or "16:".'
        )
    start = int(match[1] or 0)
    stop = int(match[2] or total)
    if start >= stop or stop > total:
        raise UsageError(
            f"frames {text} select nothing or go beyond the end",
            fix=f"The store has the frames 0:{total}.",
        )
    return range(start, stop)


def parse_image_size(text: str) -> tuple[int, int]:
    """Height and width of "HxW"."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match:
        raise UsageError(f"{text!r} is no image size", fix='Write height x width, as "96x320".')
    return int(match[1]), int(match[2])


def check_disjoint(frames: range, eval_frames: range) -> None:
    """Refuse to measure on frames that are trained on."""
    if frames.start < eval_frames.stop and eval_frames.start < frames.stop:
        raise UsageError(
            f"frames {frames.start}:{frames.stop} to train on and "
            f"{eval_frames.start}:{eval_frames.stop} to measure on overlap",
            fix="Retrieval on training frames says nothing; give --frames apart from them.",
        )


def write_run_config(run: Path, config: TrainConfig, store: Store) -> None:
    """Write ``config.json``: what is needed to repeat the run ``run``, which is created."""
    run.mkdir(parents=True, exist_ok=True)
    packages = ("simipu", "torch", "timm", "numpy")
    content = {
        "config": config.to_json(),
        "store": {
            "path": config.store,
            "fingerprint": store.fingerprint,
            "correspondence_policy": store.correspondence_policy,
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
    }
    path = run / "config.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _flatten(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
