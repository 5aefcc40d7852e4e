"""KITTI raw: synced and rectified drives of one recording date, at 10 Hz."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from simipu.errors import UsageError

from . import kitti_calibration, kitti_frame, kitti_oxts, rigs
from .files import truth_folder, write_file
from .generate import Unit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .generate import Stage
    from .options import Options

DATE = "2011_09_26"
CAMERAS = ("image_00", "image_01", "image_02", "image_03")
GREY = ("image_00", "image_01")
MOST_DRIVES = 9999

_EPOCH = datetime(1970, 1, 1)  # KITTI writes local time without a zone
_MORNING = datetime(2011, 9, 26, 9)
_BETWEEN_DRIVES_S = 20
_PLACE = (49.0, 8.4, 115.0)
_LATITUDE_BETWEEN_DRIVES_DEG = 1e-3
_SCAN, _CLOCKS = 0, 1  # sensors of the random numbers
_GREY_DELAY_S = 6.4e-3
"""The grey cameras' images are so much later than the colour cameras' in the official files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """When the sensors of a frame are read, in nanoseconds from the drive's time 0.

    Attributes:
        start, forward, end: of the sweep.
        images: of the four cameras.
        packet: of the navigation unit.
    """

    start: int
    forward: int
    end: int
    images: tuple[int, ...]
    packet: int


class KittiRawWriter:
    """Writes drive s + 1 for scene s, with OXTS packets, timestamps and calibration.

    The colour cameras take their images when the scanner faces forward, within 0.1 ms; the grey
    ones some 6 ms later. Packets come every 10 ms: a frame has the one that is nearest to the
    image of camera 0. All times written are those at which the sensors were really read.

    The truth's ``surface`` is in the development kit's world: axes to the east, north and up, and
    the navigation unit's position at the first packet as origin. Its times are those of the
    timestamps files, counted as if they were UTC.

    Args:
        root: the data set's root.
        options: what to write.

    Raises:
        UsageError: an option cannot be met.
    """

    def __init__(self, root: Path, options: Options) -> None:
        if options.scenes > MOST_DRIVES:
            raise UsageError(
                f"{options.scenes:,} drives on one date", fix=f"At most {MOST_DRIVES:,} fit."
            )
        self._root = root
        self._options = options
        self._rig = options.rig(rigs.kitti)
        self._duration_s = options.duration_s(self._rig.lidars[0].period_s)
        chosen = options.chosen_cameras(CAMERAS, ("image_02", "image_03"))
        self._cameras = {name: self._rig.cameras[CAMERAS.index(name)] for name in chosen}
        self.units = [Unit(s, f) for s in range(options.scenes) for f in range(options.frames)]

    def write(self, unit: Unit, stage: Stage) -> None:
        """Write one frame of a drive."""
        options, scanner = self._options, self._rig.lidars[0]
        scenery = stage(options.seed, unit.scene, self._duration_s)
        ego = scenery.world.ego
        times = self._times(unit)
        moment = kitti_frame.observe(
            scenery,
            scanner,
            self._cameras,
            start_s=times.start * 1e-9,
            exposures_s={name: times.images[CAMERAS.index(name)] * 1e-9 for name in self._cameras},
            rng=np.random.default_rng([options.seed, unit.scene, unit.frame, _SCAN, 0]),
            with_truth=options.truth,
        )
        T_ego_from_imu = self._rig.T_ego_from_imu
        first_s = self._times(Unit(unit.scene, 0)).packet * 1e-9
        origin = kitti_oxts.Origin(
            lat_deg=round(_PLACE[0] + unit.scene * _LATITUDE_BETWEEN_DRIVES_DEG, 3),
            lon_deg=_PLACE[1],
            alt_m=_PLACE[2],
            position=(ego.pose(first_s) @ T_ego_from_imu)[:3, 3],
        )
        if options.truth:
            T_kit_from_world = np.eye(4)
            T_kit_from_world[:3, 3] = -origin.position
            kitti_frame.write_truth(
                truth_folder(self._root, unit.scene, unit.frame),
                moment,
                start_ns=self._start_ns(unit.scene),
                T_frame_from_world=T_kit_from_world,
            )
        drive, stem = self._drive(unit.scene), f"{unit.frame:010d}"
        for name, image in moment.images.items():
            encoded = kitti_frame.png_bytes(image.rgb, grey=name in GREY)
            write_file(drive / name / "data" / f"{stem}.png", encoded)
        packet = kitti_oxts.packet_text(ego, T_ego_from_imu, origin, times.packet * 1e-9)
        write_file(drive / "oxts" / "data" / f"{stem}.txt", packet)
        scan = kitti_frame.scan_bytes(moment.sweep)
        write_file(drive / "velodyne_points" / "data" / f"{stem}.bin", scan)

    def finish(self) -> None:
        """Write the timestamps, the format of the packets, and the calibration."""
        for name, text in kitti_calibration.raw_texts(self._rig).items():
            write_file(self._root / DATE / name, text)
        for scene in range(self._options.scenes):
            drive, start_ns = self._drive(scene), self._start_ns(scene)
            times = [self._times(Unit(scene, f)) for f in range(self._options.frames)]
            columns = {
                "velodyne_points/timestamps_start.txt": [t.start for t in times],
                "velodyne_points/timestamps.txt": [t.forward for t in times],
                "velodyne_points/timestamps_end.txt": [t.end for t in times],
                "oxts/timestamps.txt": [t.packet for t in times],
            }
            for name in self._cameras:
                number = CAMERAS.index(name)
                columns[f"{name}/timestamps.txt"] = [t.images[number] for t in times]
            for path, column in columns.items():
                write_file(drive / path, _times_text(start_ns, column))
            write_file(drive / "oxts" / "dataformat.txt", kitti_oxts.format_text())

    def _drive(self, scene: int) -> Path:
        return self._root / DATE / f"{DATE}_drive_{scene + 1:04d}_sync"

    def _start_ns(self, scene: int) -> int:
        """Return when the time 0 of a drive's world is."""
        seconds = (self._duration_s + _BETWEEN_DRIVES_S) * scene
        return (_MORNING - _EPOCH) // timedelta(microseconds=1) * 1000 + round(seconds * 1e9)

    def _times(self, unit: Unit) -> Times:
        """Return the times of a frame; drawn for it alone, so that any worker can."""
        scanner = self._rig.lidars[0]
        rng = np.random.default_rng([self._options.seed, unit.scene, unit.frame, _CLOCKS, 0])
        forward = round(unit.frame * scanner.period_s * 1e9)
        start = forward - round(kitti_frame.forward_s(scanner) * 1e9)
        late = rng.uniform(0.0, 1e-4, 4)
        late[:2] += _GREY_DELAY_S
        images = tuple(forward + round(delay * 1e9) for delay in late)
        phase = np.random.default_rng([self._options.seed, unit.scene, 0, _CLOCKS, 1]).random()
        period = round(kitti_oxts.PERIOD_S * 1e9)
        packet = round((images[0] / period) - phase) * period + round(phase * period)
        return Times(
            start=start,
            forward=forward,
            end=start + round(scanner.period_s * 1e9),
            images=images,
            packet=packet,
        )


def _times_text(start_ns: int, times_ns: Sequence[int]) -> str:
    lines = []
    for time_ns in times_ns:
        seconds, nanoseconds = divmod(start_ns + time_ns, 1_000_000_000)
        lines.append(f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}.{nanoseconds:09d}\n")
    return "".join(lines)
