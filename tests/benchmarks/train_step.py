"""Time and memory of a training step, in a process of its own.

    python tests/benchmarks/train_step.py [raw.zarr] [--set optim.batch_size=4] [--steps 3]

By default the full size: ResNet-50, images of 352 x 1216 px, 1,024 pairs and 16,384 points, four
images a step. On a CPU the time is the processor's, over all threads, beside that on the clock. The
first step, which allocates, is left out of the times. Without a store, one is made of the KITTI raw
samples.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import torch

from sample_store import given_or_sample_store
from simipu.train.config import TrainConfig
from simipu.train.meter import peak_memory_gib
from simipu.train.settings import build_config, merge, parse_assignments
from simipu.train.trainer import Trainer, open_stores

FULL = {
    "sample": {"height": 352, "width": 1216, "pairs": 1024, "points": 16384},
    "optim": {"batch_size": 4},
    "system": {"workers": 0},
    "checkpoint": {"every": 10**6},
}


class Stopwatch:
    """Notes both clocks after every step."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.times = []

    def update(self, step: int, record) -> None:
        if not record:
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            self.times.append((time.perf_counter(), time.process_time()))

    def warn(self, step: int, warning: str) -> None:
        print(warning)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("store", type=Path, nargs="*")
    parser.add_argument("--set", dest="assignments", action="append", default=[])
    parser.add_argument("--steps", type=int, default=3)
    arguments = parser.parse_args()
    with given_or_sample_store(arguments.store) as path, tempfile.TemporaryDirectory() as folder:
        settings = merge(TrainConfig().to_dict(), FULL)
        # One step more, with which the record and the checkpoint come.
        steps = {"run": {"steps": arguments.steps + 2}, "log": {"every": 10**6}}
        data = {"data": {"stores": [{"path": str(path)}]}}
        for layer in (steps, data, parse_assignments(arguments.assignments)):
            settings = merge(settings, layer)
        config = build_config(settings)
        trainer = Trainer(config, open_stores(config), Path(folder) / "run", resume=False)
        watch = Stopwatch(trainer.device)
        trainer.train(watch)
        clock, processor = (
            statistics.median(after - before for before, after in itertools.pairwise(times))
            for times in zip(*watch.times, strict=True)
        )
        batch = config.optim.batch_size
        print(
            f"{config.model.image_backbone}, {batch} images of {config.sample.height} x "
            f"{config.sample.width} px, {config.sample.points} points, {config.sample.pairs} "
            f"pairs, {trainer.device}, {torch.get_num_threads()} threads: {clock:.1f} s a step on "
            f"the clock, {processor:.1f} s of the processor, peak "
            f"{peak_memory_gib(trainer.device):.1f} GiB"
        )


if __name__ == "__main__":
    main()
