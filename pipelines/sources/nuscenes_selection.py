"""Which version, split, scenes and cameras of nuScenes to read, as the user named them."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simipu.errors import UsageError

from .roots import nuscenes_versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

CAMERAS = (
    "CAM_FRONT",
    "CAM_FRONT_RIGHT",
    "CAM_BACK_RIGHT",
    "CAM_BACK",
    "CAM_BACK_LEFT",
    "CAM_FRONT_LEFT",
)
"""Clockwise, in the order of the store; a camera with another name comes after these."""

# The first ones divide a version's scenes; train_detect and train_track are halves of train.
_SPLITS = {
    "mini": ("mini_train", "mini_val"),
    "trainval": ("train", "val", "train_detect", "train_track"),
    "test": ("test",),
}


def find_version(root: Path, version: str | None) -> str:
    """Return the version to read: the one named, or else the only one that is there.

    Raises:
        UsageError: it is not there, or there are several to choose from.
    """
    there = nuscenes_versions(root)
    if version is None and len(there) == 1:
        return there[0]
    if version is None:
        raise UsageError(
            f"the data set has the versions {', '.join(there)}",
            where=root,
            fix=f"Choose one, such as --version {there[0]}.",
        )
    if version not in there:
        raise UsageError(
            f"there is no version {version} here, only {', '.join(there)}",
            where=root,
            fix=f"Use --version {there[0]}, or unpack the tables of {version} there.",
        )
    return version


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """What to read of a data set.

    Attributes:
        version: e.g. "v1.0-mini".
        split: only scenes of this official split; None for all.
        scenes: only scenes with these names; None for all.
        cameras: only these channels; None for all cameras.
        sweeps: a frame of every LiDAR sweep, not only of keyframes.
        accumulate: earlier sweeps to append to each cloud.
        tolerance_ms: between a sweep and an image, where the sweep is of no keyframe.

    Raises:
        UsageError: a number is out of range.
    """

    version: str
    split: str | None = None
    scenes: tuple[str, ...] | None = None
    cameras: tuple[str, ...] | None = None
    sweeps: bool = False
    accumulate: int = 0
    tolerance_ms: float = 50.0

    def __post_init__(self) -> None:
        if self.accumulate < 0:
            raise UsageError(
                f"accumulate must not be negative, but is {self.accumulate}", fix="e.g. 9"
            )
        if not (math.isfinite(self.tolerance_ms) and self.tolerance_ms >= 0.0):
            raise UsageError(
                f"tolerance_ms must be 0 or more, not {self.tolerance_ms}", fix="e.g. 50"
            )

    @property
    def needs_lidar_sweeps(self) -> bool:
        """Whether clouds between keyframes are read."""
        return self.sweeps or self.accumulate > 0

    def choose_scenes(
        self, names: Sequence[str], official: Mapping[str, Sequence[str]]
    ) -> set[str]:
        """Return the names of the scenes to read.

        Args:
            names: of all scenes in the tables.
            official: the scenes of each official split.

        Raises:
            UsageError: there is no such split or scene, or none is left.
        """
        chosen = set(names)
        if self.split is not None:
            possible = split_names(self.version)
            if self.split not in possible:
                other = next((name for name, splits in _SPLITS.items() if self.split in splits), "")
                raise UsageError(
                    f"there is no split {self.split!r} in {self.version}"
                    + (f": it belongs to v1.0-{other}" if other else ""),
                    fix=_nearest(self.split, possible, "split"),
                )
            chosen &= set(official[self.split])
        for name in self.scenes or ():
            if name not in names:
                raise UsageError(
                    f"there is no scene {name!r} in {self.version}",
                    fix=_nearest(name, names, "scene"),
                )
            if name not in chosen:
                raise UsageError(
                    f"scene {name!r} is not in the split {self.split}",
                    fix="Leave the split out, or choose a scene of it.",
                )
        if self.scenes is not None:
            chosen = set(self.scenes)
        if names and not chosen:
            raise UsageError(
                "no scene is chosen"
                if self.scenes is not None
                else f"no scene of the split {self.split} is in the tables of {self.version}",
                fix=f"There are {', '.join(names[:3])} and so on.",
            )
        return chosen

    def choose_cameras(self, there: Iterable[str]) -> tuple[str, ...]:
        """Return the cameras to read, in the order of `CAMERAS`.

        Args:
            there: the channels of all cameras.

        Raises:
            UsageError: there is no such camera, or none is chosen.
        """
        place = {name: number for number, name in enumerate(CAMERAS)}
        ordered = sorted(set(there), key=lambda name: (place.get(name, len(CAMERAS)), name))
        if self.cameras is None:
            return tuple(ordered)
        if not self.cameras:
            raise UsageError("no camera is chosen", fix=f"There are {', '.join(ordered)}.")
        for name in self.cameras:
            if name not in ordered:
                raise UsageError(
                    f"there is no camera {name!r}", fix=_nearest(name, ordered, "camera")
                )
        return tuple(name for name in ordered if name in self.cameras)


def split_names(version: str) -> tuple[str, ...]:
    """Return the official splits of a version; none of one that is not official."""
    return _SPLITS.get(version.removeprefix("v1.0-"), ())


def split_of_scenes(version: str, official: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the official split of each scene's name."""
    return {name: split for split in split_names(version)[:2] for name in official[split]}


def _nearest(name: str, possible: Sequence[str], what: str) -> str:
    if not possible:
        return f"It has no {what} to choose."
    alike = difflib.get_close_matches(name, possible, n=1)
    if alike:
        return f"Did you mean {alike[0]}?"
    shown = ", ".join(possible[:6]) + (", ..." if len(possible) > 6 else "")
    return f"Choose a {what} of: {shown}."
