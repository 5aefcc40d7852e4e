"""What a data set's reader yields: one synchronised frame with its calibration.

Frames of reference, units and pixel convention are those of ``docs/conventions.md``: metres,
nanoseconds, ``T_dst_from_src`` (4, 4) float64 acting on column vectors, ego x forward / y left /
z up, camera x right / y down / z forward, and pixel (0, 0) is the *centre* of the top left pixel.
A value that the source does not have is ``None``; it is never invented.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping

FloatArray = npt.NDArray[np.float64]
Column = npt.NDArray[np.generic]
ReadOut = Literal["top_to_bottom", "left_to_right", "bottom_to_top", "right_to_left"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shutter:
    """A rolling shutter: the lines of an image are exposed one after the other.

    Attributes:
        direction: the order of the lines.
        start_ns, end_ns: middle of the exposure at the image's first and last edge in that order.
        linear_velocity_m_s: (3,) float64 of the ego frame's origin at the image's timestamp,
            expressed in the ego frame at that time.
        angular_velocity_rad_s: (3,) float64 of the ego frame, likewise.
    """

    direction: ReadOut
    start_ns: int
    end_ns: int
    linear_velocity_m_s: FloatArray
    angular_velocity_rad_s: FloatArray


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CameraImage:
    """One encoded image and the geometry that ties it to the frame's point cloud.

    Attributes:
        data: the source's own PNG or JPEG bytes, unchanged.
        width, height: size of the decoded image in pixels.
        K: (3, 3) float64 pinhole matrix of the image as stored.
        distortion: (5,) float64 Brown coefficients k1 k2 p1 p2 k3; zeros for a rectified image.
        T_camera_from_lidar: (4, 4) float64, the lidar frame at the sweep's time to the camera
            frame at the image's time; ego motion between the two is already in it where known.
        T_ego_from_camera: (4, 4) float64 mounting pose, or None.
        T_world_from_ego: (4, 4) float64 ego pose at the image's time, or None.
        timestamp_ns: capture time, or None. Of an image with a rolling shutter, the time at which
            the poses hold.
        id: the source's own name of the image; "" where it has none.
        shutter: the rolling shutter; None for a global one, or where nothing is known.
    """

    data: bytes
    width: int
    height: int
    K: FloatArray
    distortion: FloatArray
    T_camera_from_lidar: FloatArray
    T_ego_from_camera: FloatArray | None = None
    T_world_from_ego: FloatArray | None = None
    timestamp_ns: int | None = None
    id: str = ""
    shutter: Shutter | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LidarSweep:
    """One point cloud, column by column.

    Attributes:
        columns: name -> (N,) array; always "x", "y", "z" (float32, metres, lidar frame), then
            every further column that the source has, in its own dtype.
        T_ego_from_lidar: (4, 4) float64 mounting pose, or None.
        timestamp_ns: the time that the cloud stands for, or None.
        timestamp_start_ns, timestamp_end_ns: first and last firing of the sweep, or None.
    """

    columns: Mapping[str, Column]
    T_ego_from_lidar: FloatArray | None = None
    timestamp_ns: int | None = None
    timestamp_start_ns: int | None = None
    timestamp_end_ns: int | None = None

    def __len__(self) -> int:
        return len(self.columns["x"])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Frame:
    """One moment: a sweep and the images that belong to it.

    Attributes:
        id: the source's own name of the frame, unique in its data set.
        lidar: the sweep.
        cameras: camera name -> image; a camera without an image at this moment is left out.
        T_world_from_ego: (4, 4) float64 ego pose at the sweep's time, or None.
        timestamp_ns: the frame's time, or None.
        attributes: text for each name in ``SourceInfo.frame_attributes``, such as the tokens by
            which the source's own annotations are found.
    """

    id: str
    lidar: LidarSweep
    cameras: Mapping[str, CameraImage]
    T_world_from_ego: FloatArray | None = None
    timestamp_ns: int | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameRef:
    """A frame that has not been read yet, with bounds known without decoding it.

    Attributes:
        id: as ``Frame.id``.
        max_points: upper bound of the number of points.
        max_image_bytes: upper bound of the encoded bytes of all its images together.
        source_bytes: about how much there is to read, where the bounds say little about it: tasks
            are cut by it.
        key: whatever the source needs to read it, and whatever else decides what is read: small
            JSON values. A frame whose key has changed is converted again.
    """

    id: str
    max_points: int
    max_image_bytes: int
    source_bytes: int | None = None
    key: tuple[object, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """Frames that belong together, in order.

    Attributes:
        name: unique in the data set.
        split: the source's own partition, "" where it names none.
        frames: the frames.
        attributes: what else the source says of the scene, such as its place and weather.
    """

    name: str
    split: str
    frames: tuple[FrameRef, ...]
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """A frame left out, and why. ``expected``: a gap that the official data set is known for."""

    frame_id: str
    path: str
    reason: str
    expected: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """What a source found on disk."""

    scenes: tuple[Scene, ...]
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceInfo:
    """What a store keeps of where its data came from.

    Attributes:
        name: the data set, e.g. "kitti-raw".
        licence: the licence of the data, as its owner names it.
        cameras: every camera that may occur, in order.
        point_columns: column name -> NumPy dtype string, e.g. {"x": "<f4"}; the columns, in order,
            and types of the source's own point files, so that these can be written back.
        point_suffix: file name ending of the source's point files.
        notes: what the source lacks or how a value was derived, in sentences.
        options: reader options that change what is read.
        frame_attributes: names of the texts that every frame carries.
        policy: fields of the correspondence policy whose default is another for this data set.
        projection_cameras: camera name -> its number in the point columns that hold the data set's
            own projection (see `simipu.correspond.compute.PUBLISHED`).
        ego_box_m: body of the recording vehicle in the ego frame, x_min, y_min, z_min, x_max,
            y_max, z_max: points in it are its own returns. None where it is not known.
        lidar_origins_m: value of the point column "laser" -> where that laser stands in the lidar
            frame; a laser that is not named, and every point where there are none, measures from
            the frame's origin. Centimetres do not matter: it tells to which side near surfaces
            shift in an image (see `simipu.correspond.occlusion`).
    """

    name: str
    licence: str
    cameras: tuple[str, ...]
    point_columns: Mapping[str, str]
    point_suffix: str
    notes: tuple[str, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)
    frame_attributes: tuple[str, ...] = ()
    policy: Mapping[str, object] = field(default_factory=dict)
    projection_cameras: Mapping[str, int] = field(default_factory=dict)
    ego_box_m: tuple[float, float, float, float, float, float] | None = None
    lidar_origins_m: Mapping[int, tuple[float, float, float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Correspondences:
    """The points of one sweep that lie in one image.

    Attributes:
        row: (M,) uint32 row in the sweep, ascending.
        uv: (M, 2) float32 pixels of the image as stored, integers at pixel centres.
        depth: (M,) float32 metres along the optical axis.
        visible: (M,) bool; False: behind a nearer surface as seen from the camera.
    """

    row: npt.NDArray[np.uint32]
    uv: npt.NDArray[np.float32]
    depth: npt.NDArray[np.float32]
    visible: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.row)
