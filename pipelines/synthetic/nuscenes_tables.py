"""nuScenes' thirteen tables, made of what each unit noted down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from .nuscenes_scenes import token

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simipu.records import FloatArray

    from .nuscenes_scenes import Recording
    from .sensors import Rig

Row = dict[str, Any]
Tables = dict[str, list[Row]]

LIDAR = "LIDAR_TOP"
LOCATION = "synthetic"
_DESCRIPTION = "Synthetic street, computed"
_CATEGORIES = {
    "human.pedestrian.adult": "Adult on foot.",
    "vehicle.bicycle": "Bicycle with its rider.",
    "vehicle.car": "Car or van.",
    "vehicle.truck": "Truck.",
}
_ATTRIBUTES = {
    "vehicle.moving": "Vehicle is moving.",
    "vehicle.stopped": "Vehicle stands still in traffic.",
    "vehicle.parked": "Vehicle is parked.",
    "cycle.with_rider": "There is a rider on the bicycle.",
    "pedestrian.standing": "The human stands.",
    "pedestrian.moving": "The human walks.",
}
_GROWING = (
    "calibrated_sensor",
    "ego_pose",
    "log",
    "scene",
    "sample",
    "sample_data",
    "map",
    "instance",
    "sample_annotation",
)
_OF_FILE = ("timestamp", "fileformat", "is_key_frame", "height", "width", "filename")
_OF_BOX = ("translation", "size", "rotation", "num_lidar_pts")
_VISIBILITIES = {"1": (0, 40), "2": (40, 60), "3": (60, 80), "4": (80, 100)}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Notes:
    """What the units of one scene noted down, as JSON values.

    Attributes:
        recording: the scene.
        files: rows of sample_data and ego_pose in one, without tokens and chains, by time within
            each channel: channel, sample (number of its keyframe), is_key_frame, timestamp,
            filename, fileformat, width, height, rotation, translation.
        boxes: of each keyframe, the result of `nuscenes_boxes.boxes`.
    """

    recording: Recording
    files: Sequence[Row]
    boxes: Sequence[Sequence[Row]]


def pose_fields(T: FloatArray) -> Row:
    """Return a rigid (4, 4) pose as nuScenes writes it: quaternion w x y z and metres."""
    return {"rotation": _quaternion(T), "translation": [float(value) for value in T[:3, 3]]}


def make_tables(seed: int, rig: Rig, scenes: Sequence[Notes]) -> Tables:
    """Return all tables by name.

    Args:
        seed: of the world; part of every scene's tokens.
        rig: with the cameras that were written, and the LiDAR.
        scenes: in order.
    """
    mounts: dict[str, Row] = {
        camera.name: {
            **pose_fields(camera.T_ego_from_camera),
            "camera_intrinsic": camera.K.tolist(),
        }
        for camera in rig.cameras
    }
    mounts[LIDAR] = {**pose_fields(rig.lidars[0].T_ego_from_lidar), "camera_intrinsic": []}
    tables: Tables = {
        **_fixed(),
        "sensor": [
            {
                "token": token("sensor", channel),
                "channel": channel,
                "modality": "lidar" if channel == LIDAR else "camera",
            }
            for channel in mounts
        ],
        **{name: [] for name in _GROWING},
    }
    for notes in scenes:
        _add_scene(tables, seed, notes)
        _add_files(tables, seed, notes, mounts)
        _add_annotations(tables, seed, notes)
    return tables


def map_filename(seed: int, recording: Recording) -> str:
    """Return where the map of a scene lies, relative to the data set's root."""
    return f"maps/{token(seed, recording.name, 'map')}.png"


def _fixed() -> Tables:
    return {
        "category": [
            {"token": token("category", name), "name": name, "description": text}
            for name, text in _CATEGORIES.items()
        ],
        "attribute": [
            {"token": token("attribute", name), "name": name, "description": text}
            for name, text in _ATTRIBUTES.items()
        ],
        "visibility": [
            {
                "token": number,
                "level": f"v{low}-{high}",
                "description": f"visibility of whole object is between {low} and {high}%",
            }
            for number, (low, high) in _VISIBILITIES.items()
        ],
    }


def _sample_token(seed: int, recording: Recording, keyframe: int) -> str:
    return token(seed, recording.name, "sample", keyframe)


def _add_scene(tables: Tables, seed: int, notes: Notes) -> None:
    recording, name = notes.recording, notes.recording.name
    log_token, scene_token = token(seed, name, "log"), token(seed, name, "scene")
    samples = [
        {
            "token": _sample_token(seed, recording, row["sample"]),
            "timestamp": row["timestamp"],
            "scene_token": scene_token,
        }
        for row in notes.files
        if row["channel"] == LIDAR and row["is_key_frame"]
    ]
    _chain(samples)
    tables["sample"] += samples
    tables["log"].append(
        {
            "token": log_token,
            "logfile": recording.logfile,
            "vehicle": "n000",
            "date_captured": recording.date,
            "location": LOCATION,
        }
    )
    tables["map"].append(
        {
            "token": token(seed, name, "map"),
            "log_tokens": [log_token],
            "category": "semantic_prior",
            "filename": map_filename(seed, recording),
        }
    )
    tables["scene"].append(
        {
            "token": scene_token,
            "log_token": log_token,
            "nbr_samples": len(samples),
            "first_sample_token": samples[0]["token"],
            "last_sample_token": samples[-1]["token"],
            "name": name,
            "description": _DESCRIPTION,
        }
    )


def _add_files(tables: Tables, seed: int, notes: Notes, mounts: Mapping[str, Row]) -> None:
    name = notes.recording.name
    for channel, mount in mounts.items():
        calibrated = token(seed, name, "calibrated_sensor", channel)
        tables["calibrated_sensor"].append(
            {"token": calibrated, "sensor_token": token("sensor", channel), **mount}
        )
        chain: list[Row] = []
        for row in notes.files:
            if row["channel"] != channel:
                continue
            own = token(seed, name, channel, row["timestamp"])
            tables["ego_pose"].append(
                {
                    "token": own,
                    "timestamp": row["timestamp"],
                    "rotation": row["rotation"],
                    "translation": row["translation"],
                }
            )
            chain.append(
                {
                    "token": own,
                    "sample_token": _sample_token(seed, notes.recording, row["sample"]),
                    "ego_pose_token": own,
                    "calibrated_sensor_token": calibrated,
                    **{key: row[key] for key in _OF_FILE},
                }
            )
        _chain(chain)
        tables["sample_data"] += chain


def _add_annotations(tables: Tables, seed: int, notes: Notes) -> None:
    name = notes.recording.name
    chains: dict[int, list[Row]] = {}
    categories: dict[int, str] = {}
    for keyframe, boxes in enumerate(notes.boxes):
        for box in boxes:
            number = box["object_id"]
            categories[number] = box["category"]
            chains.setdefault(number, []).append(
                {
                    "token": token(seed, name, "annotation", number, keyframe),
                    "sample_token": _sample_token(seed, notes.recording, keyframe),
                    "instance_token": token(seed, name, "instance", number),
                    "visibility_token": box["visibility"],
                    "attribute_tokens": [token("attribute", box["attribute"])],
                    **{key: box[key] for key in _OF_BOX},
                    "num_radar_pts": 0,
                }
            )
    for number, chain in sorted(chains.items()):
        _chain(chain)
        tables["sample_annotation"] += chain
        tables["instance"].append(
            {
                "token": chain[0]["instance_token"],
                "category_token": token("category", categories[number]),
                "nbr_annotations": len(chain),
                "first_annotation_token": chain[0]["token"],
                "last_annotation_token": chain[-1]["token"],
            }
        )


def _chain(rows: Sequence[Row]) -> None:
    """Add ``prev`` and ``next`` to rows in order."""
    for row in rows:
        row["prev"] = row["next"] = ""
    for before, after in pairwise(rows):
        before["next"], after["prev"] = after["token"], before["token"]


def _quaternion(T: FloatArray) -> list[float]:
    """Return the unit quaternion w x y z of a rotation (S. W. Shepperd, 1978), w >= 0."""
    r = T[:3, :3].tolist()
    trace = r[0][0] + r[1][1] + r[2][2]
    squares = [trace, r[0][0], r[1][1], r[2][2]]  # the largest one is safe to divide by
    largest = squares.index(max(squares))
    if largest == 0:
        q = [1.0 + trace, r[2][1] - r[1][2], r[0][2] - r[2][0], r[1][0] - r[0][1]]
    else:
        i = largest - 1
        j, k = (i + 1) % 3, (i + 2) % 3
        q = [r[k][j] - r[j][k], 0.0, 0.0, 0.0]
        q[1 + i] = 1.0 + r[i][i] - r[j][j] - r[k][k]
        q[1 + j] = r[j][i] + r[i][j]
        q[1 + k] = r[k][i] + r[i][k]
    scale = math.copysign(1.0 / math.sqrt(sum(value * value for value in q)), q[0])
    return [value * scale for value in q]
