"""simipu-export: a trained encoder as a file that other libraries load."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from simipu.cli._errors import ReportingCommand
from simipu.errors import UsageError

_EXAMPLE = """\b
Examples:
  simipu-export runs/a --to torchvision --out resnet.safetensors
  simipu-export runs/a --to mmdet --prefix img_backbone --out fusion.pth

Beside FILE goes FILE.md, a model card: data and licences, settings, metrics, how to load it.
"""


@click.command(cls=ReportingCommand, epilog=_EXAMPLE, context_settings={"show_default": True})
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "target",
    type=click.Choice(["torchvision", "timm", "mmdet", "points"]),
    required=True,
    help="Whose names the tensors get; points: the point encoder.",
)
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    required=True,
    help="A .safetensors file; for mmdet also .pth.",
)
@click.option(
    "--prefix",
    type=click.Choice(["backbone", "img_backbone"]),
    help="mmdet only: what the detector calls its image encoder.  [default: backbone]",
)
@click.option("--checkpoint", metavar="last|best|STEP", default="last", help="Which checkpoint.")
@click.option(
    "--weights",
    type=click.Choice(["model", "ema"]),
    default="model",
    help="As trained, or their moving average.",
)
@click.option("--overwrite", is_flag=True, help="Replace FILE and FILE.md.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.version_option(package_name="simipu")
def main(
    run: Path,
    target: str,
    out: Path,
    prefix: str | None,
    checkpoint: str,
    weights: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write an encoder of the run folder RUN as a file that other libraries load."""
    if prefix is not None and target != "mmdet":
        raise UsageError(
            f"names for {target} have no prefix",
            where=f"--prefix {prefix}",
            fix="Leave it out, or use --to mmdet.",
        )
    from simipu.export.names import make_export
    from simipu.export.run import read_run
    from simipu.export.write import check_destination, write_export

    check_destination(out, target, overwrite=overwrite)
    trained = read_run(run, checkpoint=checkpoint, weights=weights)
    export = make_export(trained.method, trained.backbone, target, prefix=prefix or "backbone")
    written = write_export(trained, export, out)
    for warning in written.warnings:
        click.echo(f"Warning: {warning}", err=True)
    if as_json:
        about = {"target": target, "model": export.model, "step": trained.step, "weights": weights}
        click.echo(json.dumps(about | asdict(written), indent=1, default=str))
    else:
        click.echo(
            f"{out}: {export.model} for {target}, {written.tensors} tensors, "
            f"{written.bytes / 1e6:.1f} MB, step {trained.step} of {trained.name}"
        )
        click.echo(f"{written.card}: model card")
