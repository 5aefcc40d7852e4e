"""Hidden points found and visible ones lost on synthetic Waymo worlds, against their exact truth.

    python tests/benchmarks/waymo_visibility.py [--first-seed 500] [--worlds 4] [--frames 2]
        [--image-scale 0.25]

TOP has its 64 beams and all its columns, all lasers have noise; five cameras with a rolling
shutter, timed by pixels as the generator does. Each world is written in Waymo's format with truth/,
converted with first returns only, and the stored `visible` is compared with the truth of the same
row. TOP is also converted alone, without what the others add to it. Of the others' hidden points no
more can be found than have a nearer sample around them in the image; their share is told as well.
"""

import argparse
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import simipu
from occlusion import Tally
from simipu.correspond import occlusion
from simipu.correspond.occlusion_rules import APART, APART_M
from simipu.correspond.policy import Policy
from simipu.pipelines.convert import Resources, convert
from simipu.pipelines.correspond import correspond_store
from simipu.pipelines.sources.waymo import Waymo
from simipu.pipelines.synthetic import truth
from simipu.pipelines.synthetic.files import truth_folder
from simipu.pipelines.synthetic.generate import generate
from simipu.pipelines.synthetic.options import Options

IN_REACH = "in reach"


@dataclass
class View:
    """One image of one frame.

    laser: of all points in the image; tested: what the occlusion test was given: their uv, depth,
    epipoles, and whether their lasers stand apart; row: of the M points among these that the truth
    has too; visible: as stored; reached: the truth.
    """

    laser: np.ndarray
    tested: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    row: np.ndarray
    visible: np.ndarray
    reached: np.ndarray


def make_world(root, seed, frames, image_scale):
    generate(
        root,
        Options(layout="waymo-v1", scenes=1, frames=frames, seed=seed, image_scale=image_scale),
    )
    return root


def views(root, out, lasers):
    """Yield what each image of a world shows of the first returns of some lasers."""
    convert(Waymo(root, returns=1, lasers=lasers), out, resources=Resources())
    correspond_store(out, Policy(rolling_shutter="pixels"), resources=Resources())
    store = simipu.open_store(out)
    places = store.attributes["source"]["lidar_origins_m"]
    origins = np.array([places.get(str(number), (0, 0, 0)) for number in range(6)])
    for number, frame in enumerate(store):
        exact = truth.read(truth_folder(root, 0, number))
        for name, camera in frame.cameras.items():
            pairs, its = camera.correspondences, exact.cameras[name]
            # TOP comes first, so its rows are those of the truth with all lasers as well.
            _, mine, theirs = np.intersect1d(pairs.row, its.row, return_indices=True)
            laser = frame.points["laser"][pairs.row]
            T = camera.T_camera_from_lidar
            from_camera = origins @ T[:3, :3].T + T[:3, 3]
            is_apart = np.linalg.norm(from_camera, axis=1) > APART_M
            yield View(
                laser=laser,
                tested=(
                    pairs.uv,
                    pairs.depth,
                    (from_camera @ camera.K.T)[laser],
                    is_apart[laser],
                ),
                row=mine,
                visible=pairs.visible[mine],
                reached=its.reached[theirs],
            )


def compare(root, out, lasers, tallies, group):
    for view in views(root, out, lasers):
        is_top = view.laser[view.row] == 1
        tallies[group].add(view.reached, view.visible)
        if lasers is None:
            tallies["  of these, TOP's"].add(view.reached[is_top], view.visible[is_top])
            tallies["  the others'"].add(view.reached[~is_top], view.visible[~is_top])
            # What can be found at all: points with a nearer sample around.
            around = occlusion.neighbourhood(
                occlusion.grid_of(*view.tested[:3]), APART, view.tested[3]
            )
            in_reach = np.isin(view.row, around.points)
            hidden = ~is_top & ~view.reached
            tallies[IN_REACH].add(~hidden[hidden], ~in_reach[hidden])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first-seed", type=int, default=500)
    parser.add_argument("--worlds", type=int, default=4)
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--image-scale", type=float, default=0.25)
    arguments = parser.parse_args()
    tallies = defaultdict(Tally)
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.worlds):
        with tempfile.TemporaryDirectory() as folder:
            root = make_world(Path(folder) / "world", seed, arguments.frames, arguments.image_scale)
            compare(root, Path(folder) / "all.zarr", None, tallies, "all lasers")
            compare(root, Path(folder) / "top.zarr", ["TOP"], tallies, "TOP alone")
    print(f"{'':24}{'points':>9}{'found':>9}{'lost':>9}{'hidden':>9}{'left':>9}")
    in_reach = tallies.pop(IN_REACH).shares()["found"]
    for group, tally in tallies.items():
        share = tally.shares()
        print(f"{group:24}{share.pop('points'):9}", *(f"{x:8.2%}" for x in share.values()))
    print(f"{in_reach:.2%} of the others' hidden points have a nearer sample around")


if __name__ == "__main__":
    main()
