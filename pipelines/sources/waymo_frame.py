"""One frame of the Waymo Open Dataset, from what its files say to our `Frame`."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from simipu.errors import EmptyFrameError, SourceError
from simipu.geometry import se3
from simipu.records import CameraImage, Frame, LidarSweep, Shutter

from .files import DOWNLOAD_AGAIN
from .jpeg import jpeg_size
from .waymo_parts import LASERS
from .waymo_range_image import Laser

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from simipu.records import Column, FloatArray

    from .waymo_parts import CameraCalibration, FrameParts, Image


@dataclass(frozen=True, kw_only=True, slots=True)
class Assembly:
    """Makes `Frame` objects; small enough to travel to a worker.

    Attributes:
        returns: 1 for the first returns only, 2 for both.
        lasers: names of the lasers whose points are wanted.
        projections: whether Waymo's own projections become columns.
    """

    returns: int = 2
    lasers: tuple[str, ...] = tuple(LASERS.values())
    projections: bool = True

    def frame(self, parts: FrameParts, frame_id: str, path: Path) -> Frame:
        """Assemble a frame.

        All first returns come before all second ones; within a return, laser by laser in the order
        of `LASERS`, and row by row: the order of the official point clouds. The lidar frame is the
        vehicle frame at the frame's pose.

        Args:
            parts: what the files say.
            frame_id: as `Frame.id`.
            path: the frame's file, for errors.

        Raises:
            EmptyFrameError: there is no point.
            SourceError: the parts contradict each other.
        """
        start_ns = parts.timestamp_us * 1000
        return Frame(
            id=frame_id,
            lidar=LidarSweep(
                columns=self._columns(parts, frame_id, path),
                T_ego_from_lidar=np.eye(4),
                timestamp_start_ns=start_ns,
            ),
            cameras={
                name: _camera(parts, name, image, path, f"{frame_id}: image {name}")
                for name, image in parts.images.items()
            },
            T_world_from_ego=parts.T_world_from_ego,
            timestamp_ns=start_ns,
        )

    def _columns(self, parts: FrameParts, frame_id: str, path: Path) -> Mapping[str, Column]:
        clouds: list[list[Mapping[str, Column]]] = [[] for _ in range(self.returns)]
        for number, name in LASERS.items():
            images = parts.range_images.get(name)
            if name not in self.lasers or images is None:
                continue
            if name not in parts.calibration.lasers:
                raise _no_calibration(f"laser {name}", frame_id, path)
            laser = Laser(
                number=number,
                name=name,
                calibration=parts.calibration.lasers[name],
                images=images,
                poses=images.poses() if name == "TOP" else None,
                T_world_from_ego=parts.T_world_from_ego,
                path=path,
                frame=frame_id,
            )
            for which, cloud in enumerate(clouds, start=1):
                points = laser.points(which, projections=self.projections)
                if points is not None:
                    cloud.append(points)
        found = [points for cloud in clouds for points in cloud]
        if not any(len(points["x"]) for points in found):
            raise EmptyFrameError(
                f"{frame_id}: the frame has no LiDAR returns of {', '.join(self.lasers)}",
                where=path,
                fix="Official segments have such frames; they hold nothing to convert.",
            )
        return {name: np.concatenate([points[name] for points in found]) for name in found[0]}


def _camera(parts: FrameParts, name: str, image: Image, path: Path, what: str) -> CameraImage:
    calibration = parts.calibration.cameras.get(name)
    if calibration is None:
        raise _no_calibration(f"camera {name}", what, path)
    size = jpeg_size(image.jpeg, path / f"{what}.jpg")
    if size != (calibration.width, calibration.height):
        raise SourceError(
            f"{what} is {size[0]} x {size[1]} pixels, but its calibration says "
            f"{calibration.width} x {calibration.height}",
            where=path,
            fix=DOWNLOAD_AGAIN,
        )
    times = np.array([image.pose_s, image.shutter_s, image.trigger_s, image.readout_done_s])
    velocity = np.concatenate([image.velocity_m_s, image.angular_velocity_rad_s])
    if not (np.isfinite(times).all() and times[0] > 0.0 and np.isfinite(velocity).all()):
        raise SourceError(
            f"{what} has an impossible time or velocity", where=path, fix=DOWNLOAD_AGAIN
        )
    if image.readout_done_s < image.trigger_s + image.shutter_s:
        raise SourceError(
            f"{what} is read out before it is triggered and exposed", where=path, fix=DOWNLOAD_AGAIN
        )
    T_ego_from_camera = calibration.T_ego_from_camera
    T_image_from_frame = _between(image.T_world_from_ego, parts.T_world_from_ego)
    return CameraImage(
        data=image.jpeg,
        width=calibration.width,
        height=calibration.height,
        K=calibration.K,
        distortion=calibration.distortion,
        T_camera_from_lidar=se3.invert(T_ego_from_camera) @ T_image_from_frame,
        T_ego_from_camera=T_ego_from_camera,
        T_world_from_ego=image.T_world_from_ego,
        timestamp_ns=nanoseconds(image.pose_s),
        shutter=_shutter(image, calibration),
    )


def _shutter(image: Image, calibration: CameraCalibration) -> Shutter | None:
    if calibration.read_out is None:
        return None
    return Shutter(
        direction=calibration.read_out,
        start_ns=nanoseconds(image.trigger_s, image.shutter_s / 2.0),
        end_ns=nanoseconds(image.readout_done_s, -image.shutter_s / 2.0),
        # Published along the world's axes; the angular velocity is about the vehicle's.
        linear_velocity_m_s=image.velocity_m_s @ image.T_world_from_ego[:3, :3],
        angular_velocity_rad_s=image.angular_velocity_rad_s,
    )


def nanoseconds(*seconds: float) -> int:
    """Return the sum of float64 seconds in whole nanoseconds, rounded once.

    Near 1.5e9 s neighbouring float64 are 238 ns apart; that many nanoseconds are no float64 at all.
    """
    return round(sum(map(Fraction, seconds)) * 1_000_000_000)


def _between(T_world_from_a: FloatArray, T_world_from_b: FloatArray) -> FloatArray:
    """Return T_a_from_b; the world's tens of kilometres cancel before anything is rotated."""
    R_a_from_world = T_world_from_a[:3, :3].T
    T_a_from_b = np.eye(4)
    T_a_from_b[:3, :3] = R_a_from_world @ T_world_from_b[:3, :3]
    T_a_from_b[:3, 3] = R_a_from_world @ (T_world_from_b[:3, 3] - T_world_from_a[:3, 3])
    return T_a_from_b


def _no_calibration(sensor: str, what: str, path: Path) -> SourceError:
    return SourceError(f"{what}: {sensor} has no calibration", where=path, fix=DOWNLOAD_AGAIN)
