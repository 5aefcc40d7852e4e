"""Which point of one view belongs to which of the other, and which rows are near-duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from simipu.models.layers import gather
from simipu.models.pointnet2_msg import PointNet2MSG
from simipu.models.sampling import distances, farthest_points

if TYPE_CHECKING:
    from simipu.data.sample import Cloud, Sample

SAME_POINT_M = 0.1
"""Edge of the cubes within which points count as one."""

_ODD = -7046029254386353131  # 2^64 divided by the golden ratio


class Pairs(NamedTuple):
    """Pairs of pixels and points: row i of all belongs together.

    Attributes:
        f: (B, N, C) features in the clean view.
        h: (B, N, C) features in the augmented view.
        xyz: (B, N, 3) the points, clean.
        uv: (B, N, 2) their pixels.
        valid: (B, N) bool; the other rows are no pairs.
    """

    f: Tensor
    h: Tensor
    xyz: Tensor
    uv: Tensor
    valid: Tensor


def pair_by_row(encoder: Any, batch: Sample, *, views: str, joined: bool) -> Pairs:
    """The points of the pairs come first in both views.

    Args:
        encoder: of points.
        batch: with pairs by rows.
        views: "shared" lets the augmented view have the clean one's centres and neighbours, which
            no similarity transform changes.
        joined: encode both views in one pass, with the batch norm's statistics over both; else
            each in its own, the augmented one without gradients.
    """
    clean, augmented = batch.clean, batch.augmented
    queries = batch.valid.shape[1]
    if views == "shared":
        f, graph = encoder.sample(*clean, queries)
        with torch.set_grad_enabled(joined and torch.is_grad_enabled()):
            h = encoder.encode(graph, augmented.xyz, augmented.feature)
    elif joined:
        # The encoder's time is spent on many small operations: half as many, each on more points.
        both = (torch.cat(parts) for parts in zip(clean, augmented, strict=True))
        f, h = encoder(*both, queries).chunk(2)
    else:
        f = encoder(*clean, queries)
        with torch.no_grad():
            h = encoder(*augmented, queries)
    return Pairs(f, h, clean.xyz[:, :queries], batch.uv, batch.valid)


def pair_by_assignment(encoder: Any, batch: Sample, *, count: int, with_gradients: bool) -> Pairs:
    """The encoder's own centres of both views, matched so that the sum of distances is least.

    The augmentation is undone for that. However far apart, each centre gets a partner.

    Args:
        encoder: of points.
        batch: with ``uv`` and ``valid`` for all points of the clean view.
        count: centres of each view.
        with_gradients: of the augmented view.
    """
    f, rows = _own_centres(encoder, batch.clean, count)
    with torch.set_grad_enabled(with_gradients and torch.is_grad_enabled()):
        h, others = _own_centres(encoder, batch.augmented, count)
    p, q = gather(batch.clean.xyz, rows), gather(batch.augmented.xyz, others)
    undo = batch.T_clean_from_augmented
    with torch.autocast(p.device.type, enabled=False):  # bfloat16 is off by decimetres
        q = q @ undo[:, :3, :3].mT + undo[:, None, :3, 3]
        partner = assign(p, q)
    valid = batch.valid.gather(1, rows)
    return Pairs(f, gather(h, partner), p, gather(batch.uv, rows), valid)


def assign(p: Tensor, q: Tensor) -> Tensor:
    """The one-to-one assignment of ``q`` to ``p`` with the least sum of distances.

    Args:
        p: (B, N, 3).
        q: (B, N, 3).

    Returns:
        (B, N) int64: the partner of ``p[b, i]`` is ``q[b, result[b, i]]``.
    """
    from scipy.optimize import linear_sum_assignment  # only for this, and slow to import

    cost = distances(p.detach(), q.detach()).cpu().numpy()
    partners = [torch.from_numpy(linear_sum_assignment(part)[1]) for part in cost]
    return torch.stack(partners).to(p.device)


def _own_centres(encoder: Any, cloud: Cloud, count: int) -> tuple[Tensor, Tensor]:
    """Features of the centres that the encoder chooses, (B, N, C), and their rows, (B, N)."""
    if isinstance(encoder, PointNet2MSG):
        features, graph = encoder.sample(*cloud, None)
        return features, graph.rows
    rows = farthest_points(cloud.xyz, count)
    # Copies of the centres in front, which are nobody's neighbours.
    copies = torch.zeros_like(rows, dtype=torch.bool)
    features = encoder(
        torch.cat([gather(cloud.xyz, rows), cloud.xyz], dim=1),
        torch.cat([gather(cloud.feature, rows), cloud.feature], dim=1),
        torch.cat([copies, cloud.distinct], dim=1),
        count,
    )
    return features, rows


def number_frames(batch: Sample) -> Tensor:
    """(B,) int64, equal for samples of the same image."""
    return number_rows(batch.store, batch.frame, batch.camera)


def number_cells(frame: Tensor, uv: Tensor, stride: int) -> Tensor:
    """(M,) int64, equal for pixels in one cell of one image's feature map.

    Args:
        frame: (M,) from `number_frames`.
        uv: (M, 2) pixel coordinates.
        stride: of the map, in pixels.
    """
    return number_rows(frame, *((uv + 0.5) / stride).floor().long().unbind(-1))


def number_points(frame: Tensor, xyz: Tensor) -> Tensor:
    """(M,) int64, equal for points within one cube of 10 cm in one image.

    Args:
        frame: (M,) from `number_frames`.
        xyz: (M, 3) metres.
    """
    return number_rows(frame, *(xyz / SAME_POINT_M).floor().long().unbind(-1))


def number_rows(*columns: Tensor) -> Tensor:
    """Numbers that are equal where all columns are, and hardly ever elsewhere.

    Unlike places in a list of distinct rows they are the same in every process. It is a polynomial
    in a large odd number, modulo 2^64; a chance agreement would cost a pair one negative.
    """
    number = torch.zeros_like(columns[0])
    for column in columns:
        number = number * _ODD + column
    return number
