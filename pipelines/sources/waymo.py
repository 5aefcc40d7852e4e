"""The Waymo Open Dataset (perception), version 1 or 2: one scene per segment."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from simipu.errors import SourceError, UsageError
from simipu.records import FrameRef, Scan, Scene, Skipped, SourceInfo

from . import waymo_v1, waymo_v2
from .files import skipped_frame
from .tfrecord import Record
from .waymo_calibration import laser_origins
from .waymo_frame import Assembly
from .waymo_layout import SegmentFile, find_segments
from .waymo_parts import CAMERAS, LASERS
from .waymo_range_image import POINT_COLUMNS, PROJECTION_COLUMNS
from .waymo_tables import COMPONENTS, WITHOUT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from simipu.records import Frame

    from .waymo_parts import SegmentStats

LICENCE = "Waymo Dataset License Agreement for Non-Commercial Use (https://waymo.com/open/terms/)"
NOTES = (
    "The ego frame is Waymo's vehicle frame. The lidar frame is the vehicle frame at the frame's "
    "pose, whose time within the sweep is not published; a frame's timestamp is the start of TOP's "
    "sweep. TOP's points are brought there by the published pose of each pixel.",
    "Poses and velocities of images hold at the images' own timestamps; T_camera_from_lidar has "
    "the motion since the frame's pose in it.",
    "Points: first returns, then second ones; each laser by laser (TOP, FRONT, SIDE_LEFT, "
    "SIDE_RIGHT, REAR), and row by row of the range image. laser and projection_camera are numbers "
    "of LaserName and CameraName, projection_x and projection_y are pixels.",
    "lidar_origins_m, where the lasers stand, is that of the first segment for all.",
    "Labels, maps and segmentations are not read: a frame's id is its segment and timestamp, and "
    "range_row and range_column find a point's pixel.",
)
_PIXELS = {name: 64 * 2650 if name == "TOP" else 200 * 600 for name in LASERS.values()}
"""Of the official range images, so the most points of a return."""


class _Key(NamedTuple):
    """What a frame is read from.

    Attributes:
        folder, name: the segment, see `SegmentFile`.
        timestamp_us: of the frame.
        state: of version 1, the record; of version 2, the size of the files, and which of the
            components are read.
    """

    folder: str
    name: str
    timestamp_us: int
    state: tuple[object, ...]


class _Opened(threading.local):
    """The segment of version 2 that a thread reads: its row groups come one after the other."""

    key: SegmentFile | None = None
    segment: waymo_v2.Segment | None = None


class Waymo:
    """Reads the Waymo Open Dataset.

    Args:
        root: the folder that holds the splits, or one split.
        format: "v1" for TFRecord, "v2" for Parquet, "auto" for what is there.
        split: only this split: training, validation or testing; None for all.
        returns: 1 for the first returns only, 2 for both.
        lasers: names of the lasers whose points are read; None for all five.
        stride: take every so many-th frame of a segment.

    Raises:
        SourceError: there is no segment.
        UsageError: an option is wrong.
    """

    def __init__(
        self,
        root: Path,
        *,
        format: str = "auto",
        split: str | None = None,
        returns: int = 2,
        lasers: Sequence[str] | None = None,
        stride: int = 1,
    ) -> None:
        names = tuple(LASERS.values())
        chosen = names if lasers is None else tuple(name for name in names if name in lasers)
        if unknown := sorted(set(lasers or ()) - set(names)):
            raise UsageError(
                f"there is no laser {', '.join(unknown)}", fix=f"Choose from {', '.join(names)}."
            )
        if not chosen:
            raise UsageError("no laser is chosen", fix=f"Choose from {', '.join(names)}.")
        if returns not in (1, 2) or stride < 1:
            raise UsageError(
                f"returns is {returns} and stride {stride}",
                fix="returns: 1 or 2; stride: 1 or more.",
            )
        self.root = root
        self._version, segments = find_segments(root, format)
        self._segments = [one for one in segments if split in (None, one.split)]
        if not self._segments:
            raise UsageError(
                f"no segment is of the split {split!r}",
                fix="There are: "
                + ", ".join(sorted({one.split or "none" for one in segments}))
                + ".",
            )
        self._components = self._present()
        self._assembly = Assembly(
            returns=returns,
            lasers=chosen,
            projections="lidar_camera_projection" in self._components,
        )
        if "TOP" in chosen and "lidar_pose" not in self._components:
            raise SourceError(
                f"the component lidar_pose is missing: {WITHOUT['lidar_pose']}",
                where=root,
                fix=f"Download it, or choose the lasers {', '.join(names[1:])}.",
            )
        self._split = split
        self._stride = stride
        self._of_thread = _Opened()
        self._origins_m: Mapping[int, tuple[float, float, float]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_of_thread": None}  # open files stay in their process

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _of_thread=_Opened())

    @property
    def info(self) -> SourceInfo:
        """What the data set has. Scans it if that was not done: the rig is in the segments."""
        if self._origins_m is None:
            self.scan()
        assert self._origins_m is not None
        projections = PROJECTION_COLUMNS if self._assembly.projections else {}
        missing = sorted(set(WITHOUT) - set(self._components))
        return SourceInfo(
            name="waymo",
            licence=LICENCE,
            cameras=tuple(CAMERAS.values()),
            point_columns=POINT_COLUMNS | projections,
            point_suffix=".bin",
            notes=(
                *NOTES,
                *(f"The component {name} is not there: {WITHOUT[name]}." for name in missing),
            ),
            options={
                "split": self._split,
                "returns": self._assembly.returns,
                "lasers": list(self._assembly.lasers),
                "stride": self._stride,
            },
            projection_cameras={name: number for number, name in CAMERAS.items()}
            if projections
            else {},
            lidar_origins_m=self._origins_m,
        )

    def scan(self) -> Scan:
        """Find all segments and their frames; no image and no range image is read."""
        scenes: dict[str, Scene] = {}
        places: dict[str, SegmentFile] = {}
        skipped: list[Skipped] = []
        for segment in self._segments:
            try:
                stats, frames = self._scan_segment(segment)
                if stats.context in scenes:
                    raise SourceError(
                        f"is the segment {stats.context} again, which is in "
                        f"{places[stats.context].folder}/{places[stats.context].name} too",
                        where=self._path(segment),
                        fix="Remove one of the two.",
                    )
            except SourceError as fault:
                skipped.append(skipped_frame(segment.name, fault))
                continue
            places[stats.context] = segment
            scenes[stats.context] = Scene(
                name=stats.context,
                split=segment.split,
                frames=tuple(frames)[:: self._stride],
                attributes={
                    "time_of_day": stats.time_of_day,
                    "location": stats.location,
                    "weather": stats.weather,
                },
            )
        self._origins_m = self._laser_origins(
            ref for scene in scenes.values() for ref in scene.frames[:1]
        )
        return Scan(scenes=tuple(scenes.values()), skipped=tuple(skipped))

    def read(self, ref: FrameRef) -> Frame:
        """Read one frame; see `Source.read`. Of version 2, fastest in the order of time.

        Raises:
            EmptyFrameError: the frame has no points; the official data set has such frames.
        """
        key = _Key._make(ref.key)
        segment = SegmentFile(key.folder, key.name, "")
        if self._version == "v1":
            parts, _ = waymo_v1.read_frame(self._path(segment), Record._make(key.state))
        else:
            parts = self._opened(segment).read_frame(key.timestamp_us)
        return self._assembly.frame(parts, ref.id, self._path(segment))

    def _scan_segment(self, segment: SegmentFile) -> tuple[SegmentStats, Iterable[FrameRef]]:
        path = self._path(segment)
        states: dict[int, tuple[object, ...]]
        if self._version == "v1":
            stats, records = waymo_v1.scan_segment(path)
            states = {t: tuple(record) for t, record in records.items()}
            largest = {t: record.length for t, record in records.items()}
            sizes = largest
        else:
            opened = self._opened(segment)
            stats = opened.stats
            states = dict.fromkeys(opened.timestamps, (opened.file_bytes, *self._components))
            largest = dict.fromkeys(states, opened.image_bytes)
            sizes = dict.fromkeys(states, opened.file_bytes // max(1, len(states)))
        points = self._assembly.returns * sum(_PIXELS[name] for name in self._assembly.lasers)
        return stats, [
            FrameRef(
                id=f"{stats.context}/{timestamp_us}",
                max_points=points,
                max_image_bytes=largest[timestamp_us],
                source_bytes=sizes[timestamp_us],
                key=_Key(segment.folder, segment.name, timestamp_us, state),
            )
            for timestamp_us, state in states.items()
        ]

    def _laser_origins(self, refs: Iterable[FrameRef]) -> Mapping[int, tuple[float, float, float]]:
        """Return where the lasers stand, by the first of the frames that tells."""
        for ref in refs:
            key = _Key._make(ref.key)
            segment = SegmentFile(key.folder, key.name, "")
            with suppress(SourceError):  # it is told when the segment is read
                if self._version == "v1":
                    record = Record._make(key.state)
                    calibration = waymo_v1.read_calibration(self._path(segment), record)
                else:
                    calibration = self._opened(segment).calibration
                return laser_origins(calibration, self._assembly.lasers)
        return {}

    def _path(self, segment: SegmentFile) -> Path:
        folder = self.root / segment.folder
        if self._version == "v1":
            return folder / segment.name
        return folder / "lidar" / f"{segment.name}.parquet"

    def _opened(self, segment: SegmentFile) -> waymo_v2.Segment:
        key = segment._replace(split="")
        if self._of_thread.segment is None or self._of_thread.key != key:
            folder = self.root / segment.folder
            opened = waymo_v2.Segment(folder, segment.name, self._components)
            self._of_thread.key, self._of_thread.segment = key, opened
        return self._of_thread.segment

    def _present(self) -> tuple[str, ...]:
        """Return the components to read: those that can be missing only if all splits have them."""
        folders = {self.root / segment.folder for segment in self._segments}
        return tuple(
            name
            for name in COMPONENTS
            if self._version == "v1"
            or name not in WITHOUT
            or all((folder / name).is_dir() for folder in folders)
        )
