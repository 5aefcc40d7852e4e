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
    candidates = rng.permutation(np.flatnonzero(allowed & is_inside(uv, size)))
    columns = -(-width // cell_px)
    rows = -(-height // cell_px)
    # Truncation is several times faster than floor division, and the same for positive numbers.
    u, v = uv[candidates, 0] + 0.5, uv[candidates, 1] + 0.5
    cell = (v / cell_px).astype(np.intp) * columns
    cell += (u / cell_px).astype(np.intp)
    winner = np.full(rows * columns, -1, dtype=np.intp)
    winner[cell] = candidates  # of several candidates the last one stays
    winners = winner[winner >= 0]
    return rng.permutation(winners)[:count]


def is_inside(uv: Float32Array, size: tuple[int, int]) -> BoolArray:
    """Which (M, 2) pixel coordinates lie in an image of ``size``, (height, width)."""
    u, v = uv[:, 0] + 0.5, uv[:, 1] + 0.5  # now 0 is the image's border, not a pixel centre
    inside: BoolArray = (u >= 0) & (u < size[1]) & (v >= 0) & (v < size[0])
    return inside


def choose_views(
    rng: np.random.Generator,
    total: int,
    pairs: IndexArray,
    *,
    count: int,
    views: str = "resampled",
) -> tuple[IndexArray, IndexArray]:
    """Draw the points of two views of one cloud.

    Both have the points of the pairs, first and in their order. Resampled views share no other
    point: were the surroundings of a pair the same points in both, nothing about shape would be
    needed to tell that they belong together.

    Args:
        rng: source of randomness.
        total: number of points to draw from.
        pairs: (n,) points that must be in both views, n <= count.
        count: number of points wanted in each view.
        views: as in `simipu.data.config.SampleRules`.

    Returns:
        Two (m,) arrays of indices below ``total``, m <= count: fewer where there are not enough;
        but shuffled views are filled up with points drawn again, as in the released code.
    """
    is_pair = np.zeros(total, dtype=np.bool_)
    is_pair[pairs] = True
    wanted = count - len(pairs)
    if views == "resampled":
        drawn = rng.choice(total, size=min(2 * count, total), replace=False)
        others = drawn[~is_pair[drawn]]
        half = min(wanted, len(others) // 2)
        one, other = others[:half], others[half : 2 * half]
    else:
        others = np.flatnonzero(~is_pair)
        again = views == "shuffled" and 0 < len(others) < wanted
        size = wanted if again else min(wanted, len(others))
        one = other = rng.choice(others, size=size, replace=again)
        if views == "shuffled":
            one, other = rng.permutation(one), rng.permutation(other)
    return np.concatenate([pairs, one]), np.concatenate([pairs, other])
