"""Projection heads: from features to the unit vectors that the losses compare."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ProjectionHead(nn.Module):
    """Three linear layers, each with batch norm, ReLU between them; the result has unit length."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        # Batch norm has its own offset, so the linear layers need none.
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, outputs, bias=False),
            nn.BatchNorm1d(outputs),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Project (R, inputs) features to (R, outputs) float32 unit vectors."""
        return F.normalize(self.layers(features).float(), dim=-1)
