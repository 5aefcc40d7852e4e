"""Kill a training run at random moments, resume it, and compare it with one that was left alone.

    python tests/benchmarks/kill_resume.py [raw.zarr] [--kills 10] [--seed 0]

Each kill is by SIGKILL at a random step and a random moment of it, with 0 and with 2 workers. The
final weights, their average and the optimiser's state must be equal, bit for bit. Without a
store, one is made of the KITTI raw samples.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import killing
from sample_store import given_or_sample_store


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("store", type=Path, nargs="*")
    parser.add_argument("--kills", type=int, default=10, help="in all")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    options = [
        "--image-backbone", "test_resnet", "--image-size", "32x64", "--pairs", 8, "--points", 24,
        "--batch-size", 3, "--device", "cpu", "--steps", arguments.steps,
        "--set", "optim.average=0.9",
    ]  # fmt: skip
    with given_or_sample_store(arguments.store) as store, tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        whole = killing.train(store, runs / "whole", [*options, "--workers", 0], kills=[])
        for workers, count in ((0, arguments.kills // 2), (2, -(-arguments.kills // 2))):
            # With 20 images and batches of 3 an epoch has 6 steps: some kills fall on its end.
            kills = sorted(rng.sample(range(1, arguments.steps), count))
            delay_s = rng.uniform(0, 0.05)
            out = runs / f"workers-{workers}"
            killed = killing.train(
                store, out, [*options, "--workers", workers], kills=kills, delay_s=delay_s
            )
            killing.check_equal(whole, killed)
            print(
                f"{workers} workers, killed {delay_s * 1e3:.0f} ms after steps {kills}: "
                f"equal at step {killed['step']}"
            )


if __name__ == "__main__":
    main()
