"""``simipu-viz``: a picture of one camera's correspondences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from simipu.cli._errors import ReportingCommand
from simipu.errors import UsageError

if TYPE_CHECKING:
    from simipu.store.reader import Store
    from simipu.store.views import CameraView, FrameView

SUFFIXES = (".png", ".jpg", ".jpeg")


@click.command(
    cls=ReportingCommand,
    epilog="Example:  simipu-viz raw.zarr --frame 3 --camera image_02 --out overlay.png",
)
@click.argument("store")
@click.option("--frame", type=click.IntRange(min=0), default=0, metavar="N", help="Default: 0.")
@click.option("--camera", metavar="NAME", help="Default: the first camera that the frame has.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help=f"The picture to write ({', '.join(SUFFIXES)}).",
)
@click.option(
    "--scale",
    type=click.IntRange(1, 4),
    default=2,
    show_default=True,
    help="Output pixels per image pixel.",
)
@click.option("--no-hidden", is_flag=True, help="Leave out points behind a nearer surface.")
@click.version_option(package_name="simipu")
def main(
    store: str, frame: int, camera: str | None, out: Path, scale: int, no_hidden: bool
) -> None:
    """Draw the correspondences of a frame of STORE over its image, coloured by depth."""
    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(
            "pictures are written as PNG or JPEG",
            where=f"--out {out}",
            fix=f"Let the name end in {' or '.join(SUFFIXES[:2])}.",
        )
    from simipu import open_store
    from simipu.viz.overlay import draw_overlay

    opened = open_store(store)
    chosen_frame = _choose_frame(opened, frame, store)
    view = _choose_camera(chosen_frame, camera)
    picture = draw_overlay(
        view,
        chosen_frame,
        dataset=opened.attributes["source"]["name"],
        scale=scale,
        show_hidden=not no_hidden,
    )
    picture.save(out)
    click.echo(f"{out}  {picture.width} x {picture.height}")


def _choose_frame(store: Store, index: int, path: str) -> FrameView:
    if index >= len(store):
        raise UsageError(
            f"there is no frame {index}",
            where=path,
            fix=f"Its frames are 0 to {len(store) - 1}.",
        )
    return store[index]


def _choose_camera(frame: FrameView, name: str | None) -> CameraView:
    present = ", ".join(frame.cameras)
    if not present:
        raise UsageError("the frame has no image", where=f"--frame {frame.index}")
    if name is None:
        name = next(iter(frame.cameras))
    if name not in frame.cameras:
        raise UsageError(
            f"frame {frame.index} has no camera {name}",
            where=f"--camera {name}",
            fix=f"It has: {present}.",
        )
    return frame.cameras[name]
