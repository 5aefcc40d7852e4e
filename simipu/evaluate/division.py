"""Which frames are measured on, and which a probe is fitted to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from simipu.data.config import Selection
from simipu.data.selection import Images, select_images
from simipu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from simipu.store.reader import Store

GAP_FRAMES = 2
"""Frames left out on each side of those measured on, where all are of one scene."""

_MEASURED_SHARE = 3  # one of so many


@dataclass(frozen=True, kw_only=True, slots=True)
class Division:
    """Two selections of images of one store, without a frame in common.

    Attributes:
        measured: what every number is of.
        fitted: what the linear maps of the probes are fitted to; None where nothing is left.
        how: in words, how the two were told apart.
        same_scenes: scenes that have frames in both.
    """

    measured: Images
    fitted: Images | None
    how: str
    same_scenes: tuple[str, ...]


def divide(store: Store, measured: Selection, fitted: Selection | None) -> Division:
    """Divide the images of a store, the same way every time.

    Where neither selection says more than which cameras, the last third of the scenes is measured
    on; of a single scene, the last third of its frames. Where only ``measured`` does, the probes
    are fitted to all other scenes; where there is none, to the frames beyond a gap of `GAP_FRAMES`.

    Args:
        store: the store that is measured on.
        measured: what is measured on.
        fitted: what probes are fitted to; None to let that be found.

    Raises:
        UsageError: a selection names what is not there, or both have a frame in common.
        StoreError: a selection is empty, or the store has no correspondences.
    """
    chosen = select_images(store, measured)
    whole = not (measured.scenes or measured.splits) and measured.frames == ":"
    if whole and fitted is None:
        chosen = _last_third(chosen)
    scene = store.table("frames/scene")
    if fitted is not None:
        others = select_images(store, replace(fitted, cameras=measured.cameras))
        both = np.intersect1d(chosen.frames, others.frames)
        if len(both):
            raise UsageError(
                f"frame {both[0]} and {len(both) - 1} more are both measured on and fitted to",
                where=store.path,
                fix="Select frames apart from each other.",
            )
        how = "as selected"
        rest: Images | None = others
    else:
        everything = select_images(store, Selection(path="", cameras=measured.cameras))
        elsewhere = ~np.isin(scene[everything.frames], scene[chosen.frames])
        how = "other scenes"
        if not elsewhere.any():
            gap = np.arange(-GAP_FRAMES, GAP_FRAMES + 1)
            elsewhere = ~np.isin(everything.frames, np.unique(chosen.frames)[:, None] + gap)
            how = f"other frames of the same scenes, with a gap of {GAP_FRAMES}"
        rest = _some(everything, elsewhere) if elsewhere.any() else None
    shared = (
        [] if rest is None else np.intersect1d(scene[chosen.frames], scene[rest.frames]).tolist()
    )
    return Division(
        measured=chosen,
        fitted=rest,
        how=how,
        same_scenes=tuple(store.scenes[number].name for number in shared),
    )


def trained_frames(
    store: Store, trained: Iterable[tuple[str, Mapping[str, Any]]]
) -> npt.NDArray[np.int32]:
    """Frames of ``store`` that an encoder was pre-trained on.

    Args:
        store: the store that is measured on.
        trained: fingerprint of each store that was trained on, and the fields of the `Selection`
            of what was taken of it.

    Returns:
        (n,) ascending.
    """
    found = [
        select_images(store, Selection(**{**selection, "path": str(store.path)})).frames
        for fingerprint, selection in trained
        if fingerprint == store.fingerprint
    ]
    return np.unique(np.concatenate(found)) if found else np.empty(0, dtype=np.int32)


def refuse_trained(division: Division, name: str, frames: npt.NDArray[np.int32]) -> None:
    """Refuse to measure an encoder on frames that it was pre-trained on.

    Raises:
        UsageError: one of them is to be measured on.
    """
    both = np.intersect1d(division.measured.frames, frames)
    if not len(both):
        return
    store = division.measured.store
    free = np.setdiff1d(np.arange(len(store)), frames)
    fix = "Add --allow-training-frames to see how well it knows them by heart"
    if len(free):
        fix += f", or choose from the frames that it has not seen: {describe_frames(free)}"
    raise UsageError(
        f"{len(both)} of the frames to measure on were trained on by {name}: "
        f"{describe_frames(both)}",
        where=store.path,
        fix=f"{fix}.",
    )


def describe_frames(frames: npt.NDArray[Any]) -> str:
    """Ranges of frames as text, such as "0:14, 16:20"."""
    unique = np.unique(frames)
    runs: Sequence[npt.NDArray[Any]] = np.split(unique, np.flatnonzero(np.diff(unique) > 1) + 1)
    texts = [f"{run[0]}:{run[-1] + 1}" for run in runs if len(run)]
    return ", ".join(texts[:6]) + (f", ... ({len(runs)} ranges)" if len(texts) > 6 else "")


def _last_third(images: Images) -> Images:
    scene = images.store.table("frames/scene")[images.frames]
    scenes = np.unique(scene)
    if len(scenes) > 1:
        return _some(images, np.isin(scene, scenes[-max(1, len(scenes) // _MEASURED_SHARE) :]))
    frames = np.unique(images.frames)
    last = frames[-max(1, len(frames) // _MEASURED_SHARE) :]
    return _some(images, np.isin(images.frames, last))


def _some(images: Images, chosen: npt.NDArray[np.bool_]) -> Images:
    return Images(images.store, images.items[chosen])
