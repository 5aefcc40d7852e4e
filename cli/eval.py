"""``simipu-eval``: did the representation become spatial?"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simipu.cli._errors import ReportingCommand
from simipu.errors import UsageError

if TYPE_CHECKING:
    from simipu.evaluate.evaluation import Evaluation

_EXAMPLE = """\b
Examples, minutes on a CPU:
  simipu-eval runs/a raw.zarr --frames 16:20
  simipu-eval runs/a nuscenes.zarr --split val --also ImageNet=resnet50.safetensors
  simipu-eval resnet50.safetensors raw.zarr --image-backbone resnet50 --probe depth

RUN is a run folder, or a file: an image encoder's weights as timm, torchvision or mmdetection name
them, of which depth is measured, or a point encoder of simipu-export. Without a selection, the last
third of the scenes is measured on. The probes are fitted to what is left, unless --fit-... says
otherwise.
"""


@click.command(cls=ReportingCommand, epilog=_EXAMPLE, context_settings={"show_default": True})
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("store")
@click.option("--checkpoint", metavar="last|best|STEP", default="last", help="Of a run folder.")
@click.option(
    "--weights",
    type=click.Choice(["model", "ema"]),
    default="model",
    help="As trained, or their moving average.",
)
@click.option("--also", metavar="NAME=PATH", multiple=True, help="Another RUN, beside it.")
@click.option("--scenes", metavar="NAME", multiple=True, help="Measure on this scene; repeatable.")
@click.option("--split", metavar="NAME", multiple=True, help="Measure on this split; repeatable.")
@click.option("--frames", metavar="A:B", default=":", help="Measure on these frames.")
@click.option("--cameras", metavar="NAME", multiple=True, help="Use this camera; repeatable.")
@click.option("--fit-scenes", metavar="NAME", multiple=True, help="Fit probes to this scene.")
@click.option("--fit-split", metavar="NAME", multiple=True, help="Fit probes to this split.")
@click.option("--fit-frames", metavar="A:B", help="Fit probes to these frames.")
@click.option(
    "--probe",
    "probes",
    type=click.Choice(["retrieval", "depth", "points", "all"]),
    multiple=True,
    help="What to measure; repeatable.  [default: all that RUN has]",
)
@click.option("--stages", is_flag=True, help="Probe depth in the features of each stride as well.")
@click.option("--seeds", type=click.IntRange(min=1), default=3, metavar="N", help="Repetitions.")
@click.option("--image-backbone", metavar="NAME", help="timm's name of the network, for a file.")
@click.option("--image-size", metavar="HxW", help="Network input, pixels.  [default: the run's]")
@click.option(
    "--allow-training-frames", is_flag=True, help="Measure on frames that were trained on."
)
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
@click.option("--json", "form", flag_value="json", help="Print JSON, with the values of each seed.")
@click.option("--markdown", "form", flag_value="markdown", help="Print Markdown.")
@click.version_option(package_name="simipu")
def main(run: Path, store: str, form: str | None, **options: Any) -> None:
    """Measure the encoders of RUN on frames of STORE that they were not trained on.

    Retrieval beside its control, and what linear maps read off the frozen features, beside random
    weights and the position alone.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in simipu-train
    from simipu.evaluate.table import as_json, as_markdown, as_text

    found = measure(run, store, **options)
    if form == "json":
        click.echo(json.dumps(as_json(found), indent=1))
    else:
        click.echo(as_markdown(found) if form == "markdown" else as_text(found))


def measure(
    run: Path,
    path: str,
    *,
    checkpoint: str,
    weights: str,
    also: tuple[str, ...],
    scenes: tuple[str, ...],
    split: tuple[str, ...],
    frames: str,
    cameras: tuple[str, ...],
    fit_scenes: tuple[str, ...],
    fit_split: tuple[str, ...],
    fit_frames: str | None,
    probes: tuple[str, ...],
    stages: bool,
    seeds: int,
    image_backbone: str | None,
    image_size: str | None,
    allow_training_frames: bool,
    device: str,
) -> Evaluation:
    """Load what is measured, divide the store, and measure."""
    from simipu.cli._encoders import load_encoders, make_random, refuse_other_inputs
    from simipu.cli._progress import progress_bars
    from simipu.data.config import Selection, parse_image_size
    from simipu.evaluate.division import divide, refuse_trained, trained_frames
    from simipu.evaluate.evaluation import PROBES, RESERVED, Evaluator
    from simipu.store.reader import open_store
    from simipu.train.distributed import World, choose_device

    opened = open_store(path)
    measured = Selection(path=path, scenes=scenes, splits=split, frames=frames, cameras=cameras)
    fitted = None
    if fit_scenes or fit_split or fit_frames:
        fitted = Selection(path=path, scenes=fit_scenes, splits=fit_split, frames=fit_frames or ":")
    division = divide(opened, measured, fitted)
    loaded = [load_encoders(run, run.absolute().name, checkpoint, weights, image_backbone)]
    backbone = image_backbone or loaded[0].backbone
    names = {*RESERVED, loaded[0].subject.name}
    for each in also:
        name, _, file = each.partition("=")
        if not (name and file):
            raise UsageError("a name is missing", where=f"--also {each}", fix="Write NAME=PATH.")
        if name in names:
            # Rows of one name are taken for seeds of one encoder.
            fix = "Choose another name."
            raise UsageError("the tables have this name already", where=f"--also {each}", fix=fix)
        names.add(name)
        loaded.append(load_encoders(Path(file), name, checkpoint, weights, backbone))
    for one in loaded:
        if not allow_training_frames:
            refuse_trained(division, one.subject.name, trained_frames(opened, one.trained))
    refuse_other_inputs(loaded)
    # A point encoder has room for the pairs that it was trained with.
    pairs = [one.sample.pairs for one in loaded if one.subject.points is not None]
    sample = loaded[0].sample
    sample = replace(sample, pairs=min(pairs, default=sample.pairs))
    if image_size is not None:
        height, width = parse_image_size(image_size)
        sample = replace(sample, height=height, width=width)
    chosen = PROBES if "all" in probes else probes
    with progress_bars("image") as advance:
        evaluator = Evaluator(
            subjects=[one.subject for one in loaded],
            random=make_random(loaded[0]),
            division=division,
            sample=sample,
            device=choose_device(device, World()),
            stages=stages,
            advance=advance,
        )
        return evaluator.evaluate(chosen or evaluator.possible, seeds=seeds)
