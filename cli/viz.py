"""``simipu-viz``: look at a store, in pictures, in a report, or in a viewer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simipu.cli._errors import ReportingCommand
from simipu.cli._viz_options import check_options, parse_query
from simipu.errors import UsageError

if TYPE_CHECKING:
    from simipu.store.reader import Store
    from simipu.store.views import FrameView

_EXAMPLE = """\b
Examples:
  simipu-viz raw.zarr --frame 3 --camera image_02 --out overlay.png
  simipu-viz n.zarr --frame 3 --camera all --color height --out sheet.pdf
  simipu-viz n.zarr --frame 3 --birdseye --out above.svg
  simipu-viz raw.zarr --run runs/a --frame 3 --query 500,200 --out similar.png
  simipu-viz raw.zarr --run runs/a --frame 3 --features --out features.png
  simipu-viz raw.zarr --report report.html
  simipu-viz raw.zarr                         # the viewer; Ctrl-C ends it

The last letters of FILE decide: png, jpg, svg or pdf.
"""


@click.command(cls=ReportingCommand, epilog=_EXAMPLE)
@click.argument("store")
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="Draw a picture.")
@click.option("--frame", type=click.IntRange(min=0), default=0, metavar="N", help="Default: 0.")
@click.option(
    "--camera",
    metavar="NAME|all",
    help="Default: all for --birdseye, else the first camera that the frame has.",
)
@click.option("--birdseye", is_flag=True, help="From above, with what the cameras look at.")
@click.option(
    "--color",
    type=click.Choice(["depth", "intensity", "height", "time", "camera"]),
    default="depth",
    help="What the points' colours mean; from above depth is the range.  [depth]",
)
@click.option("--no-hidden", is_flag=True, help="Leave out points behind a nearer surface.")
@click.option(
    "--scale",
    type=click.IntRange(1, 4),
    default=2,
    help="Output pixels per image pixel, for one camera as PNG or JPEG.  [2]",
)
@click.option("--run", type=click.Path(path_type=Path), help="Run folder of simipu-train.")
@click.option(
    "--query",
    metavar="U,V",
    callback=parse_query,
    help="Draw what is similar to this pixel of the image, by the features of --run.",
)
@click.option("--query-point", metavar="ROW", type=int, help="The same for a point of the cloud.")
@click.option(
    "--features",
    is_flag=True,
    help="Draw the features of --run in colours, random weights beside the trained ones.",
)
@click.option(
    "--checkpoint", metavar="last|best|STEP", default="last", help="Which of --run.  [last]"
)
@click.option(
    "--weights",
    type=click.Choice(["model", "ema"]),
    default="model",
    help="As trained, or their moving average.  [model]",
)
@click.option(
    "--report",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write a page about the whole store, with warnings of misalignment.",
)
@click.option("--host", default="localhost", help="Where the viewer listens.  [localhost]")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, help="Its port.  [8080]")
@click.option("--open3d", is_flag=True, help="Show the frame in an Open3D window instead.")
@click.version_option(package_name="simipu")
@click.pass_context
def main(ctx: click.Context, /, store: str, frame: int, **options: Any) -> None:
    """Look at STORE: a picture of a frame, a report, or without either the viewer."""
    check_options(ctx)
    from simipu import open_store

    opened = open_store(store)
    if options["report"] is not None:
        _write_report(opened, options["report"])
    elif options["out"] is not None:
        _draw(_choose_frame(opened, frame), **options)
    elif options["open3d"]:
        from simipu.viz.viewer.open3d_window import show

        _choose_frame(opened, frame)
        show(opened, frame)
    else:
        from simipu.viz.viewer.server import serve

        serve(opened, host=options["host"], port=options["port"], frame=frame)


def _draw(frame: FrameView, *, out: Path, **options: Any) -> None:
    if options["run"] is not None:
        from simipu.cli._viz_features import draw_features

        size = draw_features(frame, out, **options)
    else:
        from simipu.cli._viz_pictures import draw_picture

        size = draw_picture(frame, out, **options)
    click.echo(f"{out}  {size}")


def _write_report(store: Store, out: Path) -> None:
    from tqdm import tqdm

    from simipu.viz.report.write import write_report

    write_report(store, out, progress=lambda frames: tqdm(frames, desc="report", unit="frame"))
    click.echo(str(out))


def _choose_frame(store: Store, index: int) -> FrameView:
    if index >= len(store):
        raise UsageError(
            f"there is no frame {index}",
            where=store.path,
            fix=f"Its frames are 0 to {len(store) - 1}.",
        )
    return store[index]
