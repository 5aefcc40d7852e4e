"""Correspondences drawn over their image: the quickest way to see whether a calibration is right.

A depth has the same colour in every picture, so pictures of different frames and data sets can be
laid side by side. Nothing covers the image but the points; legend and identity stand below it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    import numpy.typing as npt

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

    from simipu.records import Correspondences
    from simipu.store.views import CameraView, FrameView

DEPTH_RANGE_M = (4.0, 80.0)
DEPTH_TICKS_M = (5, 10, 20, 40, 80)

# Nine samples of viridis (van der Walt and Smith, CC0): lightness grows evenly along it, so the
# order of depths survives colour blindness and grey print. Near is light, far is dark.
VIRIDIS = np.array(
    [
        (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141),
        (39, 173, 129), (92, 200, 99), (170, 220, 50), (253, 231, 37),
    ]
)  # fmt: skip
HIDDEN_COLOR = (255, 60, 170)
HIDDEN_EDGE = (20, 0, 12)
KEY_DEPTH_M = 12.0
PANEL_COLOR = (24, 26, 30)
TEXT_COLOR = (235, 235, 235)

MIN_WIDTH = 720
SUPERSAMPLING = 3
DISC_RADIUS_PX = 0.95
CROSS_REACH_PX = 1.8
CROSS_STROKE_PX = 0.75


def depth_colors(depth_m: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Map depths to colours, evenly in the logarithm of the depth over ``DEPTH_RANGE_M``.

    Args:
        depth_m: (M,) depths in metres, positive; those out of range get the colour of its end.

    Returns:
        (M, 3) uint8 RGB.
    """
    near, far = np.log(DEPTH_RANGE_M)
    position = (far - np.log(np.asarray(depth_m, dtype=np.float64))) / (far - near)
    anchors = np.linspace(0.0, 1.0, len(VIRIDIS))
    channels = [np.interp(position, anchors, channel) for channel in VIRIDIS.T]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def draw_overlay(
    camera: CameraView,
    frame: FrameView,
    *,
    dataset: str,
    scale: int = 2,
    show_hidden: bool = True,
) -> Image.Image:
    """Draw the correspondences of one camera over its image.

    The image is enlarged by ``scale`` and toned down so that the points stand out. Visible points
    are discs coloured by depth, the nearest on top; hidden points are crosses.

    Args:
        camera: the camera's view in ``frame``; its correspondences must have been computed.
        frame: the frame, for the caption.
        dataset: name of the data set, for the caption.
        scale: output pixels per image pixel, at least 1.
        show_hidden: whether to draw the points that are behind a nearer surface.

    Returns:
        An RGB picture of ``scale`` times the image's size with a panel below it; narrow images
        are padded on the right to leave room for the panel.

    Raises:
        StoreError: the store holds no correspondences.
    """
    matches = camera.correspondences
    picture = _tone_down(Image.fromarray(camera.image()), scale)
    layer = _draw_points(matches, picture.size, scale, show_hidden=show_hidden)
    picture.paste(layer, mask=layer)

    identity = f"{dataset}   {frame.id}   frame {frame.index}   {camera.name}"
    panel = _draw_panel(identity, matches, max(picture.width, MIN_WIDTH), show_hidden=show_hidden)
    canvas = Image.new("RGB", (panel.width, picture.height + panel.height), PANEL_COLOR)
    canvas.paste(picture, (0, 0))
    canvas.paste(panel, (0, picture.height))
    return canvas


def _tone_down(image: Image.Image, scale: int) -> Image.Image:
    size = (image.width * scale, image.height * scale)
    enlarged = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    grey = enlarged.convert("L").convert("RGB")
    return Image.blend(enlarged, grey, 0.6).point(lambda value: int(value * 0.75))


def _draw_points(
    matches: Correspondences, size: tuple[int, int], scale: int, *, show_hidden: bool
) -> Image.Image:
    """Draw all marks on a transparent layer, enlarged and then reduced to smooth their edges."""
    zoom = scale * SUPERSAMPLING
    layer = Image.new("RGBA", (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING))
    draw = ImageDraw.Draw(layer)
    # Integers are pixel centres, but drawing counts from the corner of the image.
    center = (np.asarray(matches.uv, dtype=np.float64) + 0.5) * zoom

    if show_hidden:
        for x, y in center[~matches.visible].tolist():
            _draw_cross(draw, x, y, zoom)
    visible = np.flatnonzero(matches.visible)
    far_to_near = visible[np.argsort(-matches.depth[visible], kind="stable")]
    colors = depth_colors(matches.depth[far_to_near])
    for (x, y), color in zip(center[far_to_near].tolist(), colors.tolist(), strict=True):
        draw.circle((x, y), DISC_RADIUS_PX * zoom, fill=tuple(color))
    return layer.reduce(SUPERSAMPLING)


def _draw_cross(draw: ImageDraw.ImageDraw, x: float, y: float, zoom: float) -> None:
    for color, margin in ((HIDDEN_EDGE, 0.3), (HIDDEN_COLOR, 0.0)):
        reach = (CROSS_REACH_PX + margin) * zoom
        width = round((CROSS_STROKE_PX + 2 * margin) * zoom)
        draw.line((x - reach, y - reach, x + reach, y + reach), fill=color, width=width)
        draw.line((x - reach, y + reach, x + reach, y - reach), fill=color, width=width)


def _draw_panel(
    identity: str, matches: Correspondences, width: int, *, show_hidden: bool
) -> Image.Image:
    """Draw the frame's identity and, below it, the key of the marks and the depth bar."""
    size = min(max(width // 85, 14), 28)
    font = ImageFont.load_default(size)
    width = max(width, round(font.getlength(identity)) + 2 * size)
    panel = Image.new("RGB", (width, 6 * size), PANEL_COLOR)
    draw = ImageDraw.Draw(panel)
    draw.text((size, 1.5 * size), identity, TEXT_COLOR, font, anchor="lm")

    visible = int(np.count_nonzero(matches.visible))
    hidden = len(matches.visible) - visible
    not_drawn = "" if show_hidden else " (not drawn)"
    x, y = size, 4 * size
    for is_hidden, label in (
        (False, f"visible {visible:,}"),
        (True, f"hidden {hidden:,}{not_drawn}"),
    ):
        mark = _draw_mark(size, hidden=is_hidden)
        panel.paste(mark, (x, y - size // 2), mask=mark)
        draw.text((x + 1.5 * size, y), label, TEXT_COLOR, font, anchor="lm")
        x += round(font.getlength(label)) + 3 * size

    bar = _draw_depth_bar(width // 3, size, font)
    panel.paste(bar, (width - bar.width, 3 * size))
    draw.text((width - bar.width + size, 3.5 * size), "depth (m)", TEXT_COLOR, font, anchor="rm")
    return panel


def _draw_mark(size: int, *, hidden: bool) -> Image.Image:
    """Draw the mark of a hidden or a visible point for the key, on a transparent square."""
    side = size * SUPERSAMPLING
    mark = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(mark)
    if hidden:
        _draw_cross(draw, side / 2, side / 2, zoom=0.22 * side)
    else:
        color = depth_colors([KEY_DEPTH_M])[0].tolist()
        draw.circle((side / 2, side / 2), 0.35 * side, fill=tuple(color))
    return mark.reduce(SUPERSAMPLING)


def _draw_depth_bar(length: int, size: int, font: Font) -> Image.Image:
    """Draw the bar of colours, with its ticks below it and a margin of 2 ``size`` either side."""
    bar = Image.new("RGB", (length + 4 * size, 3 * size), PANEL_COLOR)
    colors = depth_colors(np.geomspace(*DEPTH_RANGE_M, length))
    bar.paste(Image.fromarray(np.tile(colors, (size, 1, 1))), (2 * size, 0))
    draw = ImageDraw.Draw(bar)
    near, far = np.log(DEPTH_RANGE_M)
    for tick in DEPTH_TICKS_M:
        x = 2 * size + float((np.log(tick) - near) / (far - near)) * (length - 1)
        draw.line((x, size, x, 1.4 * size), TEXT_COLOR, width=max(size // 10, 1))
        draw.text((x, 1.6 * size), str(tick), TEXT_COLOR, font, anchor="mt")
    return bar
