"""Roots of many functions at once, each known to change its sign in an interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable

    from simipu.records import FloatArray

_MAX_STEPS = 100


def find_roots(
    function: Callable[[FloatArray, npt.NDArray[np.intp]], FloatArray],
    interval: tuple[float, float],
    ends: tuple[FloatArray, FloatArray],
    *,
    tolerance: float,
) -> FloatArray:
    """Return where functions vanish that differ in sign at the ends of an interval, or are 0 there.

    Chandrupatla's method keeps an interval with a change of sign, and halves it wherever inverse
    quadratic interpolation is not safe: for continuous functions it always converges
    (T. R. Chandrupatla, "A new hybrid quadratic/bisection algorithm for finding the zero of a
    nonlinear function without using derivatives", Advances in Engineering Software 28, 1997).

    Args:
        function: its value at some arguments, given with the numbers of the functions meant.
        interval: where to look.
        ends: (N,) values at its two ends.
        tolerance: largest value that counts as 0.

    Returns:
        (N,) float64; NaN where no such argument was found.
    """
    (low, high), (at_low, at_high) = interval, ends
    root = np.full(len(at_low), np.nan)
    root[np.abs(at_high) <= tolerance] = high
    root[np.abs(at_low) <= tolerance] = low
    open_ = np.flatnonzero(np.isnan(root))
    fa, fb = at_low[open_], at_high[open_]
    a, b = np.full(len(open_), low), np.full(len(open_), high)
    share = fa / (fa - fb)
    for _ in range(_MAX_STEPS):
        if not len(open_):
            break
        x = a + share * (b - a)
        fx = function(x, open_)
        root[open_] = np.where(np.abs(fx) <= tolerance, x, np.nan)
        # a is always the newest argument, b has the other sign, c is the one replaced.
        same = (fx > 0.0) == (fa > 0.0)
        c, fc = np.where(same, a, b), np.where(same, fa, fb)
        b, fb = np.where(same, b, a), np.where(same, fb, fa)
        left = np.abs(fx) > tolerance
        open_ = open_[left]
        a, fa, b, fb, c, fc = (one[left] for one in (x, fx, b, fb, c, fc))
        with np.errstate(divide="ignore", invalid="ignore"):
            xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
            quadratic = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (
                fc - fa
            ) * fb / (fc - fb)
        safe = (phi * phi < xi) & ((1.0 - phi) ** 2 < 1.0 - xi)
        share = np.clip(np.where(safe, quadratic, 0.5), 1e-12, 1.0 - 1e-12)
    return root
