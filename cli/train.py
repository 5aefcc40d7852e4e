"""simipu-train: pre-train an image and a point encoder on stores."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simipu.cli._errors import ReportingCommand
from simipu.errors import IncompleteError, UsageError

if TYPE_CHECKING:
    from simipu.train.config import TrainConfig

_EXAMPLE = """\b
Example, a few minutes on a CPU:
  simipu-train raw.zarr --out runs/a --image-backbone resnet18 --steps 200 \\
      --batch-size 4 --frames 0:16 --eval-frames 16:20

A setting is looked for in --set, then in the flags, in --config, in --recipe. Every setting, with
its value, is in config.yaml of a run folder, and in what --show prints.

\b
On the GPUs of a machine:
  torchrun --nproc-per-node 4 --no-python simipu-train raw.zarr --out runs/b --recipe kitti

SIGINT (Ctrl-C) and SIGTERM write a checkpoint first; exit code 3 means that the same command with
--resume continues.
"""

_FLAGS = {
    "steps": "run.steps",
    "epochs": "run.epochs",
    "seed": "run.seed",
    "batch_size": "optim.batch_size",
    "lr": "optim.lr",
    "image_backbone": "model.image_backbone",
    "image_weights": "model.image_weights",
    "preset": "model.preset",
    "pairs": "sample.pairs",
    "points": "sample.points",
    "workers": "system.workers",
    "device": "system.device",
    "log_every": "log.every",
    "eval_every": "log.eval_every",
    "checkpoint_every": "checkpoint.every",
}


@click.command(cls=ReportingCommand, epilog=_EXAMPLE)
@click.argument("stores", metavar="[STORE]...", nargs=-1, type=click.Path())
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in the run folder.")
@click.option(
    "--recipe", metavar="NAME", help="Settings to start from: debug, kitti, nuscenes, waymo."
)
@click.option("--config", type=click.Path(path_type=Path), help="YAML file of settings.")
@click.option(
    "--set", "assignments", metavar="A.B=C", multiple=True, help="Any setting, repeatable."
)
@click.option("--show", is_flag=True, help="Print the settings as YAML, and do nothing.")
@click.option("--steps", type=int, help="Optimiser steps; or give --epochs.")
@click.option("--epochs", type=int, help="Passes over the images; or give --steps.")
@click.option("--batch-size", type=int, help="Images per step, of all processes together.  [8]")
@click.option("--image-backbone", help="Name of a timm model.  [resnet50]")
@click.option("--image-weights", type=click.Path(), help="File of weights to begin with.")
@click.option(
    "--preset",
    type=click.Choice(["fixed", "compat"]),
    help="The method as mended, or as it was released.  [fixed]",
)
@click.option("--frames", metavar="A:B", help="Frames of every STORE to train on.  [:]")
@click.option("--eval-frames", metavar="A:B", help="Held-out frames to measure retrieval on.")
@click.option("--image-size", metavar="HxW", help="Network input, pixels.  [96x320]")
@click.option("--pairs", type=int, help="Pixel-point pairs per image.  [128]")
@click.option("--points", type=int, help="Points in each view of a cloud.  [2048]")
@click.option("--lr", type=float, help="Peak learning rate.  [0.001]")
@click.option("--seed", type=int, help="Of every random choice.  [0]")
@click.option("--workers", type=int, help="Processes that make samples; 0 for none.  [1]")
@click.option("--device", help="auto, cpu, cuda or cuda:N.  [auto]")
@click.option("--log-every", type=int, help="Interval of records, in steps.  [10]")
@click.option("--eval-every", type=int, help="Interval of retrieval, in steps.  [100]")
@click.option("--checkpoint-every", type=int, help="Interval in steps.  [100]")
@click.version_option(package_name="simipu")
def main(
    stores: tuple[str, ...],
    out: Path | None,
    resume: bool,
    show: bool,
    **options: Any,
) -> None:
    """Pre-train an image and a point encoder on the frames of STOREs.

    The run folder gets the settings, checkpoints, a log (log.jsonl) and TensorBoard files. Values
    in brackets hold where no recipe, file or option says otherwise.
    """
    # OpenMP reads it when PyTorch is imported. By default its threads spin while they wait for
    # each other: beside other work on the same cores a step takes five times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from simipu.train.runfolder import CONFIG
    from simipu.train.settings import write_yaml

    if out is None and not show:
        raise UsageError("there is no folder for the run", fix="Name one with --out.")
    named = stores or options["config"] or options["recipe"]
    if resume and not named and out is not None and (out / CONFIG).is_file():
        options["config"] = out / CONFIG
    config = read_settings(stores, **options)
    if show:
        click.echo(write_yaml(config), nl=False)
    elif out is not None:
        train(config, out, resume=resume)


def read_settings(
    stores: tuple[str, ...],
    *,
    recipe: str | None,
    config: Path | None,
    assignments: tuple[str, ...],
    frames: str | None,
    eval_frames: str | None,
    image_size: str | None,
    **flags: Any,
) -> TrainConfig:
    """Recipe, file, flags and --set, each over the one before."""
    from simipu.data.config import parse_image_size
    from simipu.train.config import TrainConfig
    from simipu.train.recipes import find_recipe
    from simipu.train.settings import build_config, merge, parse_assignments, read_config

    settings = (find_recipe(recipe) if recipe else TrainConfig()).to_dict()
    if config is not None:
        settings = merge(settings, read_config(config))
    given: dict[str, dict[str, Any]] = {}
    for name, value in flags.items():
        if value is not None:
            section, _, key = _FLAGS[name].partition(".")
            given.setdefault(section, {})[key] = value
    if image_size is not None:
        size = dict(zip(("height", "width"), parse_image_size(image_size), strict=True))
        given.setdefault("sample", {}).update(size)
    settings = merge(settings, given)
    data = build_config(settings).to_dict()["data"]
    settings["data"] = data
    if stores:
        data["stores"] = [{"path": path} for path in stores]
    if eval_frames is not None:
        data["held_out"] = [
            each | {"frames": eval_frames, "weight": 1.0} for each in data["stores"]
        ]
    if frames is not None:
        data["stores"] = [each | {"frames": frames} for each in data["stores"]]
    return build_config(merge(settings, parse_assignments(assignments)))


def train(config: TrainConfig, out: Path, *, resume: bool) -> None:
    """Run the training, with a progress line."""
    from simipu.train.console import Console, describe_change
    from simipu.train.distributed import join_world
    from simipu.train.runlog import read_log
    from simipu.train.trainer import Trainer, open_stores

    with join_world(config.system.device) as world:
        trainer = Trainer(config, open_stores(config), out, resume=resume, world=world)
        with Console(
            sys.stderr, step=trainer.step, steps=trainer.steps, silent=not world.is_first
        ) as console:
            try:
                trainer.train(console)
            except IncompleteError as error:
                if world.is_first:
                    raise
                sys.exit(error.exit_code)  # said once is enough
    if world.is_first:
        if change := describe_change(read_log(out)):
            click.echo(change)
        click.echo(f"{out}: {trainer.steps} steps done")
