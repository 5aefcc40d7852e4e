"""The colours of the viewer's points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simipu.viz.colors import DEPTH, NO_VALUE_COLOR, ByteArray, Scale, spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from simipu.viz.viewer.frame import LoadedCamera, LoadedFrame


def color_points(
    frame: LoadedFrame,
    cameras: Sequence[LoadedCamera],
    pairs: Mapping[str, npt.NDArray[np.bool_]],
    color_by: str,
) -> ByteArray:
    """Colour the points of a frame.

    Args:
        frame: the frame.
        cameras: those that count; a point in several of them has the colour of the first.
        pairs: camera -> (M,) bool, which of its correspondences count.
        color_by: "depth", "intensity", "height" or "camera".

    Returns:
        (N, 3) uint8 RGB, `NO_VALUE_COLOR` where a point has no such value.
    """
    values = _values_of_all(frame, color_by)
    if values is not None:
        return spread("", values).colors(values)
    colors = np.full((len(frame.xyz), 3), NO_VALUE_COLOR, dtype=np.uint8)
    for camera in reversed(cameras):
        counted = pairs[camera.name]
        rows = camera.pairs.row[counted]
        if color_by == "depth":
            colors[rows] = DEPTH.colors(camera.pairs.depth[counted])
        elif color_by == "camera":
            colors[rows] = camera.color
    return colors


def color_scale(frame: LoadedFrame, color_by: str) -> Scale | None:
    """What the colours mean; None where they tell the camera, or nothing."""
    if color_by == "depth":
        return DEPTH
    values = _values_of_all(frame, color_by)
    label = "height (m, lidar frame)" if color_by == "height" else color_by
    return None if values is None else spread(label, values)


def _values_of_all(frame: LoadedFrame, color_by: str) -> npt.NDArray[np.float32] | None:
    """The values of a quantity that a point has whether in an image or not, (N,)."""
    if color_by == "height":
        return frame.xyz[:, 2]
    return frame.intensity if color_by == "intensity" else None
