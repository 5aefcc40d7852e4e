"""Can a pixel find its point? Measured on frames that were not trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from simipu.data.photometric import prepare_images
from simipu.errors import StoreError

if TYPE_CHECKING:
    from simipu.data.dataset import PairDataset
    from simipu.methods.simipu import SimIPU


@dataclass(frozen=True, kw_only=True, slots=True)
class Retrieval:
    """Shares of the pixels whose point is among the most similar points of the same image.

    Attributes:
        recall_at_1, recall_at_5: with the right image.
        control_at_1, control_at_5: the same with another frame's image of the same camera in its
            place: what is matched by the position in the image alone. None where no image has
            another one of its camera.
        chance_at_1: recall at 1 of a guess.
        pixels: number of pixels asked.
    """

    recall_at_1: float
    recall_at_5: float
    control_at_1: float | None
    control_at_5: float | None
    chance_at_1: float
    pixels: int


MAX_IMAGES = 256
"""Images that are asked, evenly spread over those held out: enough for a recall to 1 %."""


@torch.no_grad()
def measure_retrieval(method: SimIPU, dataset: PairDataset, device: torch.device) -> Retrieval:
    """Ask every pair's pixel for its point among the points of all pairs of its image.

    Args:
        method: put into evaluation mode meanwhile.
        dataset: not augmented.
        device: where ``method`` is.

    Raises:
        StoreError: no image of ``dataset`` has a pair.
    """
    was_training = method.training
    method.eval()
    hits: list[Tensor] = []
    control_hits: list[Tensor] = []
    try:
        for index in np.linspace(0, len(dataset) - 1, min(len(dataset), MAX_IMAGES)).round():
            with_own, with_other = _ask_image(method, dataset, int(index), device)
            hits += with_own
            control_hits += with_other
    finally:
        method.train(was_training)
    if not hits:
        raise StoreError(
            "no image of the frames to measure on has a visible point",
            where=dataset.parts[0].store.path,
            fix="Choose other --eval-frames, or others in data.held_out.",
        )
    recall = torch.cat(hits).float().mean(dim=0)
    control = torch.cat(control_hits).float().mean(dim=0) if control_hits else None
    chance = torch.cat([torch.full((len(hit),), 1 / len(hit)) for hit in hits])
    return Retrieval(
        recall_at_1=recall[0].item(),
        recall_at_5=recall[1].item(),
        control_at_1=None if control is None else control[0].item(),
        control_at_5=None if control is None else control[1].item(),
        chance_at_1=chance.mean().item(),
        pixels=len(chance),
    )


def _ask_image(
    method: SimIPU, dataset: PairDataset, index: int, device: torch.device
) -> tuple[list[Tensor], list[Tensor]]:
    """Hits of one image's pixels, with it and with another in its place, where there are any."""
    sample = dataset[0, index]
    count = int(sample.valid.sum())
    if not count:
        return [], []
    other = dataset.other_image(index)
    images = torch.stack([sample.image] if other is None else [sample.image, other])
    batch = default_collate([sample]).to(device)
    points = method.embed_points(batch.clean, queries=len(sample.valid))[0, :count]
    prepared = prepare_images(images.to(device), torch.ones(len(images), 3, device=device))
    pixels = method.embed_pixels(prepared, batch.uv[:, :count].expand(len(images), -1, -1))
    hits = [partner_hits(queries, points) for queries in pixels]
    return hits[:1], hits[1:]


def partner_hits(queries: Tensor, keys: Tensor) -> Tensor:
    """Whether each query's partner is the most similar key, and among the five most similar.

    Args:
        queries: (n, D) unit vectors.
        keys: (n, D) unit vectors; row i is the partner of ``queries[i]``.

    Returns:
        (n, 2) bool; a tie counts against the partner.
    """
    similarity = queries @ keys.T
    partner = similarity.diagonal()[:, None]
    # The partner itself is as similar as itself, so its rank is at least 1. Said by negation, NaN
    # ranks last instead of first.
    rank = (~(similarity < partner)).sum(dim=1)
    return torch.stack([rank <= 1, rank <= 5], dim=1)
