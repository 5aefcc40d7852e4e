"""What a store says of where nuScenes' frames came from."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from simipu.records import SourceInfo

from .nuscenes_key import FRAME_ATTRIBUTES, FrameKey
from .nuscenes_points import COLUMNS, EGO_BOX_M, SUFFIX, TIME_OFFSET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simipu.records import Scene

    from .nuscenes_selection import Selection

LICENCE = "CC BY-NC-SA 4.0 and the nuScenes terms of use (nuScenes, www.nuscenes.org)"
DEVKIT_MARGIN_PX = (1.5, 1.5, 0.5, 0.5)
"""Its map_pointcloud_to_image keeps 1 < u < width - 1 and 1 < v < height - 1."""

NOTES = (
    "The ego frame lies on the ground below the rear axle; the world is the map of the scene's "
    "location. Every cloud and every image has the ego pose of its own time, and "
    "T_camera_from_lidar leads through both.",
    "The time of a sweep is its end; its beginning, some 50 ms earlier, is not told. Points are as "
    "the data set has them, the values of a firing without a return included.",
    "What moves by itself has moved between its point and its pixel.",
)


def describe(
    selection: Selection, cameras: Sequence[str], scenes: Sequence[Scene], empty: Sequence[str]
) -> SourceInfo:
    """Describe what was found.

    Args:
        selection: what was to be read.
        cameras: the channels.
        scenes: with their frames.
        empty: names of the scenes without any frame.
    """
    columns = (*COLUMNS, TIME_OFFSET) if selection.accumulate else COLUMNS
    return SourceInfo(
        name="nuscenes",
        licence=LICENCE,
        cameras=tuple(cameras),
        point_columns=dict.fromkeys(columns, "<f4"),
        point_suffix=".accumulated.bin" if selection.accumulate else SUFFIX,
        notes=(*NOTES, *_option_notes(selection), *_gap_notes(cameras, scenes, empty)),
        options={
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(selection).items()
        },
        frame_attributes=FRAME_ATTRIBUTES,
        policy={"margin_px": list(DEVKIT_MARGIN_PX)},
        ego_box_m=EGO_BOX_M,
    )


def named(scenes: Sequence[str]) -> str:
    """Return the first names."""
    return ", ".join(scenes[:3]) + (", ..." if len(scenes) > 3 else "")


def _option_notes(selection: Selection) -> list[str]:
    notes: list[str] = []
    if selection.sweeps:
        notes.append(
            "A frame between keyframes has each camera's image nearest to the sweep's time, if "
            f"that is at most {selection.tolerance_ms:g} ms away; a keyframe has those of its "
            "sample."
        )
    if selection.accumulate:
        notes.append(
            f"Up to {selection.accumulate} earlier sweeps are appended to each cloud, brought to "
            "its frame through the ego poses; time_offset_s tells them apart. The car's own "
            "returns in them are left out. What moves by itself trails."
        )
    return notes


def _gap_notes(cameras: Sequence[str], scenes: Sequence[Scene], empty: Sequence[str]) -> list[str]:
    frames = sum(len(scene.frames) for scene in scenes)
    images = Counter(
        camera
        for scene in scenes
        for ref in scene.frames
        for camera in FrameKey._make(ref.key).cameras
    )
    notes = [
        f"{frames - images[camera]} of {frames} frames have no image of {camera}."
        for camera in cameras
        if images[camera] < frames
    ]
    if empty:
        notes.append(f"{len(empty)} scenes in the tables have no frame ({named(empty)}).")
    return notes
