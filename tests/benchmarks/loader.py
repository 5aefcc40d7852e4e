"""Cost of one training sample: decoding its image against everything else, with a profile.

    OMP_NUM_THREADS=1 python tests/benchmarks/loader.py [raw.zarr] [--image-size 96x320]

Without a store, one is made of the KITTI raw samples (SIMIPU_SAMPLE_DATA, or ../shared/data).
Runs what one worker runs, in this process and on one thread, with the files of the store in the
page cache, and measures processor time. Every sample is made once an epoch. Other work on the
machine, with which caches are shared, only ever adds: the quickest epoch of each sample counts,
and the mean over all samples is reported. The profile of a further pass shows where the rest of
the time goes.
"""

import argparse
import cProfile
import math
import pstats
import statistics
import time
from pathlib import Path

import torch

import simipu
from sample_store import given_or_sample_store
from simipu.data import dataset as dataset_module
from simipu.data.config import SampleConfig, Selection, parse_image_size
from simipu.data.dataset import PairDataset
from simipu.data.selection import select_images


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("store", type=Path, nargs="*")
    parser.add_argument("--image-size", default="96x320")
    parser.add_argument("--pairs", type=int, default=128)
    parser.add_argument("--points", type=int, default=2048)
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # as in a worker of a DataLoader
    with given_or_sample_store(arguments.store) as path:
        measure(path, arguments)


def measure(path: Path, arguments: argparse.Namespace) -> None:
    height, width = parse_image_size(arguments.image_size)
    config = SampleConfig(
        height=height, width=width, pairs=arguments.pairs, points=arguments.points
    )
    store = simipu.open_store(path)
    images = select_images(store, Selection(path=str(path)))
    dataset = PairDataset([images], config, seed=0, augment=True)

    decode = dataset_module.decode_rgb
    decode_s = 0.0

    def timed_decode(data: bytes, *, where: str) -> torch.Tensor:
        nonlocal decode_s
        begin = time.process_time()
        image = decode(data, where=where)
        decode_s = time.process_time() - begin
        return image

    dataset_module.decode_rgb = timed_decode
    decoding_ms = [math.inf] * len(dataset)
    other_ms = list(decoding_ms)
    for epoch in range(arguments.epochs):
        for index in range(len(dataset)):
            begin = time.process_time()
            dataset[epoch, index]
            total_s = time.process_time() - begin
            decoding_ms[index] = min(decoding_ms[index], 1e3 * decode_s)
            other_ms[index] = min(other_ms[index], 1e3 * (total_s - decode_s))
    dataset_module.decode_rgb = decode

    decoding, other = statistics.mean(decoding_ms), statistics.mean(other_ms)
    print(f"{store}")
    print(f"{len(dataset)} samples, image {height} x {width}, {config.points} points")
    print(f"decoding {decoding:.2f} ms, everything else {other:.2f} ms: {other / decoding:.0%}\n")

    profile = cProfile.Profile()
    profile.enable()
    for index in range(len(dataset)):
        dataset[0, index]
    profile.disable()
    pstats.Stats(profile).sort_stats("cumulative").print_stats("simipu|upsample", 20)


if __name__ == "__main__":
    main()
