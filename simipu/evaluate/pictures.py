"""Images of a store as the networks see them: whole, as far as the aspect allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simipu.data.augment import centre_view
from simipu.data.decode import decode_rgb

if TYPE_CHECKING:
    from torch import Tensor

    from simipu.store.reader import Store


def read_picture(store: Store, frame: int, camera: int, size: tuple[int, int]) -> Tensor:
    """Decode the image of a camera and show the largest centred window of it.

    Args:
        store: an open store.
        frame: of the image.
        camera: index in ``store.cameras``.
        size: (height, width) of the result in pixels.

    Returns:
        (3, height, width) uint8, RGB.

    Raises:
        StoreError: the image cannot be decoded.
    """
    view = store[frame].cameras[store.cameras[camera]]
    image = decode_rgb(view.encoded(), where=view.where)
    return centre_view((image.shape[1], image.shape[2]), size).apply(image)
