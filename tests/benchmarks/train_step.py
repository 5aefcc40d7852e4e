"""Time and memory of a training step, in a process of its own.

    python tests/benchmarks/train_step.py [raw.zarr] [--set optim.batch_size=4] [--steps 3]
    python tests/benchmarks/train_step.py [raw.zarr] --presets [--set model.point_encoder=...]

By default the full size: ResNet-50, images of 352 x 1216 px, 1,024 pairs and 16,384 points, four
images a step. On a CPU the time is the processor's, over all threads, beside that on the clock. The
first step, which allocates, is left out of the times. Without a store, one is made of the KITTI raw
samples.

With --presets, small by default: how much longer a step of ``compat`` takes than one of ``fixed``
with the same encoders and sizes, by the processor's time; and how much longer it takes to assign
1,024 points to each other than to draw 1,024 pairs by their rows.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from sample_store import given_or_sample_store
from simipu.data.select import choose_pairs
from simipu.methods.pairs import assign
from simipu.models.layers import gather
from simipu.models.sampling import farthest_points
from simipu.store.reader import open_store
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


SMALL = {
    "sample": {"height": 96, "width": 320, "pairs": 128, "points": 2048},
    "optim": {"batch_size": 4},
    "model": {"image_backbone": "resnet18", "point_encoder": "pointnet2"},
    "system": {"workers": 0, "device": "cpu"},
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


def make_config(layers) -> TrainConfig:
    settings = TrainConfig().to_dict()
    for layer in layers:
        settings = merge(settings, layer)
    return build_config(settings)


def measure(config: TrainConfig) -> tuple[torch.device, list[float], list[float]]:
    """The device, and the seconds of each step: on the clock, and of the processor."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, open_stores(config), Path(folder) / "run", resume=False)
        watch = Stopwatch(trainer.device)
        trainer.train(watch)
    clock, processor = (
        [after - before for before, after in itertools.pairwise(times)]
        for times in zip(*watch.times, strict=True)
    )
    return trainer.device, clock, processor


def describe(config: TrainConfig) -> str:
    return (
        f"{config.model.image_backbone}, {config.optim.batch_size} images of "
        f"{config.sample.height} x {config.sample.width} px, {config.sample.points} points, "
        f"{config.sample.pairs} pairs"
    )


def compare_presets(layers) -> None:
    """Print the times of both presets, and of both ways to find pairs."""
    seconds = {}
    for name, preset in (
        ("fixed", {}),
        ("fixed, shared views", {"views": "shared"}),
        ("compat", {"preset": "compat"}),
    ):
        config = make_config([*layers, {"model": preset}])
        _, _, processor = measure(config)
        seconds[name] = statistics.mean(processor)  # compat's images differ in size
    print(f"{describe(config)}, {config.model.switches.point_encoder}:")
    for name, time_s in seconds.items():
        ratio = seconds["compat"] / time_s
        print(
            f"  {name}: {time_s:.2f} s of the processor a step; compat takes {ratio:.2f} times that"
        )
    rows_s, assigned_s = measure_pairing(open_store(layers[2]["data"]["stores"][0]["path"]))
    print(
        f"1,024 pairs of a frame: {1e3 * rows_s:.2f} ms by rows, {1e3 * assigned_s:.1f} ms by "
        f"assignment, {assigned_s / rows_s:.0f} times as long"
    )


def measure_pairing(store, count: int = 1024) -> tuple[float, float]:
    """Seconds of the processor to pair ``count`` points of a frame: by rows, by assignment.

    By rows they are drawn from the correspondences of the first frame's first camera. Assigned are
    the farthest points of two views, which are the same 16,384 points in different orders.
    """
    frame = store[0]
    camera = next(iter(frame.cameras.values()))
    found, size = camera.correspondences, (camera.height, camera.width)
    rng = np.random.default_rng(0)
    rows = rng.choice(found.row, 16384)
    p, q = (
        gather(xyz, farthest_points(xyz, count))
        for order in (rows, rng.permutation(rows))
        for xyz in [torch.from_numpy(frame.points.xyz[order])[None]]
    )
    times = []
    for pair in (
        lambda: choose_pairs(rng, found.uv, found.visible, size=size, cell_px=6, count=count),
        lambda: assign(p, q),
    ):
        spent = []
        for _ in range(15):
            begin = time.process_time()
            pair()
            spent.append(time.process_time() - begin)
        times.append(statistics.median(spent))
    return times[0], times[1]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("store", type=Path, nargs="*")
    parser.add_argument("--set", dest="assignments", action="append", default=[])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--presets", action="store_true")
    arguments = parser.parse_args()
    with given_or_sample_store(arguments.store) as path:
        # One step more, with which the record and the checkpoint come.
        layers = [
            SMALL if arguments.presets else FULL,
            {"run": {"steps": arguments.steps + 2}, "log": {"every": 10**6}},
            {"data": {"stores": [{"path": str(path)}]}},
            parse_assignments(arguments.assignments),
        ]
        if arguments.presets:
            compare_presets(layers)
            return
        config = make_config(layers)
        device, clock, processor = measure(config)
        print(
            f"{describe(config)}, {device}, {torch.get_num_threads()} threads: "
            f"{statistics.median(clock):.1f} s a step on the clock, "
            f"{statistics.median(processor):.1f} s of the processor, peak "
            f"{peak_memory_gib(device):.1f} GiB"
        )


if __name__ == "__main__":
    main()
