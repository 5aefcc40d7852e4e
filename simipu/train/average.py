"""A moving average of the weights."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from simipu.methods.simipu import SimIPU


class WeightAverage:
    """Exponential moving average of a method's weights; other numbers, as those of batch norm, are
    the method's own.

    Args:
        method: whose weights are averaged; it may be in training, the average never is.
        decay: share of the average that stays in each step; less in the first steps, so that the
            random weights are soon forgotten.

    Attributes:
        method: the method with the averaged weights.
    """

    def __init__(self, method: SimIPU, decay: float) -> None:
        self.method = copy.deepcopy(method).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, method: SimIPU, step: int) -> None:
        """Take in the weights of ``method`` after ``step`` steps."""
        decay = min(self._decay, (1 + step) / (10 + step))
        ours: list[Tensor] = list(self.method.parameters())
        theirs: list[Tensor] = list(method.parameters())
        torch._foreach_lerp_(ours, theirs, 1 - decay)
        for own, other in zip(self.method.buffers(), method.buffers(), strict=True):
            own.copy_(other)
