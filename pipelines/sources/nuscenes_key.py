"""What reading a frame of nuScenes needs from the tables, as small JSON values.

Mounts are shared by all frames of a scene, and files by the frames around them, so that the
frames of a whole data set fit into memory.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from simipu.records import FloatArray

Pose = tuple[float, ...]
"""Quaternion w x y z and translation x y z in metres, of a T_parent_from_child."""


class Mount(NamedTuple):
    """A calibrated sensor.

    Attributes:
        pose: T_ego_from_sensor.
        K: the nine numbers of a camera's pinhole matrix, row by row; none of a LiDAR.
    """

    pose: Pose
    K: tuple[float, ...]


class SensorFile(NamedTuple):
    """A file of a sensor.

    Attributes:
        token: of its row in sample_data.
        filename: relative to the root.
        timestamp_us: since 1970.
        size: (width, height) of an image in pixels, (0, 0) of a cloud.
        pose: T_world_from_ego at that time.
        mount: where the sensor sits.
    """

    token: str
    filename: str
    timestamp_us: int
    size: tuple[int, int]
    pose: Pose
    mount: Mount


class FrameKey(NamedTuple):
    """A frame.

    Attributes:
        attributes: the frame's texts, as in ``FRAME_ATTRIBUTES``.
        sweep: its own cloud.
        cameras: channels with an image.
        images: their images.
        past: earlier sweeps to append, the latest first.
    """

    attributes: tuple[str, ...]
    sweep: SensorFile
    cameras: tuple[str, ...]
    images: tuple[SensorFile, ...]
    past: tuple[SensorFile, ...]


FRAME_ATTRIBUTES = ("sample_token", "is_key_frame")


def pose_matrix(pose: Pose) -> FloatArray:
    """Return the (4, 4) float64 matrix of a pose.

    The quaternion is normalised first. Formula: K. Shoemake, "Animating rotation with quaternion
    curves", 1985.
    """
    quaternion = np.array(pose[:4])
    w, x, y, z = (quaternion / math.sqrt(quaternion @ quaternion)).tolist()
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), pose[4]],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x), pose[5]],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y), pose[6]],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )
