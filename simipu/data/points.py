"""The points of a frame that one camera's image covers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Collection

    from simipu.records import Column
    from simipu.store.reader import Store
    from simipu.store.views import PointCloud

Float32Array = npt.NDArray[np.float32]


class CameraPoints:
    """The points of one camera's correspondences, in their order, column by column.

    A lidar turns: a camera sees a stretch of its sweep, or of each ring of it. What lies before the
    first of the points and behind the last is not decoded.

    Args:
        store: the store.
        frame: index of the frame.
        rows: (M,) rows of the points in the frame's cloud.
    """

    def __init__(self, store: Store, frame: int, rows: npt.NDArray[np.uint32]) -> None:
        first, stop = (int(rows.min()), int(rows.max()) + 1) if len(rows) else (0, 0)
        start = int(store.table("lidar/start")[frame])
        self._extent = start + first, start + stop
        self._rows = rows.astype(np.intp) - first  # NumPy's own index type selects faster
        self._store = store
        self._columns: dict[str, Column] = {}

    @property
    def columns(self) -> Collection[str]:
        """Names of the columns."""
        return self._store.point_columns

    def __getitem__(self, name: str) -> Column:
        """One column, (M,) in its own dtype."""
        if name not in self._columns:
            array = self._store.array(f"lidar/points/{name}")
            self._columns[name] = array.read(*self._extent)[self._rows]
        return self._columns[name]

    def coordinates(self, *places: npt.NDArray[np.intp]) -> list[Float32Array]:
        """(n, 3) coordinates of the points at each of ``places``."""
        found = [np.empty((len(place), 3), dtype=np.float32) for place in places]
        for axis, name in enumerate("xyz"):
            for out, place in zip(found, places, strict=True):
                out[:, axis] = self[name][place]
        return found


def standardised_intensity(
    points: PointCloud | CameraPoints, rows: npt.NDArray[np.uint32 | np.intp]
) -> Float32Array:
    """Intensity with mean 0 and deviation 1 over ``rows``: every sensor has its own unit."""
    if "intensity" not in points.columns:
        return np.zeros((len(rows), 1), dtype=np.float32)
    values = points["intensity"][rows].astype(np.float32)[:, None]
    if len(values):
        values -= values.mean()
        deviation = np.sqrt(np.vdot(values, values) / np.float32(len(values)))
        values /= max(deviation, np.float32(1e-6))
    return values
