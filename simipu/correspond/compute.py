"""From the points of a sweep and a camera's calibration to rows, pixels, depth and visibility."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from simipu.correspond import occlusion
from simipu.correspond.occlusion_rules import APART_M
from simipu.errors import UsageError
from simipu.geometry import frustum, projection
from simipu.geometry.shutter import project as project_rolling
from simipu.records import Correspondences

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from simipu.correspond.policy import Policy
    from simipu.records import Column, FloatArray, Shutter

_INFINITY = np.float32(np.inf)
PUBLISHED = ("projection", "projection2")
"""Point columns <prefix>_camera, <prefix>_x and <prefix>_y hold a data set's own projection."""


def correspond(
    xyz: npt.NDArray[np.floating[Any]],
    *,
    T_camera_from_lidar: FloatArray,
    K: FloatArray,
    distortion: FloatArray,
    width: int,
    height: int,
    policy: Policy,
    T_ego_from_lidar: FloatArray | None = None,
    ego_box_m: Sequence[float] | None = None,
    shutter: Shutter | None = None,
    timestamp_ns: int | None = None,
    T_ego_from_camera: FloatArray | None = None,
    published: Published | None = None,
    lasers: Lasers | None = None,
) -> Correspondences:
    """Find every point that is in front of the camera and inside its image.

    Args:
        xyz: (N, 3) points in the lidar frame, metres; non-finite points are never rows. Fastest
            as the transpose of (3, N) float32 columns.
        T_camera_from_lidar: (4, 4) float64, with the ego motion between sweep and image in it.
        K: (3, 3) float64 pinhole matrix.
        distortion: (5,) float64 Brown coefficients k1 k2 p1 p2 k3.
        width: of the image in pixels; it spans [-0.5, width - 0.5).
        height: of the image in pixels; it spans [-0.5, height - 0.5).
        policy: where pixels come from, smallest depth, borders, occlusion test, and what becomes of
            the ego points.
        T_ego_from_lidar: (4, 4) float64 mounting pose, for ``ego_box_m``.
        ego_box_m: body of the recording vehicle in the ego frame (see `in_ego_box`); without
            both no point counts as an ego point.
        shutter: the image's rolling shutter, if it has one; it needs the two values below.
        timestamp_ns: of the image, when ``T_camera_from_lidar`` holds.
        T_ego_from_camera: (4, 4) float64 mounting pose.
        published: the data set's own projection into this image, for a policy that asks for it.
        lasers: where the points were measured from; None for the lidar frame's origin.

    Returns:
        The correspondences, computed in float64. Their float32 values keep the policy's bounds:
        a value that would be rounded over one becomes the nearest float32 inside.

    Raises:
        UsageError: xyz is not (N, 3), or the policy asks for a published projection that is not
            there.
    """
    if xyz.ndim != 2 or xyz.shape[1] != 3:
        raise UsageError(
            f"points must have shape (N, 3), not {xyz.shape}", fix="Give the columns x y z only."
        )
    points = np.ascontiguousarray(xyz.T)
    if points.dtype != np.float32:
        points = points.astype(np.float64, copy=False)
    low = [side - 0.5 for side in policy.margin_px[:2]]
    high = [width - 0.5 - policy.margin_px[2], height - 0.5 - policy.margin_px[3]]
    if policy.projection == "published":
        if published is None:
            raise UsageError(
                "the data set has no projection of its own",
                fix="Let it be computed: --projection computed.",
            )
        row, (u, v) = published
        _, _, z = projection.moved(T_camera_from_lidar, _some(points, row))
    elif shutter is None or policy.rolling_shutter == "ignore":
        # Most points of a full turn are not in the image: they are rejected before.
        row = frustum.candidates(
            points,
            T_camera_from_lidar,
            K,
            distortion,
            low=low,
            high=high,
            min_depth_m=policy.min_depth_m,
        )
        x, y, z = projection.moved(T_camera_from_lidar, _some(points, row))
        u, v = projection.pixels(x, y, z, K, distortion)
    else:
        if timestamp_ns is None or T_ego_from_camera is None:
            raise UsageError(
                "an image with a rolling shutter needs its timestamp and its camera's mounting",
                fix="Give both, or leave the shutter out.",
            )
        row, uv64, z = project_rolling(
            points.T,
            T_camera_from_lidar=T_camera_from_lidar,
            T_ego_from_camera=T_ego_from_camera,
            K=K,
            distortion=distortion,
            width=width,
            height=height,
            shutter=shutter,
            timestamp_ns=timestamp_ns,
            timing=policy.rolling_shutter,
        )
        u, v = uv64.T

    inside = np.flatnonzero(
        (u >= low[0])
        & (u < high[0])
        & (v >= low[1])
        & (v < high[1])
        & (z >= policy.min_depth_m)
        & (z <= np.finfo(np.float32).max)
    )
    row = row[inside]
    uv = np.stack(
        [_rounded(side[inside], *ends) for side, *ends in zip((u, v), low, high, strict=True)],
        axis=1,
    )
    depth = _rounded(z[inside], policy.min_depth_m, np.inf)

    visible = np.ones(len(row), dtype=np.bool_)
    if policy.ego_points != "keep" and T_ego_from_lidar is not None and ego_box_m is not None:
        visible = ~in_ego_box(_some(points, row).T, T_ego_from_lidar, ego_box_m)
        if policy.ego_points == "exclude":
            row, uv, depth = row[visible], uv[visible], depth[visible]
            visible = visible[visible]
    if policy.occlusion != "none":
        R, t = T_camera_from_lidar[:3, :3], T_camera_from_lidar[:3, 3]
        kept = np.flatnonzero(visible)
        epipole, is_apart = K @ t, None
        if lasers is not None:
            places = [R @ origin + t for origin in lasers.origins_m]
            of = lasers.of[row[kept]]
            epipole = np.array([K @ place for place in places])[of]
            is_apart = np.array([np.linalg.norm(place) > APART_M for place in places])[of]
        visible[kept] = occlusion.visible(uv.take(kept, axis=0), depth[kept], epipole, is_apart)
    return Correspondences(row=row.astype(np.uint32), uv=uv, depth=depth, visible=visible)


class Lasers(NamedTuple):
    """Where the points of a cloud were measured from, if not from one place.

    Attributes:
        origins_m: (L, 3) float64 positions in the lidar frame.
        of: (N,) which of them is each point's.
    """

    origins_m: FloatArray
    of: npt.NDArray[np.intp]


def lasers_of(laser: Column, origins_m: Mapping[int, Sequence[float]]) -> Lasers:
    """Collect where each point was measured from.

    Args:
        laser: (N,) number of each point's laser.
        origins_m: number -> x, y, z in the lidar frame; of any other it is the frame's origin.
    """
    of = np.zeros(len(laser), dtype=np.intp)
    for index, number in enumerate(origins_m, start=1):
        of[laser == number] = index
    return Lasers(np.array([(0.0, 0.0, 0.0), *origins_m.values()]), of)


class Published(NamedTuple):
    """A data set's own projection into one image.

    Attributes:
        row: (P,) rows of the points, ascending.
        uv: (2, P) float64 pixels, integers at pixel centres.
    """

    row: npt.NDArray[np.intp]
    uv: FloatArray


def published_projection(
    columns: Callable[[str], Column], names: Collection[str], camera: int
) -> Published | None:
    """Collect the published projection into one image from the columns of a cloud.

    Args:
        columns: returns the (N,) column of a name.
        names: of all columns; those of `PUBLISHED` say in which image a point lies, and where.
        camera: the image's number in these columns.

    Returns:
        The projection, or None where there are no such columns. A point that is published twice in
        one image counts once.
    """
    present = [prefix for prefix in PUBLISHED if f"{prefix}_camera" in names]
    if not present:
        return None
    rows, pixels = [], []
    for prefix in present:
        row = np.flatnonzero(columns(f"{prefix}_camera") == camera)
        rows.append(row)
        pixels.append([columns(f"{prefix}_{axis}")[row] for axis in "xy"])
    row, first = np.unique(np.concatenate(rows), return_index=True)
    return Published(row, np.concatenate(pixels, axis=1)[:, first].astype(np.float64))


def in_ego_box(
    xyz: npt.NDArray[np.floating[Any]], T_ego_from_lidar: FloatArray, ego_box_m: Sequence[float]
) -> npt.NDArray[np.bool_]:
    """Tell which points lie in a box around the recording vehicle: its own returns.

    Args:
        xyz: (N, 3) points in the lidar frame, metres.
        T_ego_from_lidar: (4, 4) float64.
        ego_box_m: the vehicle's body in the ego frame: x_min, y_min, z_min, x_max, y_max, z_max.

    Returns:
        (N,) bool.
    """
    points = projection.columns(xyz)
    inside = np.arange(len(xyz))
    with np.errstate(invalid="ignore", over="ignore"):
        for row, low, high in zip(T_ego_from_lidar[:3], ego_box_m[:3], ego_box_m[3:], strict=True):
            # Of what is far from the vehicle the first axis leaves little for the others.
            place = projection.along(row, points)
            left = np.flatnonzero((place >= low) & (place <= high))
            inside, points = inside[left], points.take(left, axis=1)
    found = np.zeros(len(xyz), dtype=np.bool_)
    found[inside] = True
    return found


def _some(points: npt.NDArray[np.floating[Any]], row: npt.NDArray[np.intp]) -> FloatArray:
    """Return (3, M) float64 columns of some rows."""
    return points.take(row, axis=1).astype(np.float64, copy=False)


def _rounded(values: FloatArray, low: float, high: float) -> npt.NDArray[np.float32]:
    """Return values of [low, high) as float32 that are there too."""
    largest = np.nextafter(_at_least(high), -_INFINITY)
    return np.minimum(np.maximum(values.astype(np.float32), _at_least(low)), largest)


def _at_least(bound: float) -> np.float32:
    """Return the smallest float32 that is not below the bound."""
    rounded = np.float32(bound)
    return np.nextafter(rounded, _INFINITY) if float(rounded) < bound else rounded
