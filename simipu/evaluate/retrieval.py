"""Can a pixel find its point, and a point its pixel? On frames that were not trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from simipu.data.photometric import prepare_images
from simipu.errors import StoreError
from simipu.evaluate.control import find_control

if TYPE_CHECKING:
    from simipu.data.dataset import PairDataset
    from simipu.data.sample import Cloud

MAX_IMAGES = 256
"""Images that are asked, evenly spread over those held out: enough for a recall to 1 %."""

AT = (1, 5, 10)


class Embedding(Protocol):
    """What retrieval asks of a method."""

    training: bool

    def train(self, mode: bool = True) -> object:
        """Enter training or evaluation mode."""

    def embed_pixels(self, images: Tensor, uv: Tensor) -> Tensor:
        """(B, N, D) unit vectors of the pixels ``uv``, (B, N, 2)."""

    def embed_points(self, cloud: Cloud, *, queries: int) -> Tensor:
        """(B, queries, D) unit vectors of the first points of each cloud."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retrieval:
    """Shares of the pixels whose point is among the most similar points of the same image.

    Attributes:
        recall_at_1, recall_at_5, recall_at_10: with the right image.
        control_at_1, control_at_5, control_at_10: the same with another image of the same camera in
            its place: what is matched by the position in the image alone. None where no image has
            another one of its camera.
        reverse_at_1, ..., reverse_control_at_10: the same of points that look for their pixel.
        chance_at_1, chance_at_5, chance_at_10: recall of a guess.
        pixels: number of pixels asked.
        images: number of images that they are of.
        same_scene: images whose control is of their own scene, because there is no other.
        near_duplicates: images whose control is nearly the same picture.
    """

    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    control_at_1: float | None
    control_at_5: float | None
    control_at_10: float | None
    reverse_at_1: float
    reverse_at_5: float
    reverse_at_10: float
    reverse_control_at_1: float | None
    reverse_control_at_5: float | None
    reverse_control_at_10: float | None
    chance_at_1: float
    chance_at_5: float
    chance_at_10: float
    pixels: int
    images: int
    same_scene: int
    near_duplicates: int


@torch.no_grad()
def measure_retrieval(method: Embedding, dataset: PairDataset, device: torch.device) -> Retrieval:
    """Ask every pair's pixel for its point among the points of all pairs of its image, and back.

    Args:
        method: put into evaluation mode meanwhile.
        dataset: not augmented.
        device: where ``method`` is.

    Raises:
        StoreError: no image of ``dataset`` has a pair.
    """
    was_training = method.training
    method.train(False)
    asked: list[_Asked] = []
    try:
        for index in np.linspace(0, len(dataset) - 1, min(len(dataset), MAX_IMAGES)).round():
            found = _ask_image(method, dataset, int(index), device)
            asked += [] if found is None else [found]
    finally:
        method.train(was_training)
    if not asked:
        raise StoreError(
            "no image of the frames to measure on has a visible point",
            where=dataset.parts[0].store.path,
            fix="Choose other frames to measure on.",
        )
    numbers: dict[str, float | None] = {}
    for name, ranks in (
        ("recall", [one.ranks[0] for one in asked]),
        ("reverse", [one.ranks[1] for one in asked]),
        ("control", [one.control[0] for one in asked if one.control]),
        ("reverse_control", [one.control[1] for one in asked if one.control]),
    ):
        for most in AT:
            share = (torch.cat(ranks) <= most).double().mean().item() if ranks else None
            numbers[f"{name}_at_{most}"] = share
    counts = np.array([len(one.ranks[0]) for one in asked])
    for most in AT:  # each of n pixels guesses right with the probability most / n
        numbers[f"chance_at_{most}"] = float(np.minimum(most, counts).sum() / counts.sum())
    return Retrieval(
        **numbers,  # type: ignore[arg-type]
        pixels=int(counts.sum()),
        images=len(asked),
        same_scene=sum(one.same_scene for one in asked),
        near_duplicates=sum(one.near_duplicate for one in asked),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """Ranks of the partners, of pixels and of points, with the right image and with another."""

    ranks: tuple[Tensor, Tensor]
    control: tuple[Tensor, Tensor] | None
    same_scene: bool
    near_duplicate: bool


def _ask_image(
    method: Embedding, dataset: PairDataset, index: int, device: torch.device
) -> _Asked | None:
    sample = dataset[0, index]
    count = int(sample.valid.sum())
    if not count:
        return None
    part = dataset.parts[int(sample.store)]
    size = (sample.image.shape[1], sample.image.shape[2])
    control = find_control(part, int(sample.frame), int(sample.camera), sample.image, size)
    images = torch.stack([sample.image] if control is None else [sample.image, control.image])
    batch = default_collate([sample]).to(device)
    points = method.embed_points(batch.clean, queries=len(sample.valid))[0, :count]
    prepared = prepare_images(images.to(device), torch.ones(len(images), 3, device=device))
    pixels = method.embed_pixels(prepared, batch.uv[:, :count].expand(len(images), -1, -1))
    ranks = [(partner_ranks(own, points), partner_ranks(points, own)) for own in pixels]
    return _Asked(
        ranks=ranks[0],
        control=ranks[1] if control else None,
        same_scene=control is not None and not control.other_scene,
        near_duplicate=control is not None and control.near_duplicate,
    )


def partner_ranks(queries: Tensor, keys: Tensor) -> Tensor:
    """The rank of each query's partner among all keys, 1 for the most similar.

    Args:
        queries: (n, D) unit vectors.
        keys: (n, D) unit vectors; row i is the partner of ``queries[i]``.

    Returns:
        (n,) int64; a tie counts against the partner.
    """
    similarity = queries @ keys.T
    partner = similarity.diagonal()[:, None]
    # The partner itself is as similar as itself, so its rank is at least 1. Said by negation, NaN
    # ranks last instead of first.
    return (~(similarity < partner)).sum(dim=1)
