"""Products of many vectors and rotations, row by row, written out.

Unlike those of a BLAS product, the last bits of a row's result then depend neither on the number
of threads nor on which other rows are there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[np.floating[Any]]


def dot(a: Array, b: Array) -> Array:
    """Return (...) a . b over the first three entries of the last axis, with broadcasting."""
    total: Array = a[..., 0] * b[..., 0]
    total = total + a[..., 1] * b[..., 1]
    total += a[..., 2] * b[..., 2]
    return total


def taken(vectors: Array, rows: npt.NDArray[np.intp]) -> Array:
    """Return some rows of (N, 3), in memory component by component if the vectors are."""
    if vectors.flags.c_contiguous:
        chosen: Array = vectors.take(rows, axis=0)
        return chosen
    columns: Array = np.stack([vectors[:, i].take(rows) for i in range(vectors.shape[1])])
    return columns.T


def power(base: Array, exponent: int) -> Array:
    """Return base to a natural power, by products: many times faster than by logarithms."""
    result: Array | None = None
    while exponent:
        if exponent & 1:
            result = base if result is None else result * base
        base, exponent = base * base, exponent >> 1
    return np.ones_like(base) if result is None else result


def turned(T: Array, vectors: Array) -> Array:
    """Return (N, 3) vectors turned by the rotations of T; N or 1 of each, (., 4, 4) and (., 3).

    They lie component by component in memory, which is also the fastest form to give them in.
    """
    return np.stack([dot(T[:, i], vectors) for i in range(3)]).T


def turned_back(T: Array, vectors: Array) -> Array:
    """Return (N, 3) vectors turned by the inverses, as `turned`."""
    return np.stack([dot(T[:, :, i], vectors) for i in range(3)]).T


def transformed(T: Array, points: Array) -> Array:
    """Return (N, 3) points in another frame, T (4, 4), or (N, 4, 4) with one for each point."""
    moved = np.stack([dot(T[..., i, :3], points) for i in range(3)], axis=-1)
    moved += T[..., :3, 3]
    return moved
