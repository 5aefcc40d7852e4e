"""Pictures of features: what is similar to a pixel or a point, and their main directions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from simipu.geometry import se3
from simipu.viz.colors import spread
from simipu.viz.feature_colors import principal_colors, similarity
from simipu.viz.figure import (
    HEAD_IN,
    MARGIN_IN,
    TITLE_IN,
    draw_bar,
    draw_discs,
    label_axes,
    new_figure,
    show_image,
    title_axes,
    write_head,
)
from simipu.viz.marks import tone_down

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simipu.viz.colors import ByteArray, Scale
    from simipu.viz.features import Features, Float32Array, ImagePoints

IMAGE_WIDTH_IN, ABOVE_WIDTH_IN = 6.4, 4.0
BAR_IN = 0.52
POINT_AREA, ABOVE_AREA = 5.0, 3.0
HEAT_ALPHA = 0.65
SHARE_SHOWN = 0.98


class Query(NamedTuple):
    """What others are compared with.

    Attributes:
        kind: "pixel" or "point".
        name: what to call it in the picture.
        uv: its pixel in the stored image.
        feature: (C,).
        point: the point itself, or that nearest to the pixel in the image: its place in
            `ImagePoints.rows`.
    """

    kind: str
    name: str
    uv: tuple[float, float]
    feature: Float32Array
    point: int


def pixel_query(image: ImagePoints, features: Features, uv: tuple[float, float]) -> Query:
    """The query for the pixel that ``features.query`` is of."""
    assert features.query is not None
    nearest = int(np.linalg.norm(image.uv - np.array(uv), axis=1).argmin())
    return Query("pixel", f"pixel {uv[0]:g},{uv[1]:g}", uv, features.query, nearest)


def point_query(image: ImagePoints, features: Features, place: int) -> Query:
    """The query for one of the points, by its place in `ImagePoints.rows`."""
    u, v = image.uv[place].tolist()
    return Query("point", f"point {image.rows[place]}", (u, v), features.points[place], place)


def draw_similarity(image: ImagePoints, features: Features, query: Query, *, head: str) -> Figure:
    """Draw how similar all pixels and points are to one of them, as the cosine of the features.

    A ring marks the query; where it is in the other's picture, it marks its partner. A cross marks
    the most similar pixel, or point, but for the query itself.

    Args:
        image: the image and its points.
        features: those behind the projection heads.
        query: what is compared with.
        head: the head line, such as the names of data set, frame and run.
    """
    to_pixels = similarity(features.grid, query.feature)
    to_points = similarity(features.points, query.feature)
    others = to_points.copy()
    if query.kind == "point":
        others[query.point] = -np.inf
    best_point = int(others.argmax())
    pixel_scale = spread(f"pixels: cosine to the {query.kind} asked for", to_pixels.ravel())
    point_scale = spread(f"points: cosine to the {query.kind} asked for", to_points)
    colors = point_scale.colors(to_points)

    page = _Page(image, rows=2, bars=True)
    figure = page.figure
    write_head(figure, f"{head}   similar to {query.name}")

    upper = page.image_axes(0, "pixels")
    _draw_heat(upper, image, pixel_scale.colors(to_pixels.ravel()).reshape(*to_pixels.shape, 3))
    if query.kind == "point":
        _draw_cross(upper, _cell_uv(image, to_pixels))
    lower = page.image_axes(1, _count(image))
    order = np.argsort(to_points, kind="stable")  # the similar ones are on top
    draw_discs(lower, image.uv[order], colors[order], area=POINT_AREA)
    _draw_cross(lower, image.uv[best_point])
    for axes in (upper, lower):
        _draw_ring(axes, query.uv)

    above = page.above_axes("points from above, as the camera looks")
    xz = camera_from_above(image)
    draw_discs(above, xz[order], colors[order], area=ABOVE_AREA)
    _draw_ring(above, xz[query.point])
    _draw_cross(above, xz[best_point])
    page.draw_bars(pixel_scale, point_scale)
    return figure


def draw_principal(
    image: ImagePoints, named: Sequence[tuple[str, Features]], *, head: str
) -> Figure:
    """Draw the main directions of both encoders' features as colours, side by side.

    See `simipu.viz.feature_colors.principal_colors`.

    Args:
        image: the image and its points.
        named: for each row, whose features they are, and those before the projection heads.
        head: the head line.
    """
    page = _Page(image, rows=len(named), columns=2, bars=False)
    write_head(page.figure, f"{head}   principal components as red, green, blue")
    for row, (name, features) in enumerate(named):
        pixels, points = principal_colors(features)
        left = page.image_axes(row, f"image encoder, {name}")
        _draw_heat(left, image, pixels)
        right = page.image_axes(row, f"point encoder, {name}   {_count(image)}", column=1)
        draw_discs(right, image.uv, points, area=POINT_AREA)
    return page.figure


def camera_from_above(image: ImagePoints) -> npt.NDArray[np.float64]:
    """Where points are as the camera sees them from above: (M, 2) to the right, and depth."""
    xyz = se3.apply(image.camera.T_camera_from_lidar, image.xyz[image.place])
    return xyz[:, [0, 2]]


class _Page:
    """Where the parts of a picture are: rows of the same image, and beside them a view from above.

    All lengths are inches from the lower left corner.
    """

    def __init__(self, image: ImagePoints, *, rows: int, columns: int = 1, bars: bool) -> None:
        view = image.view
        self._image = image
        self._size = (IMAGE_WIDTH_IN, IMAGE_WIDTH_IN * view.height / view.width)
        self._foot = BAR_IN if bars else MARGIN_IN
        self._width = columns * (IMAGE_WIDTH_IN + MARGIN_IN) + MARGIN_IN
        if bars:
            self._width += ABOVE_WIDTH_IN + MARGIN_IN
        self._height = rows * (self._size[1] + TITLE_IN) + HEAD_IN + self._foot
        self._background = tone_down(Image.fromarray(image.camera.image()))
        self.figure = new_figure(self._width, self._height)

    def image_axes(self, row: int, title: str, column: int = 0) -> Axes:
        """The image in one place, as far as the network sees it."""
        width, height = self._size
        left = MARGIN_IN + column * (width + MARGIN_IN)
        bottom = self._height - HEAD_IN - (row + 1) * (height + TITLE_IN)
        axes = self._add((left, bottom, width, height), title)
        show_image(axes, self._background)
        left_px, right_px, bottom_px, top_px = _extent(self._image)
        axes.set_xlim(left_px, right_px)
        axes.set_ylim(bottom_px, top_px)
        return axes

    def above_axes(self, title: str) -> Axes:
        """The view from above, right of the images and as high as all of them."""
        left = 2 * MARGIN_IN + self._size[0] + 0.4
        bottom, top = self._foot + 0.3, self._height - HEAD_IN - TITLE_IN
        width, height = self._width - MARGIN_IN - left, top - bottom
        axes = self._add((left, bottom, width, height), title)
        xz = camera_from_above(self._image)
        side, depth = np.quantile(np.abs(xz), SHARE_SHOWN, axis=0).tolist()
        per_inch = 1.05 * max(2 * side / width, depth / height)  # metres, the same both ways
        axes.set_xlim(-per_inch * width / 2, per_inch * width / 2)
        axes.set_ylim(0.0, per_inch * height)
        label_axes(axes, "to the right (m)", "depth (m)")
        return axes

    def draw_bars(self, pixels: Scale, points: Scale) -> None:
        """The scales of both pictures, at the foot."""
        for left, scale in ((MARGIN_IN, pixels), (MARGIN_IN + self._size[0] / 2, points)):
            length = 0.45 * self._size[0]
            place = (left / self._width, 0.22 / self._height)
            draw_bar(self.figure, (*place, length / self._width, 0.1 / self._height), scale)

    def _add(self, place: tuple[float, float, float, float], title: str) -> Axes:
        left, bottom, width, height = place
        shares = (left / self._width, bottom / self._height)
        axes = self.figure.add_axes((*shares, width / self._width, height / self._height))
        title_axes(axes, title)
        return axes


def _count(image: ImagePoints) -> str:
    return f"points ({len(image.rows):,} of {image.visible:,} visible ones)"


def _extent(image: ImagePoints) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of the view, in pixels of the stored image."""
    view = image.view
    left, top = view.left - 0.5, view.top - 0.5
    return left, left + view.width, top + view.height, top


def _cell_uv(image: ImagePoints, values: Float32Array) -> tuple[float, float]:
    """Where in the stored image the cell of the largest value is."""
    row, column = divmod(int(values.argmax()), values.shape[1])
    left, right, bottom, top = _extent(image)
    height, width = values.shape
    return (
        left + (column + 0.5) / width * (right - left),
        top + (row + 0.5) / height * (bottom - top),
    )


def _draw_heat(axes: Axes, image: ImagePoints, colors: ByteArray) -> None:
    axes.imshow(colors, extent=_extent(image), alpha=HEAT_ALPHA, interpolation="bilinear", zorder=1)


def _draw_ring(axes: Axes, place: npt.ArrayLike) -> None:
    u, v = np.asarray(place)
    for color, width in (("black", 2.6), ("white", 1.2)):
        axes.scatter(u, v, s=70, facecolors="none", edgecolors=color, linewidths=width, zorder=6)


def _draw_cross(axes: Axes, place: npt.ArrayLike) -> None:
    u, v = np.asarray(place)
    for color, width in (("black", 2.8), ("white", 1.3)):
        axes.scatter(u, v, s=36, marker="x", color=color, linewidths=width, zorder=5)
