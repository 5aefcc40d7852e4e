"""Projection into images whose lines are exposed one after the other.

While such an image is read out, the camera moves with the vehicle. T_camera_from_lidar holds at one
time t0, the image's timestamp. Let tau = t - t0, let v and w be the vehicle's velocities at t0, and
let it go on with them: the origin of the ego frame along a straight line in the world, its axes
turning about w at a constant rate. With all vectors along the camera's axes at t0 and o the
camera's centre in the ego frame, a point that stands still and is at X in the camera frame at t0
is at

    c(tau) = exp(-tau [w]x) (X + o - tau v) - o

and is seen in the direction (c_x, c_y) / c_z, at the pixel (u, v) that the lens makes of it. It is
in the image at the time at which the line that it then falls on is exposed:

    F(tau) = line_time(tau) - tau = 0

What a line is, and when it is exposed, is one of `Timing`:

* "pixels": a line is a column (or row) of pixels, and its time grows evenly from ``start`` at one
  edge of the image to ``end`` at the other. This is what a sensor does.
* "directions": a line is a plane of equal c_x / c_z (or c_y / c_z), and its time grows evenly with
  that, by the whole read-out between the two edges at mid height (or width); on the optical axis it
  is the time of "pixels". Waymo's own projections are made so; the two differ only by what the lens
  distorts.

The root is sought where F changes its sign between the times of the first and the last line. A
point without a change of sign is not in the image, or it moves along with the lines, faster than
they are read, and is in the image twice: such a point has no solution here. To make F continuous,
a point beside the camera or behind it is put at a very small depth, and a direction beyond the
field in which the distortion is one-to-one on the border of that field. Both matter only outside
of the image, or where a solution is refused at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from simipu.geometry import camera, projection
from simipu.geometry.lens import SMALLEST_DEPTH_M, Lens
from simipu.geometry.roots import find_roots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simipu.records import FloatArray, Shutter

Timing = Literal["pixels", "directions"]

_SOLVED_PX = 1e-7


def project(
    xyz: npt.ArrayLike,
    *,
    T_camera_from_lidar: FloatArray,
    T_ego_from_camera: FloatArray,
    K: FloatArray,
    distortion: FloatArray,
    width: int,
    height: int,
    shutter: Shutter,
    timestamp_ns: int,
    timing: Timing = "pixels",
) -> tuple[npt.NDArray[np.intp], FloatArray, FloatArray]:
    """Find the points that are in an image with a rolling shutter.

    Without motion this is `simipu.geometry.projection.project`, limited to the image.

    Args:
        xyz: (N, 3) points in the lidar frame, metres, of any real dtype.
        T_camera_from_lidar: (4, 4) float64, at the image's timestamp.
        T_ego_from_camera: (4, 4) float64 mounting pose.
        K: (3, 3) float64 pinhole matrix with last row 0 0 1.
        distortion: (5,) float64 Brown coefficients k1 k2 p1 p2 k3.
        width: of the image in pixels; it spans [-0.5, width - 0.5).
        height: of the image in pixels; it spans [-0.5, height - 0.5).
        shutter: direction and times of the lines, and the vehicle's velocities.
        timestamp_ns: the image's timestamp.
        timing: see the module's text.

    Returns:
        row: (M,) rows in xyz of the points in the image, ascending.
        uv: (M, 2) float64 pixels, integers at pixel centres, inside the image.
        depth: (M,) float64 metres along the optical axis when the point's line is exposed.

    Raises:
        UsageError: the timing is "directions", and the lens has no direction for an edge.
    """
    R_camera_from_ego = T_ego_from_camera[:3, :3].T
    motion = _Motion(
        centre=R_camera_from_ego @ T_ego_from_camera[:3, 3],
        linear=R_camera_from_ego @ shutter.linear_velocity_m_s,
        angular=R_camera_from_ego @ shutter.angular_velocity_rad_s,
    )
    lens = Lens(K, distortion, camera.max_radius(distortion), width, height)
    lines = _lines(lens, shutter, timestamp_ns, timing)
    first, last = lines.first_s, lines.last_s

    def line_time(c: Sequence[FloatArray]) -> FloatArray:
        x, y = lens.directions(*c)
        return lines.at_zero + lines.slope * lens.pixels_and_directions(x, y)[lines.coordinate]

    points = projection.columns(xyz)
    with np.errstate(invalid="ignore", over="ignore"):
        T_middle = motion.after((first + last) / 2.0) @ T_camera_from_lidar
        row = _maybe_seen(
            projection.moved(T_middle, points), motion, (last - first) / 2.0, lens.field()
        )
        points = points[:, row]
        at_first, at_last = (
            line_time(projection.moved(motion.after(tau) @ T_camera_from_lidar, points)) - tau
            for tau in (first, last)
        )
        changes = at_first * at_last <= 0.0
        row, at_first, at_last = row[changes], at_first[changes], at_last[changes]
        at_timestamp = np.array(projection.moved(T_camera_from_lidar, points[:, changes]))
        tau = find_roots(
            lambda tau, part: line_time(motion.seen(at_timestamp[:, part], tau)) - tau,
            (first, last),
            (at_first, at_last),
            tolerance=_SOLVED_PX * lines.per_pixel_s,
        )
        x, y, depth = motion.seen(at_timestamp, tau)
        u, v, *_ = lens.pixels_and_directions(*lens.directions(x, y, depth))
        seen = (depth > SMALLEST_DEPTH_M) & (x * x + y * y <= (lens.max_radius * depth) ** 2)
        seen &= (u >= -0.5) & (u < width - 0.5) & (v >= -0.5) & (v < height - 0.5)
    return row[seen], np.stack([u[seen], v[seen]], axis=1), depth[seen]


@dataclass(frozen=True, slots=True, eq=False)
class _Motion:
    """How the vehicle moves: (3,) vectors along the camera's axes at the image's timestamp.

    Attributes:
        centre: of the camera, from the origin of the ego frame.
        linear, angular: velocities of the ego frame.
    """

    centre: FloatArray
    linear: FloatArray
    angular: FloatArray

    def seen(self, at_timestamp: FloatArray, tau: FloatArray) -> list[FloatArray]:
        """Return x, y, z in the camera frame, each at its own time, of points that stand still."""
        wx, wy, wz = self.angular
        x, y, z = (
            p + (o - tau * v)
            for p, o, v in zip(at_timestamp, self.centre, self.linear, strict=True)
        )
        rate = math.sqrt(wx * wx + wy * wy + wz * wz)
        if rate > 0.0:
            # exp(-tau [w]x) q = q - sin(a) / |w| (w x q) + (1 - cos(a)) / |w|^2 w x (w x q), and
            # w x (w x q) = w (w q) - |w|^2 q.
            angle = rate * tau
            sine, versine = np.sin(angle) / rate, 1.0 - np.cos(angle)
            along = (wx * x + wy * y + wz * z) * (versine / rate**2)
            x, y, z = (
                x - sine * (wy * z - wz * y) + along * wx - versine * x,
                y - sine * (wz * x - wx * z) + along * wy - versine * y,
                z - sine * (wx * y - wy * x) + along * wz - versine * z,
            )
        return [e - o for e, o in zip((x, y, z), self.centre, strict=True)]

    def after(self, tau: float) -> FloatArray:
        """Return T, (4, 4): camera frame at a time from camera frame at the timestamp."""
        T = np.eye(4)
        origin_and_axes = np.column_stack([np.zeros(3), np.eye(3)])
        origin, *axes = np.array(self.seen(origin_and_axes, np.full(4, tau))).T
        T[:3, :3] = np.array(axes).T - origin[:, None]
        T[:3, 3] = origin
        return T


@dataclass(frozen=True, slots=True)
class _Lines:
    """When lines are exposed: ``at_zero + slope * coordinate``; seconds from the timestamp.

    Attributes:
        coordinate: which one, an index of u, v, x, y.
        first_s, last_s: between these lie the times of all lines.
        per_pixel_s: time from one line to the next.
    """

    coordinate: int
    at_zero: float
    slope: float
    first_s: float
    last_s: float
    per_pixel_s: float


def _lines(lens: Lens, shutter: Shutter, timestamp_ns: int, timing: Timing) -> _Lines:
    # Differences of whole nanoseconds: float64 seconds since 1970 resolve 238 ns only.
    first, last = (1e-9 * (ns - timestamp_ns) for ns in (shutter.start_ns, shutter.end_ns))
    axis = 0 if shutter.direction in ("left_to_right", "right_to_left") else 1
    size = (lens.width, lens.height)
    backwards = shutter.direction in ("right_to_left", "bottom_to_top")
    per_pixel = (last - first) / size[axis]
    slope = -per_pixel if backwards else per_pixel
    at_zero = (last if backwards else first) + 0.5 * slope
    if timing == "pixels":
        return _Lines(axis, at_zero, slope, first, last, per_pixel)
    edges = [[(size[0] - 1) / 2.0, (size[1] - 1) / 2.0] for _ in range(2)]
    edges[0][axis], edges[1][axis] = -0.5, size[axis] - 0.5
    x = [lens.undistorted(*edge)[axis] for edge in edges]
    on_axis = at_zero + slope * lens.K[axis, 2]
    # Farther from mid height the edges lie in other directions, and are exposed a little off.
    spare = 0.25 * (last - first)
    return _Lines(
        2 + axis,
        on_axis,
        slope * size[axis] / (x[1] - x[0]),
        first - spare,
        last + spare,
        per_pixel,
    )


def _maybe_seen(
    xyz: Sequence[FloatArray], motion: _Motion, half_s: float, field_radius: float
) -> npt.NDArray[np.intp]:
    """Return the points that may be in the image.

    The others do not come into the cone around the field of view in ``half_s`` before and after
    the time for which the coordinates are given.
    """
    x, y, z = xyz
    speed = float(np.linalg.norm(motion.linear))
    rate = float(np.linalg.norm(motion.angular))
    distance_to_axis = np.sqrt(x * x + y * y)
    # |c'| <= |v| + |w| |c + o|, and |c + o| grows by no more than |v|.
    constant = half_s * (speed + rate * (float(np.linalg.norm(motion.centre)) + half_s * speed))
    reach = constant + half_s * rate * (distance_to_axis + np.abs(z))
    outside = distance_to_axis - field_radius * z
    return np.flatnonzero((z > -reach) & (outside <= math.hypot(1.0, field_radius) * reach))
