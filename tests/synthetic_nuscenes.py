"""What the tests of the synthetic nuScenes layout share: reading it without its writer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from nuscenes.nuscenes import NuScenes
from pyquaternion import Quaternion

from simipu.pipelines.synthetic import truth
from simipu.pipelines.synthetic.files import truth_folder

PLACES = ("FRONT", "FRONT_RIGHT", "BACK_RIGHT", "BACK", "BACK_LEFT", "FRONT_LEFT")  # clockwise
CAMERAS = [f"CAM_{place}" for place in PLACES]
BEAMS, COLUMNS, SCALE = 32, 120, 0.12
SMALL = {"layout": "nuscenes", "seed": 5, "image_scale": SCALE, "columns": COLUMNS}


def keyframes(nusc: NuScenes) -> Iterator[tuple[dict, truth.FrameTruth]]:
    """Every sample with its true points."""
    for number, scene in enumerate(nusc.scene):
        sample = nusc.get("sample", scene["first_sample_token"])
        for frame in range(scene["nbr_samples"]):
            yield sample, truth.read(truth_folder(Path(nusc.dataroot), number, frame))
            sample = nusc.get("sample", sample["next"]) if sample["next"] else None
        assert sample is None


def rows_of(nusc: NuScenes, data: dict) -> np.ndarray:
    return np.fromfile(Path(nusc.dataroot) / data["filename"], dtype="<f4").reshape(-1, 5)


def matrix(record: dict) -> np.ndarray:
    """A pose or calibration of the tables as a matrix, by another's quaternions."""
    T = np.eye(4)
    T[:3, :3] = Quaternion(record["rotation"]).rotation_matrix
    T[:3, 3] = record["translation"]
    return T


def global_from_sensor(nusc: NuScenes, data: dict) -> np.ndarray:
    mount = nusc.get("calibrated_sensor", data["calibrated_sensor_token"])
    return matrix(nusc.get("ego_pose", data["ego_pose_token"])) @ matrix(mount)
