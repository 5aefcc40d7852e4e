"""One moment of the KITTI car: its scan, its images and the truth of both, as both layouts need."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from . import camera as camera_model
from . import lidar, truth, visibility
from .rowwise import transformed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from simipu.records import FloatArray

    from .generate import Scenery
    from .sensors import CameraModel, LidarModel

_PNG_LEVEL = 1
"""Of zlib. A level of 6 takes two to three times as long, for files a fifth smaller."""
_PNG_SUB = 1
"""The filter that writes each byte as its difference to the same channel's, one pixel before."""


_FARTHEST_M = 80.0
"""The official files hold no return from beyond, although the scanner has some."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Moment:
    """What the sensors saw.

    Attributes:
        sweep: the returns, in the order of the official files.
        images: camera name -> image.
        truths: camera name -> where the returns are in it; empty where no truth was asked for.
    """

    sweep: lidar.Sweep
    images: Mapping[str, camera_model.Image]
    truths: Mapping[str, truth.CameraTruth]


def observe(
    scenery: Scenery,
    scanner: LidarModel,
    cameras: Mapping[str, CameraModel],
    *,
    start_s: float,
    exposures_s: Mapping[str, float],
    rng: np.random.Generator,
    with_truth: bool,
) -> Moment:
    """Scan and photograph.

    Args:
        scenery: the world.
        scanner: the LiDAR.
        cameras: name -> camera.
        start_s: start of the sweep.
        exposures_s: camera name -> time of its image.
        rng: for the LiDAR's noise.
        with_truth: whether to find the returns in the images.
    """
    ego = scenery.world.ego
    sweep = _in_file_order(lidar.scan(scenery.caster, scanner, ego, start_s, rng), scanner)
    images = {
        name: camera_model.take(scenery.caster, scenery.look, camera, ego, exposures_s[name])
        for name, camera in cameras.items()
    }
    truths = {}
    for name, camera in cameras.items() if with_truth else ():
        truths[name] = visibility.locate(
            scenery.caster,
            sweep.surface,
            sweep.object_id,
            sweep.t_s,
            camera,
            ego,
            exposures_s[name],
        )
    return Moment(sweep=sweep, images=images, truths=truths)


def forward_s(scanner: LidarModel) -> float:
    """Return the time from the start of a sweep until the scanner faces forward."""
    turn = scanner.start_azimuth_rad if scanner.clockwise else -scanner.start_azimuth_rad
    return turn % (2 * np.pi) / (2 * np.pi) * scanner.period_s


def scan_bytes(sweep: lidar.Sweep) -> bytes:
    """Return the content of a .bin file: coordinates in millimetres, reflectance in hundredths."""
    values = np.empty((len(sweep.t_s), 4), dtype="<f4")
    values[:, :3] = np.round(sweep.xyz, 3)
    values[:, 3] = np.round(np.clip(sweep.intensity.astype(np.float64), 0.0, 0.99), 2)
    return values.tobytes()


def png_bytes(rgb: npt.NDArray[np.uint8], *, grey: bool = False) -> bytes:
    """Return an (H, W, 3) image as a PNG file with 8 bits a channel.

    With one filter for all rows: Pillow tries each on every row, which takes as long as the rest.
    """
    pixels = np.asarray(Image.fromarray(rgb).convert("L"))[..., None] if grey else rgb
    height, width, channels = pixels.shape
    rows = np.empty((height, 1 + width * channels), dtype=np.uint8)
    rows[:, 0] = _PNG_SUB
    flat = pixels.reshape(height, -1)
    rows[:, 1 : 1 + channels] = flat[:, :channels]
    np.subtract(flat[:, channels:], flat[:, :-channels], out=rows[:, 1 + channels :])
    kind = 0 if grey else 2
    header = struct.pack(">2I5B", width, height, 8, kind, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"IDAT", zlib.compress(rows.tobytes(), _PNG_LEVEL)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def write_truth(
    folder: Path, moment: Moment, *, start_ns: int, T_frame_from_world: FloatArray
) -> None:
    """Write a moment's truth.

    Args:
        folder: where.
        moment: the moment.
        start_ns: nanoseconds that the world's time 0 stands for.
        T_frame_from_world: (4, 4) float64, to the frame in which to give the points.
    """
    sweep = moment.sweep
    truth.write(
        folder,
        object_id=sweep.object_id,
        t_ns=start_ns + np.round(sweep.t_s * 1e9).astype(np.int64),
        surface=transformed(T_frame_from_world, sweep.surface),
        cameras=moment.truths,
        depth={name: image.depth for name, image in moment.images.items()},
    )


def _in_file_order(sweep: lidar.Sweep, scanner: LidarModel) -> lidar.Sweep:
    """Order as in KITTI's files: beam by beam from the top, each from straight ahead to the left.

    The files are like that although a sweep starts at the back.
    """
    columns = np.arange(scanner.columns)
    ahead = int(np.argmin(scanner.azimuth_rad(columns) % (2 * np.pi)))
    rows = np.full((len(scanner.elevations_rad), scanner.columns), -1)
    near = np.flatnonzero(sweep.range_m <= _FARTHEST_M)
    rows[sweep.ring[near], (sweep.column[near] - ahead) % scanner.columns] = near
    order = rows[rows >= 0]
    values = {field.name: getattr(sweep, field.name) for field in fields(sweep)}
    return replace(sweep, **{name: value.take(order, axis=0) for name, value in values.items()})
