"""What features have to do with each other, as numbers and as colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

if TYPE_CHECKING:
    from simipu.viz.features import Features, Float32Array

COMPONENTS = 3


def similarity(features: Float32Array, query: Float32Array) -> Float32Array:
    """Cosine of the angle between (..., C) features and one, (C,)."""
    lengths = np.linalg.norm(features, axis=-1) * np.linalg.norm(query)
    cosine: Float32Array = features @ query / np.maximum(lengths, np.float32(1e-12))
    return cosine


def principal_colors(features: Features) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The three main directions of each encoder's features as red, green and blue.

    Principal components are known up to a rotation only, once they are scaled alike; that of the
    points' is chosen such that points look like their pixels as far as that can be had
    (P. H. Schönemann, "A generalized solution of the orthogonal Procrustes problem", 1966).

    Returns:
        (h, w, 3) uint8 of the grid, (M, 3) uint8 of the points.
    """
    cells = features.grid.reshape(-1, features.grid.shape[-1])
    pixels = _whitened(cells, cells)
    at_points = _whitened(cells, features.at_points)
    points = _whitened(features.points, features.points)
    left, _, right = np.linalg.svd(points.T @ at_points)
    colored = [_to_bytes(pixels), _to_bytes(points @ left @ right)]
    return colored[0].reshape(*features.grid.shape[:2], 3), colored[1]


def _whitened(basis: Float32Array, features: Float32Array) -> npt.NDArray[np.float64]:
    """The first three principal components of ``basis``, with its deviation as the unit."""
    mean = basis.mean(axis=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the method is a randomised one; its result hardly depends on that
        centred = torch.from_numpy(basis - mean)
        kept = min(2 * COMPONENTS, *centred.shape)
        _, spread, vectors = torch.pca_lowrank(centred, q=kept, center=False, niter=8)
    deviation = spread[:COMPONENTS].double().numpy() / np.sqrt(len(basis))
    directions = vectors[:, :COMPONENTS].double().numpy() / np.maximum(deviation, 1e-12)
    whitened: npt.NDArray[np.float64] = (features - mean) @ directions
    return whitened


def _to_bytes(components: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Two deviations either side of the mean fill the range of a colour."""
    return (255 * np.clip(0.5 + components / 4, 0.0, 1.0)).round().astype(np.uint8)
