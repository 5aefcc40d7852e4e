"""simipu-prep synthetic: a data set that is computed, with exact truth beside it."""

from __future__ import annotations

import json
import os
import shlex
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simipu.cli._errors import ReportingCommand
from simipu.cli._progress import progress_bars
from simipu.pipelines.synthetic.layouts import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONVERTERS = {
    "kitti": "kitti",
    "kitti-raw": "kitti-raw",
    "nuscenes": "nuscenes",
    "waymo-v1": "waymo",
    "waymo-v2": "waymo",
}
"""Layout -> the command that converts it."""


@click.command(cls=ReportingCommand)
@click.option("--layout", type=click.Choice(list(LAYOUTS)), required=True, help="On-disk format.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The folder to write.")
@click.option(
    "--scenes",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Scenes, each in a world of its own.",
)
@click.option(
    "--frames",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Frames of each scene; of nuScenes, keyframes. A scene lasts 90 s at most: that is 90 of "
    "kitti, 180 of nuscenes, 900 of the others.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Another seed is another set of worlds.",
)
@click.option(
    "--image-scale",
    type=float,
    default=1.0,
    show_default=True,
    metavar="X",
    help="Factor of both sides of every image.",
)
@click.option("--beams", type=int, metavar="N", help="Beams of the LiDAR.  [default: as the real]")
@click.option(
    "--columns", type=int, metavar="N", help="Firings of the LiDAR a turn.  [default: as the real]"
)
@click.option(
    "--cameras", metavar="A,B", help="Cameras by their names in the layout.  [default: the usual]"
)
@click.option("--no-noise", is_flag=True, help="A LiDAR without noise and dropouts.")
@click.option("--no-truth", is_flag=True, help="Leave out the exact truth.")
@click.option("--no-sweeps", is_flag=True, help="Leave out nuScenes' frames between keyframes.")
@click.option(
    "--workers", type=click.IntRange(min=1), help="Worker processes.  [default: one for each core]"
)
@click.option("--overwrite", is_flag=True, help="Replace a data set generated with other options.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def synthetic(
    layout: str,
    out: Path,
    cameras: str | None,
    no_noise: bool,
    no_truth: bool,
    no_sweeps: bool,
    workers: int | None,
    overwrite: bool,
    as_json: bool,
    **numbers: Any,
) -> None:
    """Generate a driving world in an official on-disk format.

    OUT becomes the root of a data set as its official tools expect it. OUT/truth holds what no
    real data set has: for each LiDAR point its true pixel and whether the camera sees it, and the
    depth of each image. Equal options give equal bytes.

    \b
    simipu-prep synthetic --layout kitti --out world --scenes 4 --frames 10 --seed 1
    """
    from simipu.pipelines.synthetic.generate import generate
    from simipu.pipelines.synthetic.options import Options

    options = Options(
        layout=layout,
        cameras=None if cameras is None else tuple(cameras.split(",")),
        noise=not no_noise,
        truth=not no_truth,
        sweeps=not no_sweeps,
        **numbers,
    )
    with _sigterm_like_ctrl_c(), progress_bars("frames") as advance:
        generate(
            out.absolute(),
            options,
            workers=workers or len(os.sched_getaffinity(0)),
            overwrite=overwrite,
            progress=advance,
        )
    _report(out, options.as_dict(), as_json=as_json)


@contextmanager
def _sigterm_like_ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _report(out: Path, options: dict[str, Any], *, as_json: bool) -> None:
    sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
    layout = options["layout"]
    store = shlex.quote(f"{out}.zarr")
    command = _CONVERTERS[layout]
    following = f"simipu-prep {command} --root {shlex.quote(str(out))} --out {store}"
    if as_json:
        written = {"root": str(out), "files": len(sizes), "bytes": sum(sizes), "next": following}
        click.echo(json.dumps({**written, "options": options}, indent=1))
        return
    beside = ", exact truth in truth/" if options["truth"] else ""
    click.echo(
        f"{out}: {_counted(options['scenes'], 'scene')} of {_counted(options['frames'], 'frame')} "
        f"in the layout of {layout}{beside} ({len(sizes):,} files, "
        f"{sum(sizes) / 2**20:,.1f} MiB)."
    )
    click.echo(f"Next: {following}")


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
