"""A slow reader of Waymo's files, by their description alone, and its camera model.

It is checked against the official code's results where the sample of the real data set is there.
"""

import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simipu.pipelines.synthetic.generate import Stage

STAGE = Stage()  # not the one that `generate` keeps

TOP = 1
POINT_ORDER = (1, 2, 3, 4, 5)  # TOP, FRONT, SIDE_LEFT, SIDE_RIGHT, REAR
CAMERA_NAMES = {1: "FRONT", 2: "FRONT_LEFT", 3: "FRONT_RIGHT", 4: "SIDE_LEFT", 5: "SIDE_RIGHT"}

_TABLE = []
for _byte in range(256):
    for _ in range(8):
        _byte = _byte >> 1 ^ (0x82F63B78 if _byte & 1 else 0)
    _TABLE.append(_byte)


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def records(path: Path) -> list[bytes]:
    """The payloads of a TFRecord file; every length and checksum is checked."""
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        payload = data[12 : 12 + length]
        for part, at in ((data[:8], 8), (payload, 12 + length)):
            crc = crc32c(part)
            masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32
            assert struct.unpack("<I", data[at : at + 4]) == (masked,)
        found.append(payload)
        data = data[16 + length :]
    return found


def frames(path: Path) -> list:
    from waymo_open_dataset import dataset_pb2

    return [dataset_pb2.Frame.FromString(payload) for payload in records(path)]


def matrix(compressed: bytes, *, integers: bool = False) -> np.ndarray:
    from waymo_open_dataset import dataset_pb2

    kind = dataset_pb2.MatrixInt32 if integers else dataset_pb2.MatrixFloat
    message = kind.FromString(zlib.decompress(compressed))
    values = np.array(message.data, dtype=np.int32 if integers else np.float32)
    return values.reshape(message.shape.dims)


def transform(message) -> np.ndarray:
    return np.array(message.transform).reshape(4, 4)


def by_name(messages) -> dict:
    return {message.name: message for message in messages}


class Cloud(NamedTuple):
    """The points of one laser and return, row by row; the world is the file's own."""

    image: np.ndarray  # (H, W, 4)
    pixels: np.ndarray  # (N, 2) row, column
    world: np.ndarray  # (N, 3) float64
    projections: np.ndarray  # (N, 6)


def cloud(frame, laser: int, which: int = 1) -> Cloud:
    """Points by the description of the range image, in float64."""
    calibration = by_name(frame.context.laser_calibrations)[laser]
    first = by_name(frame.lasers)[laser].ri_return1
    returned = first if which == 1 else by_name(frame.lasers)[laser].ri_return2
    image = matrix(returned.range_image_compressed)
    height, width, _ = image.shape
    if calibration.beam_inclinations:
        inclinations = list(calibration.beam_inclinations)
    else:
        low, high = calibration.beam_inclination_min, calibration.beam_inclination_max
        inclinations = [low + (high - low) * (i + 0.5) / height for i in range(height)]
    inclinations = np.array(inclinations[::-1])
    E = transform(calibration.extrinsic)
    azimuths = [
        ((width - j - 0.5) / width * 2 - 1) * np.pi - np.arctan2(E[1, 0], E[0, 0])
        for j in range(width)
    ]
    row, column = np.nonzero(image[..., 0] > 0)
    up, around = inclinations[row], np.array(azimuths)[column]
    r = image[row, column, 0].astype(np.float64)
    ray = np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)])
    vehicle = E[:3, :3] @ (r * ray) + E[:3, 3:]
    if laser == TOP:
        poses = matrix(first.range_image_pose_compressed)[row, column].astype(np.float64)
        world = np.array(
            [of_roll_pitch_yaw(*p[:3]) @ v + p[3:] for p, v in zip(poses, vehicle.T, strict=True)]
        ).reshape(-1, 3)
    else:
        T = transform(frame.pose)
        world = (T[:3, :3] @ vehicle + T[:3, 3:]).T
    projections = matrix(returned.camera_projection_compressed, integers=True)
    return Cloud(image, np.stack([row, column], axis=1), world, projections[row, column])


def of_roll_pitch_yaw(roll: float, pitch: float, yaw: float) -> np.ndarray:
    (a, b, c), (d, e, f) = np.cos([roll, pitch, yaw]), np.sin([roll, pitch, yaw])
    about_x = np.array([[1, 0, 0], [0, a, -d], [0, d, a]])
    about_y = np.array([[b, 0, e], [0, 1, 0], [-e, 0, b]])
    about_z = np.array([[c, -f, 0], [f, c, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def rows_in_world(frame) -> np.ndarray:
    """First returns of all lasers, in the order of the official point clouds."""
    return np.concatenate([cloud(frame, laser).world for laser in POINT_ORDER])


def project(frame, camera: int, points: np.ndarray, *, shutter: bool = True) -> np.ndarray:
    """Pixels, counted from the left edge, of points that stand still in the world.

    The pose is extrapolated with the velocity of the image: v along the world's axes, w about the
    vehicle's. Without the shutter, all is seen from the image's own pose.
    """
    calibration = by_name(frame.context.camera_calibrations)[camera]
    image = by_name(frame.images)[camera]
    T = transform(image.pose)
    v = np.array([image.velocity.v_x, image.velocity.v_y, image.velocity.v_z])
    w = np.array([image.velocity.w_x, image.velocity.w_y, image.velocity.w_z])
    E = transform(calibration.extrinsic)
    start = image.camera_trigger_time + image.shutter / 2
    readout = image.camera_readout_done_time - image.camera_trigger_time - image.shutter
    u = np.full(len(points), calibration.width / 2.0)
    for _ in range(25 if shutter else 1):
        t = start + readout * u / calibration.width - image.pose_timestamp
        t = t[:, None] if shutter else np.zeros((len(points), 1))
        # inv([R (I + t [w]x) | p + t v]), with a rotation of the same angle about w.
        seen = (points - T[:3, 3] - t * v) @ T[:3, :3]
        seen = seen - t * np.cross(w, seen) + t**2 / 2 * np.cross(w, np.cross(w, seen))
        seen = (seen - E[:3, 3]) @ E[:3, :3]
        uv = _lens(calibration, seen)
        u = np.where(np.isfinite(uv[:, 0]), uv[:, 0], u)
    return uv


def _lens(calibration, seen: np.ndarray) -> np.ndarray:
    f_u, f_v, c_u, c_v, k1, k2, p1, p2, k3 = calibration.intrinsic
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        x, y = -seen[:, 1] / seen[:, 0], -seen[:, 2] / seen[:, 0]
        rr = x * x + y * y
        radial = 1 + k1 * rr + k2 * rr**2 + k3 * rr**3
        bent_x = x * radial + 2 * p1 * x * y + p2 * (rr + 2 * x * x)
        bent_y = y * radial + p1 * (rr + 2 * y * y) + 2 * p2 * x * y
        uv = np.stack([f_u * bent_x + c_u, f_v * bent_y + c_v], axis=1)
        uv[(seen[:, 0] <= 0) | (np.abs(radial - 1) > 0.2)] = np.nan
    return uv
