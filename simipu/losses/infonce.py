"""The contrastive loss of van den Oord et al. (https://arxiv.org/abs/1807.03748), symmetric."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Contrast(NamedTuple):
    """The loss and what it should be compared with.

    Attributes:
        loss: () mean over both directions; ln(candidates) is chance.
        recall_at_1: () share of the rows, over both directions, whose partner is the most similar.
        candidates: number of rows M that took part.
    """

    loss: Tensor
    recall_at_1: Tensor
    candidates: int


def info_nce(a: Tensor, b: Tensor, *, temperature: float) -> Contrast:
    """Tell each row's partner from all other rows, from ``a`` to ``b`` and back.

        L = 1/2M sum_i [ -log softmax_k(a_i . b_k / t)_i  -  log softmax_k(b_i . a_k / t)_i ]

    Without any row the loss is 0 and its gradients are zeros.

    Args:
        a: (M, D) unit vectors.
        b: (M, D) unit vectors; row i is the partner of ``a[i]``.
        temperature: t.

    Returns:
        The loss over the M rows.
    """
    candidates = len(a)
    if candidates == 0:
        nothing = (a.sum() + b.sum()) * 0
        return Contrast(nothing, nothing.detach(), 0)
    # Under autocast the product would be in bfloat16: logits up to 1/t with three digits.
    with torch.autocast(a.device.type, enabled=False):
        logits = a @ b.T / temperature
    target = torch.arange(candidates, device=a.device)
    loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    with torch.no_grad():
        forth = (logits.argmax(dim=1) == target).float().mean()
        back = (logits.argmax(dim=0) == target).float().mean()
    return Contrast(loss, (forth + back) / 2, candidates)
