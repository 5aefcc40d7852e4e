"""The rotation that takes what the LiDAR sees end to edges of the image, and how sure it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simipu.viz.alignment.profiles import COLUMNS, OFFSETS_DEG, REACH_DEG, ROWS, STEP_DEG

if TYPE_CHECKING:
    from simipu.records import FloatArray
    from simipu.store.views import CameraView

PRIOR_DEG = 0.5
PEAK_WIDTH_DEG = 0.07
LINE_DEG = np.arange(-12, 13) * STEP_DEG
TRIED_DEG = np.stack(np.meshgrid(LINE_DEG, LINE_DEG, LINE_DEG, indexing="ij"), -1).reshape(-1, 3)
BLOCK_ROWS, BLOCK_COLUMNS = 2, 4
"""Parts of an image that are drawn as one: what is at the same object goes together."""
DRAWS, TAIL_PERCENT, TAIL_SIGMAS = 200, 1.0, 2.326


def image_motion(camera: CameraView) -> FloatArray:
    """Motion of the image under small rotations of ``T_camera_from_lidar``, distortion left out.

    With x and y the direction of a pixel, a rotation by w moves it by
    (-x y wx + (1 + x^2) wy - y wz, -(1 + y^2) wx + x y wy + x wz) (Longuet-Higgins and Prazdny,
    "The interpretation of a moving retinal image", 1980, for a moving scene).

    Returns:
        (3, 2, cells): for one about x, y, z the motion along (u, v) of each cell, in focal lengths.
    """
    u = (np.arange(COLUMNS) + 0.5) * camera.width / COLUMNS - 0.5
    v = (np.arange(ROWS) + 0.5) * camera.height / ROWS - 0.5
    v, u = (axis.ravel() for axis in np.meshgrid(v, u, indexing="ij"))
    x, y = (u - camera.K[0, 2]) / camera.K[0, 0], (v - camera.K[1, 2]) / camera.K[1, 1]
    return np.array([[-x * y, -(1 + y * y)], [1 + x * x, x * y], [-y, x]])


class Fit(NamedTuple):
    """A fitted rotation about three axes, in degrees, and the evidence for it.

    Attributes:
        angles: (3,).
        sigma: (3,) standard errors.
        low: (3,) below which few of the fits to resampled blocks lie.
        high: (3,) above which few do.
        peak: standard deviations by which the fit stands out of chance.
        gain: standard errors by which it is better than no rotation.
    """

    angles: FloatArray
    sigma: FloatArray
    low: FloatArray
    high: FloatArray
    peak: float
    gain: float


def score_blocks(profiles: FloatArray, turn: FloatArray) -> FloatArray:
    """Score every tried rotation in every block of an image.

    Args:
        profiles: (cells, K, K) of `Gradients.profiles`, of one image or summed over several.
        turn: (3, 2, cells) motion of `image_motion`.

    Returns:
        (blocks, A) float32 for the A rotations `TRIED_DEG`.
    """
    values = _smooth(profiles).reshape(len(profiles), -1)
    size = len(OFFSETS_DEG)
    shift = np.tensordot(TRIED_DEG, turn, axes=1)
    place = np.clip((shift + REACH_DEG) / STEP_DEG, 0, size - 1.001)
    low = place.astype(np.int64)
    (u, v), (right, down) = low.transpose(1, 0, 2), (place - low).transpose(1, 0, 2)
    cell, corner = np.arange(len(values)), v * size + u
    score = values[cell, corner] * ((1 - right) * (1 - down))
    score += values[cell, corner + 1] * (right * (1 - down))
    score += values[cell, corner + size] * ((1 - right) * down)
    score += values[cell, corner + size + 1] * (right * down)
    parts = score.reshape(
        -1, BLOCK_ROWS, ROWS // BLOCK_ROWS, BLOCK_COLUMNS, COLUMNS // BLOCK_COLUMNS
    ).sum(axis=(2, 4))
    blocks: FloatArray = parts.reshape(len(parts), -1).T.astype(np.float32)
    return blocks


def fit_rotation(blocks: FloatArray) -> Fit:
    """Find the rotation with the highest score, and how it varies with what was seen.

    The places have to move by what the calibration lacks, so the angles found are those to put
    before ``T_camera_from_lidar`` to mend it. What they vary by comes from drawing the blocks
    anew with replacement (Efron, "Bootstrap methods", 1979): neighbouring edges are no
    independent observations, blocks nearly are.

    Args:
        blocks: (B, A) scores of `score_blocks`, of all images.
    """
    # What a sum of scores would vary by if images and clouds had nothing to do with each other.
    chance = float(np.sqrt(max(blocks.var(axis=1, dtype=np.float64).sum(), 1e-12)))
    total = blocks.sum(axis=0, dtype=np.float64)
    angles, index = _best(total, chance)
    better = blocks[:, index] - blocks[:, len(TRIED_DEG) // 2]
    gain = float(better.sum() / max(np.sqrt((better.astype(np.float64) ** 2).sum()), 1e-12))
    # Always the same draws: a report must not change when it is made again.
    draw = np.random.default_rng(0).multinomial(
        len(blocks), np.full(len(blocks), 1 / len(blocks)), size=DRAWS
    )
    drawn = np.array([_best(each, chance)[0] for each in draw.astype(np.float32) @ blocks])
    low, high = np.percentile(drawn, [TAIL_PERCENT, 100 - TAIL_PERCENT], axis=0)
    wider = _few(int((np.ptp(blocks, axis=1) > 0).sum()))
    low, high = angles + wider * (low - angles), angles + wider * (high - angles)
    sigma = wider * drawn.std(axis=0)
    return Fit(angles, sigma, low, high, float(total[index] / chance), gain)


def _few(blocks: int) -> float:
    """How much wider an interval is than few draws of blocks make it: Student's for a normal one.

    The quantile is Abramowitz and Stegun's expansion 26.7.5; the root mends the bootstrap's
    variance, which is that of a sample.
    """
    z, free = TAIL_SIGMAS, max(blocks - 1, 1)
    t = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    return float(t / z * np.sqrt((free + 1) / free))


def _best(total: FloatArray, chance: float) -> tuple[FloatArray, int]:
    """The rotation with the highest score, between the tried ones, and the tried one next to it."""
    deviations = total / chance
    likelihood = 0.5 * deviations * np.abs(deviations)
    likelihood = likelihood - 0.5 * (TRIED_DEG**2).sum(axis=1) / PRIOR_DEG**2
    index = int(likelihood.argmax())
    size = len(LINE_DEG)
    place = np.array(np.unravel_index(index, (size, size, size)))
    volume = likelihood.reshape(size, size, size)
    angles = LINE_DEG[place]
    for axis in range(3):
        if 0 < place[axis] < size - 1:
            step = np.eye(3, dtype=int)[axis]
            before, here, after = (volume[tuple(place + by * step)] for by in (-1, 0, 1))
            bend = before - 2 * here + after
            if bend < 0:  # the vertex of the parabola through the three
                angles[axis] += STEP_DEG * 0.5 * (before - after) / bend
    return angles, index


def _smooth(values: FloatArray) -> FloatArray:
    """Smooth profiles along both offsets, so that what is found is a peak, not a grain."""
    reach = 2
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) * STEP_DEG / PEAK_WIDTH_DEG) ** 2)
    weights /= weights.sum()
    for axis in (1, 2):
        widths = [(0, 0)] * 3
        widths[axis] = (reach, reach)
        padded = np.pad(values, widths, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(weights), axis=axis)
        values = windows @ weights
    return values
