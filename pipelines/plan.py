"""What a conversion will do, decided before it does anything."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import simipu
from simipu.store import extents, schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from simipu.pipelines.sources.base import Source
    from simipu.records import FrameRef, Scene, Skipped


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvertTask:
    """One block of frames and the rows of the flat arrays that are its own.

    Attributes:
        name: number of the task, and a digest of everything that decides what it writes.
        scene: number of the scene.
        frames: the frames, in order.
        points, images: its rows of the point columns and of the image bytes.
    """

    name: str
    scene: int
    frames: tuple[FrameRef, ...]
    points: range
    images: range


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A whole conversion.

    Attributes:
        identity: the options that decide the content of the store, as JSON values.
        scenes: what to convert.
        skipped: frames that the scan left out, their paths relative to the root.
        tasks: the work.
        point_rows, image_rows: rows of the flat arrays.
        sha256: equal for conversions of an unchanged source with equal options.
    """

    identity: Mapping[str, Any]
    scenes: Sequence[Scene]
    skipped: Sequence[Skipped]
    tasks: Sequence[ConvertTask]
    point_rows: int
    image_rows: int
    sha256: str


def make_plan(
    source: Source, *, limit: int | None = None, task_bytes: int = extents.TASK_BYTES
) -> Plan:
    """Scan a source and plan its conversion.

    Args:
        source: the source.
        limit: keep only so many frames from the start.
        task_bytes: source bytes for each task to aim for.
    """
    scan = source.scan()
    info = source.info
    scenes = _first_frames(scan.scenes, limit)
    skipped = [relative_to_root(entry, source.root) for entry in scan.skipped]
    identity = {
        "source": info.name,
        "options": dict(info.options),
        "cameras": list(info.cameras),
        "point_columns": [list(column) for column in info.point_columns.items()],
        "frame_attributes": list(info.frame_attributes),
        "limit": limit,
        "task_bytes": task_bytes,
        "format_version": schema.FORMAT_VERSION,
    }
    tasks, point_rows, image_rows = _allot(identity, scenes)
    content = hashlib.sha256(_json(identity))
    for scene in scenes:  # one at a time: as JSON all frames together may take gigabytes
        described = [scene.name, scene.split, dict(scene.attributes), *_describe(scene.frames)]
        content.update(_json(described))
    content.update(_json([asdict(entry) for entry in skipped]))
    return Plan(
        identity=identity,
        scenes=scenes,
        skipped=skipped,
        tasks=tasks,
        point_rows=point_rows,
        image_rows=image_rows,
        sha256=content.hexdigest(),
    )


def relative_to_root(skipped: Skipped, root: Path) -> Skipped:
    """The same with its path below the data set's root: where that lies is no part of a store."""
    path = Path(skipped.path)
    return replace(
        skipped, path=path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    )


def _allot(
    identity: Mapping[str, Any], scenes: Sequence[Scene]
) -> tuple[list[ConvertTask], int, int]:
    """Cut the scenes into tasks and give each its rows."""
    point_bytes = sum(np.dtype(dtype).itemsize for _, dtype in identity["point_columns"])
    frame_bytes = [
        [
            ref.source_bytes or ref.max_points * point_bytes + ref.max_image_bytes
            for ref in scene.frames
        ]
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
    tasks = []
    for index, (block, frames) in enumerate(zip(blocks, refs, strict=True)):
        content = [
            simipu.__version__,
            identity,
            block.scene,
            points[index].start,
            images[index].start,
            *_describe(frames),
        ]
        tasks.append(
            ConvertTask(
                name=f"{index:06d}-{_digest(content)[:16]}",
                scene=block.scene,
                frames=frames,
                points=points[index],
                images=images[index],
            )
        )
    return tasks, point_rows, image_rows


def _describe(frames: Iterable[FrameRef]) -> list[list[object]]:
    return [[ref.id, ref.max_points, ref.max_image_bytes, *ref.key] for ref in frames]


def _digest(value: object) -> str:
    return hashlib.sha256(_json(value)).hexdigest()


def _json(value: object) -> bytes:
    # Without an indent, which has no fast encoder: a large data set's frames fill gigabytes.
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


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
