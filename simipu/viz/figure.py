"""Figures for screen and print, the same in every format, drawn with matplotlib.

Text and lines stay vectors in SVG and PDF; many points become one picture inside, as a file of a
hundred thousand circles opens nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from simipu.viz.colors import HIDDEN_COLOR
from simipu.viz.marks import JPEG, JPEG_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt
    from matplotlib.axes import Axes
    from PIL import Image

    from simipu.viz.colors import ByteArray, Scale
    from simipu.viz.marks import Marks

DPI = 150
PRINT_DPI = 250  # of pictures inside SVG and PDF
RASTER_ABOVE = 1500
"""A layer with more marks than this is a picture inside an SVG or PDF."""

DISC_AREA = 2.6
CROSS_AREA = 5.0
TEXT_PT = 8.0
MARGIN_IN, HEAD_IN, TITLE_IN = 0.15, 0.32, 0.23
INK = "#202327"
FAINT = "#8a8f98"


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty white figure that belongs to no window."""
    return Figure(figsize=(width_in, height_in), facecolor="white")


def save(figure: Figure, path: Path) -> str:
    """Write a figure in the format that the name's ending tells; the same bytes every time.

    Returns:
        Its size, in words.
    """
    kind = path.suffix.lower()
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(kind)
    with mpl.rc_context({"svg.hashsalt": "simipu", "pdf.fonttype": 42}):
        if undated:
            figure.savefig(path, dpi=PRINT_DPI, metadata=undated)
        else:
            figure.savefig(path, dpi=DPI, pil_kwargs=JPEG if kind in JPEG_SUFFIXES else {})
    width, height = figure.get_size_inches()
    if undated:
        return f"{width:.1f} x {height:.1f} in"
    return f"{round(width * DPI)} x {round(height * DPI)}"


def write_head(figure: Figure, text: str) -> None:
    """Write the line at the top, which takes `HEAD_IN`."""
    width, height = figure.get_size_inches()
    figure.text(
        MARGIN_IN / width,
        1 - 0.5 * HEAD_IN / height,
        text,
        va="center",
        fontsize=TEXT_PT + 1,
        color=INK,
        parse_math=False,  # names come from the store: a dollar in one is a dollar
    )


def title_axes(axes: Axes, text: str) -> None:
    """Write what a part of the figure is above its left corner, where it takes `TITLE_IN`."""
    axes.set_title(text, fontsize=TEXT_PT, color=INK, pad=2.5, loc="left", parse_math=False)


def label_axes(axes: Axes, x: str, y: str) -> None:
    """Give axes their names, and thin lines."""
    axes.set_xlabel(x, fontsize=TEXT_PT, color=INK, labelpad=1)
    axes.set_ylabel(y, fontsize=TEXT_PT, color=INK, labelpad=1)
    axes.tick_params(labelsize=TEXT_PT, width=0.6, length=2.5, colors=INK)
    for side in axes.spines.values():
        side.set_linewidth(0.6)
        side.set_color(FAINT)


def show_image(axes: Axes, image: Image.Image) -> None:
    """Fill the axes with an image; data coordinates are its pixels, integers at their centres."""
    axes.imshow(np.asarray(image), interpolation="antialiased")
    axes.set_axis_off()
    axes.set_xlim(-0.5, image.width - 0.5)
    axes.set_ylim(image.height - 0.5, -0.5)


def draw_discs(
    axes: Axes, xy: npt.ArrayLike, colors: ByteArray, *, area: float = DISC_AREA
) -> None:
    """Draw points; the last are on top. ``area`` is that of their squares in pt^2."""
    x, y = np.asarray(xy, dtype=np.float64).reshape(-1, 2).T
    axes.scatter(x, y, s=area, c=colors / 255.0, linewidths=0, rasterized=len(x) > RASTER_ABOVE)


def draw_crosses(axes: Axes, xy: npt.ArrayLike, *, area: float = CROSS_AREA) -> None:
    """Draw hidden points."""
    x, y = np.asarray(xy, dtype=np.float64).reshape(-1, 2).T
    axes.scatter(
        x,
        y,
        s=area,
        color=hex_of(HIDDEN_COLOR),
        marker="x",
        linewidths=0.5,
        rasterized=len(x) > RASTER_ABOVE,
    )


def draw_marks(axes: Axes, marks: Marks, *, show_hidden: bool) -> None:
    """Draw the points of an image."""
    if show_hidden:
        draw_crosses(axes, marks.hidden_uv)
    draw_discs(axes, marks.uv, marks.colors)


def draw_bar(figure: Figure, place: tuple[float, float, float, float], scale: Scale) -> None:
    """Draw what the colours mean: left, bottom, width and height in shares of the figure."""
    left, bottom, width, height = place
    axes = figure.add_axes((left, bottom, width, height))
    axes.imshow(scale.bar(256)[None], aspect="auto", extent=(0.0, 1.0, 0.0, 1.0))
    axes.set_yticks([])
    axes.set_xticks(scale.position(scale.ticks), [tick_label(tick) for tick in scale.ticks])
    axes.tick_params(labelsize=TEXT_PT, length=2.5, width=0.6, colors=INK)
    axes.set_title(scale.label, fontsize=TEXT_PT, color=INK, pad=3, loc="left")
    for side in axes.spines.values():
        side.set_visible(False)


def draw_key(
    figure: Figure,
    place: tuple[float, float],
    entries: Sequence[tuple[str, tuple[int, ...], Literal["o", "x"]]],
    *,
    columns: int = 1,
) -> None:
    """Draw a key, its lower left corner at ``place``: name, colour and mark of each entry."""
    handles = [
        Line2D([], [], color=hex_of(color), marker=mark, markersize=4, linestyle="")
        for _, color, mark in entries
    ]
    figure.legend(
        handles,
        [name for name, _, _ in entries],
        loc="lower left",
        bbox_to_anchor=place,
        ncols=columns,
        fontsize=TEXT_PT,
        labelcolor=INK,
        frameon=False,
        borderpad=0.0,
        borderaxespad=0.0,
        handletextpad=0.2,
        columnspacing=1.2,
    )


def tick_label(value: float) -> str:
    """A number as matplotlib writes it beside its axes."""
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


def hex_of(color: Sequence[int]) -> str:
    """A colour as matplotlib and SVG write it."""
    return "#{:02x}{:02x}{:02x}".format(*color)
