"""Losses, gradients and batch-norm statistics of one batch that several processes share.

Run by tests/integration/test_distributed.py in each process; the first one writes the result.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.utils.data import default_collate

from fake_store import FakeStore
from simipu.data.config import SampleConfig, Selection
from simipu.data.dataset import PairDataset
from simipu.data.photometric import prepare_images
from simipu.data.sample import Cloud, Sample
from simipu.data.selection import select_images
from simipu.methods.build import build_method
from simipu.methods.config import ModelConfig
from simipu.train.distributed import join_world, parallelise

CONFIG = SampleConfig(height=64, width=96, pairs=24, points=128)
IMAGES = 4
EMPTY = {"all": (), "fewer": (1,), "none in the last": (2, 3), "none": (0, 1, 2, 3)}
MODELS = {
    "plain": ModelConfig(image_backbone="test_resnet"),
    "norms with activations": ModelConfig(image_backbone="test_efficientnet"),
    "a layer that nothing asks for": ModelConfig(image_backbone="test_resnet", strides=(8, 16)),
}


@contextmanager
def everything_in_double():
    """The method asks for single precision in places."""
    single = torch.Tensor.float
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.Tensor.float = single


def in_double(item):
    if isinstance(item, Cloud):
        return Cloud(*map(in_double, item))
    return item.double() if item.is_floating_point() else item


def compute(model: ModelConfig, empty: tuple[int, ...], world) -> dict[str, torch.Tensor]:
    """What this process finds for its share of the batch."""
    parts = [select_images(FakeStore(frames=IMAGES, empty=empty), Selection(path=""))]
    dataset = PairDataset(parts, CONFIG, seed=0, augment=True)
    share = IMAGES // world.size
    batch = default_collate(
        [dataset[0, index] for index in range(share * world.rank, share * (world.rank + 1))]
    )
    images = prepare_images(batch.image, batch.jitter)
    batch = Sample(*(in_double(item) for item in batch))
    torch.manual_seed(0)
    method = build_method(model, pairs=CONFIG.pairs).double()
    parallel = parallelise(method, world, torch.device("cpu"))
    with everything_in_double():
        losses = parallel(images.double(), batch)
        losses.total.backward()
    found = {
        f"grad {name}": torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in method.named_parameters()
    }
    found |= {f"buffer {name}": value.double() for name, value in method.named_buffers()}
    for name, contrast in (("inter", losses.inter), ("intra", losses.intra)):
        for part in ("loss", "recall_at_1", "recall_at_5", "alignment"):
            found[f"{name} {part}"] = world.mean(getattr(contrast, part))
        found[f"{name} candidates"] = torch.tensor(contrast.candidates)
    return found


def compute_all(world) -> dict[str, dict[str, torch.Tensor]]:
    """All cases, in double precision throughout: what differs is no rounding."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {
            f"{kind}, {name}": compute(model, empty, world)
            for kind, model in MODELS.items()
            for name, empty in EMPTY.items()
        }
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    with join_world("cpu") as world:
        results = compute_all(world)
        if world.is_first:
            torch.save(results, Path(sys.argv[1]))
