"""How well the occlusion test tells hidden points from visible ones, against exact ray casting.

    python tests/benchmarks/occlusion.py [--first-seed 600] [--worlds 8] [--json]

For each rig and world some sweeps are taken along the drive, with noise, dropouts, and everything
moving. The truth of a point is a ray from the camera to the very spot that the LiDAR hit. KITTI's
points are used as its files have them, fired one after the other and not compensated;
nuScenes' are brought to the end of the sweep, as its files are. "Near an edge" are points
within 1 px of a pixel pair whose depths differ by a tenth.
"""

import argparse
import json
import sys
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from tqdm import tqdm

from simipu.correspond.compute import correspond
from simipu.correspond.policy import Policy
from simipu.geometry import se3
from simipu.pipelines.synthetic import camera as cameras
from simipu.pipelines.synthetic import lidar as lidars
from simipu.pipelines.synthetic import rigs, sensors, visibility
from simipu.pipelines.synthetic.generate import Stage

RIGS = {
    "KITTI, 64 beams": (rigs.kitti, ("image_02",), False),
    "nuScenes, 32 beams": (
        rigs.nuscenes,
        ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_LEFT", "CAM_BACK"),
        True,
    ),
}
DISTANCES_M = (0, 10, 20, 40, 80)
SWEEPS_AT_S = (1.0, 5.0, 9.0)
EDGE = 0.1


@dataclass
class Tally:
    """Counts of points: hidden ones, those found hidden, visible ones, those lost."""

    hidden: int = 0
    found: int = 0
    visible: int = 0
    lost: int = 0

    def add(self, reached, called_visible):
        self.hidden += int((~reached).sum())
        self.found += int((~reached & ~called_visible).sum())
        self.visible += int(reached.sum())
        self.lost += int((reached & ~called_visible).sum())

    def shares(self):
        """Shares; "hidden" is of all points, "left" of those that the test calls visible."""
        kept = self.hidden - self.found + self.visible - self.lost
        return {
            "points": self.hidden + self.visible,
            "found": self.found / max(self.hidden, 1),
            "lost": self.lost / max(self.visible, 1),
            "hidden": self.hidden / max(self.hidden + self.visible, 1),
            "left": (self.hidden - self.found) / max(kept, 1),
        }


def compensated(sweep, lidar, ego, t_end_s):
    """Points in the lidar frame at t_end_s, as nuScenes has them."""
    T_world_from_lidar = ego.pose(sweep.t_s) @ lidar.T_ego_from_lidar
    world = np.einsum("nij,nj->ni", T_world_from_lidar[:, :3, :3], sweep.xyz)
    world += T_world_from_lidar[:, :3, 3]
    return se3.apply(se3.invert(ego.pose(t_end_s) @ lidar.T_ego_from_lidar), world)


def near_edge(depth, uv):
    """Whether a pixel within 1 px has a neighbour at another depth."""
    nearness = np.where(np.isfinite(depth), 1.0 / depth, 0.0)
    padded = np.pad(nearness, 2, mode="edge")
    height, width = depth.shape
    windows = [padded[i : i + height, j : j + width] for i in range(5) for j in range(5)]
    high, low = np.max(windows, axis=0), np.min(windows, axis=0)
    edge = low < (1.0 - EDGE) * high
    column, row = np.floor(uv.T + 0.5).astype(int)
    return edge[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]


def time_of_image(camera, lidar, t_start_s):
    """When the LiDAR passes the middle of the camera's view: the cameras are triggered then."""
    axis = se3.invert(lidar.T_ego_from_lidar)[:3, :3] @ camera.T_ego_from_camera[:3, 2]
    columns = np.arange(lidar.columns)
    off = np.angle(np.exp(1j * (lidar.azimuth_rad(columns) - np.arctan2(axis[1], axis[0]))))
    return t_start_s + float(lidar.time_s(np.argmin(np.abs(off))))


@dataclass
class View:
    """The M points that both the truth and the correspondences have in one image.

    visible: as the occlusion test has it; reached: the truth; column, ring: of the LiDAR; tested:
    what the occlusion test was given, uv and depth of all points in the image, and the epipole;
    row: of the M points among those.
    """

    seed: int
    lidar: sensors.LidarModel
    xyz: np.ndarray
    camera_position: np.ndarray
    depth: np.ndarray
    column: np.ndarray
    ring: np.ndarray
    visible: np.ndarray
    reached: np.ndarray
    at_edge: np.ndarray
    tested: tuple[np.ndarray, np.ndarray, np.ndarray]
    row: np.ndarray


def views(make_rig, names, is_compensated, seeds, *, edges=False):
    """Yield what the cameras see; what is near an edge only if asked: it takes most of the time."""
    rig = make_rig()
    lidar = rig.lidars[0]
    stage = Stage()
    for seed, t_s in tqdm([(seed, t_s) for seed in seeds for t_s in SWEEPS_AT_S], leave=False):
        world, caster, look = stage(seed, 0, 10.0)
        sweep = lidars.scan(
            caster, lidar, world.ego, t_s, np.random.default_rng([seed, int(t_s * 10)])
        )
        t_end_s = t_s + lidar.period_s
        xyz = compensated(sweep, lidar, world.ego, t_end_s) if is_compensated else sweep.xyz
        for camera in (camera for camera in rig.cameras if camera.name in names):
            t_image_s = time_of_image(camera, lidar, t_s)
            T_world_from_camera = world.ego.pose(t_image_s) @ camera.T_ego_from_camera
            t_reference_s = t_end_s if is_compensated else t_image_s
            T_world_from_lidar = world.ego.pose(t_reference_s) @ lidar.T_ego_from_lidar
            T_camera_from_lidar = np.linalg.inv(T_world_from_camera) @ T_world_from_lidar
            exact = visibility.locate(
                caster, sweep.surface, sweep.object_id, sweep.t_s, camera, world.ego, t_image_s
            )
            pairs = correspond(
                xyz.astype(np.float32),
                T_camera_from_lidar=T_camera_from_lidar,
                K=camera.K,
                distortion=camera.distortion,
                width=camera.width,
                height=camera.height,
                policy=Policy(),
            )
            at_edge = np.zeros(len(exact.row), dtype=bool)
            if edges:
                image = cameras.take(caster, look, camera, world.ego, t_image_s)
                at_edge = near_edge(image.depth, exact.uv)
            row, ours, its = np.intersect1d(pairs.row, exact.row, return_indices=True)
            yield View(
                seed=seed,
                lidar=lidar,
                xyz=xyz[row],
                camera_position=np.linalg.inv(T_camera_from_lidar)[:3, 3],
                depth=pairs.depth[ours],
                column=sweep.column[row],
                ring=sweep.ring[row],
                visible=pairs.visible[ours],
                reached=exact.reached[its],
                at_edge=at_edge[its],
                tested=(pairs.uv, pairs.depth, camera.K @ T_camera_from_lidar[:3, 3]),
                row=ours,
            )


def measure(make_rig, names, is_compensated, seeds):
    tallies: defaultdict[str, Tally] = defaultdict(Tally)
    for view in views(make_rig, names, is_compensated, seeds, edges=True):
        groups = {"all": np.ones(len(view.depth), dtype=bool)}
        for low, high in pairwise(DISTANCES_M):
            groups[f"{low} to {high} m"] = (view.depth >= low) & (view.depth < high)
        groups["within 1 px of an edge"] = view.at_edge
        groups["elsewhere"] = ~view.at_edge
        for group, part in groups.items():
            tallies[group].add(view.reached[part], view.visible[part])
    return {group: tally.shares() for group, tally in tallies.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first-seed", type=int, default=600)
    parser.add_argument("--worlds", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.worlds)
    results = {name: measure(*rig, seeds) for name, rig in RIGS.items()}
    if arguments.json:
        json.dump(results, sys.stdout, indent=1)
        return
    for name, groups in results.items():
        print(f"\n{name}, worlds {seeds.start} to {seeds.stop - 1}")
        print("found: of the hidden points; lost: of the visible ones; hidden: of all points,")
        print("that is without a test; left: hidden ones among those that the test calls visible")
        print(f"{'':24}{'points':>9}{'found':>9}{'lost':>9}{'hidden':>9}{'left':>9}")
        for group, share in groups.items():
            print(f"{group:24}{share.pop('points'):9}", *(f"{x:8.2%}" for x in share.values()))


if __name__ == "__main__":
    main()
