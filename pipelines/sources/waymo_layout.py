"""Where the files of the Waymo Open Dataset lie, and which version they are of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from simipu.errors import SourceError, UsageError

from .files import list_folders

if TYPE_CHECKING:
    from pathlib import Path

Format = Literal["v1", "v2"]

SPLITS = ("training", "validation", "testing")
_V1_SUFFIX = ".tfrecord"
_LEVELS = 2
"""Folders below the root in which segments are looked for."""

PASS_ROOT = (
    "Pass the folder that holds training/ and validation/ with segment-*.tfrecord files (version "
    "1), or with the folders lidar, camera_image and so on (version 2)."
)


class SegmentFile(NamedTuple):
    """Where a segment lies.

    Attributes:
        folder: relative to the root; of version 2, the one that holds the components' folders.
        name: of version 1, of the file; of version 2, of the segment.
        split: the official partition, "" where the folders do not tell.
    """

    folder: str
    name: str
    split: str


def find_segments(root: Path, version: str = "auto") -> tuple[Format, list[SegmentFile]]:
    """Find the segments below a root, by the names of folders and files alone.

    Args:
        root: the folder.
        version: "v1", "v2", or "auto" for the one that is there.

    Raises:
        SourceError: there are none.
        UsageError: both versions are there and none was chosen, or there is no such version.
    """
    if not root.is_dir():
        raise SourceError("the root folder does not exist", where=root, fix=PASS_ROOT)
    found: dict[Format, list[SegmentFile]] = {"v1": [], "v2": []}
    for folder in _folders(root):
        relative = folder.relative_to(root).as_posix()
        names = sorted(entry.name for entry in folder.iterdir() if entry.name[0] != ".")
        found["v1"] += [
            SegmentFile(relative, name, _split(folder))
            for name in names
            if name.endswith(_V1_SUFFIX)
        ]
        if {"lidar", "camera_image"} & set(names):
            found["v2"] += [
                SegmentFile(relative, context, _split(folder)) for context in _contexts(folder)
            ]
    if version == "auto":
        if all(found.values()):
            raise UsageError(
                f"{root} holds both version 1 and version 2 of the data set",
                fix="Choose one: --format v1 or --format v2.",
            )
        return ("v2", found["v2"]) if found["v2"] else ("v1", _some(found["v1"], root))
    if version not in ("v1", "v2"):
        raise UsageError(f"there is no format {version!r}", fix="Choose auto, v1 or v2.")
    chosen: Format = "v1" if version == "v1" else "v2"
    return chosen, _some(found[chosen], root)


def _some(segments: list[SegmentFile], root: Path) -> list[SegmentFile]:
    if not segments:
        raise SourceError("no segment of Waymo's perception data here", where=root, fix=PASS_ROOT)
    return segments


def _folders(root: Path) -> list[Path]:
    """Return the root and the folders below it, but not the components of version 2."""
    found, level = [root], [root]
    for _ in range(_LEVELS):
        level = [
            folder / name
            for folder in level
            if not (folder / "camera_image").is_dir()
            for name in list_folders(folder)
        ]
        found += level
    return found


def _contexts(folder: Path) -> list[str]:
    """Return the segments that any of the two large components has."""
    files = (
        file for name in ("camera_image", "lidar") for file in folder.glob(f"{name}/*.parquet")
    )
    return sorted({file.stem for file in files if file.name[0] != "."})


def _split(folder: Path) -> str:
    """Return the split that a folder is named after, such as training or training_0003."""
    for part in reversed(folder.absolute().parts[-_LEVELS:]):
        for split in SPLITS:
            if part == split or part.startswith(f"{split}_"):
                return split
    return ""
