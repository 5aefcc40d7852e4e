"""Can depth be read off frozen image features by a linear map?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from simipu.data.photometric import prepare_images
from simipu.evaluate.calibrate import calibrate
from simipu.evaluate.ridge import fit_ridge, polynomial

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from simipu.evaluate.pixels import Pixels
    from simipu.models.image import ImageEncoder

FRACTIONS = (0.01, 0.1, 1.0)
"""Shares of the images that a probe is fitted to."""

_BATCH = 8
_DEGREE = 6


class DepthErrors(NamedTuple):
    """Errors of a prediction of depth, over all pixels.

    Attributes:
        abs_rel: mean of |predicted - true| / true.
        rmse_m: root of the mean squared difference, metres.
        delta_1: share of pixels with max(predicted / true, true / predicted) < 1.25.
    """

    abs_rel: float
    rmse_m: float
    delta_1: float


class DepthProbe(NamedTuple):
    """The result of one probe.

    Attributes:
        features: what was read: "all strides", "stride 16", "u, v", ...
        images: number of images that it was fitted to.
        errors: on the other images.
    """

    features: str
    images: int
    errors: DepthErrors


def probe_depth(
    encoder: ImageEncoder,
    fit: Pixels,
    test: Pixels,
    subsets: Sequence[npt.NDArray[np.intp]],
    *,
    device: torch.device,
    stages: bool = False,
) -> list[DepthProbe]:
    """Regress log depth on the features of ``encoder`` at pixels, and measure it elsewhere.

    Last comes a probe of the features beside the polynomial of `probe_position`, which tells
    whether they know more than the position.

    Args:
        encoder: its batch norm is first calibrated on the images of ``fit``.
        fit: pixels that the map is fitted to.
        test: pixels that it is measured on.
        subsets: indices of images of ``fit``; one probe for each.
        device: where to compute features.
        stages: also a probe for the features of each stride alone, fitted to the last subset.
    """

    def show(network: ImageEncoder) -> None:
        for images, uv in _batches(fit, device):
            network(images, uv)

    ready = calibrate(encoder.to(device), show)
    of_fit, of_test = _features(ready, fit, device), _features(ready, test, device)
    probes = [("all strides", slice(None), subset) for subset in subsets]
    if stages:
        strides, widths = _strides(ready, fit, device)
        ends = np.cumsum([0, *widths]).tolist()
        probes += [
            (f"stride {stride}", slice(ends[place], ends[place + 1]), subsets[-1])
            for place, stride in enumerate(strides)
        ]
    found = [
        _probe(name, of_fit[..., part], of_test[..., part], fit, test, subset)
        for name, part, subset in probes
    ]
    both = [
        torch.cat([columns, _position(pixels)], dim=-1)
        for columns, pixels in ((of_fit, fit), (of_test, test))
    ]
    return [*found, _probe("all strides and u, v", both[0], both[1], fit, test, subsets[-1])]


def probe_position(
    fit: Pixels, test: Pixels, subsets: Sequence[npt.NDArray[np.intp]]
) -> list[DepthProbe]:
    """The same with a polynomial of the pixel's coordinates: what no image is needed for."""
    of_fit, of_test = _position(fit), _position(test)
    return [_probe("u, v", of_fit, of_test, fit, test, subset) for subset in subsets]


def _position(pixels: Pixels) -> Tensor:
    height, width = pixels.images.shape[2:]
    half = torch.tensor([width, height]) / 2
    return polynomial((pixels.uv + 0.5) / half - 1, _DEGREE)


def draw_subsets(images: int, *, seed: int) -> list[npt.NDArray[np.intp]]:
    """Images to fit to, for each of `FRACTIONS`; a smaller part is in every larger one."""
    order = np.random.default_rng([seed, images]).permutation(images)
    counts = dict.fromkeys(max(1, round(share * images)) for share in FRACTIONS)
    return [np.sort(order[:count]) for count in counts]


def depth_errors(predicted_m: Tensor, true_m: Tensor) -> DepthErrors:
    """Errors of (n,) predicted depths."""
    difference = predicted_m - true_m
    ratio = torch.maximum(predicted_m / true_m, true_m / predicted_m)
    return DepthErrors(
        abs_rel=(difference.abs() / true_m).mean().item(),
        rmse_m=math.sqrt(difference.square().mean().item()),
        delta_1=(ratio < 1.25).double().mean().item(),
    )


def _probe(
    name: str,
    fit_columns: Tensor,
    test_columns: Tensor,
    fit: Pixels,
    test: Pixels,
    subset: npt.NDArray[np.intp],
) -> DepthProbe:
    chosen = fit.take(subset)
    valid = chosen.valid
    groups = torch.arange(len(valid))[:, None].expand_as(valid)[valid]
    target = chosen.depth_m[valid].double().log()
    ridge = fit_ridge(fit_columns[torch.from_numpy(subset)][valid], target, groups)
    # A linear map may leave the range that it was fitted to; a depth of a kilometre has no error
    # worth knowing.
    low, high = target.min(), target.max()
    predicted = ridge.predict(test_columns[test.valid]).clamp(low, high).exp()
    errors = depth_errors(predicted, test.depth_m[test.valid].double())
    return DepthProbe(name, len(subset), errors)


@torch.no_grad()
def _features(encoder: ImageEncoder, pixels: Pixels, device: torch.device) -> Tensor:
    parts = [encoder(images, uv).float().cpu() for images, uv in _batches(pixels, device)]
    return torch.cat(parts)


def _batches(pixels: Pixels, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    # Equally large ones: each counts the same in the statistics of batch norm.
    parts = math.ceil(len(pixels.images) / _BATCH)
    for images, uv in zip(
        pixels.images.tensor_split(parts), pixels.uv.tensor_split(parts), strict=True
    ):
        ones = torch.ones(len(images), 3, device=device)
        yield prepare_images(images.to(device), ones), uv.to(device)


@torch.no_grad()
def _strides(
    encoder: ImageEncoder, pixels: Pixels, device: torch.device
) -> tuple[tuple[int, ...], list[int]]:
    """The strides of an encoder, and how many features each has."""
    images, _ = next(_batches(pixels.take(np.zeros(1, dtype=np.intp)), device))
    return encoder.strides, [found.shape[1] for found in encoder.maps(images)]
