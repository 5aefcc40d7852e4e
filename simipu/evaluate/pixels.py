"""Pixels of which the depth is known, for the depth probe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from simipu.data.augment import centre_view
from simipu.data.select import choose_pairs
from simipu.errors import StoreError
from simipu.evaluate.pictures import read_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simipu.data.selection import Images

MAX_IMAGES = 200
PIXELS = 200
CELL_PX = 4

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Images of a store, and where in each a visible point lies.

    Attributes:
        images: (n, 3, H, W) uint8.
        frames: (n,) the frame of each, in the store's order.
        uv: (M, 2) float32 of each image, pixel coordinates in it.
        depth_m: (M,) float32 of each image: along the optical axis, as the store has it.
    """

    images: Tensor
    frames: tuple[int, ...]
    uv: tuple[Float32Array, ...]
    depth_m: tuple[Float32Array, ...]

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """Some pixels of some images.

    Attributes:
        images: (n, 3, H, W) uint8.
        uv: (n, P, 2) float32; zeros where not valid.
        valid: (n, P) bool; the valid ones come first.
        depth_m: (n, P) float32; one where not valid.
    """

    images: Tensor
    uv: Tensor
    valid: Tensor
    depth_m: Tensor

    def take(self, chosen: npt.NDArray[np.intp]) -> Pixels:
        """Those of some of the images."""
        index = torch.from_numpy(chosen)
        return Pixels(self.images[index], self.uv[index], self.valid[index], self.depth_m[index])


def read_pictures(
    images: Images,
    size: tuple[int, int],
    advance: Callable[[], None] = lambda: None,
    *,
    at_most: int = MAX_IMAGES,
) -> Pictures:
    """Read some of the images, evenly spread, with their visible points.

    Args:
        images: of one store.
        size: (H, W) at which they are shown.
        advance: called after each image.
        at_most: number of images.

    Raises:
        StoreError: none of them has a visible point, or one cannot be decoded.
    """
    store = images.store
    places = np.linspace(0, len(images) - 1, min(len(images), at_most)).round().astype(np.intp)
    shown, frames, uv, depth_m = [], [], [], []
    for frame, camera in images.items[places].tolist():
        view = store[frame].cameras[store.cameras[camera]]
        found = view.correspondences
        window = centre_view((view.height, view.width), size)
        at = window.map_uv(found.uv[found.visible])
        inside = ((at >= -0.5) & (at < np.array(size[::-1]) - 0.5)).all(axis=1)
        advance()
        if not inside.any():
            continue
        shown.append(read_picture(store, frame, camera, size))
        frames.append(frame)
        uv.append(at[inside])
        depth_m.append(found.depth[found.visible][inside].astype(np.float32))
    if not shown:
        raise StoreError(
            "no image of the selected frames has a visible point",
            where=store.path,
            fix=f"See what the store holds with: simipu-prep info {store.path}",
        )
    return Pictures(torch.stack(shown), tuple(frames), tuple(uv), tuple(depth_m))


def join_pictures(parts: Sequence[Pictures]) -> Pictures:
    """Those of several stores as one."""
    return Pictures(
        torch.cat([part.images for part in parts]),
        sum((part.frames for part in parts), ()),
        sum((part.uv for part in parts), ()),
        sum((part.depth_m for part in parts), ()),
    )


def draw_pixels(pictures: Pictures, *, seed: int) -> Pixels:
    """Draw at most `PIXELS` of each image, one from each square of `CELL_PX` pixels."""
    height, width = pictures.images.shape[2:]
    uv = np.zeros((len(pictures), PIXELS, 2), dtype=np.float32)
    depth_m = np.ones((len(pictures), PIXELS), dtype=np.float32)
    valid = np.zeros((len(pictures), PIXELS), dtype=np.bool_)
    for place, (at, depth) in enumerate(zip(pictures.uv, pictures.depth_m, strict=True)):
        chosen = choose_pairs(
            np.random.default_rng([seed, pictures.frames[place]]),
            at,
            np.ones(len(at), dtype=np.bool_),
            size=(height, width),
            cell_px=CELL_PX,
            count=PIXELS,
        )
        uv[place, : len(chosen)] = at[chosen]
        depth_m[place, : len(chosen)] = depth[chosen]
        valid[place, : len(chosen)] = True
    return Pixels(
        pictures.images, torch.from_numpy(uv), torch.from_numpy(valid), torch.from_numpy(depth_m)
    )
