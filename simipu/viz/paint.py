"""Which colour each point of a frame has, and what the colours mean."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from simipu.errors import UsageError
from simipu.geometry import se3
from simipu.viz.colors import (
    DEPTH,
    NO_VALUE_COLOR,
    ByteArray,
    Scale,
    camera_color,
    distance_scale,
    spread,
)

if TYPE_CHECKING:
    from simipu.records import Correspondences, FloatArray
    from simipu.store.views import CameraView, FrameView

COLOR_BY = ("depth", "intensity", "height", "time", "camera")
TIME_COLUMN = "time_offset_s"
_NO_TIME = (
    "Points know their times where sweeps were joined: simipu-prep nuscenes --accumulate N; "
    "or where a source of your own yields such a column."
)


class Paint:
    """The colours of a frame's points, in its images and from above.

    Args:
        frame: the frame.
        by: one of `COLOR_BY`.

    Raises:
        UsageError: the points lack what they are to be coloured by.
    """

    def __init__(self, frame: FrameView, by: str = "depth") -> None:
        self.frame = frame
        self.by = by
        self.pair_scale = DEPTH if by == "depth" else self._cloud[0]
        """What the colours in an image mean; None if they tell the camera."""

    def pairs(self, camera: CameraView, matches: Correspondences) -> ByteArray:
        """The colours, (M, 3), of the points in an image."""
        if self.by == "depth":
            return DEPTH.colors(matches.depth)
        if self.by == "camera":
            return _repeat(self.camera(camera.name), len(matches.row))
        return self._cloud[1][matches.row]

    def cloud(self) -> tuple[Scale | None, ByteArray]:
        """What the colours of the cloud mean, and those, (N, 3), of all points.

        Depth is that from one camera: here it is the range, the distance from the lidar. A point
        that several cameras see has the colour of the first of them.
        """
        return self._cloud

    def camera(self, name: str) -> tuple[int, int, int]:
        """The colour of a camera."""
        return camera_color(self.frame.store.cameras, name)

    @cached_property
    def _cloud(self) -> tuple[Scale | None, ByteArray]:
        points = self.frame.points
        if self.by == "camera":
            return None, self._seen_by()
        if self.by == "depth":
            scale = distance_scale("range (m)")
            values = np.linalg.norm(points.xyz.astype(np.float64), axis=1)
        elif self.by == "height":
            name = shown_frame(self.frame)[0]
            values = shown_points(self.frame)[:, 2]
            scale = spread(f"height, {name} frame (m)", values)
        elif self.by == "time":
            values = 1e3 * self._column(TIME_COLUMN, _NO_TIME)
            scale = spread("time offset (ms)", values, whole=True)
        else:
            values = self._column("intensity", "The source of this store has none.")
            scale = spread("intensity", values)
        return scale, scale.colors(values)

    def _seen_by(self) -> ByteArray:
        colors = _repeat(NO_VALUE_COLOR, len(self.frame.points))
        for name, camera in reversed(list(self.frame.cameras.items())):
            matches = camera.correspondences
            colors[matches.row[matches.visible]] = self.camera(name)
        return colors

    def _column(self, name: str, fix: str) -> FloatArray:
        points = self.frame.points
        if name not in points.columns:
            raise UsageError(
                f"the points have no {self.by}: there is no column {name!r} among "
                f"{', '.join(points.columns)}",
                where=f"--color {self.by}",
                fix=fix,
            )
        return points[name].astype(np.float64)


def _repeat(color: tuple[int, int, int], count: int) -> ByteArray:
    return np.tile(np.array(color, dtype=np.uint8), (count, 1))


def shown_frame(frame: FrameView) -> tuple[str, FloatArray]:
    """The frame that pictures from above are drawn in, "ego" or "lidar", and the way to it."""
    T_ego_from_lidar = frame.points.T_ego_from_lidar
    return ("lidar", np.eye(4)) if T_ego_from_lidar is None else ("ego", T_ego_from_lidar)


def shown_points(frame: FrameView) -> FloatArray:
    """The cloud, (N, 3) metres, in that frame; NaN for firings without a finite return."""
    xyz = frame.points.xyz.astype(np.float64)
    xyz[~np.isfinite(xyz).all(axis=1)] = np.nan
    return se3.apply(shown_frame(frame)[1], xyz)
