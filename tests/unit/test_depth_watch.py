"""The depth probe while training."""

import json

import numpy as np
import torch

from fake_store import FakeStore
from simipu.data.config import SampleConfig, Selection
from simipu.data.selection import select_images
from simipu.evaluate.depth_probe import probe_depth
from simipu.evaluate.pixels import draw_pixels, read_pictures
from simipu.evaluate.watch import DepthWatch
from simipu.methods.build import build_method
from simipu.methods.config import ModelConfig
from simipu.train.console import describe_retrieval
from simipu.train.distributed import share_batch_norm
from simipu.train.settings import build_config
from simipu.train.trainer import Trainer

SAMPLE = SampleConfig(height=32, width=64, pairs=8, points=48)
MODEL = ModelConfig(image_backbone="test_resnet")
CPU = torch.device("cpu")


class Silent:
    def update(self, step, record):
        pass

    def warn(self, step, warning):
        pass


def images(frames):
    return [select_images(FakeStore(frames=6), Selection(path="", frames=frames))]


def test_it_is_the_probe_of_the_encoder_as_it_is():
    watch = DepthWatch(images("0:4"), images("4:6"), SAMPLE, MODEL)
    method = build_method(MODEL, pairs=8)
    method.train()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    found = watch(method, CPU)
    fit, test = (
        draw_pixels(read_pictures(p[0], (32, 64)), seed=0) for p in map(images, ("0:4", "4:6"))
    )
    (expected, _) = probe_depth(method.image_encoder, fit, test, [np.arange(4)], device=CPU)
    assert found == expected.errors._asdict()
    assert method.training
    assert all(torch.equal(v, before[k]) for k, v in method.state_dict().items())
    # Batch norm that asks other processes would wait for them forever.
    share_batch_norm(method, on_gpu=False)
    assert watch(method, CPU) == found


def test_a_run_writes_it_to_its_log(tmp_path):
    config = build_config(
        {
            "data": {
                "stores": [{"path": "fake.zarr", "frames": "0:4"}],
                "held_out": [{"path": "fake.zarr", "frames": "4:6"}],
            },
            "sample": {"height": 32, "width": 64, "pairs": 8, "points": 48},
            "model": {"image_backbone": "test_resnet"},
            "optim": {"batch_size": 2},
            "run": {"steps": 2},
            "log": {"every": 2, "eval_every": 2, "depth_probe": True},
            "system": {"workers": 0, "device": "cpu"},
        }
    )
    Trainer(config, {"fake.zarr": FakeStore(frames=6)}, tmp_path, resume=False).train(Silent())
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    measured = [record for record in records if "depth/abs_rel" in record]
    assert [record["step"] for record in measured] == [0, 2]
    for record in measured:
        assert 0 < record["depth/abs_rel"] < 1
        assert f"depth AbsRel {record['depth/abs_rel']:.3f}" in describe_retrieval(record)
