"""Fit the weights of the occlusion test to exact ray casting, and print them.

    python tests/benchmarks/occlusion_fit.py [--first-seed 400] [--worlds 64]

The worlds are 400 to 463, not those that `occlusion.py` measures on. Open ground at many slopes,
where nothing is hidden, is added. A logistic regression gets the evidence of each point; it is
repeated with more weight on what is close to being called hidden, since only the order of
these matters. Hidden points count more at 64 beams, where fewer points are hidden, so that
one limit suits both LiDARs: it is put where the worse of them loses `LOST` of the visible points.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from occlusion import RIGS, views
from simipu.correspond import occlusion
from simipu.correspond.compute import correspond
from simipu.correspond.occlusion_rules import BESIDE
from simipu.correspond.policy import Policy

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import raycast
from simipu.pipelines.synthetic import rigs

HIDDEN_COUNTS = {"KITTI, 64 beams": 14.0, "nuScenes, 32 beams": 1.0}
LOST = 0.0173  # less than the 2 % aimed at: worlds differ
RIDGE = 1e-6
# Slopes and banks of the open ground; those of the unit test are others.
SLOPES_DEG = (-9.0, -6.5, -5.0, -4.0, -2.0, -1.0, 1.5, 4.0)
BANKS_DEG = (-7.5, -4.5, -1.5, 1.5, 4.5, 7.5)


def evidence(uv, depth, epipole):
    """Return the (C,) points that may be covered and the (C, E) evidence of each."""
    around = occlusion.neighbourhood(occlusion.grid_of(uv, depth, epipole), BESIDE)
    return around.points, np.stack(list(occlusion.evidence(around, BESIDE)), axis=1)


def of_worlds(rig, seeds):
    """Return evidence and whether hidden, for points in reach; visible points in all."""
    rows, hidden, visible = [], [], 0
    for view in views(*rig, seeds):
        truth = np.full(len(view.tested[1]), -1)
        truth[view.row] = view.reached
        points, values = evidence(*view.tested)
        known = truth[points] >= 0
        rows.append(values[known])
        hidden.append(truth[points[known]] == 0)
        visible += int(view.reached.sum())
    return np.concatenate(rows), np.concatenate(hidden), visible


def of_open_ground():
    lidar = np.array([0.0, 0.0, 1.73])
    kitti, nuscenes = rigs.kitti(), rigs.nuscenes()
    rows = []
    for rig, names, elevations_deg, step_deg in (
        (kitti, ("image_02",), raycast.KITTI_ELEVATIONS_DEG, 0.1728),
        (nuscenes, RIGS["nuScenes, 32 beams"][1], raycast.NUSCENES_ELEVATIONS_DEG, 0.332),
    ):
        for slope, bank in np.tan(np.radians([(s, b) for s in SLOPES_DEG for b in BANKS_DEG])):
            world = raycast.World(ground=(np.array([-slope, -bank, 1.0]), 0.0))
            hits = raycast.sweep(world, lidar, elevations_deg, step_deg) - lidar
            ranges = np.linalg.norm(hits, axis=1, keepdims=True)
            noise = np.random.default_rng(len(rows)).normal(0.0, 0.02, ranges.shape)
            xyz = (hits * (1.0 + noise / ranges)).astype(np.float32)
            for camera in (camera for camera in rig.cameras if camera.name in names):
                T_lidar_from_ego = np.linalg.inv(rig.lidars[0].T_ego_from_lidar)
                T = np.linalg.inv(T_lidar_from_ego @ camera.T_ego_from_camera)
                found = correspond(
                    xyz,
                    T_camera_from_lidar=T,
                    K=camera.K,
                    distortion=camera.distortion,
                    width=camera.width,
                    height=camera.height,
                    policy=Policy(occlusion="none"),
                )
                rows.append(evidence(found.uv, found.depth, camera.K @ T[:3, 3])[1])
    return np.concatenate(rows)


def logistic(rows, hidden, counts):
    """Return the weights that make what was seen likeliest, by Newton's method."""
    weights = np.zeros(rows.shape[1])
    ridge = RIDGE * len(rows) * np.eye(len(weights))
    for _ in range(30):
        chance = 1.0 / (1.0 + np.exp(-np.clip(rows @ weights, -30.0, 30.0)))
        slope = rows.T @ (counts * (hidden - chance)) - ridge @ weights
        curvature = rows.T @ (rows * (counts * chance * (1.0 - chance))[:, None]) + ridge
        change = np.linalg.solve(curvature, slope)
        weights += change
        if np.abs(change).max() < 1e-4:
            break
    return weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first-seed", type=int, default=400)
    parser.add_argument("--worlds", type=int, default=64)
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.worlds)
    parts = {name: of_worlds(rig, seeds) for name, rig in RIGS.items()}
    ground = of_open_ground()
    rows = np.concatenate([*(part[0] for part in parts.values()), ground]).astype(np.float64)
    hidden = np.concatenate([*(part[1] for part in parts.values()), np.zeros(len(ground), bool)])
    counts = [np.where(part[1], HIDDEN_COUNTS[name], 1.0) for name, part in parts.items()]
    counts = np.concatenate([*counts, np.ones(len(ground))])
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    rows = np.column_stack([np.ones(len(rows)), (rows - mean) / spread])
    weights = logistic(rows, hidden, counts)
    for _ in range(3):
        closeness = np.exp(-np.abs(rows @ weights + 0.5))
        weights = logistic(rows, hidden, counts * closeness)
    weights = np.concatenate([[weights[0] - mean @ (weights[1:] / spread)], weights[1:] / spread])
    scores = {name: part[0] @ weights[1:] for name, part in parts.items()}
    limit = max(
        np.sort(scores[name][~part[1]])[-int(LOST * part[2])] for name, part in parts.items()
    )
    weights[0] = -limit
    print(np.array2string(weights, precision=2, suppress_small=True, separator=", "))
    for name, (_, is_hidden, visible) in parts.items():
        called = scores[name] > limit
        print(
            f"{name}: of hidden points in reach found {called[is_hidden].mean():.2%}, "
            f"of visible points lost {called[~is_hidden].sum() / visible:.2%}"
        )


if __name__ == "__main__":
    main()
