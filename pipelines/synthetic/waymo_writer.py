"""What the writers of both versions of the Waymo format have in common."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from . import rigs
from .files import truth_folder, write_file
from .generate import Unit
from .waymo_content import CAMERAS
from .waymo_frame import render_frame
from .waymo_segment import FRAME_US, make_segments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .generate import Stage
    from .options import Options
    from .waymo_content import FrameContent
    from .waymo_segment import Segment

_STAGING = ".work"
"""Folder in the root that holds a file for each frame until its segment is put together."""


class WaymoWriter(ABC):
    """Renders frames one by one, and puts them together to segments at the end.

    Args:
        root: folder of the data set.
        options: what to write.

    Attributes:
        units: every frame of every scene.

    Raises:
        UsageError: an option cannot be met, or a package is missing.
    """

    def __init__(self, root: Path, options: Options) -> None:
        self._root = root
        self._options = options
        self._cameras = options.chosen_cameras(tuple(CAMERAS), tuple(CAMERAS))
        self._rig = options.rig(rigs.waymo)
        options.duration_s(FRAME_US * 1e-6)  # may be refused
        self._segments = make_segments(options)
        self.units: Sequence[Unit] = [
            Unit(scene, frame) for scene in range(options.scenes) for frame in range(options.frames)
        ]

    def write(self, unit: Unit, stage: Stage) -> None:
        """Write a frame's truth and, where `finish` finds it, its part of the segment."""
        segment = self._segments[unit.scene]
        scenery = stage(segment.seed, segment.scene, segment.duration_s)
        content, truth = render_frame(
            segment,
            unit.frame,
            scenery,
            rig=self._rig,
            cameras=self._cameras,
            with_truth=self._options.truth,
        )
        if truth is not None:
            truth.write(truth_folder(self._root, unit.scene, unit.frame))
        write_file(self._staged(segment, unit.frame), self._encode(content))

    def finish(self) -> None:
        """Put the segments together and remove the parts."""
        for segment in self._segments:
            files = self._files(segment)
            if not all(path.exists() for path in files):
                for path in files:
                    path.parent.mkdir(parents=True, exist_ok=True)
                self._assemble(segment, [self._staged(segment, k) for k in range(segment.frames)])
        # Only now: until the last segment is there, a run that was killed finds all it needs.
        shutil.rmtree(self._root / _STAGING, ignore_errors=True)

    def _staged(self, segment: Segment, frame: int) -> Path:
        return self._root / _STAGING / segment.context / f"{frame:06d}"

    @abstractmethod
    def _encode(self, content: FrameContent) -> bytes:
        """Return a frame as it waits for the others of its segment."""

    @abstractmethod
    def _files(self, segment: Segment) -> Sequence[Path]:
        """Return the files that make up a segment."""

    @abstractmethod
    def _assemble(self, segment: Segment, parts: Sequence[Path]) -> None:
        """Write the files of a segment, each under a temporary name first.

        Args:
            segment: which one.
            parts: a file for each frame, in order, with what `_encode` returned.
        """
