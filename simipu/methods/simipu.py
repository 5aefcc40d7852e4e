"""SimIPU (https://arxiv.org/abs/2112.04680) as its authors meant it: preset ``fixed``.

A point p_i of the lidar cloud is seen at the pixel c_i of the image. Three views of it:

    f_i = points(clean cloud)_i      its feature among a random part of the cloud
    h_i = points(augmented cloud)_i  the same, among another part, rotated, scaled and mirrored
    F_i = image(augmented image)_i   the image feature at c_i

    intra-modal   u_i = g_intra(f_i)   v_i = g_intra(h_i)   L_intra = InfoNCE(u, v)
    inter-modal   a_i = g_image(F_i)   b_i = g_point(h_i)   L_inter = InfoNCE(a, b)
                                                            L = L_intra + L_inter

Unlike the released code: pairs are known by the row of the point instead of being matched by
distance; only points that the camera sees take part; both losses are symmetric and send gradients
both ways, so that g_point and the point encoder learn from the image; the point encoder sees
relative coordinates; and the pixel is compared with the point of the augmented cloud, whose
directions say nothing about where in the image it lies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from simipu.losses.gather import count_all
from simipu.losses.infonce import Contrast, info_nce, no_contrast
from simipu.models.heads import ProjectionHead
from simipu.models.image import ImageEncoder
from simipu.models.pointnet2 import PointEncoder

if TYPE_CHECKING:
    from simipu.data.dataset import Cloud, Sample

TEMPERATURE = 0.07
HIDDEN = 256
EMBEDDING = 128


class Losses(NamedTuple):
    """L = L_intra + L_inter, and its parts."""

    total: Tensor
    intra: Contrast
    inter: Contrast


class SimIPU(nn.Module):
    """Both encoders, the three heads and the two losses.

    Args:
        image_backbone: name of a timm backbone; random weights.
        pairs: pairs per image, for which the point encoder must have room.
    """

    def __init__(self, image_backbone: str, *, pairs: int) -> None:
        super().__init__()
        self.image_encoder = ImageEncoder(image_backbone)
        self.point_encoder = PointEncoder(
            centres=(3 * pairs, max(1, 5 * pairs // 4), max(1, 5 * pairs // 16))
        )
        self.g_intra = ProjectionHead(self.point_encoder.channels, HIDDEN, EMBEDDING)
        self.g_point = ProjectionHead(self.point_encoder.channels, HIDDEN, EMBEDDING)
        self.g_image = ProjectionHead(self.image_encoder.channels, HIDDEN, EMBEDDING)

    def forward(self, images: Tensor, batch: Sample) -> Losses:
        """The losses of a batch; every valid pair is told from all others of the batch.

        With several processes it is the batch of all of them, to which the gradients belong.

        Args:
            images: (B, 3, H, W) float32, the normalised images of ``batch``.
            batch: samples with a leading dimension B.
        """
        valid = batch.valid
        if count_all(int(valid.sum()), valid.device) < 2:  # batch norm needs two, too
            return self._nothing()
        f, h = self._point_features(batch.clean, batch.augmented, queries=valid.shape[1])
        # Rows that are no pairs are left out before the heads: they must not enter batch norm.
        f, h = f[valid], h[valid]
        image_features = self.image_encoder(images, batch.uv)[valid]

        intra = info_nce(self.g_intra(f), self.g_intra(h), temperature=TEMPERATURE)
        a, b = self.g_image(image_features), self.g_point(h)
        inter = info_nce(a, b, temperature=TEMPERATURE)
        return Losses(intra.loss + inter.loss, intra, inter)

    def embed_pixels(self, images: Tensor, uv: Tensor) -> Tensor:
        """a: (B, N, 128) unit vectors of the pixels ``uv``, (B, N, 2)."""
        features: Tensor = self.image_encoder(images, uv)
        embedded: Tensor = self.g_image(features.flatten(0, 1))
        return embedded.view(*uv.shape[:2], EMBEDDING)

    def embed_points(self, cloud: Cloud, *, queries: int) -> Tensor:
        """b: (B, queries, 128) unit vectors of the first points of each cloud."""
        features: Tensor = self.point_encoder(*cloud, queries)
        embedded: Tensor = self.g_point(features.flatten(0, 1))
        return embedded.view(len(features), queries, EMBEDDING)

    def _point_features(self, *views: Cloud, queries: int) -> tuple[Tensor, ...]:
        # One pass over all views: the encoder's time is spent on many small operations.
        joined = (torch.cat(parts) for parts in zip(*views, strict=True))
        features: Tensor = self.point_encoder(*joined, queries)
        return features.chunk(len(views))

    def _nothing(self) -> Losses:
        zero = torch.stack([parameter.sum() for parameter in self.parameters()]).sum() * 0
        return Losses(zero, no_contrast(zero), no_contrast(zero))
