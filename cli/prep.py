"""simipu-prep: from a data set to a store, and what can be asked of a store."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from simipu.cli._errors import ReportingGroup
from simipu.cli._progress import progress_bars
from simipu.cli._synthetic import synthetic

if TYPE_CHECKING:
    from simipu.correspond.policy import Policy
    from simipu.pipelines.convert import Resources
    from simipu.pipelines.sources.base import Source

Function = TypeVar("Function", bound=Callable[..., Any])


def _options(*options: Callable[[Function], Function]) -> Callable[[Function], Function]:
    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_store = click.argument("store", type=click.Path(path_type=Path))
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

_resource_options = _options(
    click.option(
        "--workers",
        type=click.IntRange(min=1),
        help="Worker processes.  [default: one for each core]",
    ),
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Use the workers of this dask scheduler instead, e.g. tcp://head:8786.",
    ),
)

_policy_options = _options(
    click.option(
        "--min-depth",
        type=float,
        default=1.0,
        show_default=True,
        metavar="M",
        help="Leave out points nearer to the camera than this, in metres along its axis.",
    ),
    click.option(
        "--occlusion",
        type=click.Choice(["zbuffer", "none"]),
        default="zbuffer",
        show_default=True,
        help="How to find points that the camera does not see because something is before them.",
    ),
)

_convert_options = _options(
    click.option(
        "--out", type=click.Path(path_type=Path), required=True, help="The store to write."
    ),
    click.option("--limit", type=click.IntRange(min=1), help="Convert only the first N frames."),
    click.option("--overwrite", is_flag=True, help="Replace a store with other content."),
    click.option(
        "--skip-bad", is_flag=True, help="Leave faulty frames out, and list them in the store."
    ),
    click.option("--no-correspondences", is_flag=True, help="Convert only."),
    click.option(
        "--task-mib",
        type=click.IntRange(min=1),
        default=128,
        show_default=True,
        help="Source data in one unit of work: less resumes more finely, more makes fewer files.",
    ),
    _resource_options,
    _policy_options,
)


def _root(variable: str) -> Callable[[Function], Function]:
    return click.option(
        "--root",
        type=click.Path(path_type=Path),
        required=True,
        envvar=variable,
        show_envvar=True,
        help="The folder of the data set.",
    )


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


main.add_command(synthetic)


@main.command()
@_root("KITTI_ROOT")
@_convert_options
def kitti(root: Path, **options: Any) -> None:
    """Convert the KITTI object benchmark.

    ROOT holds training/ and testing/, each with image_2 and image_3 (one is enough), velodyne and
    calib. ImageSets/{train,val,test}.txt give the splits where they exist.

    \b
    simipu-prep kitti --root /data/kitti_object --out kitti.zarr
    """
    from simipu.pipelines.sources.kitti_object import KittiObject

    _prepare(KittiObject(root.absolute()), **options)


@main.command("kitti-raw")
@_root("KITTI_RAW_ROOT")
@_convert_options
def kitti_raw(root: Path, **options: Any) -> None:
    """Convert KITTI raw recordings (synced and rectified).

    ROOT holds the dates, such as 2011_09_26, each with its calibration files and drives.

    \b
    simipu-prep kitti-raw --root /data/kitti_raw --out raw.zarr --workers 8
    """
    from simipu.pipelines.sources.kitti_raw import KittiRaw

    _prepare(KittiRaw(root.absolute()), **options)


@main.command()
@_store
@_resource_options
@_policy_options
def correspond(
    store: Path, workers: int | None, scheduler: str | None, min_depth: float, occlusion: str
) -> None:
    """Compute the point-to-pixel correspondences of STORE, or compute them anew.

    \b
    simipu-prep correspond raw.zarr --min-depth 2 --occlusion none
    """
    _correspond(store, _policy(min_depth, occlusion), _resources(workers, scheduler))
    _print_summary(store)


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


def _prepare(
    source: Source,
    *,
    out: Path,
    limit: int | None,
    overwrite: bool,
    skip_bad: bool,
    no_correspondences: bool,
    task_mib: int,
    workers: int | None,
    scheduler: str | None,
    min_depth: float,
    occlusion: str,
) -> None:
    from simipu.pipelines.convert import convert

    policy = _policy(min_depth, occlusion)  # refuse a bad one before hours of conversion
    resources = _resources(workers, scheduler)
    with progress_bars("frames") as advance:
        convert(
            source,
            out.absolute(),
            resources=resources,
            limit=limit,
            overwrite=overwrite,
            skip_bad=skip_bad,
            task_bytes=task_mib << 20,
            progress=advance,
        )
    if not no_correspondences:
        _correspond(out, policy, resources)
    _print_summary(out)


def _correspond(store: Path, policy: Policy, resources: Resources) -> None:
    from simipu.pipelines.correspond import correspond_store

    with progress_bars("frames") as advance:
        correspond_store(store.absolute(), policy, resources=resources, progress=advance)


def _policy(min_depth: float, occlusion: str) -> Policy:
    from simipu.correspond.policy import Policy

    return Policy.from_dict({"min_depth_m": min_depth, "occlusion": occlusion})


def _resources(workers: int | None, scheduler: str | None) -> Resources:
    from simipu.pipelines.convert import Resources

    return Resources(workers=workers or len(os.sched_getaffinity(0)), scheduler=scheduler)


def _print_summary(store: Path) -> None:
    from simipu.store.summary import describe, summarise

    click.echo(describe(summarise(store)))
