"""The marks of the points in one image: the same in every format of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

if TYPE_CHECKING:
    from simipu.store.views import CameraView
    from simipu.viz.colors import ByteArray
    from simipu.viz.paint import Paint

DISC_RADIUS_PX = 0.95
CROSS_REACH_PX = 1.8
HIDDEN_EDGE = (20, 0, 12)
JPEG_SUFFIXES = (".jpg", ".jpeg")
JPEG: dict[str, Any] = {"quality": 92, "subsampling": 0}
"""Of pictures as JPEG: at half the resolution of colour small marks would change theirs."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Marks:
    """Where points are marked, in pixels of the image with integers at pixel centres.

    Attributes:
        uv: (V, 2) float64 of the visible points, the farthest first, so that near ones cover them.
        colors: (V, 3) uint8 of these.
        hidden_uv: (H, 2) float64 of the points behind a nearer surface.
    """

    uv: npt.NDArray[np.float64]
    colors: ByteArray
    hidden_uv: npt.NDArray[np.float64]

    def captions(self, *, show_hidden: bool) -> tuple[str, str]:
        """What the key says of visible and of hidden points."""
        not_drawn = "" if show_hidden else " (not drawn)"
        return f"visible {len(self.uv):,}", f"hidden {len(self.hidden_uv):,}{not_drawn}"


def find_marks(camera: CameraView, paint: Paint) -> Marks:
    """The marks of a camera's correspondences.

    Raises:
        StoreError: the store holds no correspondences.
    """
    matches = camera.correspondences
    uv = np.asarray(matches.uv, dtype=np.float64)
    visible = np.flatnonzero(matches.visible)
    far_to_near = visible[np.argsort(-matches.depth[visible], kind="stable")]
    return Marks(
        uv=uv[far_to_near],
        colors=paint.pairs(camera, matches)[far_to_near],
        hidden_uv=uv[~matches.visible],
    )


def tone_down(image: Image.Image) -> Image.Image:
    """Take colour and light from an image, so that marks on it stand out."""
    image = image.convert("RGB")
    grey = image.convert("L").convert("RGB")
    return Image.blend(image, grey, 0.6).point(lambda value: int(value * 0.75))
