"""Velodyne scans of KITTI: little-endian float32 rows ``x y z reflectance``, without a header."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simipu.errors import SourceError

from .files import UNPACK_AGAIN, read_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from simipu.records import Column

    from .files import NumberedFiles

POINT_COLUMNS = {"x": "<f4", "y": "<f4", "z": "<f4", "intensity": "<f4"}
POINT_SUFFIX = ".bin"
BYTES_PER_POINT = 16


def check_scan(files: NumberedFiles, stem: str) -> None:
    """Check what a scan's size in bytes tells.

    Raises:
        SourceError: the file is inaccessible, empty, a Git LFS pointer, or no whole number of
            points.
    """
    files.check(stem)
    if files.sizes[stem] % BYTES_PER_POINT:
        raise _no_whole_points(files.path(stem), files.sizes[stem])


def read_scan(path: Path) -> dict[str, Column]:
    """Read a scan, bit by bit as stored.

    Returns:
        "x", "y", "z" (metres, Velodyne frame) and "intensity" (reflectance, 0 to 1): contiguous
        (N,) float32 arrays in file order.

    Raises:
        SourceError: the file is unreadable or damaged, or a value is NaN or infinite.
    """
    data = read_bytes(path)
    if len(data) % BYTES_PER_POINT:
        raise _no_whole_points(path, len(data))
    points = np.frombuffer(data, dtype="<f4").reshape(-1, len(POINT_COLUMNS))
    finite = np.isfinite(points).all(axis=1)
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise SourceError(
            f"{len(bad)} of {len(points)} points are NaN or infinite, the first in row {bad[0]}",
            where=path,
            fix=f"The official scans have none. {UNPACK_AGAIN}",
        )
    return dict(zip(POINT_COLUMNS, np.ascontiguousarray(points.T), strict=True))


def _no_whole_points(path: Path, size: int) -> SourceError:
    return SourceError(
        f"the scan is truncated or of another format: {size} bytes is not a multiple of "
        f"{BYTES_PER_POINT} (four float32 per point)",
        where=path,
        fix=UNPACK_AGAIN,
    )
