"""Synthetic nuScenes, read and converted, against the exact truth of its world."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from nuscenes.nuscenes import NuScenes as DevelopmentKit
from scipy.spatial import cKDTree

import simipu
from simipu.correspond.policy import Policy
from simipu.geometry.projection import project
from simipu.pipelines.convert import Resources, convert
from simipu.pipelines.correspond import correspond_store
from simipu.pipelines.sources.nuscenes import NuScenes
from simipu.pipelines.synthetic.generate import generate
from simipu.pipelines.synthetic.options import Options
from synthetic_nuscenes import CAMERAS, SCALE, SMALL, keyframes

SCENES, FRAMES = 2, 2


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    generate(folder, Options(scenes=SCENES, frames=FRAMES, noise=False, **SMALL))
    return folder


@pytest.fixture(scope="module")
def truth(root) -> dict:
    """Sample token -> true points and pixels."""
    nusc = DevelopmentKit("v1.0-mini", str(root), verbose=False)
    return {sample["token"]: true for sample, true in keyframes(nusc)}


@pytest.fixture(scope="module")
def store(root, tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "n.zarr"
    source = NuScenes(root, sweeps=True)
    convert(source, path, resources=Resources(workers=1))
    correspond_store(path, Policy.from_dict(source.info.policy), resources=Resources(workers=1))
    return simipu.open_store(path)


def is_key(frame) -> bool:
    return frame.attributes["is_key_frame"] == "1"


def in_world(frame, xyz: np.ndarray) -> np.ndarray:
    T = frame.T_world_from_ego @ frame.points.T_ego_from_lidar
    return xyz.astype(np.float64) @ T[:3, :3].T + T[:3, 3]


def test_all_frames_are_there(store, truth):
    assert [scene.name for scene in store.scenes] == ["scene-0061", "scene-0103"]
    assert [scene.split for scene in store.scenes] == ["mini_train", "mini_val"]
    assert len(store) == SCENES * ((FRAMES - 1) * 10 + 1)
    assert {f.attributes["sample_token"] for f in store if is_key(f)} == truth.keys()
    for before, after in pairwise(store[:11]):
        assert after.timestamp_ns - before.timestamp_ns == 50_000_000
        moved = after.T_world_from_ego[:3, 3] - before.T_world_from_ego[:3, 3]
        assert 0.05 < np.linalg.norm(moved) < 1.5  # the ego drives


@pytest.mark.parametrize("camera", CAMERAS)
def test_pixels_of_keyframes_are_the_true_ones(store, truth, camera):
    checked = 0
    for frame in filter(is_key, store):
        true, view = truth[frame.attributes["sample_token"]], frame.cameras[camera]
        uv, depth = project(frame.points.xyz, view.T_camera_from_lidar, view.K, view.distortion)
        seen = true.cameras[camera]
        still = true.object_id[seen.row] == 0
        rows = seen.row[still]
        assert np.abs(uv[rows] - seen.uv[still]).max() < 0.01 * SCALE
        assert np.abs(depth[rows] - seen.depth[still]).max() < 1e-4
        pairs = view.correspondences
        left, top, right, bottom = Policy.from_dict(store.attributes["source"]["policy"]).margin_px
        u, v = seen.uv[still].T
        inside = (u > left - 0.5) & (u < view.width - 0.5 - right)
        inside &= (v > top - 0.5) & (v < view.height - 0.5 - bottom)
        inside &= seen.depth[still] > 1.0
        own = true.object_id[pairs.row] == 0
        assert abs(inside.sum() - own.sum()) <= 1  # one may lie on the very edge
        both, ours, theirs = np.intersect1d(pairs.row, rows, return_indices=True)
        assert np.abs(pairs.uv[ours] - seen.uv[still][theirs]).max() < 0.01 * SCALE
        checked += len(both)
    assert checked > 500


def test_sweeps_lie_on_the_surfaces_that_the_keyframe_hit(store, truth):
    for last in (frame for frame in filter(is_key, store) if frame.index % 11 == 10):
        spots = still_spots(truth, last)
        for frame in store[last.index - 4 : last.index]:
            assert not is_key(frame)
            away = distance_to_surfaces(in_world(frame, frame.points.xyz), spots)
            assert np.median(away) < 0.005
            # The place of the ego half a second later is another.
            wrong = distance_to_surfaces(in_world(last, frame.points.xyz), spots)
            assert np.median(wrong) > 2 * np.median(away)


@pytest.mark.parametrize("sweeps", [False, True])
def test_accumulated_points_lie_on_the_surfaces_that_the_keyframe_hit(
    root, truth, tmp_path, sweeps
):
    path = tmp_path / "n.zarr"
    source = NuScenes(root, accumulate=5, sweeps=sweeps)
    convert(source, path, resources=Resources(workers=1))
    store = simipu.open_store(path)
    assert store.point_columns["time_offset_s"] == "<f4"
    for frame in filter(is_key, store):
        offset = frame.points["time_offset_s"]
        steps = np.rint(offset / -0.05).astype(int)
        np.testing.assert_allclose(offset, -0.05 * steps, atol=1e-7)
        true = truth[frame.attributes["sample_token"]]
        assert (steps == 0).sum() == len(true.object_id)
        first = frame.index == 0 or store[frame.index - 1].scene != frame.scene
        assert np.unique(steps).tolist() == ([0] if first else list(range(6)))
        if first:
            continue
        spots = still_spots(truth, frame)
        xyz = frame.points.xyz
        for step in range(1, 6):
            away = distance_to_surfaces(in_world(frame, xyz[steps == step]), spots)
            assert np.median(away) < 0.005
        # Neither the car's own returns nor the places of firings without one are appended.
        lidar = np.linalg.norm(xyz[steps > 0], axis=1)
        assert lidar.min() > 1.0
        T = frame.points.T_ego_from_lidar
        assert np.linalg.norm(xyz[steps == 0], axis=1).min() < 1.0 < T[2, 3]


def still_spots(truth, frame) -> np.ndarray:
    true = truth[frame.attributes["sample_token"]]
    return true.surface[true.object_id == 0]


def distance_to_surfaces(points: np.ndarray, spots: np.ndarray) -> np.ndarray:
    """Distance of points near the spots from the planes that the spots nearby make."""
    distance, near = cKDTree(spots).query(points, k=6)
    close = distance[:, -1] < 0.6
    groups = spots[near[close]]
    centre = groups.mean(axis=1)
    _, spread, axes = np.linalg.svd(groups - centre[:, None], full_matrices=False)
    flat = (spread[:, 2] < 0.01) & (spread[:, 1] > 0.05)
    assert flat.sum() > 100
    offset = points[close][flat] - centre[flat]
    return np.abs(np.einsum("ij,ij->i", offset, axes[flat, 2]))
