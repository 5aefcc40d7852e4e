"""How well any test that sees only the sweep could tell hidden points from visible ones.

    python tests/benchmarks/occlusion_bound.py [--first-seed 100] [--worlds 8]

A gradient-boosted classifier (scikit-learn) is trained on half of the worlds with the exact truth,
which no real data set has, and measured on the other half, and the other way round. Unlike the
occlusion test it knows the LiDAR's own grid of beams and columns. Of each point it gets the nearest
nearer samples in each quadrant, as the camera and as the LiDAR see them, how many samples around
are nearer, level and farther, and the range. The share of hidden points that it finds, at a given
share of visible points lost, stands for what a sweep can tell at all.
"""

import argparse

import numpy as np
from scipy.spatial import cKDTree
from sklearn.ensemble import HistGradientBoostingClassifier

from occlusion import RIGS, views

REACH = 2.5
LOST = (0.01, 0.015, 0.02)


def grid_places(view, origin):
    """Columns and beams, as real numbers, at which a LiDAR at the origin would see the points."""
    lidar = view.lidar
    rays = view.xyz - origin
    ranges = np.linalg.norm(rays, axis=1)
    azimuth = np.arctan2(rays[:, 1], rays[:, 0])
    forward = view.xyz.mean(axis=0)
    azimuth = np.angle(np.exp(1j * (azimuth - np.arctan2(forward[1], forward[0]))))
    elevation = np.arcsin(rays[:, 2] / ranges)
    beams = np.arange(len(lidar.elevations_rad))[::-1]
    beam = np.interp(elevation, lidar.elevations_rad[::-1], beams)
    return np.stack([azimuth * lidar.columns / (2 * np.pi), beam], axis=1), ranges


def features(view):
    """What the classifier gets of each point, (M, F)."""
    seen, ranges = grid_places(view, view.camera_position)
    fired, _ = grid_places(view, np.zeros(3))
    i, j = cKDTree(seen).query_pairs(REACH, p=np.inf, output_type="ndarray").T
    point, other = np.concatenate([i, j]), np.concatenate([j, i])
    step = ranges[point] / ranges[other] - 1.0
    offset, offset_fired = seen[other] - seen[point], fired[other] - fired[point]
    columns = [ranges]
    for least in (0.05, 0.3):
        for quadrant in range(4):
            right, below = quadrant % 2, quadrant // 2
            chosen = (step > least) & ((offset[:, 0] > 0) == right) & ((offset[:, 1] > 0) == below)
            for across, along in ((0, 1), (1, 0)):
                nearest = np.full(len(ranges), 9.0)
                reach = np.abs(offset[chosen][:, across]) + 0.3 * np.abs(offset[chosen][:, along])
                np.minimum.at(nearest, point[chosen], reach)
                columns.append(nearest)
    nearer = np.flatnonzero(step > 0.05)
    order = nearer[np.lexsort((np.abs(offset[nearer]).max(axis=1), point[nearer]))]
    rows, first = np.unique(point[order], return_index=True)
    order = order[first]
    for values in (*offset[order].T, *offset_fired[order].T, step[order]):
        column = np.full(len(ranges), np.nan)
        column[rows] = values
        columns.append(column)
    around = np.abs(offset).max(axis=1) < 1.2
    kinds = (step > 0.05, np.abs(step) <= 0.05, step < -0.05)
    columns += [np.bincount(point[around & kind], minlength=len(ranges)) for kind in kinds]
    return np.stack(columns, axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--worlds", type=int, default=8)
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.worlds)
    for name, rig in RIGS.items():
        rows, hidden, flagged, seed = [], [], [], []
        for view in views(*rig, seeds):
            rows.append(features(view))
            hidden.append(~view.reached)
            flagged.append(~view.visible)
            seed.append(np.full(len(view.reached), view.seed))
        rows, hidden, flagged, seed = map(np.concatenate, (rows, hidden, flagged, seed))
        score = np.empty(len(hidden))
        for half in (seed % 2 == 0, seed % 2 == 1):
            model = HistGradientBoostingClassifier(max_iter=150, random_state=0)
            model.fit(rows[~half], hidden[~half])
            score[half] = model.predict_proba(rows[half])[:, 1]
        print(f"\n{name}, worlds {seeds.start} to {seeds.stop - 1}: {hidden.sum()} hidden points")
        ours = flagged[hidden].mean(), flagged[~hidden].mean()
        for lost in (*LOST, ours[1]):
            found = (score[hidden] > np.quantile(score[~hidden], 1.0 - lost)).mean()
            print(f"  classifier: found {found:.1%}, lost {lost:.2%}")
        print(f"  our test:   found {ours[0]:.1%}, lost {ours[1]:.2%}")


if __name__ == "__main__":
    main()
