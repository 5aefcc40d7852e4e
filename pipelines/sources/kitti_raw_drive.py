"""Listing one drive of KITTI raw: which frames it has, and what each of them lacks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from simipu.errors import SourceError
from simipu.records import FrameRef, Skipped

from .files import UNPACK_AGAIN, check_file, list_sizes, skipped_frame
from .timestamps import read_time_lines, time_line
from .velodyne import BYTES_PER_POINT, check_scan_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CAMERAS = ("image_00", "image_01", "image_02", "image_03")
SCAN_TIMES = ("timestamps.txt", "timestamps_start.txt", "timestamps_end.txt")
_STEM_DIGITS = 10


class FrameKey(NamedTuple):
    """What reading a frame needs.

    Attributes:
        drive: "<date>/<drive>".
        stem: the frame's number as its files are named.
        cameras: cameras with an image.
        image_times: per camera its line of ``timestamps.txt``, "" where there is none.
        scan_times: the same of the three `SCAN_TIMES`.
        oxts_origin: stem of the drive's first packet; "" where this frame has no packet.
    """

    drive: str
    stem: str
    cameras: tuple[str, ...]
    image_times: tuple[str, ...]
    scan_times: tuple[str, ...]
    oxts_origin: str


class Drive:
    """The files of one drive.

    Args:
        root: the data set's root.
        name: "<date>/<drive>".

    Raises:
        SourceError: a folder cannot be listed, or a timestamps file is unreadable.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.folder = root / name
        images = {c: list_sizes(self.folder / c / "data", ".png", _STEM_DIGITS) for c in CAMERAS}
        self._images = {camera: sizes for camera, sizes in images.items() if sizes}
        self._scans = list_sizes(self.folder / "velodyne_points/data", ".bin", _STEM_DIGITS)
        self._packets = list_sizes(self.folder / "oxts/data", ".txt", _STEM_DIGITS)
        self._times: dict[str, list[str] | None] = {}

    def stems(self) -> list[str]:
        """Return the numbers of all frames that have a scan or an image."""
        return sorted(set(self._scans).union(*self._images.values()))

    def read_times(self) -> None:
        """Read the timestamps files, which `frames` needs.

        Raises:
            SourceError: one is unreadable.
        """
        names = [f"velodyne_points/{name}" for name in SCAN_TIMES]
        names += [f"{camera}/timestamps.txt" for camera in self._images]
        self._times = {name: read_time_lines(self.folder / name) for name in names}

    def frames(self) -> tuple[list[FrameRef], list[Skipped]]:
        """Return the frames with a scan and an image, and those that must be left out."""
        frames: list[FrameRef] = []
        skipped: list[Skipped] = []
        for stem in self.stems():
            try:
                frames.append(self._frame(stem))
            except SourceError as fault:
                # KITTI lost scans while recording; a drive without any was not unpacked whole.
                lost = stem not in self._scans and len(self._scans) > 0
                skipped.append(self.skipped(stem, fault, expected=lost))
        return frames, skipped

    def skipped(self, stem: str, fault: SourceError, *, expected: bool = False) -> Skipped:
        """Describe a frame that is left out."""
        return skipped_frame(f"{self.name}/{stem}", fault, expected=expected)

    def _frame(self, stem: str) -> FrameRef:
        scan = self.folder / "velodyne_points" / "data" / f"{stem}.bin"
        if stem not in self._scans:
            raise SourceError(
                "image without scan: the scan is missing"
                if self._scans
                else "the drive has images but no scans",
                where=scan,
                fix="Official drives lack a few scans; for any other, unpack the drive again.",
            )
        cameras = tuple(camera for camera, sizes in self._images.items() if stem in sizes)
        if not cameras:
            raise SourceError(
                "scan without image: no camera has an image of this frame",
                where=scan,
                fix=UNPACK_AGAIN,
            )
        check_scan_file(scan, self._scans[stem])
        for camera in cameras:
            check_file(self.folder / camera / "data" / f"{stem}.png", self._images[camera][stem])
        return FrameRef(
            id=f"{self.name}/{stem}",
            max_points=self._scans[stem] // BYTES_PER_POINT,
            max_image_bytes=sum(self._images[camera][stem] for camera in cameras),
            key=FrameKey(
                drive=self.name,
                stem=stem,
                cameras=cameras,
                image_times=tuple(self._time(f"{c}/timestamps.txt", stem) for c in cameras),
                scan_times=tuple(self._time(f"velodyne_points/{n}", stem) for n in SCAN_TIMES),
                oxts_origin=next(iter(self._packets)) if stem in self._packets else "",
            ),
        )

    def _time(self, name: str, stem: str) -> str:
        return time_line(self._times[name], int(stem), self.folder / name)


def gap_notes(keys: Sequence[FrameKey], cameras: Sequence[str]) -> list[str]:
    """Say of how many frames something is missing."""
    gaps: Counter[str] = Counter()
    for key in keys:
        gaps.update(f"image of {camera}" for camera in cameras if camera not in key.cameras)
        gaps.update(
            f"time of the {camera} image"
            for camera, time in zip(key.cameras, key.image_times, strict=True)
            if not time
        )
        gaps.update(
            f"scan time (velodyne_points/{name})"
            for name, time in zip(SCAN_TIMES, key.scan_times, strict=True)
            if not time
        )
        if not key.oxts_origin:
            gaps["OXTS packet and so no ego pose"] += 1
    return [f"{gaps[what]} of {len(keys)} frames have no {what}." for what in sorted(gaps)]
