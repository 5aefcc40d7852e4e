"""Frames a second of the generator: KITTI-sized images and 64-beam scans, with labels and truth.

    python tests/benchmarks/synthetic.py [--scenes 4] [--frames 16] [--workers 2]

Everything counts: the start of the workers, the making of the worlds, and the writing of the files.
"""

import argparse
import tempfile
import time
from pathlib import Path

from simipu.pipelines.synthetic.generate import generate
from simipu.pipelines.synthetic.options import Options


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    options = Options(layout="kitti", scenes=arguments.scenes, frames=arguments.frames, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        generate(Path(folder) / "world", options, workers=arguments.workers)
        seconds = time.perf_counter() - start
    frames = arguments.scenes * arguments.frames
    print(
        f"{arguments.scenes} scenes of {arguments.frames} frames, {arguments.workers} workers: "
        f"{seconds:.1f} s, {frames / seconds:.1f} frames/s"
    )


if __name__ == "__main__":
    main()
