"""Correspondences drawn over their image: the quickest way to see whether a calibration is right.

Nothing covers the image but the points; legend and identity stand below it. Pillow alone draws it:
`simipu.viz.sheet` draws the same for print, and for several cameras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from simipu.viz.colors import DEPTH, HIDDEN_COLOR
from simipu.viz.marks import (
    CROSS_REACH_PX,
    DISC_RADIUS_PX,
    HIDDEN_EDGE,
    Marks,
    find_marks,
    tone_down,
)
from simipu.viz.paint import Paint

if TYPE_CHECKING:
    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

    from simipu.store.views import CameraView, FrameView
    from simipu.viz.colors import Scale

KEY_DEPTH_M = 12.0
PANEL_COLOR = (24, 26, 30)
TEXT_COLOR = (235, 235, 235)

MIN_WIDTH = 720
USUAL_WIDTH_PX = 1242
"""Marks are enlarged in wider images, which are looked at as small as others."""
SUPERSAMPLING = 3
CROSS_STROKE_PX = 0.75


def draw_overlay(
    camera: CameraView,
    frame: FrameView,
    *,
    dataset: str,
    scale: int = 2,
    show_hidden: bool = True,
    color_by: str = "depth",
) -> Image.Image:
    """Draw the correspondences of one camera over its image.

    The image is enlarged by ``scale`` and toned down so that the points stand out. Visible points
    are coloured discs, the nearest on top; hidden points are crosses.

    Args:
        camera: the camera's view in ``frame``; its correspondences must have been computed.
        frame: the frame, for the caption.
        dataset: name of the data set, for the caption.
        scale: output pixels per image pixel, at least 1.
        show_hidden: whether to draw the points that are behind a nearer surface.
        color_by: what the discs' colours mean, one of `simipu.viz.paint.COLOR_BY`.

    Returns:
        An RGB picture of ``scale`` times the image's size with a panel below it; narrow images
        are padded on the right to leave room for the panel.

    Raises:
        StoreError: the store holds no correspondences.
        UsageError: the points lack what they are to be coloured by.
    """
    paint = Paint(frame, color_by)
    marks = find_marks(camera, paint)
    image = Image.fromarray(camera.image())
    size = (image.width * scale, image.height * scale)
    picture = tone_down(image.resize(size, Image.Resampling.BICUBIC))
    layer = _draw_points(marks, size, scale, show_hidden=show_hidden)
    picture.paste(layer, mask=layer)

    identity = f"{dataset}   {frame.id}   frame {frame.index}   {camera.name}"
    key_color = paint.camera(camera.name) if color_by == "camera" else None
    panel = _draw_panel(
        identity,
        marks.captions(show_hidden=show_hidden),
        max(picture.width, MIN_WIDTH),
        scale=paint.pair_scale,
        key_color=key_color or tuple(DEPTH.colors([KEY_DEPTH_M])[0].tolist()),
    )
    canvas = Image.new("RGB", (panel.width, picture.height + panel.height), PANEL_COLOR)
    canvas.paste(picture, (0, 0))
    canvas.paste(panel, (0, picture.height))
    return canvas


def _draw_points(
    marks: Marks, size: tuple[int, int], scale: int, *, show_hidden: bool
) -> Image.Image:
    """Draw all marks on a transparent layer, enlarged and then reduced to smooth their edges."""
    zoom = scale * SUPERSAMPLING
    mark_zoom = zoom * max(size[0] / scale / USUAL_WIDTH_PX, 1.0)
    layer = Image.new("RGBA", (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING))
    draw = ImageDraw.Draw(layer)
    # Integers are pixel centres, but drawing counts from the corner of the image.
    if show_hidden:
        for x, y in ((marks.hidden_uv + 0.5) * zoom).tolist():
            _draw_cross(draw, x, y, mark_zoom)
    center = (marks.uv + 0.5) * zoom
    for (x, y), color in zip(center.tolist(), marks.colors.tolist(), strict=True):
        draw.circle((x, y), DISC_RADIUS_PX * mark_zoom, fill=tuple(color))
    return layer.reduce(SUPERSAMPLING)


def _draw_cross(draw: ImageDraw.ImageDraw, x: float, y: float, zoom: float) -> None:
    for color, margin in ((HIDDEN_EDGE, 0.3), (HIDDEN_COLOR, 0.0)):
        reach = (CROSS_REACH_PX + margin) * zoom
        width = round((CROSS_STROKE_PX + 2 * margin) * zoom)
        draw.line((x - reach, y - reach, x + reach, y + reach), fill=color, width=width)
        draw.line((x - reach, y + reach, x + reach, y - reach), fill=color, width=width)


def _draw_panel(
    identity: str,
    captions: tuple[str, str],
    width: int,
    *,
    scale: Scale | None,
    key_color: tuple[int, ...],
) -> Image.Image:
    """Draw the frame's identity and, below it, the key of the marks and the scale of colours."""
    size = min(max(width // 85, 14), 28)
    font = ImageFont.load_default(size)
    width = max(width, round(font.getlength(identity)) + 2 * size)
    panel = Image.new("RGB", (width, 6 * size), PANEL_COLOR)
    draw = ImageDraw.Draw(panel)
    draw.text((size, 1.5 * size), identity, TEXT_COLOR, font, anchor="lm")

    x, y = size, 4 * size
    for color, caption in zip((key_color, None), captions, strict=True):
        mark = _draw_mark(size, color)
        panel.paste(mark, (x, y - size // 2), mask=mark)
        draw.text((x + 1.5 * size, y), caption, TEXT_COLOR, font, anchor="lm")
        x += round(font.getlength(caption)) + 3 * size

    if scale is not None:
        bar = _draw_bar(scale, width // 3, size, font)
        panel.paste(bar, (width - bar.width, 3 * size))
        place = (width - bar.width + size, 3.5 * size)
        draw.text(place, scale.label, TEXT_COLOR, font, anchor="rm")
    return panel


def _draw_mark(size: int, color: tuple[int, ...] | None) -> Image.Image:
    """Draw the disc of a visible point, or the cross of a hidden one, on a transparent square."""
    side = size * SUPERSAMPLING
    mark = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(mark)
    if color is None:
        _draw_cross(draw, side / 2, side / 2, zoom=0.22 * side)
    else:
        draw.circle((side / 2, side / 2), 0.35 * side, fill=color)
    return mark.reduce(SUPERSAMPLING)


def _draw_bar(scale: Scale, length: int, size: int, font: Font) -> Image.Image:
    """Draw the bar of colours, with its ticks below it and a margin of 2 ``size`` either side."""
    bar = Image.new("RGB", (length + 4 * size, 3 * size), PANEL_COLOR)
    bar.paste(Image.fromarray(np.tile(scale.bar(length), (size, 1, 1))), (2 * size, 0))
    draw = ImageDraw.Draw(bar)
    for tick, position in zip(scale.ticks, scale.position(scale.ticks).tolist(), strict=True):
        x = 2 * size + position * (length - 1)
        draw.line((x, size, x, 1.4 * size), TEXT_COLOR, width=max(size // 10, 1))
        draw.text((x, 1.6 * size), f"{tick:g}", TEXT_COLOR, font, anchor="mt")
    return bar
