"""simipu-prep: from a data set to a store, and what can be asked of a store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from simipu.cli import _options
from simipu.cli._convert import COMMANDS
from simipu.cli._errors import ReportingGroup
from simipu.cli._progress import progress_bars
from simipu.cli._synthetic import synthetic

_store = click.argument("store", type=click.Path(path_type=Path))
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(cls=ReportingGroup)
@click.version_option(package_name="simipu")
def main() -> None:
    """Turn driving data sets into one chunked Zarr store, with point-to-pixel correspondences.

    \b
    simipu-prep kitti-raw --root /data/kitti_raw --out raw.zarr
    simipu-prep info raw.zarr

    Every command can be killed at any moment: the same command again goes on where it stopped.
    Exit codes: 0 done, 1 the data is at fault, 2 the command is, 3 stopped and can be resumed.
    """


for _command in (*COMMANDS, synthetic):
    main.add_command(_command)


@main.command()
@_store
@_options.resource_options
@_options.policy_options
def correspond(store: Path, workers: int | None, scheduler: str | None, **policy: Any) -> None:
    """Compute the point-to-pixel correspondences of STORE, or compute them anew.

    \b
    simipu-prep correspond raw.zarr --min-depth 2 --occlusion none
    """
    _options.correspond(store, policy, _options.resources(workers, scheduler))
    _options.print_summary(store)


@main.command()
@_store
@_json
def info(store: Path, as_json: bool) -> None:
    """Say what is in STORE, from where, how big it is, and by which policy.

    \b
    simipu-prep info raw.zarr --json
    """
    from simipu.store.summary import describe, summarise

    summary = summarise(store)
    click.echo(json.dumps(summary, indent=1) if as_json else describe(summary))


@main.command()
@_store
@_json
@click.pass_context
def verify(ctx: click.Context, store: Path, as_json: bool) -> None:
    """Check every byte of STORE against what was committed; exit 1 if any differs.

    \b
    simipu-prep verify raw.zarr && rm -r /data/kitti_raw
    """
    from functools import partial

    from simipu.store.verify import verify as find_faults

    with progress_bars("B") as advance:
        faults = find_faults(store, progress=partial(advance, "verify"))
    if as_json:
        listed = [{"path": fault.path, "fault": fault.what} for fault in faults]
        click.echo(json.dumps({"whole": not faults, "faults": listed}, indent=1))
    else:
        for fault in faults:
            click.echo(f"{store / fault.path}: {fault.what}")
        click.echo("The store is whole." if not faults else f"{len(faults)} faults.")
    ctx.exit(1 if faults else 0)


@main.command()
@_store
@click.option("--frame", type=click.IntRange(min=0), required=True, help="Number of the frame.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The folder to write into."
)
def extract(store: Path, frame: int, out: Path) -> None:
    """Write one frame's images and points as the data set had them, and its calibration.

    \b
    simipu-prep extract raw.zarr --frame 3 --out frame3
    """
    import simipu
    from simipu.errors import UsageError
    from simipu.store.extract import extract as extract_frame

    opened = simipu.open_store(store)
    if frame >= len(opened):
        raise UsageError(f"there is no frame {frame}", where=store, fix=f"It has {len(opened):,}.")
    for path in extract_frame(opened[frame], out):
        click.echo(path)
