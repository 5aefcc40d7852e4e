"""Correspondences of every frame and camera of a store, in parallel, committed at once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from simipu.correspond.compute import correspond
from simipu.correspond.policy import Policy
from simipu.pipelines.cluster import run_tasks
from simipu.pipelines.convert import Progress, Resources, stopping
from simipu.records import Correspondences
from simipu.store import extents, lock, schema
from simipu.store.commit import commit, listed_files, read_root, remove_leftovers, write_metadata
from simipu.store.fragment import Fragment, Fragments
from simipu.store.reader import Store
from simipu.store.shards import ShardWriter, write_array
from simipu.store.storage import LocalStorage
from simipu.store.views import FrameView


@dataclass(frozen=True, kw_only=True, slots=True)
class CorrespondTask:
    """One block of frames and the rows of the flat arrays that are its own."""

    index: int
    frames: range
    rows: range


def correspond_store(
    path: Path,
    policy: Policy,
    *,
    resources: Resources,
    progress: Progress = lambda *_: None,
) -> None:
    """Compute the correspondences of a store by ``policy``, or go on with it.

    Nothing happens where the store has them already. Those of another policy stay in place until
    the new ones are complete, then make way.

    Args:
        path: a complete store.
        policy: what counts as a correspondence.
        resources: where to run.
        progress: told how far it is.

    Raises:
        StoreError: there is no store, or it is damaged.
        UsageError: the store is being written to.
        IncompleteError: stopped half-way; the same call goes on.
    """
    Store(path)  # refuse a wrong path before a lock file is made in it
    storage = LocalStorage(path)
    with lock.writing(path):
        store = Store(path)
        group = f"correspondence/{policy.hash[:16]}"
        entry = store.attributes["correspondence"]
        if entry is None or entry["group"] != group:
            _compute(store, storage, group, policy, resources, progress)
        remove_leftovers(storage, read_root(storage))


def _compute(
    store: Store,
    storage: LocalStorage,
    group: str,
    policy: Policy,
    resources: Resources,
    progress: Progress,
) -> None:
    tasks, rows = plan_tasks(store)
    # Keyed by content too: fragments of a store since converted anew must not be taken up.
    fragments = Fragments(storage, f"{group.replace('/', '-')}-{store.fingerprint[:16]}")
    pending = [task for task in tasks if not fragments.has(task.index)]
    done = len(store) - sum(len(task.frames) for task in pending)
    progress("correspond", done, len(store))
    function = partial(_correspond_block, store, group, policy, fragments)
    with stopping(lambda: done, len(store), store.path):
        for frames in run_tasks(
            function, pending, workers=resources.workers, scheduler=resources.scheduler
        ):
            done += frames
            progress("correspond", frames, len(store))
    _finalise(store, storage, group, policy, fragments, len(tasks), rows)


def plan_tasks(store: Store) -> tuple[list[CorrespondTask], int]:
    """Blocks of frames with about as many points as a shard has rows, and the rows in all."""
    points = store.table("lidar/count")
    images = store.table("camera/valid").sum(axis=1)
    blocks = list(extents.split_into_blocks([points.tolist()], schema.PAIRS_PER_SHARD))
    bounds = (points * images).astype(np.int64)
    rows, total = extents.allot_rows(
        [int(bounds[block.start : block.stop].sum()) for block in blocks], schema.PAIRS_PER_SHARD
    )
    tasks = [
        CorrespondTask(index=index, frames=range(block.start, block.stop), rows=rows[index])
        for index, block in enumerate(blocks)
    ]
    return tasks, total


def _correspond_block(
    store: Store, group: str, policy: Policy, fragments: Fragments, task: CorrespondTask
) -> int:
    """Compute one block; returns its number of frames. Runs in a worker."""
    storage = LocalStorage(store.path)
    starts = np.zeros((len(task.frames), len(store.cameras)), "<i8")
    counts = np.zeros_like(starts)
    visible = 0
    with lock.working(store.path):
        writers = {
            spec.path.rsplit("/", 1)[1]: ShardWriter(storage, spec, task.rows)
            for spec in schema.pair_arrays(group)
        }
        with ExitStack() as stack:
            for writer in writers.values():
                stack.enter_context(writer)
            for frame in task.frames:
                pairs = frame_correspondences(store[frame], policy)
                for number, name in enumerate(store.cameras):
                    starts[frame - task.frames.start, number] = writers["point"].next_row
                    if name in pairs:
                        counts[frame - task.frames.start, number] = len(pairs[name])
                        visible += int(pairs[name].visible.sum())
                        _append(writers, pairs[name])
        files = [file for writer in writers.values() for file in writer.files]
        rows = {f"{group}/start": starts, f"{group}/count": counts}
        fragments.write(task.index, Fragment(rows, files, {"visible": visible}))
    return len(task.frames)


def frame_correspondences(frame: FrameView, policy: Policy) -> dict[str, Correspondences]:
    """The correspondences of each camera of one frame, computed from its points."""
    xyz = frame.points.xyz
    return {
        name: correspond(
            xyz,
            T_camera_from_lidar=camera.T_camera_from_lidar,
            K=camera.K,
            distortion=camera.distortion,
            width=camera.width,
            height=camera.height,
            policy=policy,
        )
        for name, camera in frame.cameras.items()
    }


def _append(writers: Mapping[str, ShardWriter], pairs: Correspondences) -> None:
    writers["point"].append(pairs.row)
    writers["u"].append(pairs.uv[:, 0])
    writers["v"].append(pairs.uv[:, 1])
    writers["depth"].append(pairs.depth)
    writers["visible"].append(pairs.visible)


def _finalise(
    store: Store,
    storage: LocalStorage,
    group: str,
    policy: Policy,
    fragments: Fragments,
    tasks: int,
    rows: int,
) -> None:
    kept = {
        path: layout
        for path, layout in store.layouts.items()
        if not path.startswith("correspondence/")
    }
    files = [file for file in listed_files(storage) if not file.path.startswith("correspondence/")]
    pairs = visible = 0
    for task in range(tasks):
        written, notes = fragments.ledger(task)
        files += written
        visible += notes["visible"]
    arrays = [(spec, rows) for spec in schema.pair_arrays(group)]
    for spec in schema.pair_extent_arrays(group, len(store.cameras)):
        table = np.concatenate(list(fragments.rows(tasks, spec.path)))
        files += write_array(storage, spec, table)
        arrays.append((spec, len(table)))
        if spec.path.endswith("/count"):
            pairs = int(table.sum())
    files += write_metadata(storage, arrays)
    entry: dict[str, Any] = {
        "group": group,
        "policy": policy.to_dict(),
        "policy_sha256": policy.hash,
        "pairs": pairs,
        "visible": visible,
    }
    attributes = {**store.attributes, "correspondence": entry}
    commit(storage, attributes, [*kept.values(), *arrays], files)
