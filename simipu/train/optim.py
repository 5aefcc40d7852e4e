"""The optimiser, and the learning rate as a function of the step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Mapping

MIN_WARMUP_STEPS = 20


def make_optimizer(model: nn.Module, *, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW that decays matrices and kernels, but neither biases nor the scales of norms."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr)


class HybridOptimizer:
    """The released code's optimisers in one: AdamW for the point encoder, SGD for all else.

    There were two of SGD, for images and for heads, with the same settings. All parameters decay,
    those of norms too.

    Args:
        method: whose point encoder is called ``point_encoder``.
        lr: of AdamW; that of SGD is 30 times as high.
    """

    def __init__(self, method: nn.Module, *, lr: float) -> None:
        points: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for name, parameter in method.named_parameters():
            if parameter.requires_grad:
                (points if name.startswith("point_encoder.") else rest).append(parameter)
        self._optimizers: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.AdamW(points, lr=lr, betas=(0.95, 0.99), weight_decay=0.01),
            torch.optim.SGD(rest, lr=30 * lr, momentum=0.9, weight_decay=1e-4),
        )

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Those of both."""
        return [group for each in self._optimizers for group in each.param_groups]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for each in self._optimizers:
            each.zero_grad()

    def step(self) -> None:
        """Take a step with both."""
        for each in self._optimizers:
            each.step()

    def state_dict(self) -> dict[str, Any]:
        """The state of both, by number."""
        return {str(i): each.state_dict() for i, each in enumerate(self._optimizers)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        for i, each in enumerate(self._optimizers):
            each.load_state_dict(state[str(i)])


def released_rate(step: int, *, steps_per_epoch: int) -> float:
    """Share of the learning rate: one per cent less with every epoch, without a warm-up."""
    return float(0.99 ** (step // steps_per_epoch))


def warmup_steps(steps: int, share: float) -> int:
    """Steps in which the learning rate rises: at least 20, and at most half of the run."""
    return min(max(MIN_WARMUP_STEPS, round(share * steps)), steps // 2)


def cosine_rate(step: int, *, steps: int, warmup: int) -> float:
    """Share of the learning rate: a linear warm-up, then a cosine to zero.

    Args:
        step: the step about to be taken, from 0.
        steps: steps of the whole run.
        warmup: steps of the warm-up.
    """
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return (1 + math.cos(math.pi * progress)) / 2


def gradient_norms(model: nn.Module) -> dict[str, torch.Tensor]:
    """The norm of the gradient of each of the model's parts, by name."""
    norms = {}
    for name, part in model.named_children():
        gradients = [p.grad for p in part.parameters() if p.grad is not None]
        if gradients:
            norms[name] = torch.stack([torch.linalg.vector_norm(g) for g in gradients]).norm()
    return norms
