"""SimIPU (https://arxiv.org/abs/2112.04680): its losses, as published and as mended.

A point p_i of the lidar cloud is seen at the pixel c_i of the image. Three views of it:

    f_i = points(clean cloud)_i      its feature in the cloud as measured
    h_i = points(augmented cloud)_i  the same in another one, rotated, scaled and mirrored
    F_i = image(augmented image)_i   the image feature at c_i

    intra-modal   u_i = g_intra(f_i)   v_i = g_intra(h_i)   L_intra = InfoNCE(u, v)
    inter-modal   a_i = g_image(F_i)   b_i = g_point(h_i)   L_inter = InfoNCE(a, b)
                                                            L = L_intra + L_inter

That is the preset ``fixed``. `simipu.methods.config.Switches` leads from there to ``compat``, which
computes what the released code does: pairs matched by distance, hidden points among them, pixels
sampled beside where they belong, b_i = g_point(f_i) with a g_point that stays random, and losses of
one direction whose targets get no gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from simipu.losses.gather import count_all
from simipu.losses.infonce import Contrast, info_nce, no_contrast
from simipu.methods.pairs import (
    Pairs,
    number_cells,
    number_frames,
    number_points,
    pair_by_assignment,
    pair_by_row,
)
from simipu.methods.pixels import sample_as_released
from simipu.models.heads import ProjectionHead

if TYPE_CHECKING:
    from simipu.data.sample import Cloud, Sample
    from simipu.methods.config import Switches
    from simipu.models.image import ImageEncoder

TEMPERATURE = 0.07
EMBEDDING = 128


class Losses(NamedTuple):
    """L = L_intra + L_inter, and its parts."""

    total: Tensor
    intra: Contrast
    inter: Contrast


class SimIPU(nn.Module):
    """Both encoders, the three heads and the two losses.

    Args:
        image_encoder: features of pixels.
        point_encoder: features of points, one of `simipu.models.points`.
        switches: the variant of the method.
        pairs: points of each view that are matched, where pairs are assigned.
        hidden: width of the heads' hidden layers; None for that of their input.
    """

    image_encoder: ImageEncoder
    point_encoder: Any

    def __init__(
        self,
        image_encoder: ImageEncoder,
        point_encoder: nn.Module,
        switches: Switches,
        *,
        pairs: int,
        hidden: int | None,
    ) -> None:
        super().__init__()
        self.switches = switches
        self.pairs = pairs
        self.image_encoder = image_encoder
        self.point_encoder = point_encoder
        points, pixels = self.point_encoder.channels, image_encoder.channels
        self.g_intra = ProjectionHead(points, hidden or points, EMBEDDING)
        self.g_point = ProjectionHead(points, hidden or points, EMBEDDING)
        self.g_image = ProjectionHead(pixels, hidden or pixels, EMBEDDING)
        self.g_point.requires_grad_(switches.trained_heads)

    def forward(self, images: Tensor, batch: Sample) -> Losses:
        """The losses of a batch; every valid pair is told from the others of the batch.

        With several processes it is the batch of all of them, to which the gradients belong.

        Args:
            images: (B, 3, H, W) float32, the normalised images of ``batch``.
            batch: samples with a leading dimension B, drawn by ``switches.sample_rules``.
        """
        if _too_few(batch.valid):
            return self._nothing()
        pairs = self._pairs(batch)
        if _too_few(pairs.valid):
            return self._nothing()
        # Rows that are no pairs are left out before the heads: they must not enter batch norm.
        valid = pairs.valid
        f, h = pairs.f[valid], pairs.h[valid]
        F = self._pixel_features(images, pairs.uv, batch.size)[valid]

        u, v = self.g_intra(f), self.g_intra(h)
        a, b = self.g_image(F), self.g_point(h if self.switches.inter_cloud == "augmented" else f)
        if not self.switches.symmetric:
            v = v.detach()
        if not self.switches.trained_heads:
            b = b.detach()

        frame, point, cell = self._numbers(pairs, batch)
        intra = self._info_nce(u, v, place=point, frame=frame)
        inter = self._info_nce(a, b, place=cell, frame=frame)
        return Losses(intra.loss + inter.loss, intra, inter)

    def embed_pixels(self, images: Tensor, uv: Tensor) -> Tensor:
        """a: (B, N, 128) unit vectors of the pixels ``uv``, (B, N, 2), in their right places."""
        features: Tensor = self.image_encoder(images, uv)
        embedded: Tensor = self.g_image(features.flatten(0, 1))
        return embedded.view(*uv.shape[:2], EMBEDDING)

    def embed_points(self, cloud: Cloud, *, queries: int) -> Tensor:
        """b: (B, queries, 128) unit vectors of the first points of each cloud."""
        features: Tensor = self.point_encoder(*cloud, queries)
        embedded: Tensor = self.g_point(features.flatten(0, 1))
        return embedded.view(len(features), queries, EMBEDDING)

    def _pairs(self, batch: Sample) -> Pairs:
        switches = self.switches
        # The augmented view needs gradients wherever a loss that reaches it has no stop.
        both = switches.symmetric or (
            switches.trained_heads and switches.inter_cloud == "augmented"
        )
        if switches.pairs == "rows":
            return pair_by_row(self.point_encoder, batch, views=switches.views, joined=both)
        return pair_by_assignment(self.point_encoder, batch, count=self.pairs, with_gradients=both)

    def _pixel_features(self, images: Tensor, uv: Tensor, size: Tensor) -> Tensor:
        if self.switches.pixel_mapping == "exact":
            features: Tensor = self.image_encoder(images, uv)
            return features
        maps = self.image_encoder.maps(images)
        return torch.cat([sample_as_released(each, uv, size) for each in maps], dim=-1)

    def _info_nce(self, a: Tensor, b: Tensor, *, place: Tensor, frame: Tensor) -> Contrast:
        switches = self.switches
        return info_nce(
            a,
            b,
            temperature=TEMPERATURE,
            symmetric=switches.symmetric,
            place=place if switches.mask_near_duplicates else None,
            frame=frame if switches.negatives == "frame" else None,
        )

    def _numbers(self, pairs: Pairs, batch: Sample) -> tuple[Tensor, Tensor, Tensor]:
        """Of each valid row its frame, its point and its cell of the feature map."""
        frame = number_frames(batch)[:, None].expand_as(pairs.valid)[pairs.valid]
        stride = min(self.image_encoder.strides)
        return (
            frame,
            number_points(frame, pairs.xyz[pairs.valid]),
            number_cells(frame, pairs.uv[pairs.valid], stride),
        )

    def _nothing(self) -> Losses:
        zero = torch.stack([parameter.sum() for parameter in self.parameters()]).sum() * 0
        return Losses(zero, no_contrast(zero), no_contrast(zero))


def _too_few(valid: Tensor) -> bool:
    """Batch norm needs two rows, and so does telling them apart."""
    return count_all(int(valid.sum()), valid.device) < 2
