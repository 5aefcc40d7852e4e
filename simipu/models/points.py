"""The point encoders by name, with sizes that follow from the number of pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from simipu.errors import UsageError
from simipu.models import POINT_ENCODERS
from simipu.models.pointnet2 import PointEncoder
from simipu.models.pointnet2_msg import PointNet2MSG
from simipu.models.sparse_unet import SparseUNet

if TYPE_CHECKING:
    from simipu.models.layers import Coordinates

AnyPointEncoder: TypeAlias = PointEncoder | PointNet2MSG | SparseUNet


def build_point_encoder(
    name: str, *, pairs: int, features: int = 1, coordinates: Coordinates = "relative"
) -> AnyPointEncoder:
    """Make a point encoder with random weights.

    Args:
        name: "pointnet2", "pointnet2-msg" as in SimIPU's released code (which has 1024 pairs), or
            "sparse-unet", which needs spconv.
        pairs: most points that are asked of a cloud.
        features: channels of the points beside the coordinates.
        coordinates: what is seen of the coordinates.

    Raises:
        UsageError: there is no such encoder, or spconv is not installed.
    """
    if name == "pointnet2":
        return PointEncoder(
            centres=(3 * pairs, max(1, 5 * pairs // 4), max(1, 5 * pairs // 16)),
            features=features,
            coordinates=coordinates,
        )
    if name == "pointnet2-msg":
        half = max(1, pairs // 2)
        return PointNet2MSG(
            centres=(4 * pairs, (pairs, pairs), (half, pairs - half)),
            ffps_rows=half,
            features=features,
            coordinates=coordinates,
        )
    if name == "sparse-unet":
        return SparseUNet(features=features, coordinates=coordinates)
    raise UsageError(
        f"there is no point encoder {name!r}", fix=f"Choose from: {', '.join(POINT_ENCODERS)}."
    )
