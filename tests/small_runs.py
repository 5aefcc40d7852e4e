"""Training runs of seconds, on a store in memory, and what tests ask of them."""

import json
import time

import pytest
import torch
from torch import nn

from fake_store import FakeStore
from simipu.data.config import SampleConfig, Selection
from simipu.data.photometric import IMAGENET_MEAN, IMAGENET_STD
from simipu.data.selection import select_images
from simipu.models.image import sample_features
from simipu.train.settings import build_config, merge
from simipu.train.trainer import Trainer

SMALL = SampleConfig(height=32, width=64, pairs=8, points=48)
BASE = {
    "data": {"stores": [{"path": "fake.zarr"}]},
    "sample": {"height": 32, "width": 64, "pairs": 8, "points": 48},
    "model": {"image_backbone": "test_resnet"},
    "optim": {"batch_size": 2},
    "run": {"steps": 6},
    "checkpoint": {"every": 2},
    "log": {"every": 2},
    "system": {"workers": 0, "device": "cpu"},
}
SECTION_OF = {
    **dict.fromkeys(("steps", "epochs", "seed"), "run"),
    **dict.fromkeys(("batch_size", "accumulate", "lr", "clip_norm", "average"), "optim"),
    **dict.fromkeys(("preset", "image_backbone"), "model"),
    **dict.fromkeys(("workers", "device"), "system"),
    "eval_every": "log",
}
HELD_OUT = {
    "stores": [{"path": "fake.zarr", "frames": "0:4"}],
    "held_out": [{"path": "fake.zarr", "frames": "4:6"}],
}


@pytest.fixture(autouse=True)
def one_thread():
    """Beside other work OpenMP's threads spend most of the time waiting for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_config(**settings):
    """`BASE` with sections and single settings changed."""
    sections = {}
    for name, value in settings.items():
        if name in SECTION_OF:
            sections.setdefault(SECTION_OF[name], {})[name] = value
        else:
            sections[name] = value
    return build_config(merge(BASE, sections))


def make_trainer(run, *, resume=False, store=None, world=None, **settings):
    stores = {"fake.zarr": store or FakeStore(frames=6)}
    return Trainer(make_config(**settings), stores, run, resume=resume, world=world)


class Listening:
    """Does something at every step, and keeps what it is told."""

    def __init__(self, action=lambda step, record: None):
        self.action = action
        self.steps = []
        self.warnings = []

    def update(self, step, record):
        self.steps.append((step, bool(record)))
        self.action(step, record)

    def warn(self, step, warning):
        self.warnings.append(warning)


class Clock:
    """Replaces that of the trainer by one that ticks only where it is told to.

    How long anything really takes depends on what else the machine does.
    """

    def __init__(self, monkeypatch):
        self.now = 0.0
        self._patch = monkeypatch
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def tick(self, owner, name, seconds):
        """Let every call of a function take so long."""
        function = getattr(owner, name)

        def ticking(*args, **kwargs):
            self.now += seconds
            return function(*args, **kwargs)

        self._patch.setattr(owner, name, ticking)


def whole(store, stop=4):
    return [select_images(store, Selection(path="", frames=f":{stop}"))]


def read_log(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def same_state(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.values(), b.values(), strict=True))


def buffers_of(state):
    """The statistics of batch norm: the forward pass has moved on, the weights have not."""
    return {name: value for name, value in state.items() if "running" in name or "num_" in name}


def parameters(method):
    return dict(method.named_parameters())


class Oracle(nn.Module):
    """Embeds pixels by their colour and points by their coordinates, which agree in FakeStore."""

    def embed_pixels(self, images, uv):
        size = (images.shape[2], images.shape[3])
        colours = sample_features(images, uv, size)
        colours = colours * torch.tensor(IMAGENET_STD) + torch.tensor(IMAGENET_MEAN)
        return self._on_a_sphere(colours[..., :2] * 255 / 2)

    def embed_points(self, cloud, *, queries):
        return self._on_a_sphere(cloud.xyz[:, :queries, :2])

    def _on_a_sphere(self, uv):
        return nn.functional.normalize(
            torch.cat([uv, torch.full_like(uv[..., :1], 60)], -1), dim=-1
        )
