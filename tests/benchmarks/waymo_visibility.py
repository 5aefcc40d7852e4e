"""Hidden points found and visible ones lost on synthetic Waymo worlds, against their exact truth.

    python tests/benchmarks/waymo_visibility.py [--first-seed 500] [--worlds 4] [--frames 2]
        [--image-scale 0.25]

TOP has its 64 beams and all its columns, all lasers have noise; five cameras with a rolling
shutter, timed by pixels as the generator does. Each world is written in Waymo's format with truth/,
converted with first returns only, and the stored `visible` is compared with the truth of the same
row. TOP is also converted alone, without what the others add to it.
"""

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

import simipu
from occlusion import Tally
from simipu.correspond.policy import Policy
from simipu.pipelines.convert import Resources, convert
from simipu.pipelines.correspond import correspond_store
from simipu.pipelines.sources.waymo import Waymo
from simipu.pipelines.synthetic import truth
from simipu.pipelines.synthetic.files import truth_folder
from simipu.pipelines.synthetic.generate import generate
from simipu.pipelines.synthetic.options import Options


def compare(root, out, lasers, tallies, group):
    convert(Waymo(root, returns=1, lasers=lasers), out, resources=Resources())
    correspond_store(out, Policy(rolling_shutter="pixels"), resources=Resources())
    for number, frame in enumerate(simipu.open_store(out)):
        exact = truth.read(truth_folder(root, 0, number))
        # TOP comes first, so its rows are those of the truth with all lasers as well.
        laser = frame.points["laser"]
        for name, camera in frame.cameras.items():
            pairs, its = camera.correspondences, exact.cameras[name]
            rows, mine, theirs = np.intersect1d(pairs.row, its.row, return_indices=True)
            reached, seen = its.reached[theirs], pairs.visible[mine]
            is_top = laser[rows] == 1
            tallies[group].add(reached, seen)
            if lasers is None:
                tallies["  of these, TOP's"].add(reached[is_top], seen[is_top])
                tallies["  the others'"].add(reached[~is_top], seen[~is_top])


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
            root = Path(folder) / "world"
            options = Options(
                layout="waymo-v1",
                scenes=1,
                frames=arguments.frames,
                seed=seed,
                image_scale=arguments.image_scale,
            )
            generate(root, options)
            compare(root, Path(folder) / "all.zarr", None, tallies, "all lasers")
            compare(root, Path(folder) / "top.zarr", ["TOP"], tallies, "TOP alone")
    print(f"{'':24}{'points':>9}{'found':>9}{'lost':>9}{'hidden':>9}{'left':>9}")
    for group, tally in tallies.items():
        share = tally.shares()
        print(f"{group:24}{share.pop('points'):9}", *(f"{x:8.2%}" for x in share.values()))


if __name__ == "__main__":
    main()
