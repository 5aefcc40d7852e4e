"""Recognising the root folder of a data set, and telling a user which folder to pass instead."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simipu.errors import SourceError

from .files import list_folders

if TYPE_CHECKING:
    from collections.abc import Callable

OBJECT_PARTS = ("training", "testing")
NUSCENES_TABLES = ("scene.json", "sample.json", "sample_data.json")
RAW_DATE = re.compile(r"\d{4}_\d\d_\d\d", re.ASCII)
# The deepest folder of the layouts, <date>/<drive>/image_02/data, is four below its root.
_LEVELS_UP = 4


@dataclass(frozen=True, slots=True)
class Layout:
    """How to tell a data set's root, and how to name it to a user."""

    matches: Callable[[Path], bool]
    description: str


def _is_object_root(folder: Path) -> bool:
    contents = ("image_2", "image_3", "velodyne", "calib")
    return any(os.path.isdir(folder / part / name) for part in OBJECT_PARTS for name in contents)


def _is_raw_root(folder: Path) -> bool:
    return any(
        RAW_DATE.fullmatch(date)
        and any(name.startswith(f"{date}_drive_") for name in list_folders(folder / date))
        for date in list_folders(folder)
    )


def nuscenes_versions(folder: Path) -> list[str]:
    """Return the names of the folders that hold nuScenes' tables."""
    return [
        name
        for name in list_folders(folder)
        if any(os.path.lexists(folder / name / table) for table in NUSCENES_TABLES)
    ]


def _is_nuscenes_root(folder: Path) -> bool:
    return bool(nuscenes_versions(folder))


LAYOUTS = {
    "kitti": Layout(
        _is_object_root,
        "that holds training/ or testing/, each with image_2, velodyne and calib",
    ),
    "kitti-raw": Layout(
        _is_raw_root,
        "that holds dates such as 2011_09_26/, each with its calib_*.txt files and drives",
    ),
    "nuscenes": Layout(
        _is_nuscenes_root,
        "that holds samples/ and, with the tables in it, a version such as v1.0-mini/",
    ),
}


def check_root(root: Path, name: str) -> None:
    """Make sure that a folder is the root of a data set.

    Args:
        root: the folder that the user gave.
        name: the data set, a key of `LAYOUTS`.

    Raises:
        SourceError: it is not; where a root lies a few levels above or one level below, or the
            folder is the root of another data set, the error says so.
    """
    layout = LAYOUTS[name]
    pass_root = f"Pass the folder {layout.description}."
    if not os.path.exists(root):
        raise SourceError(
            "the root folder does not exist or is not accessible", where=root, fix=pass_root
        )
    if not os.path.isdir(root):
        raise SourceError("the root is a file, not a folder", where=root, fix=pass_root)
    if layout.matches(root):
        return
    for other in LAYOUTS:
        if _matches(other, root):
            raise SourceError(
                f"this is the root of {other}, not of {name}",
                where=root,
                fix=f"Convert it as {other}. For {name}: {pass_root}",
            )
    absolute = Path(os.path.abspath(root))
    for parent in absolute.parents[:_LEVELS_UP]:
        if _matches(name, parent):
            raise SourceError(
                "the root is too low: this is a folder inside the data set",
                where=root,
                fix=f"Pass {parent} instead, the folder {layout.description}.",
            )
    names = list_folders(root)
    for child in names:
        if _matches(name, absolute / child):
            raise SourceError(
                "the root is one folder too high",
                where=root,
                fix=f"Pass {absolute / child} instead, the folder {layout.description}.",
            )
    found = f"only {', '.join(names[:5])}" if names else "no folder"
    raise SourceError(f"no {name} data here: there is {found} in it", where=root, fix=pass_root)


def _matches(name: str, folder: Path) -> bool:
    """Tell whether a folder near the one given is a root; one that cannot be listed is none."""
    try:
        return LAYOUTS[name].matches(folder)
    except SourceError:
        return False
