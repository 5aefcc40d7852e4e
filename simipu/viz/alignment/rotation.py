"""The rotation that takes depth edges to image edges, and how sure it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from simipu.viz.alignment.profiles import COLUMNS, OFFSETS_DEG, REACH_DEG, ROWS, STEP_DEG

if TYPE_CHECKING:
    from simipu.records import FloatArray
    from simipu.store.views import CameraView

PRIOR_DEG = 0.5
PEAK_WIDTH_DEG = 0.1
SEARCH = ((1.25, 0.25), (0.3, 0.1), (0.1, 0.05), (0.04, 0.02))


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
    """A fitted rotation: angles and standard errors (3,) in degrees, and the evidence for it."""

    angles: FloatArray
    sigma: FloatArray
    peak: float
    gain: float
    edges: int


def fit_rotation(units: FloatArray, turn: FloatArray) -> Fit:
    """Find the rotation that takes depth edges to image edges.

    The places have to move by what the calibration lacks, so the angles found are those to put
    before ``T_camera_from_lidar`` to mend it.

    Args:
        units: (F, 2, cells, offsets + 1) profiles of F frames.
        turn: (3, 2, cells) motion of the image of `image_motion`.
    """
    edges = int(units[..., -1].sum())
    values = _smooth(units[..., :-1])
    total = values.sum(axis=0)
    # What a sum of strengths would vary by if images and clouds had nothing to do with each other.
    chance = float(np.sqrt(np.maximum(values.var(axis=-1).sum(), 1e-12)))
    best = np.zeros(3)
    for span, step in SEARCH:
        line = np.arange(-round(span / step), round(span / step) + 1) * step
        tried = best + np.stack(np.meshgrid(line, line, line, indexing="ij"), -1).reshape(-1, 3)
        deviations = _scores(total, turn, tried) / chance
        likelihood = 0.5 * deviations * np.abs(deviations)
        likelihood -= 0.5 * (tried**2).sum(axis=1) / PRIOR_DEG**2
        best = tried[likelihood.argmax()]
    at_best, at_zero = (_of_units(values, turn, angles) for angles in (best, np.zeros(3)))
    better = at_best - at_zero
    gain = float(better.sum() / max(np.sqrt((better**2).sum()), 1e-12))
    peak = float(at_best.sum() / chance)
    return Fit(best, _sandwich(values, total, turn, best), peak, gain, edges)


def _sandwich(
    values: FloatArray, total: FloatArray, turn: FloatArray, best: FloatArray
) -> FloatArray:
    """Standard errors (3,) of the angles, from the scatter of the observations' slopes."""
    step = PEAK_WIDTH_DEG * np.eye(3)
    slopes = np.array(
        [_of_units(values, turn, best + e) - _of_units(values, turn, best - e) for e in step]
    ) / (2 * PEAK_WIDTH_DEG)
    signs = ((1, 1), (1, -1), (-1, 1), (-1, -1))
    corners = [np.array([best + s * a + t * b for a in step for b in step]) for s, t in signs]
    plus, one, two, minus = (_scores(total, turn, each).reshape(3, 3) for each in corners)
    curvature = -(plus - one - two + minus) / (4 * PEAK_WIDTH_DEG**2)
    if not (np.linalg.eigvalsh(curvature) > 1e-9).all():
        return np.full(3, np.inf)
    inverse = np.linalg.inv(curvature)
    sigma: FloatArray = np.sqrt(np.diag(inverse @ (slopes @ slopes.T) @ inverse))
    return sigma


def _scores(total: FloatArray, turn: FloatArray, angles: FloatArray) -> FloatArray:
    """Summed strength, (A,), under (A, 3) rotations in degrees."""
    low, part = _places(np.tensordot(angles, turn, axes=1))
    kind, cell = np.indices(low.shape[1:])
    found: FloatArray = total[kind, cell, low] * (1 - part) + total[kind, cell, low + 1] * part
    score: FloatArray = found.sum(axis=(1, 2))
    return score


def _of_units(values: FloatArray, turn: FloatArray, angles: FloatArray) -> FloatArray:
    """Strength of each observation, (F * cells,), under one rotation in degrees."""
    low, part = _places(np.tensordot(angles, turn, axes=1))
    kind, cell = np.indices(low.shape)
    found: FloatArray = values[:, kind, cell, low] * (1 - part)
    found += values[:, kind, cell, low + 1] * part
    strength: FloatArray = found.sum(axis=1).reshape(-1)
    return strength


def _places(shift_deg: FloatArray) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Split shifts, (..., 2, cells), into the offset below and the part of the next one.

    Side edges, the first kind, move along u, and top edges, the second, along v.
    """
    place = np.clip((shift_deg + REACH_DEG) / STEP_DEG, 0, len(OFFSETS_DEG) - 1.001)
    low: npt.NDArray[np.int64] = place.astype(np.int64)
    return low, np.asarray(place - low, np.float64)


def _smooth(values: FloatArray) -> FloatArray:
    """Smooth profiles along their offsets, so that what is found is a peak, not a grain."""
    reach = round(3 * PEAK_WIDTH_DEG / STEP_DEG)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) * STEP_DEG / PEAK_WIDTH_DEG) ** 2)
    padded = np.pad(values, [(0, 0)] * 3 + [(reach, reach)], mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(weights), axis=-1)
    smoothed: FloatArray = windows @ (weights / weights.sum())
    return smoothed
