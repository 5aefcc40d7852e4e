"""Can the slope of the surface be read off frozen point features by a linear map?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from simipu.data.dataset import PairDataset
from simipu.data.sample import Cloud
from simipu.errors import StoreError
from simipu.evaluate.calibrate import calibrate
from simipu.evaluate.normals import uprightness
from simipu.evaluate.pixels import MAX_IMAGES
from simipu.evaluate.ridge import fit_ridge, polynomial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simipu.data.config import SampleConfig
    from simipu.data.selection import Images

_BATCH = 8
_DEGREE = 4


@dataclass(frozen=True, slots=True, eq=False)
class Surfaces:
    """Clouds, and how steep the surface is at their first points.

    Attributes:
        cloud: of all images, with a leading dimension n.
        uprightness: (n, P) float32, see `simipu.evaluate.normals.uprightness`.
        valid: (n, P) bool: where it is known.
    """

    cloud: Cloud
    uprightness: Tensor
    valid: Tensor


class SlopeErrors(NamedTuple):
    """Errors of a prediction of the surface's slope, over all points.

    Attributes:
        error_deg: mean difference of the angle between normal and vertical, degrees.
        r2: share of the variance of |n_z| that is explained; 0 for its mean. None where it does not
            vary.
    """

    error_deg: float
    r2: float | None


def read_surfaces(images: Images, sample: SampleConfig, *, seed: int) -> Surfaces:
    """Draw a cloud for each of at most `MAX_IMAGES` images, evenly spread.

    Args:
        images: of one store.
        sample: sizes.
        seed: of the choice of points.

    Raises:
        StoreError: nowhere is the slope known.
    """
    dataset = PairDataset([images], sample, seed=seed, augment=False)
    places = np.linspace(0, len(images) - 1, min(len(images), MAX_IMAGES)).round().astype(int)
    clouds: list[Cloud] = []
    values, valid = np.zeros((2, len(places), sample.pairs), dtype=np.float32)
    for row, place in enumerate(places.tolist()):
        drawn = dataset[0, place]
        count = int(drawn.valid.sum())
        whole = images.store[int(drawn.frame)].points.xyz
        found, known = uprightness(whole, drawn.clean.xyz[:count].numpy())
        values[row, :count], valid[row, :count] = found, known
        clouds.append(drawn.clean)
    if not valid.any():
        raise StoreError(
            "nowhere in the selected frames do points lie closely enough to tell a surface's slope",
            where=images.store.path,
            fix="Select other frames, or leave --probe points out.",
        )
    return Surfaces(
        Cloud(*map(torch.stack, zip(*clouds, strict=True))),
        torch.from_numpy(values),
        torch.from_numpy(valid).bool(),
    )


def probe_points(
    encoder: nn.Module, fit: Surfaces, test: Surfaces, *, device: torch.device
) -> SlopeErrors:
    """Regress |n_z| on the features of ``encoder`` at points, and measure it elsewhere.

    Args:
        encoder: takes a cloud and the number of its first points that are wanted; its batch norm is
            first calibrated on the clouds of ``fit``.
        fit: points that the map is fitted to.
        test: points that it is measured on.
        device: where to compute features.
    """

    def show(network: nn.Module) -> None:
        _features(network, fit, device)

    ready = calibrate(encoder.to(device), show)
    return _probe(_features(ready, fit, device), _features(ready, test, device), fit, test)


def probe_coordinates(fit: Surfaces, test: Surfaces) -> SlopeErrors:
    """The same with a polynomial of the point's coordinates: what no neighbours are needed for."""
    queries = fit.valid.shape[1]
    reach = fit.cloud.xyz[:, :queries].abs().flatten(0, 1).amax(dim=0)
    of_fit, of_test = (
        polynomial((surfaces.cloud.xyz[:, :queries] / reach).clamp(-1, 1), _DEGREE)
        for surfaces in (fit, test)
    )
    return _probe(of_fit, of_test, fit, test)


def slope_errors(predicted: Tensor, true: Tensor) -> SlopeErrors:
    """Errors of (n,) predicted values of |n_z|."""
    kept = predicted.clamp(0, 1)
    angle = (kept.acos() - true.acos()).abs().rad2deg()
    rest = (kept - true).square().sum().item()
    variation = (true - true.mean()).square().sum().item()
    return SlopeErrors(angle.mean().item(), 1 - rest / variation if variation else None)


def _probe(fit_columns: Tensor, test_columns: Tensor, fit: Surfaces, test: Surfaces) -> SlopeErrors:
    groups = torch.arange(len(fit.valid))[:, None].expand_as(fit.valid)[fit.valid]
    ridge = fit_ridge(fit_columns[fit.valid], fit.uprightness[fit.valid], groups)
    predicted = ridge.predict(test_columns[test.valid])
    return slope_errors(predicted, test.uprightness[test.valid].double().clamp(0, 1))


@torch.no_grad()
def _features(encoder: nn.Module, surfaces: Surfaces, device: torch.device) -> Tensor:
    queries = surfaces.valid.shape[1]
    parts = [
        encoder(*(part.to(device) for part in cloud), queries).float().cpu()
        for cloud in _batches(surfaces.cloud)
    ]
    return torch.cat(parts)


def _batches(cloud: Cloud) -> Iterator[Cloud]:
    """Equally large ones: each counts the same in the statistics of batch norm."""
    parts = -(-len(cloud.xyz) // _BATCH)
    return (Cloud(*part) for part in zip(*(one.tensor_split(parts) for one in cloud), strict=True))
