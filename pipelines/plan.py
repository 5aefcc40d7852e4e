"""What a conversion will do, decided before it does anything, and kept so that it can resume."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

import simipu
from simipu.errors import SourceError, UsageError
from simipu.records import FrameRef, Scan, Scene, Skipped, SourceInfo
from simipu.store import extents, schema
from simipu.store.commit import canonical_json
from simipu.store.storage import LocalStorage

PLAN = f"{schema.STAGING}/plan.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvertTask:
    """One block of frames and the rows of the flat arrays that are its own.

    Attributes:
        index: number of the task.
        scene: number of the scene.
        frames: the frames, in order.
        points, images: its rows of the point columns and of the image bytes.
    """

    index: int
    scene: int
    frames: tuple[FrameRef, ...]
    points: range
    images: range


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A whole conversion.

    Attributes:
        identity: all that decides the content of the store except the frames themselves.
        scenes: what to convert.
        skipped: frames that the scan left out.
        tasks: the work.
        point_rows, image_rows: rows of the flat arrays.
    """

    identity: Mapping[str, Any]
    scenes: Sequence[Scene]
    skipped: Sequence[Skipped]
    tasks: Sequence[ConvertTask]
    point_rows: int
    image_rows: int

    def document(self) -> dict[str, Any]:
        """The plan as JSON values, without the tasks, which follow from the rest."""
        return {
            "identity": dict(self.identity),
            "scenes": [
                {
                    "name": scene.name,
                    "split": scene.split,
                    "frames": [
                        [ref.id, ref.max_points, ref.max_image_bytes] for ref in scene.frames
                    ],
                }
                for scene in self.scenes
            ],
            "skipped": [asdict(skipped) for skipped in self.skipped],
        }

    @property
    def sha256(self) -> str:
        """Equal for conversions with equal results, from an unchanged source."""
        return hashlib.sha256(canonical_json(self.document())).hexdigest()


def make_plan(
    scan: Scan, info: SourceInfo, *, limit: int | None = None, task_bytes: int = extents.TASK_BYTES
) -> Plan:
    """Plan the conversion of what a source found.

    Args:
        scan: the scenes, with every frame's bounds.
        info: the source.
        limit: keep only so many frames from the start.
        task_bytes: source bytes for each task to aim for.
    """
    identity = {
        "source": info.name,
        "options": dict(info.options),
        "cameras": list(info.cameras),
        "point_columns": [list(column) for column in info.point_columns.items()],
        "limit": limit,
        "task_bytes": task_bytes,
        "simipu": simipu.__version__,
        "format_version": schema.FORMAT_VERSION,
    }
    return _allot(identity, _first_frames(scan.scenes, limit), scan.skipped)


def resume_plan(storage: LocalStorage, plan: Plan, done: Callable[[int], bool]) -> Plan:
    """Reconcile a new plan with the one that an earlier run of the same command began.

    The earlier extents stay. A file may have been replaced since, if its block is not yet
    converted and still fits.

    Args:
        storage: the store, with the earlier plan in it.
        plan: the plan from the source as it is now.
        done: whether a task of the earlier plan has ended.

    Returns:
        The plan to go on with.

    Raises:
        UsageError: the command or the set of frames differs from what was begun.
        SourceError: a file has changed that can no longer be taken up.
    """
    earlier = json.loads(storage.read(PLAN))
    restart = "Run the first command again, or add --overwrite to start over."
    other = sorted(
        name for name, value in plan.identity.items() if earlier["identity"].get(name) != value
    )
    if other:
        raise UsageError(
            f"a conversion with another {', '.join(other)} was begun here",
            where=storage.root,
            fix=restart,
        )
    now = plan.document()
    if _frame_ids(now) != _frame_ids(earlier):
        raise UsageError(
            "frames were added to or taken from the data set since this conversion began",
            where=storage.root,
            fix=restart,
        )
    bounds = {ref[0]: ref[1:] for scene in earlier["scenes"] for ref in scene["frames"]}
    scenes = [
        replace(scene, frames=tuple(_with_bounds(ref, *bounds[ref.id]) for ref in scene.frames))
        for scene in plan.scenes
    ]
    resumed = _allot(plan.identity, scenes, plan.skipped)
    current = {ref.id: ref for scene in plan.scenes for ref in scene.frames}
    for task in resumed.tasks:
        _refuse_late_changes(task, [current[ref.id] for ref in task.frames], done(task.index))
    return resumed


def _refuse_late_changes(task: ConvertTask, current: Sequence[FrameRef], done: bool) -> None:
    changed = [ref.id for ref, planned in zip(current, task.frames, strict=True) if ref != planned]
    fits = sum(ref.max_points for ref in current) <= len(task.points) and sum(
        ref.max_image_bytes for ref in current
    ) <= len(task.images)
    if changed and (done or not fits):
        raise SourceError(
            f"the files of {len(changed)} frames have changed since they were "
            f"{'converted' if done else 'planned'}, the first of frame {changed[0]}",
            fix="Add --overwrite to start over.",
        )


def _allot(
    identity: Mapping[str, Any], scenes: Sequence[Scene], skipped: Sequence[Skipped]
) -> Plan:
    """Cut the scenes into tasks and give each its rows."""
    point_bytes = sum(np.dtype(dtype).itemsize for _, dtype in identity["point_columns"])
    frame_bytes = [
        [ref.max_points * point_bytes + ref.max_image_bytes for ref in scene.frames]
        for scene in scenes
    ]
    blocks = list(extents.split_into_blocks(frame_bytes, identity["task_bytes"]))
    refs = [scenes[block.scene].frames[block.start : block.stop] for block in blocks]
    points, point_rows = extents.allot_rows(
        [sum(ref.max_points for ref in block) for block in refs], schema.POINTS_PER_SHARD
    )
    images, image_rows = extents.allot_rows(
        [sum(ref.max_image_bytes for ref in block) for block in refs],
        schema.IMAGE_BYTES_PER_SHARD,
    )
    tasks = [
        ConvertTask(
            index=index,
            scene=block.scene,
            frames=refs[index],
            points=points[index],
            images=images[index],
        )
        for index, block in enumerate(blocks)
    ]
    return Plan(
        identity=identity,
        scenes=scenes,
        skipped=skipped,
        tasks=tasks,
        point_rows=point_rows,
        image_rows=image_rows,
    )


def _first_frames(scenes: Sequence[Scene], limit: int | None) -> list[Scene]:
    if limit is None:
        return list(scenes)
    kept = []
    for scene in scenes:
        if limit <= 0:
            break
        kept.append(replace(scene, frames=scene.frames[:limit]))
        limit -= len(scene.frames)
    return kept


def _with_bounds(ref: FrameRef, max_points: int, max_image_bytes: int) -> FrameRef:
    return replace(ref, max_points=max_points, max_image_bytes=max_image_bytes)


def _frame_ids(document: Mapping[str, Any]) -> list[tuple[str, str, list[str]]]:
    return [
        (scene["name"], scene["split"], [ref[0] for ref in scene["frames"]])
        for scene in document["scenes"]
    ]
