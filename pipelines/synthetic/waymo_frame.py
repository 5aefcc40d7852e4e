"""One frame of a Waymo segment: scanned, photographed, labelled, and its exact truth."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as PillowImage

from . import camera, truth, visibility
from .rowwise import transformed
from .waymo_boxes import make_boxes
from .waymo_calibration import camera_calibration, laser_calibration
from .waymo_content import (
    CAMERAS,
    IMAGE_ORDER,
    LASER_ORDER,
    LASERS,
    FrameContent,
    Image,
    RangeImages,
)
from .waymo_poses import PublishedPoses
from .waymo_projection import camera_projections
from .waymo_range_image import scan_at_once, scan_turning
from .waymo_shutter import shutter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from simipu.records import FloatArray

    from .generate import Scenery
    from .motion import Trajectory
    from .sensors import LidarModel, Rig
    from .waymo_content import Float32Array
    from .waymo_range_image import LaserScan
    from .waymo_segment import Segment
    from .waymo_shutter import Shutter

JPEG_QUALITY = 90
_SCAN = 901  # purpose of random numbers


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Truth:
    """What `truth.write` takes: the first returns in the order of the official point clouds.

    That is laser by laser (TOP, FRONT, SIDE_LEFT, SIDE_RIGHT, REAR), and in each row by row. The
    spots are given in the published world.
    """

    object_id: npt.NDArray[np.int32]
    t_ns: npt.NDArray[np.int64]
    surface: FloatArray
    cameras: Mapping[str, truth.CameraTruth]
    depth: Mapping[str, Float32Array]

    def write(self, folder: Path) -> None:
        """Write it into a folder."""
        truth.write(
            folder,
            object_id=self.object_id,
            t_ns=self.t_ns,
            surface=self.surface,
            cameras=self.cameras,
            depth=self.depth,
        )


def render_frame(
    segment: Segment,
    frame: int,
    scenery: Scenery,
    *,
    rig: Rig,
    cameras: Sequence[str],
    with_truth: bool,
) -> tuple[FrameContent, Truth | None]:
    """Make one frame.

    Args:
        segment: which segment.
        frame: which of its frames, from 0.
        scenery: the segment's world.
        rig: the car.
        cameras: names of the cameras with images; only they occur in camera projections.
        with_truth: whether to find the truth.

    Returns:
        The frame, and its truth if it was asked for.
    """
    lidars = {lidar.name: lidar for lidar in rig.lidars}
    shutters = {
        model.name: shutter(segment, frame, model, lidars["TOP"].period_s) for model in rig.cameras
    }
    ego = scenery.world.ego
    frame_s = shutters["FRONT"].pose_time_s
    scans = _scan(segment, frame, scenery, lidars, frame_s)
    chosen = {name: shutters[name] for name in IMAGE_ORDER if name in cameras}
    photos = {
        name: camera.take(scenery.caster, scenery.look, s.camera, ego, s.first_column_s)
        for name, s in chosen.items()
    }
    content = FrameContent(
        context=segment.context,
        timestamp_us=segment.timestamp_us(frame),
        T_world_from_vehicle=segment.T_published_from_world @ ego.pose(frame_s),
        cameras=tuple(
            sorted((camera_calibration(model) for model in rig.cameras), key=lambda c: c.camera)
        ),
        lasers=tuple(laser_calibration(lidars[name]) for name in LASER_ORDER),
        images=tuple(
            _image(segment, ego, chosen[name], photo.rgb) for name, photo in photos.items()
        ),
        range_images=tuple(_range_images(scans[name], chosen, ego) for name in LASER_ORDER),
        boxes=make_boxes(segment, scenery.world, tuple(scans.values()), frame_s),
    )
    if not with_truth:
        return content, None
    depth = {name: photo.depth for name, photo in photos.items()}
    return content, _truth(segment, scenery, scans, chosen, depth)


def _scan(
    segment: Segment,
    frame: int,
    scenery: Scenery,
    lidars: Mapping[str, LidarModel],
    frame_s: float,
) -> dict[str, LaserScan]:
    """Return the scans of all lasers in the order of their numbers."""
    world, caster = scenery.world, scenery.caster
    scans = {}
    for name, number in LASERS.items():
        rng = np.random.default_rng([segment.seed, segment.scene, frame, number, _SCAN])
        if name == "TOP":
            ego = PublishedPoses(segment.T_published_from_world, world.ego)
            scans[name] = scan_turning(caster, lidars[name], ego, segment.start_s(frame), rng)
        else:
            scans[name] = scan_at_once(caster, lidars[name], world.ego, frame_s, rng)
    return scans


def _image(segment: Segment, ego: Trajectory, times: Shutter, rgb: npt.NDArray[np.uint8]) -> Image:
    encoded = io.BytesIO()
    PillowImage.fromarray(rgb).save(encoded, "jpeg", quality=JPEG_QUALITY)
    linear, angular = ego.velocity(times.pose_time_s)
    return Image(
        camera=CAMERAS[times.camera.name],
        jpeg=encoded.getvalue(),
        T_world_from_vehicle=segment.T_published_from_world @ ego.pose(times.pose_time_s),
        velocity_m_s=(segment.T_published_from_world[:3, :3] @ linear).astype(np.float32),
        angular_velocity_rad_s=angular,
        pose_s=times.pose_s,
        shutter_s=times.shutter_s,
        trigger_s=times.trigger_s,
        readout_done_s=times.readout_done_s,
    )


def _range_images(scan: LaserScan, shutters: Mapping[str, Shutter], ego: Trajectory) -> RangeImages:
    numbered = {CAMERAS[name]: times for name, times in shutters.items()}
    first, second = (
        scan.image_of(camera_projections(points, numbered, ego), which)
        for which, points in enumerate(scan.points)
    )
    return RangeImages(
        laser=scan.laser,
        returns=scan.range_images(),
        projections=(first, second),
        pose=scan.pose,
    )


def _truth(
    segment: Segment,
    scenery: Scenery,
    scans: Mapping[str, LaserScan],
    shutters: Mapping[str, Shutter],
    depth: Mapping[str, Float32Array],
) -> Truth:
    sweeps = [scan.returns[0] for scan in scans.values()]
    surface = np.concatenate([sweep.surface for sweep in sweeps])
    object_id = np.concatenate([sweep.object_id for sweep in sweeps])
    t_s = np.concatenate([sweep.t_s for sweep in sweeps])
    return Truth(
        object_id=object_id,
        t_ns=segment.start_us * 1000 + np.round(t_s * 1e9).astype(np.int64),
        surface=transformed(segment.T_published_from_world, surface),
        cameras={
            name: visibility.locate(
                scenery.caster,
                surface,
                object_id,
                t_s,
                times.camera,
                scenery.world.ego,
                times.first_column_s,
            )
            for name, times in shutters.items()
        },
        depth=depth,
    )
