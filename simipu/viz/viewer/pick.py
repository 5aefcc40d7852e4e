"""From a point to its pixels, from a pixel to its point, and from a click to either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from simipu.geometry import se3

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simipu.records import FloatArray
    from simipu.viz.viewer.frame import LoadedCamera, LoadedFrame
    from simipu.viz.viewer.state import Shown

MAX_GAP_PX = 50.0
"""A pixel farther than this from all points has no point."""
CLICK_CONE_RAD = 0.012
"""How far from the clicked line a point may lie: some 10 pixels of a usual window."""
SAME_SURFACE = 0.05
"""Points within this share of their distance count as equally near when one is clicked."""


@dataclass(frozen=True, slots=True)
class PickedPoint:
    """A point, by its row in the cloud."""

    row: int


@dataclass(frozen=True, slots=True)
class PickedPixel:
    """A pixel of the stored image of a camera."""

    camera: str
    u: float
    v: float


Pick = PickedPoint | PickedPixel


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """A point as one camera has it: pixel of the stored image, depth in metres, seen or hidden."""

    u: float
    v: float
    depth: float
    visible: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Marked:
    """What a pick marks.

    Attributes:
        pixel: the pixel picked, or None where a point was.
        row: the point picked, or nearest to the pixel picked; None where none is near enough.
        gap_px: from the pixel picked to that point's, or None.
        sights: camera -> where the point lies in its image; cameras without it are left out.
    """

    pixel: PickedPixel | None
    row: int | None
    gap_px: float | None
    sights: Mapping[str, Sight]

    def uv_in(self, camera: str) -> tuple[float, float] | None:
        """The pixel to be marked in a camera's image: the one picked, or else the point's."""
        if self.pixel is not None and self.pixel.camera == camera:
            return self.pixel.u, self.pixel.v
        sight = self.sights.get(camera)
        return None if sight is None else (sight.u, sight.v)


def mark(frame: LoadedFrame, shown: Shown, pick: Pick) -> Marked | None:
    """Find what belongs to a pick; None where the frame has no such point, camera or pixel."""
    if isinstance(pick, PickedPoint):
        if not 0 <= pick.row < len(frame.xyz):
            return None
        return Marked(pixel=None, row=pick.row, gap_px=None, sights=find_sights(frame, pick.row))
    camera = frame.cameras.get(pick.camera)
    if camera is None or not camera.contains(pick.u, pick.v):
        return None
    found = find_point(camera, shown, pick)
    if found is None:
        return Marked(pixel=pick, row=None, gap_px=None, sights={})
    row, gap_px = found
    return Marked(pixel=pick, row=row, gap_px=gap_px, sights=find_sights(frame, row))


def find_sights(frame: LoadedFrame, row: int) -> dict[str, Sight]:
    """Where a point lies in every image that it lies in, filters or not."""
    sights = {}
    for name, camera in frame.cameras.items():
        pairs = camera.pairs
        at = int(np.searchsorted(pairs.row, row))
        if at < len(pairs) and pairs.row[at] == row:
            u, v = pairs.uv[at].tolist()
            sights[name] = Sight(
                u=u, v=v, depth=float(pairs.depth[at]), visible=bool(pairs.visible[at])
            )
    return sights


def find_point(camera: LoadedCamera, shown: Shown, pixel: PickedPixel) -> tuple[int, float] | None:
    """The shown point that lies nearest to a pixel, and how far off in pixels.

    What a pixel shows is what the camera sees, so hidden points are taken only where the filters
    leave nothing else.
    """
    pairs = camera.pairs
    candidates = shown.pairs.get(camera.name, np.zeros(len(pairs), dtype=np.bool_))
    if (candidates & pairs.visible).any():
        candidates = candidates & pairs.visible
    at = np.flatnonzero(candidates)
    gaps = np.linalg.norm(pairs.uv[at] - np.array([pixel.u, pixel.v]), axis=1)
    if not len(at) or gaps.min() > MAX_GAP_PX:
        return None
    nearest = int(gaps.argmin())
    return int(pairs.row[at[nearest]]), float(gaps[nearest])


def pick_along_ray(
    frame: LoadedFrame,
    shown: Shown,
    planes_m: Mapping[str, float],
    origin: npt.ArrayLike,
    direction: npt.ArrayLike,
) -> Pick | None:
    """What lies under a click: a point, or a pixel of an image that stands in the scene.

    Args:
        frame: the frame on display.
        shown: the part of it that is shown.
        planes_m: camera -> depth, in metres, at which its image stands in the scene.
        origin: (3,) where the clicked line of sight begins, lidar frame, metres.
        direction: (3,) where it goes, lidar frame, of any length.

    Returns:
        The nearest of the images hit and of the points close to the line; None if there is none.
    """
    start, along = np.asarray(origin, np.float64), np.asarray(direction, np.float64)
    along = along / np.linalg.norm(along)
    hits = [
        hit
        for name, plane_m in planes_m.items()
        if (hit := _hit_image(frame.cameras[name], plane_m, start, along))
    ]
    distance, pixel = min(hits, key=lambda hit: hit[0], default=(np.inf, None))
    row = _point_near_ray(frame.xyz[shown.rows], start, along, distance)
    return pixel if row is None else PickedPoint(int(shown.rows[row]))


def _hit_image(
    camera: LoadedCamera, plane_m: float, origin: FloatArray, direction: FloatArray
) -> tuple[float, PickedPixel] | None:
    start = se3.apply(camera.T_camera_from_lidar, origin[None])[0]
    along = camera.T_camera_from_lidar[:3, :3] @ direction
    distance = (plane_m - start[2]) / along[2] if along[2] else -1.0
    if distance <= 0.0:
        return None
    u, v, _ = (camera.K @ (start + distance * along) / plane_m).tolist()
    return (distance, PickedPixel(camera.name, u, v)) if camera.contains(u, v) else None


def _point_near_ray(
    xyz: npt.NDArray[np.float32], origin: FloatArray, direction: FloatArray, limit_m: float
) -> int | None:
    """Of the points close to the line, the one closest to it on the nearest surface."""
    offset = xyz - origin
    along = offset @ direction
    aside = np.linalg.norm(offset - along[:, None] * direction, axis=1)
    near = np.flatnonzero((along > 0) & (along < limit_m) & (aside < CLICK_CONE_RAD * along))
    if not len(near):
        return None
    front = near[along[near] <= along[near].min() * (1 + SAME_SURFACE)]
    return int(front[(aside[front] / along[front]).argmin()])
