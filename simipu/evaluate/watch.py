"""The depth probe while training: small, on the same pixels each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simipu.evaluate.depth_probe import probe_depth
from simipu.evaluate.pixels import draw_pixels, join_pictures, read_pictures
from simipu.methods.build import build_method

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import nn

    from simipu.data.config import SampleConfig
    from simipu.data.selection import Images
    from simipu.methods.config import ModelConfig

MAX_IMAGES = 64


class DepthWatch:
    """Probes one state of a method after the other on the same pixels.

    Args:
        fitted: images that the linear map is fitted to; those of the training serve.
        measured: images that it is measured on.
        sample: sizes of the images.
        model: what the method was made with.

    Raises:
        StoreError: no image has a visible point, or one is damaged.
    """

    def __init__(
        self,
        fitted: Sequence[Images],
        measured: Sequence[Images],
        sample: SampleConfig,
        model: ModelConfig,
    ) -> None:
        size = (sample.height, sample.width)
        self._fit, self._test = (
            draw_pixels(
                join_pictures([read_pictures(part, size, at_most=MAX_IMAGES) for part in parts]),
                seed=0,
            )
            for parts in (fitted, measured)
        )
        self._pairs = sample.pairs
        self._model = model

    def __call__(self, method: nn.Module, device: torch.device) -> dict[str, float]:
        """Errors of depth, by the names of `simipu.evaluate.depth_probe.DepthErrors`.

        Args:
            method: is not changed.
            device: where to compute features.
        """
        # A network of its own: the batch norm of the one that trains may wait for other processes.
        encoder = build_method(self._model, pairs=self._pairs).image_encoder
        encoder.load_state_dict(method.get_submodule("image_encoder").state_dict())
        everything = np.arange(len(self._fit.images))
        results = probe_depth(encoder, self._fit, self._test, [everything], device=device)
        return results[0].errors._asdict()
