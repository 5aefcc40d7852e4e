"""The features that a method gives to the pixels and the points of one image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from simipu.data.augment import centre_view
from simipu.data.decode import decode_rgb
from simipu.data.photometric import NO_JITTER, prepare_images
from simipu.data.points import standardised_intensity
from simipu.data.sample import filled_cloud
from simipu.errors import UsageError

if TYPE_CHECKING:
    from simipu.data.augment import ImageView
    from simipu.data.config import SampleConfig
    from simipu.store.views import CameraView, FrameView
    from simipu.viz.encoders import Encoders, PointEncoder

Float32Array = npt.NDArray[np.float32]
MAX_CELLS = 8192
MAX_POINTS = 4096
CLOUDS_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ImagePoints:
    """An image as it is fed to the network, and points that lie in what the network sees of it.

    Attributes:
        camera: the image's camera.
        view: the part of the image that the network sees, and at which size.
        rows: (M,) rows of the points in the cloud.
        uv: (M, 2) their pixels in the stored image.
        visible: number of the camera's visible points in the view; M of them are here.
        xyz: (N, 3) metres, feature: (N, 1), of all points in the image: the points' surroundings.
        place: (M,) where in ``xyz`` the points are.
    """

    camera: CameraView
    view: ImageView
    rows: npt.NDArray[np.uint32]
    uv: Float32Array
    visible: int
    xyz: Float32Array
    feature: Float32Array
    place: npt.NDArray[np.intp]

    def find_row(self, row: int) -> int:
        """Which of the points a row of the cloud is.

        Raises:
            UsageError: none of them.
        """
        found = np.flatnonzero(self.rows == row)
        if not len(found):
            raise UsageError(
                f"point {row} is not where the network sees it with {self.camera.name}",
                where=f"--query-point {row}",
                fix="Choose one that is in the middle of the image; row numbers are in "
                "camera.correspondences.row.",
            )
        return int(found[0])

    def check_pixel(self, u: float, v: float) -> None:
        """Refuse a pixel that the network does not see.

        Raises:
            UsageError: it is outside of the view.
        """
        view = self.view
        right, bottom = view.left + view.width - 1, view.top + view.height - 1
        if not (view.left <= u <= right and view.top <= v <= bottom):
            raise UsageError(
                f"the network does not see the pixel {u:g},{v:g} of {self.camera.name}",
                where=f"--query {u:g},{v:g}",
                fix=f"It sees u from {view.left} to {right} and v from {view.top} to {bottom}.",
            )


def gather_points(
    frame: FrameView, camera: CameraView, sample: SampleConfig, *, include: int | None = None
) -> ImagePoints:
    """Choose what to compute features of: the camera's visible points, `MAX_POINTS` at most.

    Args:
        frame: the frame.
        camera: one of its cameras.
        sample: sizes that the method was trained with.
        include: row of a point that shall be among them, hidden or not, if it is in the image.

    Raises:
        StoreError: the store holds no correspondences.
        UsageError: the network sees no visible point.
    """
    matches = camera.correspondences
    xyz = frame.points.xyz[matches.row]
    range_m = np.linalg.norm(xyz, axis=1)
    farthest = math.inf if sample.max_range_m is None else sample.max_range_m
    near = np.flatnonzero((range_m >= sample.min_range_m) & (range_m <= farthest))
    row, uv, visible, xyz = matches.row[near], matches.uv[near], matches.visible[near], xyz[near]

    view = centre_view((camera.height, camera.width), (sample.height, sample.width))
    shown = view.map_uv(uv)
    inside = ((shown >= -0.5) & (shown < (view.out_width - 0.5, view.out_height - 0.5))).all(axis=1)
    candidates = np.flatnonzero(inside & visible)
    chosen = candidates
    if len(candidates) > MAX_POINTS:
        chosen = np.random.default_rng(0).choice(candidates, MAX_POINTS, replace=False)
    if include is not None:
        chosen = np.union1d(chosen, np.flatnonzero(inside & (row == include)))
    if not len(chosen):
        raise UsageError(
            f"the network sees no visible point with {camera.name}",
            where=f"--frame {frame.index}",
            fix="Choose another frame or camera.",
        )
    feature = np.zeros((len(row), 1), dtype=np.float32)
    if sample.intensity:
        feature = standardised_intensity(frame.points, row)
    return ImagePoints(
        camera=camera,
        view=view,
        rows=row[chosen],
        uv=uv[chosen],
        visible=len(candidates),
        xyz=xyz,
        feature=feature,
        place=chosen,
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Features:
    """Features of one image.

    Attributes:
        grid: (h, w, C) float32 at the centres of the cells of an even grid over the view.
        at_points: (M, C) float32 of the pixels at which the points lie.
        points: (M, C') float32 of the points.
        query: (C,) float32 of the pixel that was asked for, or None.
    """

    grid: Float32Array
    at_points: Float32Array
    points: Float32Array
    query: Float32Array | None


@torch.no_grad()
def compute_features(
    encoders: Encoders,
    image: ImagePoints,
    sample: SampleConfig,
    *,
    query: tuple[float, float] | None = None,
) -> Features:
    """Compute the features of a grid of pixels and of points, in the view that one evaluates with.

    Args:
        encoders: what to compute; both in evaluation mode.
        image: the image and its points.
        sample: sizes that the method was trained with.
        query: a further pixel (u, v) of the stored image.
    """
    view = image.view
    decoded = view.apply(decode_rgb(image.camera.encoded(), where=image.camera.where))
    network_image = prepare_images(decoded[None], torch.from_numpy(NO_JITTER)[None])

    cell = math.ceil(math.sqrt(view.out_height * view.out_width / MAX_CELLS))
    height, width = view.out_height // cell, view.out_width // cell
    v, u = np.mgrid[:height, :width].astype(np.float32) + np.float32(0.5)
    step_u, step_v = view.out_width / width, view.out_height / height
    grid = np.stack([step_u * u - 0.5, step_v * v - 0.5], axis=-1)
    uv = [grid.reshape(-1, 2).astype(np.float32), view.map_uv(image.uv)]
    if query is not None:
        uv.append(view.map_uv(np.array([query], dtype=np.float32)))
    pixels = encoders.pixels(network_image, torch.from_numpy(np.concatenate(uv))[None])[0].numpy()
    cells, count = height * width, len(image.rows)
    return Features(
        grid=pixels[:cells].reshape(height, width, -1),
        at_points=pixels[cells : cells + count],
        points=_encode_points(encoders.points, image, sample),
        query=pixels[-1] if query is not None else None,
    )


def _encode_points(encode: PointEncoder, image: ImagePoints, sample: SampleConfig) -> Float32Array:
    """Features of all points, as many at a time as a cloud has pairs, amid random others."""
    rng = np.random.default_rng(0)
    total, own = len(image.xyz), min(sample.pairs, len(image.place))
    parts, clouds = [], []
    starts = [*range(0, len(image.place) - own, own), len(image.place) - own]
    for start in starts:
        first = image.place[start : start + own]
        others = np.setdiff1d(np.arange(total), first, assume_unique=True)
        room = min(sample.points - own, len(others))
        chosen = np.concatenate([first, rng.choice(others, room, replace=False)])
        clouds.append(filled_cloud(image.xyz[chosen], image.feature[chosen], sample.points))
    for start in range(0, len(clouds), CLOUDS_AT_ONCE):
        joined = zip(*clouds[start : start + CLOUDS_AT_ONCE], strict=True)
        batch = type(clouds[0])(*(torch.stack(part) for part in joined))
        parts += list(encode(batch, own).numpy())
    features = np.empty((len(image.place), parts[0].shape[1]), dtype=np.float32)
    for start, part in zip(starts, parts, strict=True):
        features[start : start + own] = part
    return features
