"""Correspondences of every frame and camera of a store, in parallel, committed at once."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from simipu.correspond.compute import correspond, lasers_of, published_projection
from simipu.pipelines.cluster import run_tasks
from simipu.pipelines.convert import Progress, Resources, stopping
from simipu.store import extents, lock, schema
from simipu.store.commit import commit, listed_files, read_root, remove_leftovers, write_metadata
from simipu.store.fragment import Fragment, Fragments, joined_rows
from simipu.store.reader import Store
from simipu.store.shards import ShardWriter, write_array
from simipu.store.storage import LocalStorage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from simipu.correspond.policy import Policy
    from simipu.records import Correspondences
    from simipu.store.views import FrameView


@dataclass(frozen=True, kw_only=True, slots=True)
class CorrespondTask:
    """One block of frames and the rows of the flat arrays that are its own."""

    name: str
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
    read_root(LocalStorage(path))  # refuse a wrong path before a lock file is made in it
    storage = LocalStorage(path)

    with lock.writing(path) as run:
        store = Store(path)
        group = f"correspondence/{policy.hash[:16]}"
        entry = store.attributes["correspondence"]
        if entry is None or entry["group"] != group:
            _compute(store, storage, run, group, policy, resources, progress)
        remove_leftovers(storage)


def _compute(
    store: Store,
    storage: LocalStorage,
    run: str,
    group: str,
    policy: Policy,
    resources: Resources,
    progress: Progress,
) -> None:
    tasks, rows = plan_tasks(store)
    # Keyed by content too: the work on a store since converted anew must not be taken up.
    fragments = Fragments(storage, f"{group.replace('/', '-')}-{store.fingerprint[:16]}")

    def count(some: Iterable[CorrespondTask]) -> int:
        return sum(len(task.frames) for task in some)

    def done_so_far() -> int:
        return count(task for task in tasks if fragments.has(task.name))

    with stopping(done_so_far, len(store), store.path):
        pending = [task for task in tasks if fragments.read(task.name) is None]
        progress("correspond", len(store) - count(pending), len(store))
        function = partial(_correspond_block, store, run, group, policy, fragments)
        for frames in run_tasks(
            function, pending, workers=resources.workers, scheduler=resources.scheduler
        ):
            progress("correspond", frames, len(store))
        done = fragments.read_all(task.name for task in tasks)
        _finalise(store, storage, group, policy, done, rows)


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
        CorrespondTask(name=f"{index:06d}", frames=range(block.start, block.stop), rows=rows[index])
        for index, block in enumerate(blocks)
    ]
    return tasks, total


def _correspond_block(
    store: Store,
    run: str,
    group: str,
    policy: Policy,
    fragments: Fragments,
    task: CorrespondTask,
) -> int:
    """Compute one block; returns its number of frames. Runs in a worker."""
    storage = LocalStorage(store.path)
    starts = np.zeros((len(task.frames), len(store.cameras)), "<i8")
    counts = np.zeros_like(starts)
    visible = 0
    with lock.working(store.path, run):
        with ExitStack() as stack:
            batch = stack.enter_context(storage.batch())
            writers = {
                spec.path.rsplit("/", 1)[1]: stack.enter_context(
                    ShardWriter(batch, spec, task.rows)
                )
                for spec in schema.pair_arrays(group)
            }
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
        fragments.write(task.name, Fragment(rows, files, {"visible": visible}))
    return len(task.frames)


def frame_correspondences(frame: FrameView, policy: Policy) -> dict[str, Correspondences]:
    """The correspondences of each camera of one frame, computed from its points."""
    points, source = frame.points, frame.store.attributes["source"]
    xyz = np.array([points[name] for name in "xyz"]).T
    numbers = source.get("projection_cameras", {}) if policy.projection == "published" else {}
    column = cache(points.__getitem__)
    lasers = None
    origins = source.get("lidar_origins_m", {})  # not in stores of an earlier version
    if origins and policy.occlusion != "none":
        lasers = lasers_of(column("laser"), {int(key): xyz for key, xyz in origins.items()})
    return {
        name: correspond(
            xyz,
            T_camera_from_lidar=camera.T_camera_from_lidar,
            K=camera.K,
            distortion=camera.distortion,
            width=camera.width,
            height=camera.height,
            policy=policy,
            T_ego_from_lidar=points.T_ego_from_lidar,
            ego_box_m=source.get("ego_box_m"),
            shutter=camera.shutter,
            timestamp_ns=camera.timestamp_ns,
            T_ego_from_camera=camera.T_ego_from_camera,
            published=published_projection(column, points.columns, numbers[name])
            if name in numbers
            else None,
            lasers=lasers,
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
    fragments: Sequence[Fragment],
    rows: int,
) -> None:
    """Write the extents and commit the store with these correspondences in place of any others."""
    arrays = [
        layout for path, layout in store.layouts.items() if not path.startswith("correspondence/")
    ]
    files = [
        file
        for file in listed_files(storage, read_root(storage))
        if not file.path.startswith("correspondence/")
    ]
    new_arrays = [(spec, rows) for spec in schema.pair_arrays(group)]
    files += [file for fragment in fragments for file in fragment.files]
    joined = joined_rows(fragments)
    tables = {path: np.concatenate(parts) for path, parts in joined.items()}
    with storage.batch() as batch:
        for spec in schema.pair_extent_arrays(group, len(store.cameras)):
            files += write_array(batch, spec, tables[spec.path])
            new_arrays.append((spec, len(tables[spec.path])))
        files += write_metadata(batch, new_arrays)
    entry: dict[str, Any] = {
        "group": group,
        "policy": policy.to_dict(),
        "policy_sha256": policy.hash,
        "pairs": int(tables[f"{group}/count"].sum()),
        "visible": sum(fragment.notes["visible"] for fragment in fragments),
    }
    attributes = {**store.attributes, "correspondence": entry}
    commit(storage, attributes, [*arrays, *new_arrays], files)
