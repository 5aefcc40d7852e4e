"""Mistakes in units, axes and directions, as they show in a few frames of a data set.

Real rigs pass with a wide margin. For tests of a source, not for conversions: a single frame of a
good data set may well be an exception.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simipu.correspond.compute import correspond
from simipu.correspond.policy import Policy
from simipu.geometry import se3

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from simipu.records import CameraImage, FloatArray, Frame, LidarSweep, Scan

LEAST_STEP_NS = 1_000_000
LARGEST_OFFSET_NS = 1_000_000_000
LONGEST_SWEEP_NS = 10_000_000_000
LARGEST_LEVER_M = 30.0
RANGE_M = (0.5, 500.0)
FOCAL_LENGTHS = (0.1, 20.0)
ROTATION_TOLERANCE = 1e-4
CHAIN_TOLERANCE = 1e-3


class Implausible(ValueError):
    """What looks wrong, and which mistakes look like this."""


def check_times(scan: Scan, frames: Mapping[int, Frame]) -> None:
    """Check that times ascend in every scene, by steps that can be a sensor's.

    Args:
        scan: the scan.
        frames: number of a frame in the scan -> the frame, for those that were read.

    Raises:
        Implausible: they do not.
    """
    steps = []
    number = 0
    for scene in scan.scenes:
        before: tuple[int, Frame, int] | None = None
        for _ in scene.frames:
            frame = frames.get(number)
            if frame is not None and frame.timestamp_ns is not None:
                if before is not None:
                    step = (frame.timestamp_ns - before[2]) / (number - before[0])
                    if step <= 0:
                        raise Implausible(
                            f"frame {frame.id!r} is not later than {before[1].id!r}, which comes "
                            f"before it in scene {scene.name!r} ({frame.timestamp_ns} and "
                            f"{before[2]} ns)\n  scan() must list the frames of a scene in time."
                        )
                    steps.append(step)
                before = (number, frame, frame.timestamp_ns)
            number += 1
    if steps and (step := float(np.median(steps))) < LEAST_STEP_NS:
        raise Implausible(
            f"frames follow each other after {step:.0f} ns\n  Times are nanoseconds: multiply "
            "microseconds by 1000, as integers."
        )


def check_geometry(frame: Frame) -> None:
    """Check one frame's calibration, times of its parts, and extent of its cloud.

    * Rotations are orthonormal within 1e-4.
    * Every camera's principal point is in its image, and its focal length is 0.1 to 20 times the
      image's width.
    * Sensors are at most 30 m from each other and from the ego frame's origin, half of the points
      between 0.5 and 500 m away.
    * Images are taken within one second of the sweep, and a sweep lasts at most ten.
    * Where all poses are given, they lead to the same ``T_camera_from_lidar``.

    Raises:
        Implausible: one of these does not hold.
    """
    for field, T in _transforms(frame):
        off = np.abs(T[:3, :3] @ T[:3, :3].T - np.eye(3)).max()
        _require(
            off <= ROTATION_TOLERANCE,
            frame,
            f"the rotation of {field} is orthonormal to {off:.1e} only",
            "Give rotations with seven digits or more, or normalise them.",
        )
    _check_sweep(frame)
    for name, image in frame.cameras.items():
        _check_camera(frame, name, image)
    if frame.lidar.T_ego_from_lidar is not None:
        _check_lever(frame, "lidar.T_ego_from_lidar", frame.lidar.T_ego_from_lidar)


def check_overlap(frames: Sequence[Frame]) -> None:
    """Check that, for each camera, points of some of the frames lie in its image.

    Raises:
        Implausible: there is a camera that looks away from the clouds of all frames.
    """
    everything = Policy(min_depth_m=0.1, occlusion="none", ego_points="keep")
    found: dict[str, int] = {}
    for frame in frames:
        xyz = _xyz(frame.lidar)
        for name, image in frame.cameras.items():
            pairs = correspond(
                xyz,
                T_camera_from_lidar=image.T_camera_from_lidar,
                K=image.K,
                distortion=image.distortion,
                width=image.width,
                height=image.height,
                policy=everything,
            )
            found[name] = found.get(name, 0) + len(pairs)
    for name, count in found.items():
        if not count:
            raise Implausible(
                f"no point of {len(frames)} frames lies in an image of {name}\n"
                "  T_camera_from_lidar takes lidar coordinates to the camera's (x right, y down, z "
                "forward): it may be inverted, or the axes of the camera may be others."
            )


def _check_sweep(frame: Frame) -> None:
    lidar = frame.lidar
    start_ns, end_ns = lidar.timestamp_start_ns, lidar.timestamp_end_ns
    if start_ns is not None and end_ns is not None:
        _require(
            0 <= end_ns - start_ns <= LONGEST_SWEEP_NS,
            frame,
            f"its sweep lasts {(end_ns - start_ns) / 1e9:g} s",
            "Give the first and the last firing in nanoseconds.",
        )
    distance = _ranges(lidar)
    if len(distance):
        median = float(np.median(distance))
        _require(
            RANGE_M[0] <= median <= RANGE_M[1],
            frame,
            f"half of its points are farther away than {median:g} m, half are nearer",
            "Points are metres in the lidar frame, not millimetres and not world coordinates.",
        )


def _ranges(lidar: LidarSweep) -> FloatArray:
    """Distances of the points that are returns."""
    distance: FloatArray = np.linalg.norm(_xyz(lidar).astype(np.float64), axis=1)
    return distance[np.isfinite(distance) & (distance > 0)]


def _xyz(lidar: LidarSweep) -> npt.NDArray[np.float32]:
    return np.stack([lidar.columns[axis] for axis in "xyz"], axis=1).astype(np.float32)


def _check_camera(frame: Frame, name: str, image: CameraImage) -> None:
    fx, fy, cx, cy = (float(image.K[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
    _require(
        -0.5 <= cx <= image.width - 0.5 and -0.5 <= cy <= image.height - 0.5,
        frame,
        f"the principal point of {name}, ({cx:g}, {cy:g}), is outside its image of {image.width} x "
        f"{image.height}",
        "K belongs to the image as it is stored: scale it with a resized image.",
    )
    _require(
        all(FOCAL_LENGTHS[0] <= f / image.width <= FOCAL_LENGTHS[1] for f in (fx, fy)),
        frame,
        f"the focal lengths of {name}, {fx:g} and {fy:g}, do not fit its width of {image.width}",
        "K is in pixels, not in millimetres, and of the image as it is stored.",
    )
    _check_lever(frame, f"T_camera_from_lidar of {name}", image.T_camera_from_lidar)
    if image.T_ego_from_camera is not None:
        _check_lever(frame, f"T_ego_from_camera of {name}", image.T_ego_from_camera)
    if frame.timestamp_ns is not None and image.timestamp_ns is not None:
        offset = image.timestamp_ns - frame.timestamp_ns
        _require(
            abs(offset) <= LARGEST_OFFSET_NS,
            frame,
            f"the image of {name} is {offset / 1e9:g} s from the sweep",
            "All times are nanoseconds of one clock.",
        )
    _check_chain(frame, name, image)


def _check_lever(frame: Frame, field: str, T: FloatArray) -> None:
    length = float(np.linalg.norm(T[:3, 3]))
    _require(
        length <= LARGEST_LEVER_M,
        frame,
        f"{field} moves by {length:g} m",
        "Translations are metres; T_camera_from_lidar has the motion of the ego, not its place.",
    )


def _check_chain(frame: Frame, name: str, image: CameraImage) -> None:
    lidar, camera = frame.lidar.T_ego_from_lidar, image.T_ego_from_camera
    if lidar is None or camera is None:
        return
    then, now = frame.T_world_from_ego, image.T_world_from_ego
    if (then is None) != (now is None):
        return
    motion = np.eye(4) if then is None or now is None else se3.invert(now) @ then
    off = float(np.abs(se3.invert(camera) @ motion @ lidar - image.T_camera_from_lidar).max())
    _require(
        off <= CHAIN_TOLERANCE,
        frame,
        f"T_camera_from_lidar of {name} differs by {off:g} from what the other poses say",
        "It is inv(T_world_from_ego of the image @ T_ego_from_camera) @ T_world_from_ego of the "
        "frame @ T_ego_from_lidar: the motion of the ego between sweep and image is in it.",
    )


def _transforms(frame: Frame) -> Iterator[tuple[str, FloatArray]]:
    transforms = {
        "T_world_from_ego": frame.T_world_from_ego,
        "T_ego_from_lidar": frame.lidar.T_ego_from_lidar,
    }
    for name, image in frame.cameras.items():
        transforms[f"T_camera_from_lidar of {name}"] = image.T_camera_from_lidar
        transforms[f"T_ego_from_camera of {name}"] = image.T_ego_from_camera
        transforms[f"T_world_from_ego of {name}"] = image.T_world_from_ego
    yield from ((field, T) for field, T in transforms.items() if T is not None)


def _require(condition: bool, frame: Frame, what: str, fix: str) -> None:
    if not condition:
        raise Implausible(f"frame {frame.id!r}: {what}\n  {fix}")
