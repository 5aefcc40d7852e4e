"""Listing one drive of KITTI raw: which frames it has, and what each of them lacks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from simipu.errors import SourceError
from simipu.records import FrameRef, Skipped

from .files import UNPACK_AGAIN, digest, list_numbered, skipped_frame
from .timestamps import TimesFile, read_times
from .velodyne import BYTES_PER_POINT, check_scan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
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
        oxts: digest of these two packets, which the pose is computed from; "" likewise.
        calibration: digest of the date's calibration files, so that frames converted before and
            after these were replaced are not mixed.
    """

    drive: str
    stem: str
    cameras: tuple[str, ...]
    image_times: tuple[str, ...]
    scan_times: tuple[str, ...]
    oxts_origin: str
    oxts: str
    calibration: str


class Drive:
    """The files of one drive.

    Args:
        root: the data set's root.
        name: "<date>/<drive>".

    Raises:
        SourceError: a folder cannot be listed.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.folder = root / name
        images = {c: list_numbered(self.folder / c / "data", ".png", _STEM_DIGITS) for c in CAMERAS}
        self._images = {camera: files for camera, files in images.items() if files.sizes}
        self._scans = list_numbered(self.folder / "velodyne_points/data", ".bin", _STEM_DIGITS)
        self._packets = list_numbered(self.folder / "oxts/data", ".txt", _STEM_DIGITS)

    def stems(self) -> list[str]:
        """Return the numbers of all frames that have a scan or an image."""
        return sorted(set(self._scans.sizes).union(*(f.sizes for f in self._images.values())))

    def frames(self, calibration: str) -> tuple[list[FrameRef], list[Skipped]]:
        """Return the frames with a scan and an image, and those that must be left out.

        Args:
            calibration: as in `FrameKey`.

        Raises:
            SourceError: a timestamps file is unreadable, which makes the whole drive so.
        """
        image_times = {c: read_times(self.folder / c / "timestamps.txt") for c in self._images}
        scan_times = [read_times(self.folder / "velodyne_points" / name) for name in SCAN_TIMES]
        frames: list[FrameRef] = []
        skipped: list[Skipped] = []
        for stem in self.stems():
            try:
                frames.append(self._frame(stem, image_times, scan_times, calibration))
            except SourceError as fault:
                # KITTI lost scans while recording; a drive without any was not unpacked whole.
                lost = stem not in self._scans.sizes and len(self._scans.sizes) > 0
                skipped.append(self.skipped(stem, fault, expected=lost))
        return frames, skipped

    def skipped(self, stem: str, fault: SourceError, *, expected: bool = False) -> Skipped:
        """Describe a frame that is left out."""
        return skipped_frame(f"{self.name}/{stem}", fault, expected=expected)

    def _frame(
        self,
        stem: str,
        image_times: Mapping[str, TimesFile],
        scan_times: Sequence[TimesFile],
        calibration: str,
    ) -> FrameRef:
        scans = self._scans
        if stem not in scans.sizes:
            raise SourceError(
                "image without scan: the scan is missing"
                if scans.sizes
                else "image without scan: the whole drive has no scans",
                where=scans.path(stem),
                fix="Official drives lack a few scans; for any other, unpack the drive again.",
            )
        images = {c: files for c, files in self._images.items() if stem in files.sizes}
        if not images:
            raise SourceError(
                "scan without image: no camera has an image of this frame",
                where=scans.path(stem),
                fix=UNPACK_AGAIN,
            )
        check_scan(scans, stem)
        for files in images.values():
            files.check(stem)
        index = int(stem)
        origin = next(iter(self._packets.sizes)) if stem in self._packets.sizes else ""
        return FrameRef(
            id=f"{self.name}/{stem}",
            max_points=scans.sizes[stem] // BYTES_PER_POINT,
            max_image_bytes=sum(files.sizes[stem] for files in images.values()),
            key=FrameKey(
                drive=self.name,
                stem=stem,
                cameras=tuple(images),
                image_times=tuple(image_times[camera].line(index) for camera in images),
                scan_times=tuple(times.line(index) for times in scan_times),
                oxts_origin=origin,
                oxts=digest(*map(self._packets.path, (origin, stem))) if origin else "",
                calibration=calibration,
            ),
        )


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
