"""A U-Net of sparse convolutions over the occupied voxels of a cloud (spconv)."""

from __future__ import annotations

import itertools
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from simipu.errors import UsageError
from simipu.models.layers import Coordinates, shared_mlp
from simipu.models.voxels import (
    find_voxels,
    interpolate_voxels,
    mean_in_voxels,
    offsets_in_voxels,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

_GEOMETRY = {"none": 0, "relative": 3, "absolute": 6}


class SparseUNet(nn.Module):
    """Features of the first points of a cloud, from the voxels around them.

    A voxel begins with the mean over its points: of their features, and of where they lie in it.
    The convolutions run with spconv's native algorithm on a CPU and with implicit GEMM on a GPU, on
    the same weights, and in float32 under autocast too.

    Args:
        size_m: edge of a voxel.
        widths: channels of each level; voxels double in size from level to level.
        channels: length of a feature.
        features: channels of the input beside the coordinates.
        coordinates: "relative" tells where a point lies in its voxel, "absolute" also where in the
            frame of the points, "none" neither; which voxels are occupied is seen in any case.

    Raises:
        UsageError: spconv is not installed.
    """

    def __init__(
        self,
        *,
        size_m: float = 0.25,
        widths: Sequence[int] = (32, 48, 64, 96),
        channels: int = 160,
        features: int = 1,
        coordinates: Coordinates = "relative",
    ) -> None:
        super().__init__()
        spconv = load_spconv()
        self.size_m = size_m
        self.coordinates = coordinates
        self.channels = channels

        def same(inputs: int, outputs: int, level: int) -> _SparseBlock:
            key = f"level{level}"
            return _SparseBlock(spconv.SubMConv3d(inputs, outputs, 3, bias=False, indice_key=key))

        def halve(inputs: int, outputs: int, level: int) -> _SparseBlock:
            key = f"down{level}"
            return _SparseBlock(
                spconv.SparseConv3d(inputs, outputs, 2, stride=2, bias=False, indice_key=key)
            )

        def double(inputs: int, outputs: int, level: int) -> _SparseBlock:
            key = f"down{level}"  # back to the voxels that `halve` came from
            return _SparseBlock(
                spconv.SparseInverseConv3d(inputs, outputs, 2, bias=False, indice_key=key)
            )

        self.enter = same(_GEOMETRY[coordinates] + features, widths[0], 0)
        steps = list(enumerate(itertools.pairwise(widths)))
        self.down = nn.ModuleList(
            nn.Sequential(halve(fine, coarse, level), same(coarse, coarse, level + 1))
            for level, (fine, coarse) in steps
        )
        # From coarse to fine; a level's own features beside those from the coarser one.
        self.up = nn.ModuleList(
            double(coarse, fine, level) for level, (fine, coarse) in reversed(steps)
        )
        self.merge = nn.ModuleList(
            same(2 * fine, fine, level) for level, (fine, _) in reversed(steps)
        )
        self.leave = shared_mlp(widths[0], channels)

    def forward(self, xyz: Tensor, feature: Tensor, distinct: Tensor, queries: int) -> Tensor:
        """Encode the first ``queries`` points of each cloud.

        Args:
            xyz: (B, P, 3) float32, metres.
            feature: (B, P, F).
            distinct: (B, P) bool; False marks copies of other points, which do not count.
            queries: number of points wanted.

        Returns:
            (B, queries, channels) float32.

        Raises:
            UsageError: the points are too far apart.
        """
        with torch.autocast(xyz.device.type, enabled=False):
            return self._encode(xyz, feature, distinct, queries)

    def _encode(self, xyz: Tensor, feature: Tensor, distinct: Tensor, queries: int) -> Tensor:
        spconv = load_spconv()
        voxels = find_voxels(xyz, self.size_m)
        inputs = {
            "none": [feature],
            "relative": [offsets_in_voxels(voxels), feature],
            "absolute": [offsets_in_voxels(voxels), xyz, feature],
        }[self.coordinates]
        means = mean_in_voxels(torch.cat(inputs, dim=-1), voxels, distinct)
        # Halved at every level, the grid must lose no cell.
        coarsest = 2 ** len(self.down)
        grid = [-(-cells // coarsest) * coarsest for cells in voxels.shape]
        x = spconv.SparseConvTensor(means, voxels.cell, grid, voxels.batch)
        x = self.enter(x)
        skipped = []
        for down in self.down:
            skipped.append(x)
            x = down(x)
        for up, merge in zip(self.up, self.merge, strict=True):
            x = up(x)
            beside = skipped.pop().features
            x = merge(x.replace_feature(torch.cat([x.features, beside], dim=1)))
        at_points = interpolate_voxels(x.features, voxels, queries)
        encoded: Tensor = self.leave(at_points)
        return encoded


class _SparseBlock(nn.Module):
    """A sparse convolution, batch norm and ReLU."""

    def __init__(self, convolution: Any) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = nn.BatchNorm1d(convolution.out_channels)

    def forward(self, x: Any) -> Any:
        from spconv.core import ConvAlgo

        # The weights are laid out alike for both; only the latter runs on a CPU.
        on_gpu = x.features.is_cuda
        self.convolution.algo = ConvAlgo.MaskImplicitGemm if on_gpu else ConvAlgo.Native
        x = self.convolution(x)
        return x.replace_feature(torch.relu(self.norm(x.features)))


def load_spconv() -> ModuleType:
    """Import spconv when it is needed: it takes seconds, and is not installed everywhere.

    Raises:
        UsageError: it cannot be imported.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of calls that newer versions of Python deprecate
            from spconv import pytorch
    except ImportError as error:
        raise UsageError(
            f"the sparse U-Net needs spconv, which cannot be imported: {error}",
            fix="Install it with: pip install 'simipu[sparse]' (Python 3.11), or choose the point "
            "encoder pointnet2.",
        ) from error
    module: ModuleType = pytorch
    return module
