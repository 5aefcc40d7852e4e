"""What simipu-viz draws of a store alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simipu.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from simipu.store.views import CameraView, FrameView


def draw_picture(
    frame: FrameView,
    out: Path,
    *,
    camera: str | None,
    birdseye: bool,
    color: str,
    no_hidden: bool,
    scale: int,
    **_: Any,
) -> str:
    """Draw a frame, and return the size of the picture in words."""
    options: dict[str, Any] = {
        "dataset": dataset_name(frame),
        "show_hidden": not no_hidden,
        "color_by": color,
    }
    every = camera == "all" or (birdseye and camera is None)
    if every and (birdseye or frame.cameras):
        cameras = list(frame.cameras.values())
    else:
        cameras = [choose_camera(frame, None if every else camera)]
    if birdseye:
        from simipu.viz.birdseye import draw_birdseye
        from simipu.viz.figure import save

        return save(draw_birdseye(frame, cameras, **options), out)
    if camera == "all" or out.suffix.lower() in (".svg", ".pdf"):
        from simipu.viz.figure import save
        from simipu.viz.sheet import draw_sheet

        return save(draw_sheet(frame, cameras, **options), out)
    from simipu.viz.marks import JPEG, JPEG_SUFFIXES
    from simipu.viz.overlay import draw_overlay

    picture = draw_overlay(cameras[0], frame, scale=scale, **options)
    picture.save(out, **(JPEG if out.suffix.lower() in JPEG_SUFFIXES else {}))
    return f"{picture.width} x {picture.height}"


def choose_camera(frame: FrameView, name: str | None) -> CameraView:
    """The camera of that name; None for the first.

    Raises:
        UsageError: the frame has none, or not that.
    """
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


def dataset_name(frame: FrameView) -> str:
    """What the frame's data set is called."""
    name: str = frame.store.attributes["source"]["name"]
    return name
