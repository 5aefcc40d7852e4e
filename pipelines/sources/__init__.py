"""Readers of data sets on disk, one per module; each is a `Source`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simipu.errors import UsageError

from .kitti_object import KittiObject
from .kitti_raw import KittiRaw

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .base import Source

SOURCES: Mapping[str, Callable[[Path], Source]] = {"kitti": KittiObject, "kitti-raw": KittiRaw}


def open_source(name: str, root: Path) -> Source:
    """Open the reader of a data set.

    Args:
        name: the data set, a key of `SOURCES`.
        root: its root folder.

    Raises:
        UsageError: there is no reader of that name.
        SourceError: the folder is not the data set's root.
    """
    if name not in SOURCES:
        raise UsageError(
            f"no data set is called {name!r}", fix=f"Choose one of {', '.join(SOURCES)}."
        )
    return SOURCES[name](root)
