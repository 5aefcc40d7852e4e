"""The single-process end of a conversion: many fragments become one store."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import simipu
from simipu.errors import SourceError
from simipu.store import schema
from simipu.store.commit import commit, write_metadata
from simipu.store.fragment import Fragments, joined_rows
from simipu.store.shards import write_array

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from simipu.pipelines.plan import Plan
    from simipu.records import SourceInfo
    from simipu.store.storage import LocalStorage

Table = npt.NDArray[Any]

COUNTED = ("lidar/count", "camera/valid", "camera/nbytes")
"""Arrays whose sums the root document has."""


def finalise(storage: LocalStorage, plan: Plan, fragments: Fragments, info: SourceInfo) -> None:
    """Merge the fragments of a finished conversion, write the small arrays, commit.

    Raises:
        SourceError: every frame was left out.
        IncompleteError: the work of a task is lost.
    """
    done = fragments.read_all(task.name for task in plan.tasks)
    files = [file for fragment in done for file in fragment.files]
    skipped = [asdict(entry) for entry in plan.skipped]
    for fragment in done:
        skipped += fragment.notes["skipped"]
    rows = joined_rows(done)
    del done  # its rows are freed table by table
    frames_per_task = [len(counts) for counts in rows["lidar/count"]]
    if not sum(frames_per_task):
        raise SourceError(
            f"none of {len(skipped):,} frames could be read, the first because "
            f"{skipped[0]['path']}: {skipped[0]['reason']}",
            fix="Mend the files, and run the same command again.",
        )
    arrays: list[tuple[schema.ArraySpec, int]] = []
    totals: dict[str, int] = {}
    with storage.batch() as batch:
        for spec, table in _tables(rows, plan, info, frames_per_task):  # one at a time in memory
            files += write_array(batch, spec, table)
            arrays.append((spec, len(table)))
            if spec.path in COUNTED:
                totals[spec.path] = int(table.sum())
        arrays += [(spec, plan.point_rows) for spec in schema.point_arrays(info.point_columns)]
        arrays.append((schema.IMAGE_DATA, plan.image_rows))
        files += write_metadata(batch, arrays)
    # Of blocks that were converted, and then again because their source had changed.
    for path in set(storage.files()) - {file.path for file in files}:
        (storage.root / path).unlink()
    frames, scenes = sum(frames_per_task), len(_frames_per_scene(plan, frames_per_task))
    attributes = _attributes(plan, info, frames, scenes, totals, skipped)
    commit(storage, attributes, arrays, files)


def _tables(
    rows: dict[str, list[Table]], plan: Plan, info: SourceInfo, frames_per_task: list[int]
) -> Iterator[tuple[schema.ArraySpec, Table]]:
    """Every array with one row a frame or scene; takes the parts of each out of ``rows``."""
    for path in schema.frame_text_paths(info.frame_attributes):
        table = schema.join_text(rows.pop(path))
        yield schema.text_array(path, table), table
    for spec in schema.frame_arrays(len(info.cameras)):
        if spec.path == "frames/scene":
            scenes = _scene_numbers(plan, frames_per_task)
            yield spec, np.repeat(np.asarray(scenes, spec.dtype), frames_per_task)
        else:
            yield spec, np.concatenate(rows.pop(spec.path))
    yield from _scene_tables(plan, frames_per_task)


def _scene_numbers(plan: Plan, frames_per_task: list[int]) -> list[int]:
    """The number of each task's scene among those that kept a frame."""
    number = {scene: index for index, scene in enumerate(_frames_per_scene(plan, frames_per_task))}
    return [number.get(task.scene, -1) for task in plan.tasks]


def _frames_per_scene(plan: Plan, frames_per_task: list[int]) -> dict[int, int]:
    """The number of frames of each scene of the plan that kept any, in order."""
    frames: dict[int, int] = {}
    for task, count in zip(plan.tasks, frames_per_task, strict=True):
        if count:
            frames[task.scene] = frames.get(task.scene, 0) + count
    return frames


def _scene_tables(
    plan: Plan, frames_per_task: list[int]
) -> Iterator[tuple[schema.ArraySpec, Table]]:
    frames = _frames_per_scene(plan, frames_per_task)
    scenes = [plan.scenes[scene] for scene in frames]
    texts = {
        "scenes/name": [scene.name for scene in scenes],
        "scenes/split": [scene.split for scene in scenes],
    }
    for name in _scene_attributes(plan):
        texts[f"scenes/attributes/{name}"] = [scene.attributes.get(name, "") for scene in scenes]
    for path, column in texts.items():
        table = schema.encode_text(column)
        yield schema.text_array(path, table), table
    counts = np.array(list(frames.values()), "<i8")
    yield from zip(schema.SCENE_ARRAYS, (counts.cumsum() - counts, counts), strict=True)


def _scene_attributes(plan: Plan) -> list[str]:
    return list(dict.fromkeys(name for scene in plan.scenes for name in scene.attributes))


def _attributes(
    plan: Plan,
    info: SourceInfo,
    frames: int,
    scenes: int,
    totals: Mapping[str, int],
    skipped: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "converter": {"simipu": simipu.__version__},
        "plan": {"sha256": plan.sha256, "identity": dict(plan.identity)},
        "source": {
            "name": info.name,
            "licence": info.licence,
            "options": dict(info.options),
            "limit": plan.identity["limit"],
            "notes": list(info.notes),
            "policy": dict(info.policy),
            "projection_cameras": dict(info.projection_cameras),
            "ego_box_m": None if info.ego_box_m is None else list(info.ego_box_m),
            "lidar_origins_m": {str(k): list(xyz) for k, xyz in info.lidar_origins_m.items()},
        },
        "cameras": list(info.cameras),
        "frame_attributes": list(info.frame_attributes),
        "scene_attributes": _scene_attributes(plan),
        "point_columns": [list(column) for column in info.point_columns.items()],
        "point_suffix": info.point_suffix,
        "conventions": {
            "ego_axes": "x forward, y left, z up",
            "camera_axes": "x right, y down, z forward",
            "transforms": "T_dst_from_src maps column vectors in src to dst",
            "pixel_centre": "integer coordinates; (0, 0) is the centre of the top left pixel",
            "units": {"length": "m", "time": "ns", "image": "px"},
            "missing": {"time": schema.MISSING_TIME_NS, "pose": "NaN"},
        },
        "counts": {
            "frames": frames,
            "scenes": scenes,
            "points": totals["lidar/count"],
            "images": totals["camera/valid"],
            "image_bytes": totals["camera/nbytes"],
        },
        "skipped": skipped,
        "correspondence": None,
    }
