"""Which pairs and which points make up a training sample."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.intp]


def choose_pairs(
    rng: np.random.Generator,
    uv: Float32Array,
    allowed: BoolArray,
    *,
    size: tuple[int, int],
    cell_px: int,
    count: int,
) -> IndexArray:
    """Draw pairs inside the image, at most one from each square cell.

    Neighbouring pixels share nearly one feature; as each other's negatives they would only be
    noise in the contrastive loss.

    Args:
        rng: source of randomness.
        uv: (M, 2) pixel coordinates in the (augmented) image.
        allowed: (M,) candidates; the others are never drawn.
        size: (height, width) of the image.
        cell_px: side of a cell.
        count: number of pairs wanted.

    Returns:
        (n,) indices into ``uv`` in random order, without repetition, n <= count.
    """
    height, width = size
    u, v = uv[:, 0] + 0.5, uv[:, 1] + 0.5  # now 0 is the image's border, not a pixel centre
    inside = allowed & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    candidates = rng.permutation(np.flatnonzero(inside))
    columns = -(-width // cell_px)
    rows = -(-height // cell_px)
    # Truncation is several times faster than floor division, and the same for positive numbers.
    cell = (v[candidates] / cell_px).astype(np.intp) * columns
    cell += (u[candidates] / cell_px).astype(np.intp)
    winner = np.full(rows * columns, -1, dtype=np.intp)
    winner[cell] = candidates  # of several candidates the last one stays
    winners = winner[winner >= 0]
    return rng.permutation(winners)[:count]


def choose_points(
    rng: np.random.Generator, total: int, pairs: IndexArray, *, count: int
) -> IndexArray:
    """Draw distinct points, those of the pairs first and in their order.

    Args:
        rng: source of randomness.
        total: number of points to draw from.
        pairs: (n,) points that must be among them, n <= count.
        count: number of points wanted.

    Returns:
        (min(count, total),) indices below ``total``.
    """
    is_pair = np.zeros(total, dtype=np.bool_)
    is_pair[pairs] = True
    drawn = rng.choice(total, size=min(count, total), replace=False)
    others = drawn[~is_pair[drawn]]
    return np.concatenate([pairs, others])[: len(drawn)]
