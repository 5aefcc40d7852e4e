"""Rows of all processes, with gradients. In a single process everything stays as it is."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class Gathered(NamedTuple):
    """Rows of all processes, in the order of their ranks.

    Attributes:
        rows: (sum M, ...) all rows.
        first: where this process's rows begin.
        processes: number of processes.
    """

    rows: Tensor
    first: int
    processes: int


def count_all(rows: int, device: torch.device) -> int:
    """The sum of ``rows`` over all processes."""
    return sum(_counts(rows, device))


def gather_rows(rows: Tensor) -> Gathered:
    """Join the rows of all processes, which may have different numbers of them.

    The gradient of each row is the sum of what all processes give it.

    Args:
        rows: (M, ...) of this process; the other dimensions are equal everywhere.
    """
    counts = _counts(len(rows), rows.device)
    if len(counts) == 1:
        return Gathered(rows, 0, 1)
    # Gathering needs equal shapes.
    padding = [0, 0] * (rows.ndim - 1) + [0, max(counts) - len(rows)]
    parts = _Gather.apply(F.pad(rows, padding))
    joined = torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
    return Gathered(joined, sum(counts[: distributed.get_rank()]), len(counts))


def _counts(rows: int, device: torch.device) -> list[int]:
    if not (distributed.is_available() and distributed.is_initialized()):
        return [rows]
    ours = torch.tensor([rows], device=device)
    counts = [torch.empty_like(ours) for _ in range(distributed.get_world_size())]
    distributed.all_gather(counts, ours)
    return [int(count) for count in torch.cat(counts).tolist()]


class _Gather(torch.autograd.Function):
    """(M, ...) of each process to (processes, M, ...)."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.stack(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous()
        distributed.all_reduce(total)
        return total[distributed.get_rank()]
