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
REACH_DEG, STEP_DEG = 1.6, 0.1
OFFSETS_DEG = np.arange(-round(REACH_DEG / STEP_DEG), round(REACH_DEG / STEP_DEG) + 1) * STEP_DEG
WORKING_FOCAL_PX = 700.0
BLUR_DEG = 0.08
CONTRAST_DEG = 2.0
MOST_HALF_DEG = 1.0
"""Half the longest segment that is looked at: wider-spaced beams say nothing more."""
NOISE = 1.0
"""Grey levels per pixel that are no edge, however flat it is around."""
MOST_EDGES = 1200


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
        self.most_half = MOST_HALF_DEG * degree
        self.margin = int((REACH_DEG + MOST_HALF_DEG) * degree) + 2
        grey = Image.fromarray(image).convert("L").reduce(self.factor)
        smooth = np.asarray(grey.filter(ImageFilter.GaussianBlur(BLUR_DEG * degree)), np.float32)
        # Sums from the border on, across (u) and along (v): each gives means over segments.
        self.sums: list[npt.NDArray[np.floating[Any]]] = []
        for axis in (1, 0):
            slope = np.abs(np.gradient(smooth, axis=axis))
            radius = CONTRAST_DEG * degree
            usual = _blur(slope, radius)
            edge = slope / (slope + usual + NOISE)
            edge = np.pad(edge - _blur(edge, radius), self.margin)
            total = np.cumsum(edge, axis=axis, dtype=np.float64)
            self.sums.append(total if axis == 1 else total.T)

    def profiles(
        self, edges: Edges, width: int, height: int, offsets_deg: FloatArray = OFFSETS_DEG
    ) -> tuple[FloatArray, int]:
        """Sum the image's edges along the segments, moved by every pair of offsets.

        The edge that belongs to a segment crosses it somewhere, so the mean along it counts.

        Args:
            edges: of the LiDAR, in pixels of the image as stored.
            width: of that image.
            height: of that image.
            offsets_deg: (K,) by which segments are moved, along v and along u.

        Returns:
            (ROWS * COLUMNS, K, K) sums by cell of the image, offset along v and offset along u;
            and the number of segments.
        """
        size = len(offsets_deg)
        result = np.zeros((ROWS * COLUMNS, size, size))
        offset = np.rint(np.tan(np.radians(offsets_deg)) * self.focal_px).astype(int)
        count = 0
        for axis, (sums, every) in enumerate(zip(self.sums, edges, strict=True)):
            segments = every[:: len(every) // MOST_EDGES + 1]
            count += len(segments)
            u, v = segments.mean(axis=1).T
            cell = np.clip(v / height * ROWS, 0, ROWS - 1).astype(int) * COLUMNS
            cell += np.clip(u / width * COLUMNS, 0, COLUMNS - 1).astype(int)
            scaled = (segments + 0.5) / self.factor - 0.5
            middle = scaled.mean(axis=1)
            half = np.abs(scaled[:, 1, axis] - scaled[:, 0, axis]) / 2
            half = np.clip(half, 0.5, self.most_half)
            first = np.rint(middle[:, axis] - half - 0.5).astype(int)
            last = np.maximum(np.rint(middle[:, axis] + half - 0.5).astype(int), first + 1)
            high, wide = sums.shape
            places = [
                np.clip(at[:, None] + offset + self.margin, 0, limit - 1)
                for at, limit in (
                    (first, wide),
                    (last, wide),
                    (np.rint(middle[:, 1 - axis]).astype(int), high),
                )
            ]
            start, end, beside = places[0][:, None], places[1][:, None], places[2][:, :, None]
            mean = (sums[beside, end] - sums[beside, start]) / (last - first)[:, None, None]
            np.add.at(result, cell, mean if axis == 0 else mean.transpose(0, 2, 1))
        return result, count


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
