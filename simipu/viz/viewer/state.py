"""What the viewer's settings mean: which points and pixels of a frame are shown, in which colours.

No window and no server: settings and arrays go in, arrays come out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from simipu.viz.viewer.colors import color_points

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simipu.viz.viewer.frame import LoadedCamera, LoadedFrame
    from simipu.viz.viewer.pick import Pick

Show = Literal["all points", "in an image", "visible", "hidden"]
ColorBy = Literal["depth", "intensity", "height", "camera"]
EVERY_DEPTH = (0.0, math.inf)
BEHIND_ALL_M = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the user has chosen.

    Attributes:
        frame: index in the store.
        cameras: the cameras that count, in the store's order.
        show: "all points", or only those that lie in an image of a chosen camera, that such a
            camera sees, or that are hidden from one.
        depth_m: nearest and farthest depth shown; `EVERY_DEPTH` for no limit. A point outside all
            images has no depth, so any limit leaves it out.
        color_by: what the points' colours mean.
        point_size_m: size of a point in the scene.
        points_on_images: whether the points are drawn on the images beside the scene.
        image_depth_m: how far in front of its camera an image stands in the scene.
        look_through: the camera whose view fills the window, or None.
        pick: the point or the pixel that is marked, or None.
    """

    frame: int
    cameras: tuple[str, ...]
    show: Show = "all points"
    depth_m: tuple[float, float] = EVERY_DEPTH
    color_by: ColorBy = "depth"
    point_size_m: float = 0.06
    points_on_images: bool = True
    image_depth_m: float = 4.0
    look_through: str | None = None
    pick: Pick | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shown:
    """The part of a frame that is shown.

    Attributes:
        rows: (K,) int64 rows of the cloud, ascending.
        colors: (K, 3) uint8 RGB.
        pairs: chosen camera -> (M,) bool, which of its correspondences are shown.
    """

    rows: npt.NDArray[np.int64]
    colors: npt.NDArray[np.uint8]
    pairs: Mapping[str, npt.NDArray[np.bool_]]

    def colors_of(self, rows: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """The colours, (M, 3), of rows of the cloud that are shown."""
        return self.colors[np.searchsorted(self.rows, rows)]


def select(frame: LoadedFrame, settings: Settings) -> Shown:
    """Apply the settings to a frame; cameras that it does not have are passed over."""
    chosen = [frame.cameras[name] for name in settings.cameras if name in frame.cameras]
    pairs = {camera.name: _shown_pairs(camera, settings) for camera in chosen}

    everywhere = settings.show == "all points" and settings.depth_m == EVERY_DEPTH
    is_shown = np.full(len(frame.xyz), everywhere)
    for camera in chosen:
        is_shown[camera.pairs.row[pairs[camera.name]]] = True
    is_shown &= np.isfinite(frame.xyz).all(axis=1)
    pairs = {camera.name: pairs[camera.name] & is_shown[camera.pairs.row] for camera in chosen}

    rows = np.flatnonzero(is_shown)
    colors = color_points(frame, chosen, pairs, settings.color_by)[rows]
    return Shown(rows=rows, colors=colors, pairs=pairs)


def image_depths(frame: LoadedFrame, settings: Settings) -> dict[str, float]:
    """Which images stand in the scene, and at which depth, in metres.

    Of a camera that is looked through, the image stands behind all points; it stands alone.
    """
    if (name := settings.look_through) is not None and name in frame.cameras:
        return {name: BEHIND_ALL_M}
    chosen = (name for name in settings.cameras if name in frame.cameras)
    return dict.fromkeys(chosen, settings.image_depth_m)


def _shown_pairs(camera: LoadedCamera, settings: Settings) -> npt.NDArray[np.bool_]:
    nearest, farthest = settings.depth_m
    shown = (camera.pairs.depth >= nearest) & (camera.pairs.depth <= farthest)
    if settings.show == "visible":
        return shown & camera.pairs.visible
    if settings.show == "hidden":
        return shown & ~camera.pairs.visible
    return shown
