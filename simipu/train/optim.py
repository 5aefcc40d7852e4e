"""The optimiser, and the learning rate as a function of the step."""

from __future__ import annotations

import math

import torch
from torch import nn

WARMUP_SHARE = 0.05
MIN_WARMUP_STEPS = 20


def make_optimizer(model: nn.Module, *, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW that decays matrices and kernels, but neither biases nor the scales of norms."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr)


def learning_rate(step: int, *, steps: int, peak: float) -> float:
    """Linear warm-up, then a cosine to zero.

    Args:
        step: the step about to be taken, from 0.
        steps: steps of the whole run.
        peak: rate after the warm-up, which takes 5 % of the run, but at least 20 steps, and at
            most half of the run.
    """
    warmup = min(max(MIN_WARMUP_STEPS, round(WARMUP_SHARE * steps)), steps // 2)
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (1 + math.cos(math.pi * progress)) / 2
