"""Images: a ray through the centre of every pixel, each at the time at which it is exposed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np

from simipu.errors import UsageError
from simipu.geometry.camera import max_radius

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from simipu.records import FloatArray

    from .caster import Caster
    from .hits import Hits
    from .look import Look
    from .motion import Trajectory
    from .sensors import CameraModel

    _Float32 = npt.NDArray[np.float32]

_BLOCK_PX = 1 << 15
"""Pixels that are computed at a time: few enough for what is in work to stay in the cache."""

_GRAZING = 0.05
"""Cosine of the angle of incidence below which a pixel's footprint grows no more."""


_NEWTON_STEPS = 8
_SOLVED = 1e-12
"""Of the focal length."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Image:
    """What a camera saw.

    Attributes:
        rgb: (H, W, 3) uint8.
        depth: (H, W) float32 metres along the optical axis at the pixels' centres, inf for sky.
    """

    rgb: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]


def exposure_s(camera: CameraModel, u: npt.ArrayLike, t_s: float) -> FloatArray:
    """Return the time, in seconds, at which columns of pixels are exposed.

    Args:
        camera: the camera.
        u: horizontal pixel coordinates, integers at pixel centres; the left edge of the image is
            at -0.5.
        t_s: exposure time of the image, or of its left edge if it is read out column by column.
    """
    share = (np.asarray(u, dtype=np.float64) + 0.5) / camera.width
    exposed: FloatArray = t_s + camera.readout_s * share
    return exposed


def take(caster: Caster, look: Look, camera: CameraModel, ego: Trajectory, t_s: float) -> Image:
    """Take an image.

    Args:
        caster: of the world.
        look: of the world.
        camera: the camera.
        ego: T_world_from_ego.
        t_s: as `exposure_s`.
    """
    # Column by column, as a rolling shutter exposes them: (W, H) until the end. Every other one
    # is upside down until then, so that rays that follow each other are neighbours.
    grid = _slopes(camera.width, camera.height, camera.K.tobytes(), camera.distortion.tobytes())
    rgb = np.empty((camera.width, camera.height, 3), dtype=np.uint8)
    depth = np.empty((camera.width, camera.height), dtype=np.float32)
    step = max(1, _BLOCK_PX // camera.height)
    middle_s = t_s + camera.readout_s / 2.0
    eye = (ego.pose(middle_s) @ camera.T_ego_from_camera)[:3, 3]
    shade = partial(look.color, eye=eye, t_s=middle_s)
    for first in range(0, camera.width, step):
        columns = np.arange(first, min(first + step, camera.width))
        block = slice(first, first + len(columns))
        colours, depths = _columns(caster, shade, camera, ego, t_s, columns, grid[:, block])
        rgb[block] = colours.reshape(len(columns), camera.height, 3)
        depth[block] = depths.reshape(len(columns), camera.height)
    rgb[1::2], depth[1::2] = rgb[1::2, ::-1].copy(), depth[1::2, ::-1].copy()
    return Image(
        rgb=np.ascontiguousarray(rgb.transpose(1, 0, 2)), depth=np.ascontiguousarray(depth.T)
    )


def _columns(
    caster: Caster,
    shade: Callable[[Hits, _Float32, _Float32, _Float32], npt.NDArray[np.uint8]],
    camera: CameraModel,
    ego: Trajectory,
    t_s: float,
    columns: npt.NDArray[np.intp],
    xy: FloatArray,
) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """Return colours (N, 3) and depths (N,) of some columns of pixels, column by column."""
    x, y = xy
    if camera.readout_s > 0.0:
        t_column = exposure_s(camera, columns, t_s)
        T = ego.pose(t_column) @ camera.T_ego_from_camera
        times: float | FloatArray = np.repeat(t_column, camera.height)
        origins = np.repeat(T[:, :3, 3], camera.height, axis=0)
    else:
        T = (ego.pose(t_s) @ camera.T_ego_from_camera)[None]
        times, origins = t_s, T[0, :3, 3]
    components = np.empty((3, x.size))
    for i, component in enumerate(components):
        component.reshape(x.shape)[:] = T[:, None, i, 0] * x + T[:, None, i, 1] * y
        component.reshape(x.shape)[:] += T[:, None, i, 2]
    rays = components.T
    hits = caster.cast(origins, rays, times)
    length = np.sqrt(x * x + y * y + 1.0).astype(np.float32).ravel()
    short = components.astype(np.float32)
    reach = hits.distance.astype(np.float32)
    np.copyto(reach, np.float32(0.0), where=np.isinf(reach))
    points = (short * reach).T + origins.astype(np.float32)
    short /= length
    facing = hits.approach / length
    np.maximum(facing, np.float32(_GRAZING), out=facing)
    focal_px = np.float32(np.sqrt(camera.K[0, 0] * camera.K[1, 1]))
    # As long as wide if it faces the camera, else longer: the mean is that of the logarithms.
    footprint = reach * length / (focal_px * np.sqrt(facing))
    return shade(hits, points, short.T, footprint), hits.distance


@lru_cache(maxsize=6)  # as many cameras as a rig has, at most
def _slopes(width: int, height: int, K: bytes, distortion: bytes) -> FloatArray:
    """Return (2, W, H) float64: X / Z and Y / Z of the rays through the centres of all pixels.

    Every other column is upside down.
    """
    u, v = np.meshgrid(np.arange(width), np.arange(height), indexing="ij")
    v[1::2] = v[1::2, ::-1].copy()
    uv = np.stack([u.ravel(), v.ravel()], axis=1)
    x, y = slopes(uv, np.frombuffer(K).reshape(3, 3), np.frombuffer(distortion))
    grid = np.stack([x, y]).reshape(2, width, height)
    grid.setflags(write=False)
    return grid


def slopes(
    uv: npt.ArrayLike, K: FloatArray, distortion: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the directions that a camera sees at pixels: the inverse of its projection.

    Args:
        uv: (N, 2) pixels, integers at pixel centres.
        K: (3, 3) float64 pinhole matrix.
        distortion: (5,) float64 Brown coefficients k1 k2 p1 p2 k3.

    Returns:
        x, y: (N,) float64, X / Z and Y / Z in the camera frame.

    Raises:
        UsageError: if the distortion sends no direction to one of the pixels.
    """
    u, v = np.asarray(uv, dtype=np.float64).T
    y = (v - K[1, 2]) / K[1, 1]
    x = (u - K[0, 2] - K[0, 1] * y) / K[0, 0]
    return _undistorted(x, y, distortion) if distortion.any() else (x, y)


def _undistorted(
    x_seen: FloatArray, y_seen: FloatArray, distortion: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Solve the Brown model for the direction, by Newton's method in both coordinates."""
    k1, k2, p1, p2, k3 = distortion
    x, y = x_seen.copy(), y_seen.copy()
    for _ in range(_NEWTON_STEPS):
        xx, xy, yy = x * x, x * y, y * y
        s = xx + yy
        radial = 1.0 + s * (k1 + s * (k2 + s * k3))
        change = 2.0 * (k1 + s * (2.0 * k2 + s * 3.0 * k3))  # of radial, by x dx + y dy
        off_x = x * radial + 2.0 * p1 * xy + p2 * (s + 2.0 * xx) - x_seen
        off_y = y * radial + p1 * (s + 2.0 * yy) + 2.0 * p2 * xy - y_seen
        x_by_x = radial + change * xx + 2.0 * p1 * y + 6.0 * p2 * x
        y_by_y = radial + change * yy + 6.0 * p1 * y + 2.0 * p2 * x
        mixed = change * xy + 2.0 * p1 * x + 2.0 * p2 * y
        scale = 1.0 / (x_by_x * y_by_y - mixed * mixed)
        x -= scale * (y_by_y * off_x - mixed * off_y)
        y -= scale * (x_by_x * off_y - mixed * off_x)
    # One step more would be far below this.
    solved = np.hypot(off_x, off_y) < _SOLVED
    if not (solved & (x * x + y * y < max_radius(distortion) ** 2)).all():
        raise UsageError(
            "A camera's distortion does not reach all of its image",
            fix="Give it a smaller image or a weaker distortion.",
        )
    return x, y
