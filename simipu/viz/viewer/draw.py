"""A camera's picture with its points and the marked pixel, small and fast enough for scrubbing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from simipu.viz.colors import HIDDEN_COLOR

if TYPE_CHECKING:
    from simipu.records import FloatArray
    from simipu.viz.viewer.frame import LoadedCamera
    from simipu.viz.viewer.state import Shown

DISC = np.indices((3, 3)).reshape(2, -1).T - 1
CROSS = np.array(
    [(d + thick, d * way) for d in range(-2, 3) for way in (1, -1) for thick in (0, 1)]
)
"""Two pixels thick, as the page shows pictures at about half their size."""
MARK_RADIUS_PX = 9.0


def draw_picture(
    camera: LoadedCamera,
    shown: Shown,
    *,
    points: bool,
    marked_uv: tuple[float, float] | None,
) -> npt.NDArray[np.uint8]:
    """Draw a camera's picture.

    Args:
        camera: the camera.
        shown: the part of the frame that is shown.
        points: whether to draw the points: a square in the point's colour where the camera sees
            it, the nearest on top; a cross where it does not.
        marked_uv: a pixel of the stored image to be ringed, or None.

    Returns:
        (h, w, 3) uint8 RGB of the size of ``camera.picture``.
    """
    picture = camera.picture.copy()
    if points and camera.name in shown.pairs:
        pairs, is_shown = camera.pairs, shown.pairs[camera.name]
        center = np.floor(camera.place_in_picture(pairs.uv) + 0.5).astype(np.int64)
        hidden = np.flatnonzero(is_shown & ~pairs.visible)
        _stamp(
            picture, center[hidden], CROSS, np.full((len(hidden), 3), HIDDEN_COLOR, dtype=np.uint8)
        )
        seen = np.flatnonzero(is_shown & pairs.visible)
        far_to_near = seen[np.argsort(-pairs.depth[seen], kind="stable")]
        _stamp(picture, center[far_to_near], DISC, shown.colors_of(pairs.row[far_to_near]))
    if marked_uv is not None:
        return _ring(picture, camera.place_in_picture([marked_uv])[0])
    return picture


def _stamp(
    picture: npt.NDArray[np.uint8],
    center: npt.NDArray[np.int64],
    stamp: npt.NDArray[np.int64],
    colors: npt.NDArray[np.uint8],
) -> None:
    """Colour the pixels of a stamp around each centre, (M, 2) as u, v; later ones cover earlier."""
    uv = (center[:, None] + stamp).reshape(-1, 2)
    inside = ((uv >= 0) & (uv < picture.shape[1::-1])).all(axis=1)
    u, v = uv[inside].T
    picture[v, u] = np.repeat(colors, len(stamp), axis=0)[inside]


def _ring(picture: npt.NDArray[np.uint8], center: FloatArray) -> npt.NDArray[np.uint8]:
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    at = tuple((center + 0.5).tolist())  # drawing counts from the corner of the image
    draw.circle(at, MARK_RADIUS_PX + 1, outline=(0, 0, 0), width=5)
    draw.circle(at, MARK_RADIUS_PX, outline=(255, 255, 255), width=3)
    return np.asarray(image)
