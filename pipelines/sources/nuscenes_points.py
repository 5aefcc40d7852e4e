"""nuScenes' point clouds: little-endian float32 rows ``x y z intensity ring``, without a header."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from simipu.correspond.compute import in_ego_box
from simipu.errors import SourceError
from simipu.geometry import se3

from .files import UNPACK_AGAIN, read_bytes
from .nuscenes_key import pose_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from simipu.records import Column

    from .nuscenes_key import SensorFile

Cloud = npt.NDArray[np.float32]

COLUMNS = ("x", "y", "z", "intensity", "ring")
TIME_OFFSET = "time_offset_s"
SUFFIX = ".pcd.bin"
BYTES_PER_POINT = 4 * len(COLUMNS)

EGO_BOX_M = (-0.75, -1.0, 0.2, 3.5, 1.0, 2.0)
"""The recording car in the ego frame, which lies on the ground below its rear axle.

Both cars are a Renault Zoe (H. Caesar et al., "nuScenes", CVPR 2020, section 3.1). By
published figures it is 4.08 m long, 1.73 m wide without mirrors and 1.56 m high, with 2.59 m
between the axles. The box has 0.75 m behind the rear axle and 0.91 m before the front one, and 1 m
on either side; it begins above the road, and ends above the LiDAR, where firings without a return
are.
"""


def read_columns(path: Path) -> dict[str, Column]:
    """Read a cloud, bit by bit as stored.

    Values that are not finite are kept: they can be no correspondence, but the file has them.

    Returns:
        `COLUMNS`: contiguous (N,) float32 arrays in file order; x, y, z in metres in the frame of
        LIDAR_TOP, intensity 0 to 255, ring 0 (lowest) to 31.

    Raises:
        SourceError: the file is unreadable, or no whole number of points.
    """
    return _columns(_read(path), COLUMNS)


def read_accumulated(
    root: Path, sweep: SensorFile, past: Sequence[SensorFile]
) -> dict[str, Column]:
    """Read a cloud and append earlier ones, brought to its frame by the ego's motion.

    What moves by itself stays where the earlier sweep met it. The car's own returns in the
    earlier clouds (see `EGO_BOX_M`) are left out: they would trail behind it.

    Args:
        root: folder of the data set.
        sweep: the cloud; its points come first.
        past: earlier ones.

    Returns:
        `COLUMNS` and `TIME_OFFSET`: (N,) float32 seconds from the sweep to the point's own, 0 or
        less.

    Raises:
        SourceError: as `read_columns`.
    """
    T_lidar_from_world = se3.invert(pose_matrix(sweep.pose) @ pose_matrix(sweep.mount.pose))
    clouds = [_with_time(_read(root / sweep.filename), 0.0)]
    for file in past:
        cloud = _read(root / file.filename)
        T_ego_from_past = pose_matrix(file.mount.pose)
        T_lidar_from_past = T_lidar_from_world @ pose_matrix(file.pose) @ T_ego_from_past
        with np.errstate(invalid="ignore", over="ignore"):  # of values that are not finite
            cloud = cloud[~in_ego_box(cloud[:, :3], T_ego_from_past, EGO_BOX_M)]
            cloud[:, :3] = se3.apply(T_lidar_from_past, cloud[:, :3])
        clouds.append(_with_time(cloud, (file.timestamp_us - sweep.timestamp_us) * 1e-6))
    return _columns(np.concatenate(clouds), (*COLUMNS, TIME_OFFSET))


def _read(path: Path) -> Cloud:
    data = read_bytes(path)
    check_size(len(data), path)
    return np.frombuffer(data, dtype="<f4").reshape(-1, len(COLUMNS))


def check_size(size: int, path: Path) -> None:
    """Check that a file of so many bytes can be a cloud.

    Raises:
        SourceError: it is no whole number of points.
    """
    if size % BYTES_PER_POINT:
        raise SourceError(
            f"the cloud is truncated or of another format: {size} bytes is not a multiple of "
            f"{BYTES_PER_POINT} (five float32 per point)",
            where=path,
            fix=UNPACK_AGAIN,
        )


def _with_time(cloud: Cloud, offset_s: float) -> Cloud:
    return np.column_stack([cloud, np.full(len(cloud), offset_s, dtype="<f4")])


def _columns(cloud: Cloud, names: Sequence[str]) -> dict[str, Column]:
    return dict(zip(names, np.ascontiguousarray(cloud.T), strict=True))
