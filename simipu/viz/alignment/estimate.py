"""Whether the calibration and the timing of a store hold: depth edges against image edges.

Where a LiDAR sees a surface end, the image should have an edge (Levinson and Thrun, "Automatic
online calibration of cameras and lasers", RSS 2013). The strength of the image's edges around
these places, summed over frames, peaks at the rotation that is missing from the calibration. The
uncertainty is that of an M-estimator (Huber's sandwich), each cell of each frame being one
observation. Images that fit the cloud of a neighbouring frame better than their own are out of
time.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simipu.viz.alignment.edges import find_edges, scan_lines
from simipu.viz.alignment.profiles import OFFSETS_DEG, Gradients
from simipu.viz.alignment.rotation import Fit, fit_rotation, image_motion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from simipu.records import FloatArray
    from simipu.store.reader import Store
    from simipu.store.views import CameraView, FrameView

IMAGE_BUDGET = 240
RUN = 3
TIME_REACH_DEG = 0.1

LEAST_EDGES = 100
# Of fewer frames the scatter says too little about the error: they can be off, but never good.
LEAST_FRAMES = 5
LEAST_PAIRS = 4
LEAST_PEAK = 5.0
FLAGGED_DEG = 0.28
FLAGGED_GAIN = 3.0
MOST_SIGMA_DEG = 0.15
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
        edges: number of depth edges compared.
        peak: standard deviations by which the best fit stands out of chance.
        gain: standard deviations by which it is better than the calibration as stored.
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


class _Seen(NamedTuple):
    profiles: FloatArray  # (2, cells, offsets + 1)
    fit: tuple[float | None, float, float | None]  # of the image before, its own, the one after


def estimate_alignment(
    store: Store, *, progress: Callable[[Iterable[int]], Iterable[int]] = iter
) -> Alignment:
    """Compare depth edges with image edges over frames spread over a store.

    At most `IMAGE_BUDGET` images are read, in runs of frames that follow each other. Only the
    correspondences, images and calibration of the store are used.

    Raises:
        StoreError: the store has no correspondences.
    """
    chosen = choose_frames(store)
    seen: dict[str, list[_Seen]] = {name: [] for name in store.cameras}
    views: dict[str, CameraView] = {}
    before: _Frame | None = None
    pending: _Frame | None = None
    for index in chain(progress(chosen), [None]):
        after = None if index is None else _Frame(store[index])
        if pending is not None:
            pending.compare(before, after, seen)
            views |= pending.views
        before, pending = pending, after
    names = [name for name in store.cameras if seen[name]]
    units = {name: np.array([one.profiles for one in seen[name]]) for name in names}
    turns = {name: image_motion(views[name]) for name in names}
    cameras = {name: _rotation(units[name], turns[name], views[name]) for name in names}
    timing = {name: _timing([one.fit for one in seen[name]], frames=len(chosen)) for name in names}
    if len(names) > 1:
        timing[ALL_CAMERAS] = _timing(
            [one.fit for name in names for one in seen[name]], frames=len(chosen)
        )
    lidar = _lidar_rotation(units, turns, views) if len(names) > 1 else None
    return Alignment(cameras, lidar, timing, len(chosen))


def choose_frames(store: Store) -> list[int]:
    """Indices of frames to look at: runs of `RUN`, spread evenly over the store."""
    images = max(len(store.cameras), 1)
    most = max(IMAGE_BUDGET // images, RUN)
    if len(store) <= most:
        return list(range(len(store)))
    starts = np.linspace(0, len(store) - RUN, most // RUN).astype(int)
    return [int(index) for index in np.unique(starts[:, None] + np.arange(RUN))]


class _Frame:
    """A frame's depth edges and image edges, kept while its neighbours are compared with it."""

    def __init__(self, frame: FrameView) -> None:
        self.index, self.scene = frame.index, frame.scene
        line = scan_lines(frame.points)
        self.views = dict(frame.cameras) if line is not None else {}
        self.edges = {
            name: find_edges(view.correspondences, line)
            for name, view in self.views.items()
            if line is not None
        }
        self.gradients = {
            name: Gradients(view.image(), float(view.K[0, 0])) for name, view in self.views.items()
        }

    def compare(
        self, before: _Frame | None, after: _Frame | None, seen: dict[str, list[_Seen]]
    ) -> None:
        """Note how the edges of every camera fit its own image and those beside it."""
        for name, view in self.views.items():
            own = self.gradients[name].profiles(self.edges[name], view.width, view.height)
            fits = [self._fit_of(other, name, view) for other in (before, after)]
            seen[name].append(_Seen(own, (fits[0], _central(own), fits[1])))

    def _fit_of(self, other: _Frame | None, name: str, view: CameraView) -> float | None:
        """How well the edges fit the image of a neighbour; None where it is none."""
        if other is None or name not in other.gradients or other.scene != self.scene:
            return None
        if abs(other.index - self.index) != 1:
            return None
        profiles = other.gradients[name].profiles(self.edges[name], view.width, view.height)
        return _central(profiles)


def _central(profiles: FloatArray) -> float:
    """Mean strength of the image's edges where the LiDAR expects them."""
    middle = np.abs(OFFSETS_DEG) <= TIME_REACH_DEG + 1e-9
    strength = profiles[..., :-1][..., middle].mean(axis=-1).sum()
    return float(strength / max(profiles[..., -1].sum(), 1.0))


def _rotation(units: FloatArray, turn: FloatArray, view: CameraView | None) -> Rotation:
    fit = fit_rotation(units, turn)
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
        edges=fit.edges,
        peak=fit.peak,
        gain=fit.gain,
        verdict=_judge(fit, len(units)),
    )


def _lidar_rotation(
    units: dict[str, FloatArray], turns: dict[str, FloatArray], views: dict[str, CameraView]
) -> Rotation:
    """Fit one rotation of the LiDAR to all cameras: each alone may see too little."""
    frames = max(len(of_camera) for of_camera in units.values())
    padded = [
        np.concatenate([each, np.zeros((frames - len(each), *each.shape[1:]))])
        for each in units.values()
    ]
    turned = [
        np.tensordot(views[name].T_camera_from_lidar[:3, :3].T, turn, axes=1)
        for name, turn in turns.items()
    ]
    return _rotation(np.concatenate(padded, axis=2), np.concatenate(turned, axis=2), None)


def _judge(fit: Fit, frames: int) -> str:
    if fit.edges < LEAST_EDGES or fit.peak < LEAST_PEAK:
        return UNSURE
    sure = fit.sigma <= MOST_SIGMA_DEG
    off = np.abs(fit.angles) - fit.sigma > FLAGGED_DEG
    if (sure & off).any() and fit.gain > FLAGGED_GAIN:
        return BAD
    if frames < LEAST_FRAMES:
        return UNSURE
    return GOOD if sure.all() and (np.abs(fit.angles) <= FLAGGED_DEG).all() else UNSURE


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
