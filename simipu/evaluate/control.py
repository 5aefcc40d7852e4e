"""Which image stands in for an image's own, to tell what is matched without looking at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from simipu.evaluate.pictures import read_picture

if TYPE_CHECKING:
    from simipu.data.selection import Images

NEAR_DUPLICATE = 5.0
"""Mean difference in grey levels (0 to 255, at a quarter of the size) below which two pictures are
taken for the same. On KITTI two pictures of a standing car differ by 2 to 4, consecutive ones of a
slow car by 6 to 9, those of other streets by 40 and more."""

_TRIES = 4


class Control(NamedTuple):
    """An image of the same camera that is not of the same moment.

    Attributes:
        image: (3, H, W) uint8, shown as `read_picture` does.
        frame: where it is from, in the same store.
        other_scene: it is of another scene.
        near_duplicate: nearly the same picture as the image's own: no control.
    """

    image: Tensor
    frame: int
    other_scene: bool
    near_duplicate: bool


def find_control(
    images: Images, frame: int, camera: int, own: Tensor, size: tuple[int, int]
) -> Control | None:
    """Choose an image of another scene where there is one, else from far away in the same scene.

    Nearly equal pictures are passed over where another is found among a few.

    Args:
        images: the images that are measured on. Any image of their store may stand in.
        frame: of the image.
        camera: of the image: index in ``store.cameras``.
        own: (3, H, W) uint8, the image itself.
        size: (H, W).

    Returns:
        None where no other frame has this camera.
    """
    store = images.store
    frames = np.flatnonzero(store.table("camera/valid")[:, camera])
    frames = frames[frames != frame]
    scene = store.table("frames/scene")
    elsewhere = frames[scene[frames] != scene[frame]]
    candidates = elsewhere if len(elsewhere) else frames
    if not len(candidates):
        return None
    begin = int(np.searchsorted(candidates, (frame + len(store) // 2) % len(store)))
    places = (begin + np.arange(_TRIES) * len(candidates) // _TRIES) % len(candidates)
    found = None
    for place in dict.fromkeys(places.tolist()):
        other = int(candidates[place])
        image = read_picture(store, other, camera, size)
        same = bool(near_duplicates(own[None], image[None]))
        control = Control(image, other, bool(len(elsewhere)), near_duplicate=same)
        if not same:
            return control
        found = found or control
    return found


def near_duplicates(these: Tensor, those: Tensor) -> list[tuple[int, int]]:
    """Which of ``these`` pictures are nearly equal to one of ``those``.

    Args:
        these: (n, 3, H, W) uint8.
        those: (m, 3, H, W) uint8; if it is ``these``, no picture is compared with itself.

    Returns:
        Places in ``these``, each with that of the most similar one in ``those``.
    """
    one, other = _grey(these).flatten(1), _grey(those).flatten(1)
    difference = torch.cdist(one, other, p=1) / one.shape[1]
    if these is those:
        difference.fill_diagonal_(torch.inf)
    nearest, place = difference.min(dim=1)
    return [
        (number, int(place[number]))
        for number in torch.nonzero(nearest < NEAR_DUPLICATE)[:, 0].tolist()
    ]


def _grey(images: Tensor) -> Tensor:
    """Grey levels of (n, 3, H, W) uint8 at a quarter of the size: (n, H/4, W/4) float32."""
    return F.avg_pool2d(images.float().mean(dim=1), 4)
