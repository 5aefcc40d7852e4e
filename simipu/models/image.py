"""Image backbones of timm, and features at pixel coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from simipu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

STRIDES = (8, 16, 32)


class ImageEncoder(nn.Module):
    """Feature maps of a timm backbone, and the hypercolumn at given pixels.

    Args:
        backbone: name of a timm model, e.g. "resnet50", that takes images of any size and has
            feature maps (B, C, h, w). Its weights are random: nothing is downloaded.
        strides: strides in pixels of the feature maps that make up the hypercolumn, ascending.
            The last should be the backbone's coarsest, else deeper layers stay untrained.

    Attributes:
        channels: length of a hypercolumn.

    Raises:
        UsageError: timm has no such backbone, or the backbone no such maps.
    """

    def __init__(self, backbone: str, strides: Sequence[int] = STRIDES) -> None:
        super().__init__()
        try:
            self.backbone = timm.create_model(backbone, pretrained=False, features_only=True)
        except Exception as error:  # timm raises many kinds, for unknown and unsuitable names
            similar = ", ".join(timm.list_models(f"{backbone[:6]}*")[:6]) or "resnet18, resnet50"
            raise UsageError(
                f"timm cannot make feature maps with the backbone {backbone!r}: {error}",
                fix=f"Choose another with --image-backbone, e.g. {similar}.",
            ) from error
        info: Any = self.backbone.feature_info
        found: list[int] = info.reduction()
        missing = sorted(set(strides) - set(found))
        if missing:
            raise UsageError(
                f"the backbone {backbone!r} has feature maps of strides {found}, not {missing}",
                fix="Choose another with --image-backbone, e.g. resnet50.",
            )
        # Of several maps of one stride the last is the deepest.
        last = {stride: index for index, stride in enumerate(found)}
        self._levels = [last[stride] for stride in strides]
        widths: list[int] = info.channels()
        self.channels = sum(widths[level] for level in self._levels)
        self._try_out(backbone, strides, [widths[level] for level in self._levels])

    def forward(self, images: Tensor, uv: Tensor) -> Tensor:
        """Hypercolumns at pixels.

        Args:
            images: (B, 3, H, W) float32, normalised.
            uv: (B, N, 2) pixel coordinates.

        Returns:
            (B, N, channels): features of all strides, each interpolated at the pixel.
        """
        maps = self.backbone(images)
        size = (images.shape[2], images.shape[3])
        columns = [sample_features(maps[level], uv, size) for level in self._levels]
        return torch.cat(columns, dim=-1)

    @torch.no_grad()
    def _try_out(self, name: str, strides: Sequence[int], widths: Sequence[int]) -> None:
        """Some backbones put channels last, and some take images of one size only."""
        side = 2 * max(strides)
        expected = [
            (1, width, side // stride, 2 * side // stride)
            for width, stride in zip(widths, strides, strict=True)
        ]
        self.backbone.eval()  # the trial must not enter the statistics of batch norm
        try:
            maps = self.backbone(torch.zeros(1, 3, side, 2 * side))
        except Exception as error:  # each model checks the size in its own way
            raise _unsuitable(name, f"it fails at {side} x {2 * side} px: {error}") from error
        finally:
            self.backbone.train()
        found = [tuple(maps[level].shape) for level in self._levels]
        if found != expected:
            raise _unsuitable(name, f"its feature maps are {found} instead of {expected}")


def _unsuitable(backbone: str, why: str) -> UsageError:
    return UsageError(
        f"the backbone {backbone!r} cannot serve: {why}",
        fix="Choose another with --image-backbone, e.g. resnet50.",
    )


def sample_features(features: Tensor, uv: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Interpolate a feature map at pixel coordinates of the image that it was computed from.

    Both cover the same area: the image's borders, half a pixel outside its outermost pixel
    centres, are the map's borders. Beyond the outermost cell centres the border value holds.

    Args:
        features: (B, C, h, w).
        uv: (B, N, 2) pixel coordinates, integers being pixel centres.
        image_size: (H, W) of the tensor that went into the network, padding included.

    Returns:
        (B, N, C) float32: half precision would round the coordinates to whole pixels.
    """
    height, width = image_size
    size = torch.tensor([width, height], device=uv.device, dtype=uv.dtype)
    grid = (uv + 0.5) / size * 2 - 1
    sampled = F.grid_sample(
        features.float(),
        grid[:, :, None],
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    return sampled[..., 0].transpose(1, 2)
