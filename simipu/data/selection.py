"""Finding the images of a store that a `Selection` names."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from simipu.data.config import parse_frames
from simipu.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from simipu.data.config import Selection
    from simipu.store.reader import Store


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """Images of one store.

    Attributes:
        store: an open store with correspondences.
        items: (n, 2) int32, the frame and the index in ``store.cameras`` of each image, in the
            store's order. An array, because it is sent to every worker.
        weight: how often each is seen in an epoch.
    """

    store: Store
    items: npt.NDArray[np.int32]
    weight: float = 1.0

    def __len__(self) -> int:
        return len(self.items)

    @property
    def frames(self) -> npt.NDArray[np.int32]:
        """(n,) the frame of each image."""
        return self.items[:, 0]


def select_images(
    store: Store, selection: Selection, *, policy: Mapping[str, object] | None = None
) -> Images:
    """The images of ``store`` that meet all conditions of ``selection``.

    Args:
        store: the store that the selection names, opened.
        selection: the conditions.
        policy: fields of the correspondence policy, and the values that the store must have.

    Raises:
        UsageError: the store has no scene, split, camera or frame of that name or number.
        StoreError: the store has no correspondences, or those of another policy, or no image that
            meets the conditions.
    """
    _check_policy(store, policy or {})
    chosen = np.zeros(len(store), dtype=np.bool_)
    frames = parse_frames(selection.frames, len(store))
    chosen[frames.start : frames.stop] = True
    if selection.scenes or selection.splits:
        _check_names(store, "scene", selection.scenes, [scene.name for scene in store.scenes])
        _check_names(store, "split", selection.splits, {scene.split for scene in store.scenes})
        for scene in store.scenes:
            wanted = not selection.scenes or scene.name in selection.scenes
            if not wanted or (selection.splits and scene.split not in selection.splits):
                chosen[scene.start : scene.stop] = False
    _check_names(store, "camera", selection.cameras, store.cameras)
    valid = store.table("camera/valid").astype(np.bool_) & chosen[:, None]
    if selection.cameras:
        valid &= np.isin(store.cameras, selection.cameras)
    items = np.argwhere(valid).astype(np.int32)
    if not len(items):
        raise StoreError(
            f"no images in frames {frames.start}:{frames.stop} of what is selected",
            where=store.path,
            fix=f"See what the store holds with: simipu-prep info {store.path}",
        )
    return Images(store, items, selection.weight)


def check_held_out(trained: Iterable[Images], held_out: Iterable[Images]) -> list[str]:
    """Refuse to measure on frames that are trained on.

    Returns:
        Sentences about scenes of which some frames are trained on and others measured on.

    Raises:
        UsageError: a frame is in both.
    """
    held_out = list(held_out)
    doubts = []
    for ours in trained:
        for theirs in held_out:
            if ours.store.fingerprint != theirs.store.fingerprint:
                continue
            path = theirs.store.path
            both = np.intersect1d(ours.frames, theirs.frames)
            if len(both):
                raise UsageError(
                    f"{len(both)} frames are to be trained on and measured on, as frame {both[0]}: "
                    "the two selections overlap",
                    where=path,
                    fix="Retrieval on training frames says nothing; select frames apart from them.",
                )
            scenes = np.intersect1d(_scenes(ours), _scenes(theirs))
            if len(scenes):
                doubts.append(
                    f"{path}: {len(scenes)} scenes are trained on and measured on, as "
                    f"{theirs.store.scenes[scenes[0]].name!r}, though in other frames: the same "
                    "place may be in both, and the retrieval too good"
                )
    return doubts


def _scenes(images: Images) -> npt.NDArray[Any]:
    scenes: npt.NDArray[Any] = np.unique(images.store.table("frames/scene")[images.frames])
    return scenes


def _check_policy(store: Store, wanted: Mapping[str, object]) -> None:
    found = store.correspondence_policy
    if found is None:
        raise StoreError(
            "the store has no correspondences to train on",
            where=store.path,
            fix=f"Compute them with: simipu-prep correspond {store.path}",
        )
    _check_names(store, "field of the policy", wanted, found)
    others = [
        f"{name} is {found[name]}, not {value}"
        for name, value in wanted.items()
        if found[name] != value
    ]
    if others:
        raise StoreError(
            f"the correspondences follow another policy than asked for: {'; '.join(others)}",
            where=store.path,
            fix="Compute them anew with `simipu-prep correspond`, or change data.policy.",
        )


def _check_names(store: Store, kind: str, wanted: Iterable[str], found: Iterable[str]) -> None:
    there: Sequence[str] = sorted(found)
    for name in wanted:
        if name not in there:
            near = get_close_matches(name, there, n=1)
            some = ", ".join(map(repr, there[:6])) + (", ..." if len(there) > 6 else "")
            raise UsageError(
                f"there is no {kind} {name!r}",
                where=store.path,
                fix=f"Did you mean {near[0]!r}?" if near else f"There are: {some}.",
            )
