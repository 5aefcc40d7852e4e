"""One frame of a Waymo segment before it is written: the same for both versions of the format.

Numbers of cameras, lasers and object types are those of the official enumerations. Times are
published seconds (see `waymo_segment.Segment`), poses lead to the published world.

Left out of what real frames can have: labels in images, no label zones, maps, segmentations. Signs
are not labelled, the elongation is 0 throughout, and only leaves give second returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from simipu.records import FloatArray

CAMERAS = {"FRONT": 1, "FRONT_LEFT": 2, "FRONT_RIGHT": 3, "SIDE_LEFT": 4, "SIDE_RIGHT": 5}
LASERS = {"TOP": 1, "FRONT": 2, "SIDE_LEFT": 3, "SIDE_RIGHT": 4, "REAR": 5}
IMAGE_ORDER = ("FRONT", "FRONT_LEFT", "SIDE_LEFT", "FRONT_RIGHT", "SIDE_RIGHT")
LASER_ORDER = ("FRONT", "REAR", "SIDE_LEFT", "SIDE_RIGHT", "TOP")
LEFT_TO_RIGHT = 2  # of RollingShutterReadOutDirection

TIME_OF_DAY, LOCATION, WEATHER = "Day", "location_other", "sunny"

Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CameraCalibration:
    """A camera of a segment.

    Attributes:
        camera: its number.
        intrinsic: f_u f_v c_u c_v k1 k2 p1 p2 k3; the centre counts from the image's left and
            upper edge.
        T_vehicle_from_camera: (4, 4) float64; Waymo's axes, x along the optical axis, y left, z up.
        width, height: in pixels.
    """

    camera: int
    intrinsic: tuple[float, ...]
    T_vehicle_from_camera: FloatArray
    width: int
    height: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LaserCalibration:
    """A laser of a segment.

    Attributes:
        laser: its number.
        inclinations: of the rows, ascending, so the lowest row comes first, radians; empty where
            they are spaced evenly.
        inclination_min, inclination_max: edges of the lowest and of the highest row, radians.
        T_vehicle_from_lidar: (4, 4) float64.
    """

    laser: int
    inclinations: tuple[float, ...]
    inclination_min: float
    inclination_max: float
    T_vehicle_from_lidar: FloatArray


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Image:
    """An image and how it was taken.

    Attributes:
        camera: its number.
        jpeg: the encoded image.
        T_world_from_vehicle: (4, 4) float64 at the time of the pose.
        velocity_m_s: (3,) float32, of the vehicle's origin, along the world's axes.
        angular_velocity_rad_s: (3,) float64, about the vehicle's axes.
        pose_s, trigger_s, readout_done_s: published times.
        shutter_s: how long each column is exposed.
    """

    camera: int
    jpeg: bytes
    T_world_from_vehicle: FloatArray
    velocity_m_s: Float32Array
    angular_velocity_rad_s: FloatArray
    pose_s: float
    shutter_s: float
    trigger_s: float
    readout_done_s: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RangeImages:
    """The two returns of one laser in one frame.

    Attributes:
        laser: its number.
        returns: two (H, W, 4) float32: range in metres, intensity, elongation, and 1 in a no label
            zone or -1; all four -1 where nothing came back.
        projections: two (H, W, 6) int32: camera, x, y in pixels, and the same for a second
            camera; 0 where no camera sees the point.
        pose: (H, W, 6) float32, for TOP only: roll, pitch, yaw, x, y, z of the vehicle in the
            world when the pixel was measured.
    """

    laser: int
    returns: tuple[Float32Array, Float32Array]
    projections: tuple[Int32Array, Int32Array]
    pose: Float32Array | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Box:
    """A labelled object.

    Attributes:
        object_id: the same in all frames of the segment.
        type: its number.
        centre_m: (3,) float64 in the vehicle frame, at the frame's pose.
        size_m: (3,) float64 length, width, height.
        heading_rad: about z of the vehicle frame.
        velocity_m_s, acceleration_m_s2: (3,) float64 along the world's axes.
        points, top_points: returns from it, of all lasers and of TOP alone.
    """

    object_id: str
    type: int
    centre_m: FloatArray
    size_m: FloatArray
    heading_rad: float
    velocity_m_s: FloatArray
    acceleration_m_s2: FloatArray
    points: int
    top_points: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FrameContent:
    """All that is written of one frame.

    Attributes:
        context: name of the segment.
        timestamp_us: published start of the TOP sweep, microseconds.
        T_world_from_vehicle: (4, 4) float64; at the pose of the FRONT image, about mid-frame.
        cameras, lasers: calibrations, in the order of their numbers and of `LASER_ORDER`.
        images: in `IMAGE_ORDER`.
        range_images: in `LASER_ORDER`.
        boxes: by object.
    """

    context: str
    timestamp_us: int
    T_world_from_vehicle: FloatArray
    cameras: tuple[CameraCalibration, ...]
    lasers: tuple[LaserCalibration, ...]
    images: tuple[Image, ...]
    range_images: tuple[RangeImages, ...]
    boxes: tuple[Box, ...]

    def object_counts(self) -> dict[int, int]:
        """Return the number of labelled objects of each type that occurs, by type."""
        counts: dict[int, int] = {}
        for box in self.boxes:
            counts[box.type] = counts.get(box.type, 0) + 1
        return dict(sorted(counts.items()))
