"""When Waymo's cameras expose: as the top LiDAR sweeps past the middle of what they see."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sensors import CameraModel
    from .waymo_segment import Segment

SHUTTER_S = 0.003
POSE_PERIOD_S = 0.01
POSE_PHASE_S = 0.0025


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shutter:
    """The times of one image.

    A pixel u pixels from the left edge of an image of a given width is exposed about
    ``trigger + shutter / 2 + (readout_done - trigger - shutter) * u / width``.

    Attributes:
        camera: the model, with its readout time rounded as the published times are.
        first_column_s: the world's time at which the image's left edge is exposed.
        pose_time_s: the world's time that the image's pose and velocity are given for.
        shutter_s: how long each column is exposed.
        pose_s, trigger_s, readout_done_s: published.
    """

    camera: CameraModel
    first_column_s: float
    pose_time_s: float
    shutter_s: float
    pose_s: float
    trigger_s: float
    readout_done_s: float


def shutter(segment: Segment, frame: int, camera: CameraModel, period_s: float) -> Shutter:
    """Return when a camera exposes in a frame.

    Args:
        segment: which segment.
        frame: which of its frames, from 0.
        camera: the model.
        period_s: of a LiDAR's turn, which begins at the back and goes clockwise.
    """
    T = camera.T_ego_from_camera
    heading_rad = math.atan2(T[1, 2], T[0, 2])
    middle_s = period_s * (0.5 - heading_rad / (2.0 * math.pi))
    start_s = segment.start_s(frame)
    trigger_s = segment.published_s(start_s + middle_s - (camera.readout_s + SHUTTER_S) / 2.0)
    readout_done_s = trigger_s + SHUTTER_S + camera.readout_s
    # The vehicle's pose is known a hundred times a second; the one next to the image is its own.
    steps = round((middle_s - POSE_PHASE_S) / POSE_PERIOD_S)
    pose_s = segment.published_s(start_s + POSE_PHASE_S + steps * POSE_PERIOD_S)
    return Shutter(
        camera=replace(camera, readout_s=readout_done_s - trigger_s - SHUTTER_S),
        first_column_s=segment.world_s(trigger_s) + SHUTTER_S / 2.0,
        pose_time_s=segment.world_s(pose_s),
        shutter_s=SHUTTER_S,
        pose_s=pose_s,
        trigger_s=trigger_s,
        readout_done_s=readout_done_s,
    )
