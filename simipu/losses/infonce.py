"""The contrastive loss of van den Oord et al. (https://arxiv.org/abs/1807.03748).

Beside the loss stand the quantities that tell whether it is healthy: ranks, and the alignment and
uniformity of Wang and Isola (https://arxiv.org/abs/2005.10242).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from simipu.losses.gather import gather_rows

UNIFORMITY_ROWS = 512
"""Rows, of each process, that uniformity is estimated from."""


class Contrast(NamedTuple):
    """The loss and what it should be compared with.

    With several processes each value is such that its mean over the processes is the value of the
    joined batch; of uniformity it is an estimate.

    Attributes:
        loss: () mean over the rows, and over both directions if it is symmetric.
        chance: () the loss of guessing: the mean of ln(K), K being the rows that a row is to be
            found among.
        recall_at_1: (2,) share of the rows whose partner is the most similar: from a to b, and
            back. A tie counts against the partner.
        recall_at_5: (2,) the same among the five most similar.
        alignment: () mean squared distance of partners; 0 where all agree, 2 for strangers.
        uniformity: (2,) log of the mean of exp(-2 d^2) over the pairs of rows of a, and of b: 0
            where all are alike, about -4 where they fill the sphere.
        candidates: number of rows M that took part, over all processes.
    """

    loss: Tensor
    chance: Tensor
    recall_at_1: Tensor
    recall_at_5: Tensor
    alignment: Tensor
    uniformity: Tensor
    candidates: int


def info_nce(
    a: Tensor,
    b: Tensor,
    *,
    temperature: float,
    symmetric: bool = True,
    place: Tensor | None = None,
    frame: Tensor | None = None,
) -> Contrast:
    """Tell each row's partner from other rows, from ``a`` to ``b`` and, if symmetric, back.

        forth = 1/M sum_i -log softmax_k(a_i . b_k / t)_i      (k over i and its negatives)
        back  = 1/M sum_i -log softmax_k(b_i . a_k / t)_i
        L     = (forth + back) / 2   or   forth

    The negatives of a row are all other rows, of all processes, that ``place`` and ``frame`` do not
    exclude. Without any row the loss is 0 and its gradients are zeros.

    Args:
        a: (M, D) unit vectors.
        b: (M, D) unit vectors; row i is the partner of ``a[i]``.
        temperature: t.
        symmetric: both directions, not only the first.
        place: (M,) int64; rows of one place are near-duplicates, and not each other's negatives.
        frame: (M,) int64; rows of different frames are not each other's negatives.

    Returns:
        The loss over the M rows.
    """
    # Under autocast the product would be in bfloat16: logits up to 1/t with three digits.
    with torch.autocast(a.device.type, enabled=False):
        keys, first, processes = gather_rows(b)
        candidates = len(keys)
        if candidates == 0:
            return no_contrast((a.sum() + b.sum()) * 0)
        forth = a @ keys.T / temperature
        back = forth.T if processes == 1 else b @ gather_rows(a).rows.T / temperature
    target = torch.arange(first, first + len(a), device=a.device)
    excluded = _excluded(target, place, frame)
    if excluded is not None:
        forth = forth.masked_fill(excluded, -torch.inf)
        back = back.masked_fill(excluded, -torch.inf)
    share = processes / candidates  # the mean over processes is that over all rows
    loss = F.cross_entropy(forth, target, reduction="sum") * share
    if symmetric:
        loss = (loss + F.cross_entropy(back, target, reduction="sum") * share) / 2
    with torch.no_grad():
        ranks = torch.stack([_ranks(logits, target) for logits in (forth, back)])
        among = forth.new_full((len(a),), candidates)
        if excluded is not None:
            among -= excluded.sum(dim=1)
        return Contrast(
            loss=loss,
            chance=among.log().sum() * share,
            recall_at_1=(ranks <= 1).sum(dim=1) * share,
            recall_at_5=(ranks <= 5).sum(dim=1) * share,
            alignment=(a - b).square().sum() * share,
            uniformity=torch.stack([_uniformity(a), _uniformity(b)]),
            candidates=candidates,
        )


def no_contrast(zero: Tensor) -> Contrast:
    """The result where there is nothing to tell apart; ``zero`` carries zero gradients."""
    nothing = zero.detach()
    both = nothing.expand(2)
    return Contrast(zero, nothing, both, both, nothing, both, 0)


def _excluded(target: Tensor, place: Tensor | None, frame: Tensor | None) -> Tensor | None:
    """(M, K) which of all K keys are neither a row's partner nor one of its negatives."""
    excluded: Tensor | None = None
    if place is not None:
        excluded = place[:, None] == gather_rows(place).rows
    if frame is not None:
        strangers = frame[:, None] != gather_rows(frame).rows
        excluded = strangers if excluded is None else excluded | strangers
    if excluded is not None:
        excluded.scatter_(1, target[:, None], False)
    return excluded


def _ranks(logits: Tensor, target: Tensor) -> Tensor:
    """The rank of each row's partner, from 1; said by negation, NaN ranks last."""
    partner = logits.gather(1, target[:, None])
    return (~(logits < partner)).sum(dim=1)


def _uniformity(rows: Tensor) -> Tensor:
    rows = rows[:UNIFORMITY_ROWS]
    count = len(rows)
    if count < 2:
        return rows.new_zeros(())
    kernel = (4 * (rows @ rows.T - 1)).exp_()  # of unit vectors d^2 = 2 - 2 x.y
    return ((kernel.sum() - kernel.diagonal().sum()) / (count * (count - 1))).log()
