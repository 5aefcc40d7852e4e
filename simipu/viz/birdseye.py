"""A frame from above: its cloud, what its cameras look at, and the vehicle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.patches import Circle, Polygon, Rectangle

from simipu.viz.colors import HIDDEN_COLOR, NO_VALUE_COLOR, VIRIDIS
from simipu.viz.figure import (
    FAINT,
    INK,
    TEXT_PT,
    draw_bar,
    draw_crosses,
    draw_discs,
    draw_key,
    hex_of,
    label_axes,
    new_figure,
    tick_label,
    write_head,
)
from simipu.viz.paint import Paint, shown_frame, shown_points
from simipu.viz.rig import frustum

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simipu.records import FloatArray
    from simipu.store.views import CameraView, FrameView

WIDTH_IN, HEIGHT_IN = 8.0, 8.9
REACHES_M = (20, 30, 40, 60, 80, 100, 150, 200)
SHARE_SHOWN = 0.95
RINGS = 4
POINT_AREA = 0.9
HIDDEN_AREA = 3.0


def draw_birdseye(
    frame: FrameView,
    cameras: Sequence[CameraView],
    *,
    dataset: str,
    show_hidden: bool = True,
    color_by: str = "depth",
) -> Figure:
    """Draw a frame from above, forward up and left to the left.

    The picture is in the ego frame, or in the lidar's where the mounting is not known. Range rings
    are about the lidar. A point is hidden if it lies in the image of at least one of the cameras,
    and none of them sees it.

    Args:
        frame: the frame.
        cameras: those of its cameras whose frusta are drawn.
        dataset: name of the data set, for the head line.
        show_hidden: whether to draw hidden points.
        color_by: what the colours mean, one of `simipu.viz.paint.COLOR_BY`; "depth" becomes the
            distance from the lidar.

    Raises:
        StoreError: the store holds no correspondences.
        UsageError: the points lack what they are to be coloured by.
    """
    paint = Paint(frame, color_by)
    name, T_shown_from_lidar = shown_frame(frame)
    xyz = shown_points(frame)
    scale, colors = paint.cloud()
    seen, hidden = seen_and_hidden(frame, cameras)
    lidar_xy = T_shown_from_lidar[:2, 3]
    reach = choose_reach(np.linalg.norm(xyz[:, :2] - lidar_xy, axis=1))

    figure = new_figure(WIDTH_IN, HEIGHT_IN)
    axes = figure.add_axes((0.09, 0.135, 0.88, 0.8))
    _prepare_axes(axes, lidar_xy, reach, name)
    if show_hidden:
        draw_crosses(axes, _above(xyz[hidden]), area=HIDDEN_AREA)
    order = np.argsort(xyz[:, 2], kind="stable")  # from above the highest is on top
    order = order[~hidden[order]]
    draw_discs(axes, _above(xyz[order]), colors[order], area=POINT_AREA)
    _draw_frusta(axes, frame, cameras, paint, reach / 3)
    _draw_vehicle(axes, frame, name)

    write_head(figure, f"{dataset}   frame {frame.index}   {frame.id}")
    not_drawn = "" if show_hidden else " (not drawn)"
    key_color = NO_VALUE_COLOR if scale is None else tuple(VIRIDIS[len(VIRIDIS) // 2].tolist())
    in_colors = "" if scale is not None else " in its colour"
    entries: list[tuple[str, tuple[int, ...], Literal["o", "x"]]] = [
        (
            f"in no image {np.count_nonzero(~seen & ~hidden):,}, "
            f"seen by a camera {np.count_nonzero(seen):,}{in_colors}",
            key_color,
            "o",
        ),
        (f"hidden {np.count_nonzero(hidden):,}{not_drawn}", HIDDEN_COLOR, "x"),
    ]
    draw_key(figure, (0.09, 0.025), entries)
    if scale is not None:
        draw_bar(figure, (0.5, 0.035, 0.47, 0.014), scale)
    return figure


def seen_and_hidden(
    frame: FrameView, cameras: Sequence[CameraView]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which points, (N,) bool, one of the cameras sees, and which are in images but never seen."""
    seen, in_image = np.zeros((2, len(frame.points)), dtype=np.bool_)
    for camera in cameras:
        matches = camera.correspondences
        in_image[matches.row] = True
        seen[matches.row[matches.visible]] = True
    return seen, in_image & ~seen


def choose_reach(range_m: FloatArray) -> float:
    """How far a picture of points at these distances, (N,), should reach, in metres."""
    finite = range_m[np.isfinite(range_m)]
    needed = np.quantile(finite, SHARE_SHOWN) if len(finite) else 0.0
    return float(next((reach for reach in REACHES_M if reach >= needed), REACHES_M[-1]))


def _above(xyz: FloatArray) -> FloatArray:
    """Where points are on paper: left is -y, up is x."""
    return np.stack([-xyz[:, 1], xyz[:, 0]], axis=1)


def _prepare_axes(axes: Axes, lidar_xy: FloatArray, reach: float, name: str) -> None:
    x, y = -lidar_xy[1], lidar_xy[0]
    axes.set_aspect("equal")
    axes.set_xlim(x - reach, x + reach)
    axes.set_ylim(y - reach, y + reach)
    axes.xaxis.set_major_formatter(lambda value, _: tick_label(0.0 - value))  # y grows to the left
    label_axes(axes, f"y, {name} frame (m)", f"x, {name} frame (m)")
    for number in range(1, RINGS + 1):
        radius = reach * number / RINGS
        ring = Circle((x, y), radius, fill=False, color=FAINT, linewidth=0.5, zorder=0.5)
        axes.add_patch(ring)
        if number < RINGS:
            axes.annotate(
                f"{radius:g} m",
                (x + radius * np.sin(0.3), y - radius * np.cos(0.3)),
                fontsize=TEXT_PT - 1,
                color=INK,
                ha="center",
                va="center",
                zorder=4,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8},
            )


def _draw_frusta(
    axes: Axes, frame: FrameView, cameras: Sequence[CameraView], paint: Paint, reach_m: float
) -> None:
    for camera in cameras:
        color = hex_of(paint.camera(camera.name))
        corners = _above(frustum(frame, camera, reach_m))
        axes.add_patch(
            Polygon(corners, closed=True, facecolor=color, alpha=0.12, linewidth=0, zorder=2)
        )
        axes.add_patch(
            Polygon(corners, closed=True, fill=False, edgecolor=color, linewidth=1.2, zorder=3)
        )
        label = corners[1:].mean(axis=0)
        axes.annotate(
            camera.name,
            tuple(label),
            fontsize=TEXT_PT - 1,
            color=INK,
            ha="center",
            va="center",
            zorder=5,
            parse_math=False,
            bbox={"facecolor": "white", "edgecolor": color, "linewidth": 0.8, "pad": 1.5},
        )


def _draw_vehicle(axes: Axes, frame: FrameView, name: str) -> None:
    box = frame.store.attributes["source"].get("ego_box_m")
    if box is not None and name == "ego":
        x_min, y_min, _, x_max, y_max, _ = box
        body = Rectangle(
            (-y_max, x_min), y_max - y_min, x_max - x_min, facecolor="white", edgecolor=INK
        )
        body.set(linewidth=0.8, zorder=3.5)
        axes.add_patch(body)
