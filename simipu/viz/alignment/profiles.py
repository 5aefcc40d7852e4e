"""How strong the edges of an image are around the places where the LiDAR expects one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from simipu.records import FloatArray
    from simipu.viz.alignment.edges import Edges

COLUMNS, ROWS = 8, 6
"""Cells of an image: all places in one move alike under a small rotation."""
REACH_DEG, STEP_DEG = 2.0, 0.05
OFFSETS_DEG = np.arange(-round(REACH_DEG / STEP_DEG), round(REACH_DEG / STEP_DEG) + 1) * STEP_DEG
WORKING_FOCAL_PX = 700.0
BLUR_DEG = 0.08
CONTRAST_DEG = 2.0
NOISE = 1.0
"""Grey levels per pixel that are no edge, however flat it is around."""


class Gradients:
    """How strong an image's edges are, from 0 to 1, minus what is usual around them.

    A strength is the slope of the smoothed grey image over itself and the mean slope around it: a
    wall in shadow counts as much as a tree in the sun.

    Args:
        image: (H, W, 3) uint8.
        focal_px: focal length of the image; lengths above in degrees become pixels with it.
    """

    def __init__(self, image: npt.NDArray[np.uint8], focal_px: float) -> None:
        self.factor = max(1, round(focal_px / WORKING_FOCAL_PX))
        self.focal_px = float(focal_px) / self.factor
        degree = float(np.radians(1.0)) * self.focal_px
        grey = Image.fromarray(image).convert("L").reduce(self.factor)
        smooth = np.asarray(grey.filter(ImageFilter.GaussianBlur(BLUR_DEG * degree)), np.float32)
        self.maps: list[npt.NDArray[np.floating[Any]]] = []
        for axis in (1, 0):
            slope = np.abs(np.gradient(smooth, axis=axis))
            radius = CONTRAST_DEG * degree
            usual = _blur(slope, radius)
            edge = slope / (slope + usual + NOISE)
            self.maps.append(edge - _blur(edge, radius))

    def profiles(self, edges: Edges, width: int, height: int) -> FloatArray:
        """Sum the edges' strength around the places of depth edges, by cell of the image.

        Args:
            edges: of the LiDAR, in pixels of the image as stored.
            width: of that image.
            height: of that image.

        Returns:
            (2, ROWS * COLUMNS, len(OFFSETS_DEG) + 1): across side edges, then top edges; the last
            entry counts the places.
        """
        result = np.zeros((2, ROWS * COLUMNS, len(OFFSETS_DEG) + 1))
        offset = np.tan(np.radians(OFFSETS_DEG)) * self.focal_px
        for kind, (strength, places) in enumerate(zip(self.maps, edges, strict=True)):
            u, v = places.T
            cell = np.clip(v / height * ROWS, 0, ROWS - 1).astype(int) * COLUMNS
            cell += np.clip(u / width * COLUMNS, 0, COLUMNS - 1).astype(int)
            x, y = ((axis + 0.5) / self.factor - 0.5 for axis in (u, v))
            zero = np.zeros_like(offset)
            column = np.rint(x[:, None] + (zero if kind else offset)).astype(int)
            row = np.rint(y[:, None] + (offset if kind else zero)).astype(int)
            high, wide = strength.shape
            inside = (column >= 0) & (column < wide) & (row >= 0) & (row < high)
            values = strength[np.where(inside, row, 0), np.where(inside, column, 0)] * inside
            np.add.at(result[kind, :, :-1], cell, values)
            np.add.at(result[kind, :, -1], cell, 1)
        return result


def _blur(values: npt.NDArray[np.floating[Any]], radius: float) -> npt.NDArray[np.floating[Any]]:
    """Mean over a square around every pixel, by running sums; the border is repeated."""
    reach = max(1, round(radius))
    for axis in (0, 1):
        widths = [(0, 0), (0, 0)]
        widths[axis] = (reach + 1, reach)
        total = np.cumsum(np.pad(values, widths, mode="edge"), axis=axis, dtype=np.float64)
        size = values.shape[axis]
        ahead = total.take(range(2 * reach + 1, 2 * reach + 1 + size), axis=axis)
        values = (ahead - total.take(range(size), axis=axis)) / (2 * reach + 1)
    return values
