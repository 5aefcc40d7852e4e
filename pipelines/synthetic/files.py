"""Files that are there whole or not at all, and where truth lies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PARTIAL = ".partial"
"""Ending of files that are being written."""


def write_file(path: Path, data: bytes | str) -> None:
    """Write a file under a temporary name beside it, then rename it; makes its folder.

    The temporary name follows from the file's: what a killed run left is written over, never left
    behind. Nothing is synced to the disk, because whatever is lost can be generated again.

    Args:
        path: the file.
        data: its content; text is encoded as UTF-8, line ends as they are.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}{PARTIAL}")
    partial.write_bytes(data.encode() if isinstance(data, str) else data)
    os.replace(partial, path)


def truth_folder(root: Path, scene: int, frame: int) -> Path:
    """Return the folder of one frame's truth: scenes and frames are counted from 0."""
    return root / "truth" / f"{scene:04d}" / f"{frame:04d}"
