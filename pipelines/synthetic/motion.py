"""Smooth motion of rigid bodies through given poses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simipu.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    from simipu.records import FloatArray


class Trajectory:
    """The pose of a body at any time.

    Between the given poses the position is a cubic Hermite curve, and so is the quaternion of the
    rotation, which is then brought to unit length. Their slopes at the given poses are those of
    the parabola through each pose and its two neighbours, so the motion has a continuous velocity
    and one with constant acceleration is met exactly. Before the first pose and after the last
    one the body keeps its velocity: the linear one of the world frame and the angular one of its
    own frame.

    Bit for bit, the pose at one time does not depend on which other times are asked for with it.
    """

    def __init__(self, t_s: FloatArray, position: FloatArray, quaternion: FloatArray) -> None:
        """See `through`. position: (K, 3); quaternion: (K, 4) w x y z, signs already aligned."""
        self._t_s = t_s
        self._cubics = _hermite(t_s, np.concatenate([position, quaternion], axis=1))
        self._latest: tuple[float, FloatArray] | None = None

    @classmethod
    def through(cls, t_s: npt.ArrayLike, T_world_from_body: npt.ArrayLike) -> Trajectory:
        """Make the motion that passes through poses.

        Args:
            t_s: (K,) times in seconds, increasing, K >= 1; one pose alone is a body at rest.
            T_world_from_body: (K, 4, 4) rigid poses; from one to the next the body turns by less
                than half a turn.

        Raises:
            UsageError: if the times do not increase or the shapes do not fit.
        """
        times = np.array(t_s, dtype=np.float64)
        poses = np.array(T_world_from_body, dtype=np.float64)
        if times.ndim != 1 or not len(times) or poses.shape != (len(times), 4, 4):
            raise UsageError(
                f"{times.shape} times and {poses.shape} poses do not make a trajectory",
                fix="Give (K,) times and (K, 4, 4) poses, K >= 1.",
            )
        if not (np.diff(times) > 0.0).all():
            raise UsageError("The times of a trajectory must increase", fix="Sort them.")
        return cls(times, poses[:, :3, 3], _aligned(_quaternions(poses[:, :3, :3])))

    @classmethod
    def at_rest(cls, T_world_from_body: npt.ArrayLike) -> Trajectory:
        """Return a body that stays at one pose, (4, 4)."""
        return cls.through([0.0], np.asarray(T_world_from_body, dtype=np.float64)[None])

    def pose(self, t_s: npt.ArrayLike) -> FloatArray:
        """Return T_world_from_body, float64.

        Args:
            t_s: one time, or (N,) times, in seconds.

        Returns:
            (4, 4), not to be written to, for one time, else (N, 4, 4).
        """
        if np.ndim(t_s):
            return self._poses(np.asarray(t_s, dtype=np.float64))
        # An image is computed in blocks, and each asks again where everything is.
        time = float(t_s)  # type: ignore[arg-type]
        if self._latest is None or (self._latest[0] != time and len(self._t_s) > 1):
            pose = self._poses(np.array([time]))[0]
            pose.setflags(write=False)
            self._latest = time, pose
        return self._latest[1]

    def _poses(self, t: FloatArray) -> FloatArray:
        inside = np.clip(t, self._t_s[0], self._t_s[-1])
        value, slope = self._at(inside)
        beyond = t - inside
        poses = np.zeros((len(t), 4, 4))
        poses[:, :3, :3] = _rotations(value[:, 3:])
        poses[:, :3, 3] = value[:, :3] + beyond[:, None] * slope[:, :3]
        poses[:, 3, 3] = 1.0
        if len(self._t_s) > 1 and beyond.any():
            turned = _rotations_of_vectors(beyond[:, None] * _body_rates(value, slope))
            poses[:, :3, :3] = _product(poses[:, :3, :3], turned)
        return poses

    def velocity(self, t_s: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return the derivative of `pose`.

        Args:
            t_s: one time, or (N,) times, in seconds.

        Returns:
            linear: (3,) or (N, 3) float64, m/s along the world's axes.
            angular: (3,) or (N, 3) float64, rad/s about the body's own axes.
        """
        t = np.atleast_1d(np.asarray(t_s, dtype=np.float64))
        value, slope = self._at(np.clip(t, self._t_s[0], self._t_s[-1]))
        linear, angular = slope[:, :3], _body_rates(value, slope)
        return (linear, angular) if np.ndim(t_s) else (linear[0], angular[0])

    def top_speeds(self) -> tuple[float, float]:
        """Return bounds, for all times, of the linear speed in m/s and the angular one in rad/s."""
        step = np.append(np.diff(self._t_s), 0.0)[: len(self._cubics), None]
        a, b, c, d = np.moveaxis(self._cubics, 1, 0)
        # A polynomial stays within the hull of its Bezier points, and so does its slope.
        value = np.stack([a, a + b * step / 3, a + (2 * b + c * step) * step / 3, a])
        value[3] += (b + (c + d * step) * step) * step
        slope = np.stack([b, b + c * step, b + (2 * c + 3 * d * step) * step])
        linear = np.sqrt((slope[..., :3] ** 2).sum(axis=2).max())
        quaternion = value[..., 3:]
        middle = quaternion[0] + quaternion[3]
        middle /= np.sqrt((middle**2).sum(axis=1))[:, None]
        shortest = (quaternion * middle).sum(axis=2).min(axis=0)
        angular = 2.0 * np.sqrt((slope[..., 3:] ** 2).sum(axis=2)).max(axis=0) / shortest
        return float(linear), float(angular.max())

    def _at(self, t: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return position and raw quaternion, (N, 7), and their slopes, for times in between."""
        piece = np.clip(np.searchsorted(self._t_s, t, side="right") - 1, 0, len(self._cubics) - 1)
        x = (t - self._t_s[piece])[:, None]
        a, b, c, d = np.moveaxis(self._cubics[piece], 1, 0)
        return a + x * (b + x * (c + x * d)), b + x * (2.0 * c + x * (3.0 * d))


def _hermite(t: FloatArray, value: FloatArray) -> FloatArray:
    """Return coefficients (max(K - 1, 1), 4, D), of powers of t - t[k], for values (K, D)."""
    if len(t) == 1:
        zeros = np.zeros_like(value)
        return np.stack([value, zeros, zeros, zeros], axis=1)
    step = np.diff(t)[:, None]
    chord = np.diff(value, axis=0) / step
    slope = np.empty_like(value)
    slope[0], slope[-1] = chord[0], chord[-1]
    if len(t) > 2:
        before, after = step[:-1], step[1:]
        slope[1:-1] = (after * chord[:-1] + before * chord[1:]) / (before + after)
        slope[0] = 2.0 * chord[0] - slope[1]
        slope[-1] = 2.0 * chord[-1] - slope[-2]
    first, last = slope[:-1], slope[1:]
    square = (3.0 * chord - 2.0 * first - last) / step
    cube = (first + last - 2.0 * chord) / step**2
    return np.stack([value[:-1], first, square, cube], axis=1)


def _quaternions(R: FloatArray) -> FloatArray:
    """Return unit quaternions (N, 4), w x y z, of rotations (N, 3, 3)."""
    xx, yy, zz = R[:, 0, 0], R[:, 1, 1], R[:, 2, 2]
    # Four times the products of each component with the others; the row with the largest square
    # is the one that divides by no small number.
    rows = np.empty((len(R), 4, 4))
    rows[:, 0, 0] = 1.0 + xx + yy + zz
    rows[:, 1, 1] = 1.0 + xx - yy - zz
    rows[:, 2, 2] = 1.0 - xx + yy - zz
    rows[:, 3, 3] = 1.0 - xx - yy + zz
    for i, j, k in ((1, 2, 3), (2, 3, 1), (3, 1, 2)):
        rows[:, 0, i] = rows[:, i, 0] = R[:, k - 1, j - 1] - R[:, j - 1, k - 1]
        rows[:, j, k] = rows[:, k, j] = R[:, k - 1, j - 1] + R[:, j - 1, k - 1]
    best = np.argmax(np.diagonal(rows, axis1=1, axis2=2), axis=1)
    chosen: FloatArray = rows[np.arange(len(R)), best]
    unit: FloatArray = chosen / np.sqrt((chosen**2).sum(axis=1, keepdims=True))
    return unit


def _aligned(quaternion: FloatArray) -> FloatArray:
    """Return the same rotations with the signs that bring each near the one before it."""
    products = (quaternion[1:] * quaternion[:-1]).sum(axis=1)
    flips = np.where(products < 0.0, -1.0, 1.0)
    signs = np.concatenate([[1.0], np.cumprod(flips)])
    aligned: FloatArray = quaternion * signs[:, None]
    return aligned


def _rotations(quaternion: FloatArray) -> FloatArray:
    """Return rotations (N, 3, 3) of quaternions (N, 4) of any length."""
    w, x, y, z = quaternion.T
    s = 2.0 / (w * w + x * x + y * y + z * z)
    R = np.empty((len(quaternion), 3, 3))
    R[:, 0, 0], R[:, 1, 1], R[:, 2, 2] = (
        1.0 - s * (y * y + z * z),
        1.0 - s * (x * x + z * z),
        1.0 - s * (x * x + y * y),
    )
    R[:, 0, 1], R[:, 1, 0] = s * (x * y - w * z), s * (x * y + w * z)
    R[:, 0, 2], R[:, 2, 0] = s * (x * z + w * y), s * (x * z - w * y)
    R[:, 1, 2], R[:, 2, 1] = s * (y * z - w * x), s * (y * z + w * x)
    return R


def _body_rates(value: FloatArray, slope: FloatArray) -> FloatArray:
    """Return angular velocities (N, 3) about the body's axes.

    They are twice the vector part of conj(q) dq/dt for a unit q. For a q of another length, the
    change of length is along q itself and so in the scalar part only.
    """
    w, x, y, z = value[:, 3:].T
    dw, dx, dy, dz = slope[:, 3:].T
    s = 2.0 / (w * w + x * x + y * y + z * z)
    return np.stack(
        [
            s * (w * dx - x * dw - y * dz + z * dy),
            s * (w * dy - y * dw - z * dx + x * dz),
            s * (w * dz - z * dw - x * dy + y * dx),
        ],
        axis=1,
    )


def _rotations_of_vectors(vector: FloatArray) -> FloatArray:
    """Return rotations (N, 3, 3) about vectors (N, 3) by their lengths in radians."""
    half = 0.5 * np.sqrt((vector**2).sum(axis=1))
    sinc = 0.5 * np.sinc(half / np.pi)
    return _rotations(np.column_stack([np.cos(half), sinc[:, None] * vector]))


def _product(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return left @ right of (N, 3, 3), written out: see the promise of `Trajectory`."""
    columns = [
        left[:, :, 0] * right[:, 0, i, None]
        + left[:, :, 1] * right[:, 1, i, None]
        + left[:, :, 2] * right[:, 2, i, None]
        for i in range(3)
    ]
    return np.stack(columns, axis=2)
