"""The commands of simipu-prep that convert a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from simipu.cli._errors import ReportingCommand
from simipu.cli._options import (
    Function,
    check_policy,
    correspond,
    given,
    options,
    policy_options,
    print_summary,
    resource_options,
    resources,
)
from simipu.cli._progress import progress_bars

if TYPE_CHECKING:
    from collections.abc import Callable

    from simipu.pipelines.sources.base import Source

_convert_options = options(
    click.option(
        "--out", type=click.Path(path_type=Path), required=True, help="The store to write."
    ),
    click.option(
        "--limit",
        type=click.IntRange(min=1),
        metavar="N",
        help="Convert only the first N frames. What the search for frames finds at fault beyond "
        "them stops the command too.",
    ),
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
    resource_options,
    policy_options,
)


def _root(variable: str | None, default: str | None = None) -> Callable[[Function], Function]:
    # To click, a default of None is one: the option would not be required.
    otherwise: dict[str, Any] = {"required": True}
    if default is not None:
        otherwise = {"default": default, "show_default": True}
    return click.option(
        "--root",
        type=click.Path(path_type=Path),
        envvar=variable,
        show_envvar=variable is not None,
        help="The folder of the data set.",
        **otherwise,
    )


def _names(
    _ctx: click.Context, _param: click.Parameter, text: str | None
) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(","))


def _pairs(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise click.BadParameter(f"{text!r} is not of the form KEY=VALUE.")
        if key in pairs:
            raise click.BadParameter(f"{key} is given twice.")
        pairs[key] = value
    return pairs


@click.command(cls=ReportingCommand)
@_root("KITTI_ROOT")
@_convert_options
def kitti(root: Path, **options: Any) -> None:
    """Convert the KITTI object benchmark.

    ROOT holds training/ and testing/, each with image_2 and image_3 (one is enough), velodyne and
    calib. ImageSets/{train,val}.txt give the splits of training/ where they exist.

    \b
    simipu-prep kitti --root /data/kitti_object --out kitti.zarr
    """
    from simipu.pipelines.sources.kitti_object import KittiObject

    _prepare(KittiObject(root.absolute()), **options)


@click.command("kitti-raw", cls=ReportingCommand)
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


@click.command(cls=ReportingCommand)
@_root("NUSCENES_ROOT", default="data/nuscenes")
@click.option("--version", help="e.g. v1.0-mini.  [default: the only one that is there]")
@click.option("--split", help="Only scenes of an official split, e.g. mini_train.")
@click.option("--scenes", callback=_names, metavar="A,B", help="Only scenes with these names.")
@click.option(
    "--cameras", callback=_names, metavar="A,B", help="Only these channels.  [default: all]"
)
@click.option("--sweeps", is_flag=True, help="A frame for every sweep, not for keyframes only.")
@click.option(
    "--accumulate",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Append the N sweeps before it to each cloud, motion-compensated.",
)
@click.option(
    "--tolerance-ms",
    type=float,
    default=50.0,
    show_default=True,
    metavar="MS",
    help="Largest distance in time of an image from a sweep between keyframes.",
)
@_convert_options
@click.pass_context
def nuscenes(
    ctx: click.Context,
    /,
    root: Path,
    version: str | None,
    split: str | None,
    scenes: tuple[str, ...] | None,
    cameras: tuple[str, ...] | None,
    sweeps: bool,
    accumulate: int,
    tolerance_ms: float,
    **options: Any,
) -> None:
    """Convert nuScenes: LIDAR_TOP and the cameras.

    ROOT holds samples/, sweeps/ and the folder with the tables of a version.

    \b
    simipu-prep nuscenes --root /data/nuscenes --split train --out nuscenes.zarr
    """
    from simipu.errors import UsageError
    from simipu.pipelines.sources.nuscenes import NuScenes

    if not sweeps and ctx.get_parameter_source("tolerance_ms") is ParameterSource.COMMANDLINE:
        raise UsageError(
            "it does nothing without --sweeps: a keyframe names its images",
            where="--tolerance-ms",
            fix="Add --sweeps, or leave it out.",
        )
    source = NuScenes(
        root.absolute(),
        version=version,
        split=split,
        scenes=scenes,
        cameras=cameras,
        sweeps=sweeps,
        accumulate=accumulate,
        tolerance_ms=tolerance_ms,
    )
    _prepare(source, **options)


@click.command(cls=ReportingCommand)
@_root("WAYMO_ROOT")
@click.option(
    "--format",
    "layout",
    type=click.Choice(["auto", "v1", "v2"]),
    default="auto",
    show_default=True,
    help="v1: TFRecord files; v2: Parquet files.",
)
@click.option("--split", help="Only training, validation or testing.")
@click.option(
    "--returns",
    type=click.IntRange(1, 2),
    default=2,
    show_default=True,
    help="1: the first return of each firing only.",
)
@click.option(
    "--lasers", callback=_names, metavar="A,B", help="Only these, e.g. TOP,FRONT.  [default: all]"
)
@click.option(
    "--stride",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Take every N-th frame of a segment.",
)
@_convert_options
def waymo(
    root: Path,
    layout: str,
    split: str | None,
    returns: int,
    lasers: tuple[str, ...] | None,
    stride: int,
    **options: Any,
) -> None:
    """Convert the Waymo Open Dataset (perception), TFRecord or Parquet files.

    ROOT holds the splits, or is one. TFRecord files need the official messages:
    pip install --no-deps waymo-open-dataset-tf-2-12-0==1.6.7

    \b
    simipu-prep waymo --root /data/waymo --split training --out waymo.zarr
    """
    from simipu.pipelines.sources.waymo import Waymo

    source = Waymo(
        root.absolute(), format=layout, split=split, returns=returns, lasers=lasers, stride=stride
    )
    _prepare(source, **options)


@click.command("convert", cls=ReportingCommand)
@click.option(
    "--source",
    "name",
    required=True,
    metavar="NAME|MODULE:CLASS",
    help="A source that an installed package offers, or a class; its module may lie in the "
    "current folder.",
)
@_root(None)
@click.option(
    "--option",
    "texts",
    multiple=True,
    callback=_pairs,
    metavar="KEY=VALUE",
    help="An argument of the source besides its root; can be given several times.",
)
@_convert_options
def convert_any(name: str, root: Path, texts: dict[str, str], **options: Any) -> None:
    """Convert a data set of your own, by a source that you wrote.

    The source is called as Class(ROOT, KEY=VALUE, ...); docs/adding-a-dataset.md says how to write
    one. With --scheduler, its workers must be able to import it too.

    \b
    simipu-prep convert --source my_rig:MyRig --root /data/my_rig --out my_rig.zarr
    """
    from simipu.pipelines.sources.registry import make_source

    _prepare(make_source(name, root.absolute(), texts), **options)


COMMANDS = (kitti, kitti_raw, nuscenes, waymo, convert_any)


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
    **policy: Any,
) -> None:
    from simipu.pipelines.convert import convert

    check_policy(given(policy), source, no_correspondences=no_correspondences)
    where = resources(workers, scheduler)
    with progress_bars("frames") as advance:
        convert(
            source,
            out.absolute(),
            resources=where,
            limit=limit,
            overwrite=overwrite,
            skip_bad=skip_bad,
            task_bytes=task_mib << 20,
            progress=advance,
        )
    if not no_correspondences:
        correspond(out, policy, where)
    print_summary(out)
