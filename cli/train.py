"""simipu-train: pre-train an image and a point encoder on a store."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from simipu.cli._errors import ReportingCommand

_EXAMPLE = """\b
Example, a few minutes on a CPU:
  simipu-train raw.zarr --out runs/a --image-backbone resnet18 --steps 200 \\
      --batch-size 4 --frames 0:16 --eval-frames 16:20

SIGINT (Ctrl-C) and SIGTERM write a checkpoint first; exit code 3 means that the same command with
--resume continues.
"""


@click.command(cls=ReportingCommand, epilog=_EXAMPLE, context_settings={"show_default": True})
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Run folder.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in the run folder.")
@click.option("--steps", type=int, help="Optimiser steps; or give --epochs.")
@click.option("--epochs", type=int, help="Passes over the frames; or give --steps.")
@click.option("--batch-size", type=int, default=8, help="Images per step.")
@click.option("--image-backbone", default="resnet50", help="Name of a timm model; random weights.")
@click.option("--preset", type=click.Choice(["fixed"]), default="fixed", help="Method variant.")
@click.option("--frames", metavar="A:B", default=":", help="Frames to train on.")
@click.option("--eval-frames", metavar="A:B", help="Held-out frames to measure retrieval on.")
@click.option("--image-size", metavar="HxW", default="96x320", help="Network input, pixels.")
@click.option("--pairs", type=int, default=128, help="Pixel-point pairs per image.")
@click.option("--points", type=int, default=2048, help="Points in each view of a cloud.")
@click.option("--lr", type=float, default=1e-3, help="Peak learning rate.")
@click.option("--seed", type=int, default=0, help="Of every random choice.")
@click.option("--workers", type=int, default=1, help="Processes that make samples; 0 for none.")
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
@click.option("--log-every", type=int, default=10, help="Interval of records, in steps.")
@click.option("--eval-every", type=int, default=100, help="Interval of retrieval, in steps.")
@click.option("--checkpoint-every", type=int, default=100, help="Interval in steps.")
@click.version_option(package_name="simipu")
def main(
    store: Path,
    out: Path,
    resume: bool,
    image_size: str,
    pairs: int,
    points: int,
    **settings: Any,
) -> None:
    """Pre-train an image and a point encoder on the frames of STORE.

    The run folder gets the settings, checkpoints, a log (log.jsonl) and TensorBoard files.
    """
    # OpenMP reads it when PyTorch is imported. By default its threads spin while they wait for
    # each other: beside other work on the same cores a step takes five times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from simipu import open_store
    from simipu.data.dataset import SampleConfig
    from simipu.train.config import TrainConfig, parse_image_size
    from simipu.train.console import Console, describe_change
    from simipu.train.runlog import read_log
    from simipu.train.trainer import Trainer

    height, width = parse_image_size(image_size)
    sample = SampleConfig(height=height, width=width, pairs=pairs, points=points)
    config = TrainConfig(store=str(store), sample=sample, **settings)
    trainer = Trainer(config, open_store(store), out, resume=resume)
    with Console(sys.stderr, step=trainer.step, steps=trainer.steps) as console:
        trainer.train(console.update)
    if change := describe_change(read_log(out)):
        click.echo(change)
    click.echo(f"{out}: {trainer.steps} steps done")
