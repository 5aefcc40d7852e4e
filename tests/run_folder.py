"""A run folder as training leaves it."""

import json

import torch
from torch import nn

from simipu.data.config import Selection
from simipu.methods.build import build_method
from simipu.train.checkpoint import write_state
from simipu.train.config import DataConfig, ModelConfig, TrainConfig
from simipu.train.runfolder import MARK, PROVENANCE


@torch.no_grad()
def trained(network: nn.Module) -> nn.Module:
    """The network with other tensors than any constructor gives, statistics included."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator)
            tensor.mul_(1 + 0.1 * noise).add_(0.01 * noise)
            if name.endswith("running_var"):
                tensor.abs_()
        else:
            tensor.add_(7)
    return network.eval()


def make_run(folder, *, ema=False, damage=None, steps=(2, 4)):
    config = TrainConfig(
        data=DataConfig(stores=(Selection(path="/some/where/gone.zarr", frames=":8"),)),
        model=ModelConfig(image_backbone="resnet18"),
    )
    method = trained(build_method(config.model, pairs=config.sample.pairs))
    average = {name: tensor + 1 for name, tensor in method.state_dict().items()}
    for step in steps:
        state = {
            "step": step,
            "config": config.to_dict(),
            "fingerprints": ["f00d", "beef"],
            "method": method.state_dict(),
            "optimizer": {},
            "ema": average if ema else None,
        }
        if damage is not None:
            damage(state)
        write_state(folder / "checkpoints" / f"step-{step:09d}.pt", state)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
    (folder / PROVENANCE).write_text(json.dumps({"versions": {"torch": "2.0"}}))
    records = [
        {"step": 0, "retrieval/recall_at_1": 0.01},
        {"step": 2, "warning": "/some/where/gone.zarr is small"},
        {"step": 4, "retrieval/recall_at_1": 0.25, "retrieval/control_at_1": None},
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder
