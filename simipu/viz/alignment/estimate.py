"""Whether the calibration and the timing of a store hold: LiDAR edges against image edges.

Where a LiDAR sees a surface or a mark end, the image should have an edge (Levinson and Thrun,
"Automatic online calibration of cameras and lasers", RSS 2013). The strength of the image's edges
around these places, summed over frames, peaks at the rotation that is missing from the
calibration. Its uncertainty comes from drawing parts of images anew. Images that fit the cloud of a
neighbouring frame better than their own are out of time.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simipu.viz.alignment.evidence import Evidence, Seen, SeenFrame
from simipu.viz.alignment.rotation import Fit, fit_rotation, score_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from simipu.store.reader import Store
    from simipu.store.views import CameraView

IMAGE_BUDGET = 240
RUN = 3

LEAST_EDGES = 100
# Of fewer the scatter says too little about the error: they can be off, but never good.
LEAST_RUNS = 5
LEAST_FRAMES = 5
LEAST_PAIRS = 4
LEAST_PEAK = 5.0
FLAGGED_DEG = 0.28
FLAGGED_GAIN = 1.5
EXCLUDED_DEG = 0.25
GOOD_DEG = 0.45
TIME_SIGMAS = 4.0

ALL_CAMERAS = "all cameras"
UNSURE, GOOD, BAD = "not enough evidence", "good", "off"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rotation:
    """The rotation that fits one camera, or the LiDAR against all cameras, best.

    Attributes:
        angles_deg: about x, y and z of the camera (pitch, yaw, roll), or of the LiDAR.
        sigma_deg: their standard errors; infinity where nothing holds them.
        shift_px: what they do to the middle of the image, (u, v); None for the LiDAR.
        shift_sigma_px: its standard errors.
        edges: number of edges compared.
        peak: standard deviations by which the best fit stands out of chance.
        gain: standard errors by which it is better than the calibration as stored.
        verdict: `GOOD`, `BAD` or `UNSURE`.
    """

    angles_deg: tuple[float, float, float]
    sigma_deg: tuple[float, float, float]
    shift_px: tuple[float, float] | None
    shift_sigma_px: tuple[float, float] | None
    edges: int
    peak: float
    gain: float
    verdict: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Whether a camera's images fit their own clouds better than the clouds of their neighbours.

    Attributes:
        sigmas: standard errors by which the own image fits better than the image before, and
            after; None where too few frames follow each other.
        pairs: number of comparisons, before and after.
        verdict: `GOOD`, `BAD` or `UNSURE`, which a vehicle that stands still leaves.
    """

    sigmas: tuple[float | None, float | None]
    pairs: tuple[int, int]
    verdict: str


class Alignment(NamedTuple):
    """What `estimate_alignment` found.

    Attributes:
        cameras: camera name -> its rotation.
        lidar: the LiDAR against all cameras together; None for a single camera.
        timing: camera name -> its timing; `ALL_CAMERAS` together, where there are several.
        frames: number of frames used.
    """

    cameras: Mapping[str, Rotation]
    lidar: Rotation | None
    timing: Mapping[str, Timing]
    frames: int


def estimate_alignment(
    store: Store, *, progress: Callable[[Iterable[int]], Iterable[int]] = iter
) -> Alignment:
    """Compare edges of the LiDAR with edges of the images over frames spread over a store.

    At most `IMAGE_BUDGET` images are read, in runs of frames that follow each other. Only the
    correspondences, images and calibration of the store are used.

    Raises:
        StoreError: the store has no correspondences.
    """
    chosen = choose_frames(store)
    seen: dict[str, list[Seen]] = {name: [] for name in store.cameras}
    views: dict[str, CameraView] = {}
    before: SeenFrame | None = None
    pending: SeenFrame | None = None
    for index in chain(progress(chosen), [None]):
        after = None if index is None else SeenFrame(store[index])
        if pending is not None:
            pending.compare(before, after, seen)
            views |= pending.views
        before, pending = pending, after
    names = [name for name in store.cameras if seen[name]]
    evidence = {name: Evidence.of(seen[name], views[name]) for name in names}
    cameras = {name: _rotation([evidence[name]], views[name]) for name in names}
    timing = {name: _timing([one.fit for one in seen[name]], frames=len(chosen)) for name in names}
    if len(names) > 1:
        timing[ALL_CAMERAS] = _timing(
            [one.fit for name in names for one in seen[name]], frames=len(chosen)
        )
    # Each camera alone may see too little of a LiDAR that is rotated against all of them.
    turned = [evidence[name].from_lidar(views[name]) for name in names]
    lidar = _rotation(turned, None) if len(names) > 1 else None
    return Alignment(cameras, lidar, timing, len(chosen))


def choose_frames(store: Store) -> list[int]:
    """Indices of frames to look at: runs of `RUN`, spread evenly over the store."""
    images = max(len(store.cameras), 1)
    most = max(IMAGE_BUDGET // images, RUN)
    if len(store) <= most:
        return list(range(len(store)))
    starts = np.linspace(0, len(store) - RUN, most // RUN).astype(int)
    return [int(index) for index in np.unique(starts[:, None] + np.arange(RUN))]


def _rotation(evidence: list[Evidence], view: CameraView | None) -> Rotation:
    blocks = [score_blocks(run, one.turn) for one in evidence for run in one.runs]
    fit = fit_rotation(np.concatenate(blocks))
    edges = sum(one.edges for one in evidence)
    shift = sigma = None
    if view is not None:
        (pitch, yaw, _), (pitch_sigma, yaw_sigma, _) = fit.angles, fit.sigma
        scale = np.radians(1.0) * view.K[0, 0], np.radians(1.0) * view.K[1, 1]
        shift = (float(scale[0] * yaw), float(-scale[1] * pitch))
        sigma = (float(scale[0] * yaw_sigma), float(scale[1] * pitch_sigma))
    angles, sigmas = fit.angles.tolist(), fit.sigma.tolist()
    return Rotation(
        angles_deg=(angles[0], angles[1], angles[2]),
        sigma_deg=(sigmas[0], sigmas[1], sigmas[2]),
        shift_px=shift,
        shift_sigma_px=sigma,
        edges=edges,
        peak=fit.peak,
        gain=fit.gain,
        verdict=_judge(fit, edges, max(len(one.runs) for one in evidence)),
    )


def _judge(fit: Fit, edges: int, runs: int) -> str:
    if edges < LEAST_EDGES or fit.peak < LEAST_PEAK:
        return UNSURE
    least = np.maximum(fit.low, -fit.high)  # of the angle's size, nearly surely
    off = (np.abs(fit.angles) > FLAGGED_DEG) & (least > EXCLUDED_DEG)
    if off.any() and fit.gain > FLAGGED_GAIN:
        return BAD
    if runs < LEAST_RUNS:
        return UNSURE
    held = np.maximum(-fit.low, fit.high) < GOOD_DEG
    return GOOD if held.all() and (np.abs(fit.angles) <= FLAGGED_DEG).all() else UNSURE


def _timing(fits: list[tuple[float | None, float, float | None]], *, frames: int) -> Timing:
    sigmas: list[float | None] = []
    counts = []
    for side in (0, 2):
        gaps = np.array([one[1] - other for one in fits if (other := one[side]) is not None])
        counts.append(len(gaps))
        scatter = gaps.std(ddof=1) / np.sqrt(len(gaps)) if len(gaps) >= LEAST_PAIRS else 0.0
        sigmas.append(float(gaps.mean() / scatter) if scatter > 0 else None)
    known = [sigma for sigma in sigmas if sigma is not None]
    if any(sigma < -TIME_SIGMAS for sigma in known):
        verdict = BAD
    else:
        sure = len(known) == len(sigmas) and all(sigma > TIME_SIGMAS for sigma in known)
        # The cameras of a frame share its motion: many of them make up for no frames.
        verdict = GOOD if sure and frames >= LEAST_FRAMES else UNSURE
    return Timing(sigmas=(sigmas[0], sigmas[1]), pairs=(counts[0], counts[1]), verdict=verdict)
