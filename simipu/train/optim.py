"""The optimiser, and the learning rate as a function of the step."""

from __future__ import annotations

import math

import torch
from torch import nn

MIN_WARMUP_STEPS = 20


def make_optimizer(model: nn.Module, *, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW that decays matrices and kernels, but neither biases nor the scales of norms."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr)


def warmup_steps(steps: int, share: float) -> int:
    """Steps in which the learning rate rises: at least 20, and at most half of the run."""
    return min(max(MIN_WARMUP_STEPS, round(share * steps)), steps // 2)


def learning_rate(step: int, *, steps: int, peak: float, warmup: int) -> float:
    """Linear warm-up, then a cosine to zero.

    Args:
        step: the step about to be taken, from 0.
        steps: steps of the whole run.
        peak: rate after the warm-up.
        warmup: steps of the warm-up.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (1 + math.cos(math.pi * progress)) / 2


def gradient_norms(model: nn.Module) -> dict[str, torch.Tensor]:
    """The norm of the gradient of each of the model's parts, by name."""
    norms = {}
    for name, part in model.named_children():
        gradients = [p.grad for p in part.parameters() if p.grad is not None]
        if gradients:
            norms[name] = torch.stack([torch.linalg.vector_norm(g) for g in gradients]).norm()
    return norms
