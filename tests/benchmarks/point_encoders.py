"""Time of the point encoders at equal output width, and what the reuse of a graph saves.

python tests/benchmarks/point_encoders.py [--pairs N] [--points P] [--batch B] [--repeats R]

Forward and backward pass over two views of the same clouds, in CPU time on one thread; the median
of repeats that take turns, and its ratio to the first line. Points lie as on a synthetic street:
on the ground and on walls, denser where they are near.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from simipu.models.pointnet2 import PointEncoder
from simipu.models.pointnet2_msg import RELEASED, PointNet2MSG
from simipu.models.sparse_unet import SparseUNet


def clouds(batch, points):
    """Points on the ground and on the walls along a street, (B, P, 3), and their intensities."""
    generator = torch.Generator().manual_seed(0)
    draw = torch.rand(batch, points, 3, generator=generator)
    ahead = 3 + 60 * draw[..., 0] ** 2
    on_wall = torch.rand(batch, points, generator=generator) < 0.4
    side = torch.where(on_wall, 8 * (draw[..., 1] - 0.5).sign(), 16 * (draw[..., 1] - 0.5))
    height = torch.where(on_wall, 3 * draw[..., 2] - 1.7, torch.tensor(-1.7))
    xyz = torch.stack([ahead, side, height], dim=-1)
    return xyz, torch.randn(batch, points, 1, generator=generator), torch.ones_like(side) > 0


def encoders(pairs, width):
    """The three encoders with features of one width."""
    half = pairs // 2
    stages = (*RELEASED[:2], RELEASED[2]._replace(channels=width))
    return {
        "pointnet2": PointEncoder(
            centres=(3 * pairs, 5 * pairs // 4, 5 * pairs // 16), widths=(48, 96, width)
        ),
        "pointnet2-msg": PointNet2MSG(
            centres=(4 * pairs, (pairs, pairs), (half, half)),
            ffps_rows=half,
            stages=stages,
            coordinates="relative",
        ),
        "sparse-unet": SparseUNet(channels=width),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--points", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--width", type=int, default=160)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    xyz, feature, distinct = clouds(given.batch, given.points)
    copy = 1.1 * xyz * torch.tensor([1.0, -1.0, 1.0])
    both = (torch.cat([xyz, copy]), feature.repeat(2, 1, 1), distinct.repeat(2, 1))

    ways = {}
    for name, encoder in encoders(given.pairs, given.width).items():
        ways[name] = (encoder, lambda encoder=encoder: encoder(*both, given.pairs))
        if hasattr(encoder, "sample"):

            def reuse(encoder=encoder):
                here, graph = encoder.sample(xyz, feature, distinct, given.pairs)
                return torch.cat([here, encoder.encode(graph, copy, feature)])

            ways[f"{name}, graph reused"] = (encoder, reuse)
    times = {name: [] for name in ways}
    for repeat in range(given.repeats + 1):
        for name, (encoder, encode) in ways.items():
            encoder.zero_grad()
            start = time.process_time()
            encode().square().sum().backward()
            if repeat:  # the first one warms up
                times[name].append(time.process_time() - start)
    print(
        f"{given.batch} clouds of {given.points} points, {given.pairs} queries, torch on one thread"
    )
    first = statistics.median(times["pointnet2"])
    for name, taken in times.items():
        parameters = sum(p.numel() for p in ways[name][0].parameters())
        median = statistics.median(taken)
        cost = f"{1e3 * median:8.1f} ms  {median / first:6.2f} x"
        print(f"{name:30s} {cost}  {parameters:9,d} parameters")


if __name__ == "__main__":
    main()
