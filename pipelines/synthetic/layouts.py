"""The formats that a world can be written in."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from simipu.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from .generate import Writer
    from .options import Options


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """One on-disk format.

    Attributes:
        writer: "module:Class" in this package, a `generate.Writer`; imported when it is used.
        entries: patterns of the names in the root that the format consists of, besides "truth".
    """

    writer: str
    entries: tuple[str, ...]


LAYOUTS = {
    "kitti": Layout(writer="kitti_object:KittiObjectWriter", entries=("training", "ImageSets")),
    "kitti-raw": Layout(writer="kitti_raw:KittiRawWriter", entries=("????_??_??",)),
    "nuscenes": Layout(
        writer="nuscenes:NuScenesWriter", entries=("v1.0-*", "samples", "sweeps", "maps")
    ),
    "waymo-v1": Layout(
        writer="waymo_v1:WaymoV1Writer", entries=("training", "validation", ".work")
    ),
    "waymo-v2": Layout(
        writer="waymo_v2:WaymoV2Writer", entries=("training", "validation", ".work")
    ),
}


def make_writer(root: Path, options: Options) -> Writer:
    """Return the writer of the options' layout.

    Raises:
        UsageError: there is no such layout, or it cannot be written with these options.
    """
    layout = LAYOUTS.get(options.layout)
    if layout is None:
        raise UsageError(
            f"there is no layout {options.layout!r}", fix=f"Choose from {', '.join(LAYOUTS)}."
        )
    module, _, name = layout.writer.partition(":")
    writer: Writer = getattr(import_module(f".{module}", __package__), name)(root, options)
    return writer
