"""What both versions of the Waymo Open Dataset say of a frame, before it becomes our `Frame`.

The readers of the two formats fill these in; what they mean together is worked out once, in
`waymo_frame`. Everything is as published except for what docs/conventions.md changes at the
boundary: the axes of cameras, and the place from where pixels are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from simipu.records import FloatArray, ReadOut

CAMERAS = {1: "FRONT", 2: "FRONT_LEFT", 3: "FRONT_RIGHT", 4: "SIDE_LEFT", 5: "SIDE_RIGHT"}
"""Of CameraName; numbers above these are cameras that the perception data set does not have."""

LASERS = {1: "TOP", 2: "FRONT", 3: "SIDE_LEFT", 4: "SIDE_RIGHT", 5: "REAR"}
"""Of LaserName, in the order of the official point clouds."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CameraCalibration:
    """A camera of a segment; the fields are those of `simipu.records.CameraImage`.

    Attributes:
        read_out: order in which the lines are exposed; None: at once, or not known.
    """

    K: FloatArray
    distortion: FloatArray
    T_ego_from_camera: FloatArray
    width: int
    height: int
    read_out: ReadOut | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LaserCalibration:
    """A laser of a segment.

    Attributes:
        T_ego_from_lidar: (4, 4) float64 mounting pose.
        inclinations: (H,) float64 radians of the beams, ascending; empty where they are spaced
            evenly between the limits.
        limits: lower edge of the lowest and upper edge of the highest beam, radians; None where
            they are not given.
    """

    T_ego_from_lidar: FloatArray
    inclinations: FloatArray
    limits: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Image:
    """An image and how it was taken. Times are seconds since 1970.

    Attributes:
        jpeg: the encoded image.
        T_world_from_ego: (4, 4) float64 vehicle pose at `pose_s`.
        velocity_m_s: (3,) of the vehicle at that time, along the world's axes.
        angular_velocity_rad_s: (3,) at that time, about the vehicle's axes.
        pose_s: the time that pose and velocities hold for.
        shutter_s: how long each line is exposed.
        trigger_s, readout_done_s: begin of the first line's exposure, and end of the last line's.
    """

    jpeg: bytes
    T_world_from_ego: FloatArray
    velocity_m_s: FloatArray
    angular_velocity_rad_s: FloatArray
    pose_s: float
    shutter_s: float
    trigger_s: float
    readout_done_s: float


class RangeImages(Protocol):
    """The range images of one laser in one frame, decoded when they are asked for.

    ``which`` is 1 or 2 for the first and the second return. A range image has the channels range
    (metres; empty pixels are not positive), intensity, elongation, and whether it lies in a no
    label zone (1, or -1). None where the frame has no such image.
    """

    def values(self, which: int) -> npt.NDArray[np.float32] | None:
        """Return (H, W, 4) float32."""
        ...

    def projections(self, which: int) -> npt.NDArray[np.int32] | None:
        """Return (H, W, 6) int32: camera, x, y, and the same for a second camera; 0 for none."""
        ...

    def poses(self) -> npt.NDArray[np.float32] | None:
        """Return (H, W, 6) float32: roll, pitch, yaw, x, y, z of the vehicle at each pixel's time.

        Only TOP's are published; they are valid for both returns.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Calibration:
    """The rig of a segment, by the sensors' names."""

    cameras: Mapping[str, CameraCalibration]
    lasers: Mapping[str, LaserCalibration]


class SegmentStats(NamedTuple):
    """What a segment says of itself; "" where it does not."""

    context: str
    time_of_day: str
    location: str
    weather: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FrameParts:
    """One frame.

    Attributes:
        timestamp_us: start of the TOP sweep, microseconds since 1970.
        T_world_from_ego: (4, 4) float64; the cloud's frame is the vehicle frame at this pose. Its
            time lies within the sweep but is not published.
        images, range_images: by the sensors' names.
    """

    timestamp_us: int
    T_world_from_ego: FloatArray
    calibration: Calibration
    images: Mapping[str, Image]
    range_images: Mapping[str, RangeImages]
