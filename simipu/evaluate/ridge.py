"""Linear regression in closed form: nothing to tune by hand, and the same numbers every time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from simipu.errors import SimipuError

if TYPE_CHECKING:
    from collections.abc import Sequence

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Candidates for the weight of the penalty, relative to the variance of a standardised feature."""

_FOLDS = 4
_BLOCK = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Ridge:
    """A linear map of standardised features.

    Attributes:
        mean, scale: (C,) float64 of the features.
        weight: (C,) float64.
        offset: mean of the target.
        strength: of the penalty, one of `STRENGTHS`.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    offset: float
    strength: float

    def predict(self, features: Tensor) -> Tensor:
        """(n, C) features to (n,) float64."""
        blocks = features.tensor_split(len(features) // _BLOCK + 1)
        return torch.cat([self._standardised(part) @ self.weight for part in blocks]) + self.offset

    def _standardised(self, features: Tensor) -> Tensor:
        return (features.double() - self.mean) / self.scale


def fit_ridge(features: Tensor, target: Tensor, groups: Tensor) -> Ridge:
    """Least squares with a penalty on the weights: |y - X w|^2 / n + strength |w|^2.

    The strength is that of `STRENGTHS` which predicts left-out groups best: pixels of one image are
    too alike to be left out one by one.

    Args:
        features: (n, C), of any scale. A constant feature gets no weight.
        target: (n,).
        groups: (n,) int64, ascending: the image of each row.

    Returns:
        The map, fitted to all rows.

    Raises:
        SimipuError: a feature is not finite.
    """
    if not features.isfinite().all():
        raise SimipuError(
            "the features of an encoder are not finite: so are its weights, or too large",
            fix="Choose another checkpoint, or other weights.",
        )
    mean = features.double().mean(dim=0)
    spread = features.double().var(dim=0, correction=0).sqrt()
    # What varies by rounding only is constant; standardised it would be noise.
    constant = spread <= 1e-6 * (1 + mean.abs())
    scale = torch.where(constant, torch.inf, spread)
    offset = target.double().mean()
    x = (features.double() - mean) / scale
    y = target.double() - offset
    folds = _fold(groups)
    error = torch.zeros(len(STRENGTHS), dtype=torch.float64)
    grams = _Grams(x, y, folds)
    count = int(folds.max()) + 1
    if count > 1:
        for fold in range(count):
            out = folds == fold
            for place, weight in enumerate(grams.solve(STRENGTHS, without=fold)):
                error[place] += (x[out] @ weight - y[out]).square().sum()
    best = STRENGTHS[len(STRENGTHS) - 1 - int(error.flip(0).argmin())]  # of equals, the strongest
    (weight,) = grams.solve((best,), without=None)
    return Ridge(mean, scale, weight, offset.item(), best)


class _Grams:
    """Products of features, fold by fold: leaving one out is a subtraction."""

    def __init__(self, x: Tensor, y: Tensor, folds: Tensor) -> None:
        self._x, self._y, self._folds = x, y, folds
        self._products: dict[int, tuple[Tensor, Tensor, int]] = {}
        if len(x) >= x.shape[1]:
            for fold in range(int(folds.max()) + 1):
                own, target = x[folds == fold], y[folds == fold]
                self._products[fold] = (own.T @ own, own.T @ target, len(own))

    def solve(self, strengths: Sequence[float], *, without: int | None) -> list[Tensor]:
        """(C,) weights for each strength, from all folds but one."""
        if not self._products:  # fewer rows than features: through the rows' own products
            kept = torch.ones_like(self._folds, dtype=torch.bool)
            if without is not None:
                kept = self._folds != without
            x, y = self._x[kept], self._y[kept]
            product = x @ x.T / len(x)
            return [x.T @ _solve(product, y / len(x), strength) for strength in strengths]
        parts = [part for fold, part in self._products.items() if fold != without]
        count = sum(part[2] for part in parts)
        product = torch.stack([part[0] for part in parts]).sum(dim=0) / count
        right = torch.stack([part[1] for part in parts]).sum(dim=0) / count
        return [_solve(product, right, strength) for strength in strengths]


def _solve(product: Tensor, right: Tensor, strength: float) -> Tensor:
    """(product + strength I)^-1 right, for a product that is positive semi-definite."""
    matrix = product.clone()
    matrix.diagonal().add_(strength)
    factor = torch.linalg.cholesky(matrix)
    solution: Tensor = torch.cholesky_solve(right[:, None], factor)
    return solution[:, 0]


def _fold(groups: Tensor) -> Tensor:
    """(n,) the fold of each row: runs of whole groups; of a single group, runs of rows."""
    number = torch.zeros_like(groups)
    number[1:] = (groups[1:] != groups[:-1]).cumsum(dim=0)
    count = int(number.max()) + 1
    if count == 1:
        number, count = torch.arange(len(groups)), len(groups)
    return number * min(_FOLDS, count) // count


def polynomial(coordinates: Tensor, degree: int) -> Tensor:
    """All monomials up to ``degree`` of (..., d) coordinates within [-1, 1], but the constant.

    Returns:
        (..., m) float64.
    """
    columns = [(torch.ones(coordinates.shape[:-1], dtype=torch.float64), 0)]
    for axis in coordinates.double().unbind(dim=-1):
        columns = [
            (column * axis**power, total + power)
            for column, total in columns
            for power in range(degree + 1 - total)
        ]
    return torch.stack([column for column, _ in columns[1:]], dim=-1)
