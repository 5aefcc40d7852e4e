"""One or all cameras of a frame on one sheet, laid out as the rig sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from PIL import Image

from simipu.viz.colors import DEPTH, HIDDEN_COLOR, NO_VALUE_COLOR
from simipu.viz.figure import (
    FAINT,
    HEAD_IN,
    MARGIN_IN,
    TEXT_PT,
    TITLE_IN,
    draw_bar,
    draw_key,
    draw_marks,
    new_figure,
    show_image,
    title_axes,
    write_head,
)
from simipu.viz.marks import find_marks, tone_down
from simipu.viz.paint import Paint
from simipu.viz.rig import lay_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from simipu.store.views import CameraView, FrameView

KEY_DEPTH_M = 12.0
INCHES_PER_CAMERA = 5.2
MIN_WIDTH_IN, MAX_WIDTH_IN = 8.0, 16.0
GAP_IN = 0.08
FOOT_IN = 0.62


def draw_sheet(
    frame: FrameView,
    cameras: Sequence[CameraView],
    *,
    dataset: str,
    show_hidden: bool = True,
    color_by: str = "depth",
) -> Figure:
    """Draw the correspondences of cameras over their images.

    All images have the same scale; those of a row stand on one line.

    Args:
        frame: the frame.
        cameras: one or more of its cameras; `simipu.viz.rig.lay_out` orders them.
        dataset: name of the data set, for the head line.
        show_hidden: whether to draw the points that are behind a nearer surface.
        color_by: what the colours mean, one of `simipu.viz.paint.COLOR_BY`.

    Raises:
        StoreError: the store holds no correspondences.
        UsageError: the points lack what they are to be coloured by.
    """
    paint = Paint(frame, color_by)
    rows = lay_out(frame, cameras)
    columns = max(map(len, rows))
    width = min(max(columns * INCHES_PER_CAMERA, MIN_WIDTH_IN), MAX_WIDTH_IN)
    usable = width - 2 * MARGIN_IN - (columns - 1) * GAP_IN
    per_px = usable / max(sum(camera.width for camera in row) for row in rows)
    heights = [max(camera.height for camera in row) * per_px + TITLE_IN for row in rows]
    height = HEAD_IN + sum(heights) + FOOT_IN
    figure = new_figure(width, height)

    bottom, visible, hidden = height - HEAD_IN, 0, 0
    for row, row_height in zip(rows, heights, strict=True):
        bottom -= row_height
        taken = sum(camera.width for camera in row) * per_px + (len(row) - 1) * GAP_IN
        left = (width - taken) / 2
        for camera in row:
            size = (camera.width * per_px, camera.height * per_px)
            place = (left / width, bottom / height, size[0] / width, size[1] / height)
            axes = figure.add_axes(place, label=camera.name)
            marks = find_marks(camera, paint)
            show_image(axes, tone_down(Image.fromarray(camera.image())))
            draw_marks(axes, marks, show_hidden=show_hidden)
            captions = marks.captions(show_hidden=show_hidden)
            title_axes(axes, "   ".join((camera.name, *captions)))
            visible, hidden = visible + len(marks.uv), hidden + len(marks.hidden_uv)
            left += size[0] + GAP_IN
    write_head(figure, f"{dataset}   frame {frame.index}   {frame.id}")
    _draw_foot(figure, paint, visible, hidden if show_hidden else None)
    return figure


def _draw_foot(figure: Figure, paint: Paint, visible: int, hidden: int | None) -> None:
    width, height = figure.get_size_inches()
    key_color = NO_VALUE_COLOR if paint.by == "camera" else DEPTH.colors([KEY_DEPTH_M])[0]
    entries: list[tuple[str, tuple[int, ...], Literal["o", "x"]]] = [
        (f"visible {visible:,}", tuple(key_color), "o")
    ]
    if hidden is not None:
        entries.append((f"hidden from the camera {hidden:,}", HIDDEN_COLOR, "x"))
    draw_key(figure, (MARGIN_IN / width, 0.24 / height), entries, columns=2)
    if paint.pair_scale is not None:
        share = 0.38
        place = (1 - share - MARGIN_IN / width, 0.24 / height, share, 0.1 / height)
        draw_bar(figure, place, paint.pair_scale)
    else:
        right, text = 1 - MARGIN_IN / width, "each camera has a colour of its own"
        figure.text(right, 0.28 / height, text, ha="right", fontsize=TEXT_PT, color=FAINT)
