"""What the converter asks of a data set's reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from simipu.records import Frame, FrameRef, Scan, SourceInfo


class Source(Protocol):
    """Reads one data set. Instances are pickled to worker processes: they hold paths, not tables.

    ``scan`` may only list and stat files and read small text; ``read`` opens the frame's own files.
    Both raise ``SourceError`` naming the file at fault.

    What they return is checked in every conversion (`checked.Checked`); `contract.check_source`
    holds a source to the rest. ``docs/adding-a-dataset.md`` shows how to write one.
    """

    @property
    def root(self) -> Path:
        """The data set's folder; every file that an error names is in it."""
        ...

    @property
    def info(self) -> SourceInfo:
        """Name, licence, cameras and point columns."""
        ...

    def scan(self) -> Scan:
        """Find scenes and frames, in an order that depends on the data set alone."""
        ...

    def read(self, ref: FrameRef) -> Frame:
        """Read one frame completely and check it.

        Raises:
            SourceError: a file of the frame is missing, damaged or contradicts another.
        """
        ...
