"""Image backbones of timm, and features at pixel coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from simipu.errors import UsageError
from simipu.models.weights import load_weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

STRIDES = (8, 16, 32)
Padding: TypeAlias = Literal["zeros", "reflect"]

# What timm's networks want to be told to take images of any size: none, Swin's, those of ViTs.
_ANY_SIZE: tuple[dict[str, Any], ...] = (
    {},
    {"strict_img_size": False},
    {"dynamic_img_size": True, "dynamic_img_pad": True},
)
_FIX = "Choose another with --image-backbone, e.g. resnet50."


class ImageEncoder(nn.Module):
    """Feature maps of a timm backbone, and the hypercolumn at given pixels.

    Args:
        backbone: name of a timm model that takes images of any size: "resnet50", "convnext_tiny",
            "vit_small_patch16_224", "swin_tiny_patch4_window7_224".
        strides: strides in pixels of the feature maps that make up the hypercolumn, ascending.
            The last should be the backbone's coarsest, else deeper layers stay untrained. None for
            those of `STRIDES` that the backbone has, or its coarsest where it has none of them; of
            a ViT, whose layers all have one stride, that is the last layer.
        weights: local file of the backbone's weights, see `simipu.models.weights`; None for random
            ones. Nothing is ever downloaded.
        padding: what the convolutions see beyond the border of an image: "zeros" or "reflect". It
            concerns those that leave padding to PyTorch, all but those of timm's ``tf_`` models.

    Attributes:
        strides: of the maps.
        channels: length of a hypercolumn.

    Raises:
        UsageError: timm has no such backbone, or the backbone no such maps.
        SimipuError: the weights do not fit.
    """

    def __init__(
        self,
        backbone: str,
        strides: Sequence[int] | None = None,
        *,
        weights: str | PathLike[str] | None = None,
        padding: Padding = "zeros",
    ) -> None:
        super().__init__()
        if padding not in get_args(Padding):
            choices = ", ".join(get_args(Padding))
            raise UsageError(f"padding is {padding!r}", fix=f"Choose from: {choices}.")
        error: UsageError | None = None
        for options in _ANY_SIZE:
            try:
                self._make(backbone, strides, padding, options)
                break
            except UsageError as refusal:
                error = error or refusal  # what it says without options
        else:
            raise error or AssertionError
        if weights is not None:
            load_weights(self.backbone, backbone, weights)

    def forward(self, images: Tensor, uv: Tensor) -> Tensor:
        """Hypercolumns at pixels.

        Args:
            images: (B, 3, H, W) float32, normalised.
            uv: (B, N, 2) pixel coordinates.

        Returns:
            (B, N, channels): features of all strides, each interpolated at the pixel.
        """
        columns = [
            # Where the stride does not divide the image, the last cells reach beyond it or the
            # image beyond them.
            sample_features(level, uv, (level.shape[2] * stride, level.shape[3] * stride))
            for level, stride in zip(self.maps(images), self.strides, strict=True)
        ]
        return torch.cat(columns, dim=-1)

    def maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps of (B, 3, H, W) images: one (B, C, h, w) for each of ``strides``."""
        found = self.backbone(images)
        levels = [found[level] for level in self._levels]
        return [level.permute(0, 3, 1, 2) for level in levels] if self._channels_last else levels

    def freeze_unused(self) -> None:
        """Take the parameters that no map depends on out of the training: they get no gradient."""
        side = 4 * max(self.strides)
        image = next(self.parameters()).new_zeros(1, 3, side, 2 * side)
        was_training = self.backbone.training
        self.backbone.eval()  # this image must not enter the statistics of batch norm
        total = torch.stack([level.sum() for level in self.maps(image)]).sum()
        parameters = list(self.backbone.parameters())
        gradients = torch.autograd.grad(total, parameters, allow_unused=True)
        self.backbone.train(was_training)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.requires_grad_(gradient is not None)

    def _make(
        self, name: str, strides: Sequence[int] | None, padding: Padding, options: dict[str, Any]
    ) -> None:
        try:
            self.backbone = timm.create_model(name, pretrained=False, features_only=True, **options)
        except Exception as error:  # timm raises many kinds, for unknown and unsuitable names
            similar = ", ".join(timm.list_models(f"{name[:6]}*")[:6]) or "resnet18, resnet50"
            raise UsageError(
                f"timm cannot make feature maps with the backbone {name!r}: {error}",
                fix=f"Choose another with --image-backbone, e.g. {similar}.",
            ) from error
        info: Any = self.backbone.feature_info
        found: list[int] = info.reduction()
        if strides is None:
            strides = [stride for stride in STRIDES if stride in found] or [max(found)]
        self.strides = tuple(strides)
        missing = sorted(set(strides) - set(found))
        if missing:
            raise UsageError(
                f"the backbone {name!r} has feature maps of strides {found}, not {missing}",
                fix="Choose among its strides, or another with --image-backbone, e.g. resnet50.",
            )
        # Of several maps of one stride the last is the deepest.
        last = {stride: index for index, stride in enumerate(found)}
        self._levels = [last[stride] for stride in strides]
        self._channels_last = getattr(self.backbone, "output_fmt", "NCHW") == "NHWC"
        channels: list[int] = info.channels()
        widths = [channels[level] for level in self._levels]
        self.channels = sum(widths)
        for module in self.backbone.modules():
            if isinstance(module, nn.Conv2d) and module.padding != (0, 0):
                module.padding_mode = padding
        self._try_out(name, widths)

    @torch.no_grad()
    def _try_out(self, name: str, widths: Sequence[int]) -> None:
        """Some backbones take images of one size only; each checks it in its own way."""
        side = 4 * max(self.strides)
        expected = [
            (1, width, side // stride, 2 * side // stride)
            for width, stride in zip(widths, self.strides, strict=True)
        ]
        self.backbone.eval()  # the trial must not enter the statistics of batch norm
        try:
            found = [tuple(level.shape) for level in self.maps(torch.zeros(1, 3, side, 2 * side))]
        except Exception as error:  # as many kinds as there are networks
            raise _unsuitable(name, f"it fails at {side} x {2 * side} px: {error}") from error
        finally:
            self.backbone.train()
        if found != expected:
            raise _unsuitable(name, f"its feature maps are {found} instead of {expected}")


def _unsuitable(backbone: str, why: str) -> UsageError:
    return UsageError(f"the backbone {backbone!r} cannot serve: {why}", fix=_FIX)


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
