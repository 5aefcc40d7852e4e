"""Rolling shutters against projection at one time and against brute force."""

from dataclasses import replace

import numpy as np
import pytest

from simipu.errors import UsageError
from simipu.geometry import projection, se3, shutter
from simipu.records import Shutter

K = np.array([[2060.0, 0.0, 949.5], [0.0, 2055.0, 634.5], [0.0, 0.0, 1.0]])
LENS = np.array([0.04, -0.33, 0.001, -0.0005, 0.0])
WIDTH, HEIGHT = 1920, 1280
T0_NS = 1_550_000_000_123_456_789
STILL = Shutter(
    direction="left_to_right",
    start_ns=T0_NS - 13_000_000,
    end_ns=T0_NS + 22_000_000,
    linear_velocity_m_s=np.zeros(3),
    angular_velocity_rad_s=np.zeros(3),
)
MOVING = replace(
    STILL,
    linear_velocity_m_s=np.array([17.0, -0.4, 0.2]),
    angular_velocity_rad_s=np.array([0.05, -0.08, 0.6]),
)
DIRECTIONS = ("left_to_right", "right_to_left", "top_to_bottom", "bottom_to_top")


def rotation(vector):
    """exp([vector]x) by its series."""
    x, y, z = vector
    generator = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    term = total = np.eye(3)
    for n in range(1, 25):
        term = term @ generator / n
        total = total + term
    return total


def pose(angles, place):
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = rotation(angles), place
    return T


# Looks to the left of the vehicle; a little crooked, as no axis is to be special.
T_EGO_FROM_CAMERA = pose([0.02, -0.01, 0.03], [1.4, 0.4, 2.1]) @ np.array(
    [[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]]
)
T_CAMERA_FROM_LIDAR = se3.invert(T_EGO_FROM_CAMERA) @ pose([0.01, 0.0, -0.02], [0.3, -0.1, 0.05])


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(3)
    directions = rng.standard_normal((40_000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return (directions * rng.uniform(0.3, 70.0, (40_000, 1))).astype(np.float32)


def project(points, moving, **changes):
    return shutter.project(
        points,
        **{
            "T_camera_from_lidar": T_CAMERA_FROM_LIDAR,
            "T_ego_from_camera": T_EGO_FROM_CAMERA,
            "K": K,
            "distortion": LENS,
            "width": WIDTH,
            "height": HEIGHT,
            "shutter": moving,
            "timestamp_ns": T0_NS,
            **changes,
        },
    )


def inside(uv):
    return ((uv >= -0.5) & (uv < [WIDTH - 0.5, HEIGHT - 0.5])).all(axis=1)


def T_camera_from_lidar_at(moving, tau):
    """By matrices: from the ego frame at the timestamp to that at another time."""
    T_now_from_then = se3.invert(
        pose(moving.angular_velocity_rad_s * tau, moving.linear_velocity_m_s * tau)
    )
    T_ego_from_lidar = T_EGO_FROM_CAMERA @ T_CAMERA_FROM_LIDAR
    return se3.invert(T_EGO_FROM_CAMERA) @ T_now_from_then @ T_ego_from_lidar


def lines_of(moving, uv):
    """Times of lines from the timestamp, for pixels or NaN."""
    start, end = ((t - T0_NS) * 1e-9 for t in (moving.start_ns, moving.end_ns))
    share = {
        "left_to_right": (uv[:, 0] + 0.5) / WIDTH,
        "right_to_left": 1 - (uv[:, 0] + 0.5) / WIDTH,
        "top_to_bottom": (uv[:, 1] + 0.5) / HEIGHT,
        "bottom_to_top": 1 - (uv[:, 1] + 0.5) / HEIGHT,
    }[moving.direction]
    return start + share * (end - start)


@pytest.mark.parametrize("lens", [LENS, np.zeros(5)], ids=["lens", "pinhole"])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("timing", ["pixels", "directions"])
def test_without_motion_it_is_the_plain_projection(points, direction, lens, timing):
    row, uv, depth = project(
        points, replace(STILL, direction=direction), distortion=lens, timing=timing
    )
    expected, its_depth = projection.project(points, T_CAMERA_FROM_LIDAR, K, lens)
    its_row = np.flatnonzero(inside(expected) & (its_depth > 1e-3))
    assert len(its_row) > 1000
    np.testing.assert_array_equal(row, its_row)
    np.testing.assert_allclose(uv, expected[row], rtol=0, atol=1e-9)
    np.testing.assert_allclose(depth, its_depth[row], rtol=0, atol=1e-12)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_an_image_that_is_exposed_at_one_other_time(points, direction):
    at_once = replace(
        MOVING, direction=direction, start_ns=T0_NS + 9_000_000, end_ns=T0_NS + 9_000_000
    )
    row, uv, depth = project(points, at_once)
    T = T_camera_from_lidar_at(at_once, 9e-3)
    expected, its_depth = projection.project(points, T, K, LENS)
    np.testing.assert_array_equal(row, np.flatnonzero(inside(expected) & (its_depth > 1e-3)))
    np.testing.assert_allclose(uv, expected[row], rtol=0, atol=1e-8)
    np.testing.assert_allclose(depth, its_depth[row], rtol=0, atol=1e-11)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("speed", [1.0, -2.0])
def test_every_point_is_seen_when_its_line_is_exposed(points, direction, speed):
    """At the time of the line it is found on, the plain projection is at the same pixel."""
    moving = replace(
        MOVING, direction=direction, linear_velocity_m_s=speed * MOVING.linear_velocity_m_s
    )
    row, uv, depth = project(points, moving)
    assert len(row) > 1000
    for k in np.linspace(0, len(row) - 1, 300).astype(int):
        tau = lines_of(moving, uv[k : k + 1])[0]
        T = T_camera_from_lidar_at(moving, tau)
        expected, its_depth = projection.project(points[row[k], None], T, K, LENS)
        np.testing.assert_allclose(uv[k], expected[0], rtol=0, atol=1e-6)
        np.testing.assert_allclose(depth[k], its_depth[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_no_point_of_the_image_is_missing(points, direction):
    """Looked for at many times: on an image whenever the line passes over the point."""
    moving = replace(MOVING, direction=direction)
    row, uv, _ = project(points, moving)
    start, end = ((t - T0_NS) * 1e-9 for t in (moving.start_ns, moving.end_ns))
    off, pixels, in_front = [], [], []
    times = np.linspace(start, end, 201)
    for tau in times:
        found, depth = projection.project(points, T_camera_from_lidar_at(moving, tau), K, LENS)
        off.append(lines_of(moving, found) - tau)
        pixels.append(found)
        in_front.append(depth > 0.05)
    off, pixels = np.array(off), np.array(pixels)
    crossings = (off[:-1] >= 0) & (off[1:] <= 0) & np.array(in_front[1:])
    assert (crossings.sum(axis=0) <= 1).all()
    step, found = np.nonzero(crossings)
    # The crossing lies between two samples: their pixels bound it.
    both = np.stack([pixels[step, found], pixels[step + 1, found]])
    surely = inside(both[0]) & inside(both[1])
    assert surely.sum() > 1000
    assert np.isin(found[surely], row).all()
    ours = np.full((len(points), 2), np.nan)
    ours[row] = uv
    slack = 1e-6 + 0.1 * np.abs(both[1] - both[0])
    low, high = both.min(axis=0) - slack, both.max(axis=0) + slack
    assert ((ours[found] >= low) & (ours[found] <= high)).all(axis=1)[surely].all()
    maybe = inside(np.clip(both, [0, 0], [WIDTH - 1, HEIGHT - 1]).min(axis=0))
    assert np.isin(row, found[maybe]).mean() > 0.999


def test_motion_shifts_pixels_by_tens(points):
    row, uv, _ = project(points, MOVING)
    expected, _ = projection.project(points, T_CAMERA_FROM_LIDAR, K, LENS)
    shift = np.linalg.norm(uv - expected[row], axis=1)
    assert np.nanpercentile(shift, 95) > 20


def test_times_are_not_rounded_to_float_seconds(points):
    """A clock of 1e9 s more, which float64 seconds could not hold, changes nothing."""
    later = 10**18 + 77
    moved = replace(MOVING, start_ns=MOVING.start_ns + later, end_ns=MOVING.end_ns + later)
    expected, found = project(points, MOVING), project(points, moved, timestamp_ns=T0_NS + later)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_point_does_not_depend_on_the_others(points):
    row, uv, depth = project(points, MOVING)
    for part in (slice(0, 1000), slice(5000, None, 7)):
        chosen = np.arange(len(points))[part]
        its_row, its_uv, its_depth = project(points[part], MOVING)
        own = np.isin(row, chosen)
        np.testing.assert_array_equal(chosen[its_row], row[own])
        np.testing.assert_array_equal(its_uv, uv[own])
        np.testing.assert_array_equal(its_depth, depth[own])


def test_points_that_are_nowhere_are_left_out():
    bad = np.array([[np.nan, 1, 1], [np.inf, 0, 0], [-np.inf, np.inf, 0], [0, -20, 0]])
    T = T_CAMERA_FROM_LIDAR
    at_camera = se3.invert(T)[:3, 3]
    row, uv, depth = project(np.vstack([bad, at_camera]), MOVING)
    assert (row.tolist(), uv.shape, depth.shape) == ([], (0, 2), (0,))
    row, uv, _ = project(np.empty((0, 3), dtype=np.float32), MOVING)
    assert (len(row), uv.shape) == (0, (0, 2))


@pytest.mark.parametrize("direction", ["left_to_right", "right_to_left"])
def test_a_point_that_overtakes_the_lines_is_found(direction):
    """Driving forwards, a camera that looks to the left sees things go by from right to left."""
    fast = replace(MOVING, direction=direction, linear_velocity_m_s=np.array([400.0, 0, 0]))
    beside = np.array([[x, 0.1, 2.0] for x in np.linspace(-6.0, 9.0, 200)])
    beside = se3.apply(se3.invert(T_CAMERA_FROM_LIDAR), beside)
    row, uv, _ = project(beside, fast)
    assert len(row) >= 10
    for k, r in enumerate(row):
        T = T_camera_from_lidar_at(fast, lines_of(fast, uv[k : k + 1])[0])
        expected, _ = projection.project(beside[r : r + 1], T, K, LENS)
        np.testing.assert_allclose(uv[k], expected[0], rtol=0, atol=1e-5)


def test_folded_back_points_stay_out(points):
    """Beyond the field where it is one-to-one, this lens would throw points back into the image."""
    folding = np.array([-0.6, 0.02, 0.0, 0.0, 0.0])
    row, _, _ = project(points, STILL, distortion=folding)
    _, depth = projection.project(points, T_CAMERA_FROM_LIDAR, K, folding)
    x, y = se3.apply(T_CAMERA_FROM_LIDAR, points)[:, :2].T
    radius = np.hypot(x, y) / depth
    distorted = radius * (1 - 0.6 * radius**2 + 0.02 * radius**4)
    folded = (depth > 0) & (radius > 0.76) & (np.abs(distorted) < 0.2)
    assert folded.sum() > 50
    assert not folded[row].any()
    limit = projection.camera.max_radius(folding)
    assert len(row) > 1000
    assert radius[row].max() <= limit
    row, uv, depth = project(points, MOVING, distortion=folding)
    for k in np.flatnonzero(np.hypot(*(uv - K[:2, 2]).T) > 1000.0):
        T = T_camera_from_lidar_at(MOVING, lines_of(MOVING, uv[k : k + 1])[0])
        x, y, z = se3.apply(T, points[row[k], None])[0]
        assert z == pytest.approx(depth[k])
        assert np.hypot(x, y) / z <= limit * (1 + 1e-9)


def test_directions_give_evenly_spaced_lines(points):
    """By another route: the time of a line from the undistorted direction of its point."""
    row, uv, depth = project(points, MOVING, timing="directions")
    pixels = project(points, MOVING)
    _, ours, theirs = np.intersect1d(row, pixels[0], return_indices=True)
    difference = np.abs(uv[ours] - pixels[1][theirs]).max(axis=1)
    assert 0.2 < difference.max() < 30
    edges = _directions_of_edges()
    start, end = ((t - T0_NS) * 1e-9 for t in (MOVING.start_ns, MOVING.end_ns))
    for k in np.linspace(0, len(row) - 1, 200).astype(int):
        # Two unknown: the time, and the direction that the pixel's line has then.
        tau = 0.0
        for _ in range(60):
            T = T_camera_from_lidar_at(MOVING, tau)
            x, _, z = se3.apply(T, points[row[k], None])[0]
            at_axis = (K[0, 2] + 0.5) / WIDTH
            tau = start + (end - start) * (at_axis + x / z / (edges[1] - edges[0]))
        expected, its_depth = projection.project(points[row[k], None], T, K, LENS)
        np.testing.assert_allclose(uv[k], expected[0], rtol=0, atol=1e-5)
        np.testing.assert_allclose(depth[k], its_depth[0], rtol=0, atol=1e-8)


def _directions_of_edges():
    """x / z of the image's edges at mid height, by bisection along each of two coordinates."""
    target = np.array([(-0.5 - K[0, 2]) / K[0, 0], (WIDTH - 0.5 - K[0, 2]) / K[0, 0]])
    y_target = ((HEIGHT - 1) / 2 - K[1, 2]) / K[1, 1]
    x, y = target.copy(), np.full(2, y_target)
    for _ in range(200):  # damped
        uv, _ = projection.project(np.stack([x, y, np.ones(2)], 1), np.eye(4), K, LENS)
        x += 0.5 * (target - (uv[:, 0] - K[0, 2]) / K[0, 0])
        y += 0.5 * (y_target - (uv[:, 1] - K[1, 2]) / K[1, 1])
    return x


def test_a_lens_without_a_direction_for_the_edge_is_refused_for_directions(points):
    folding = np.array([-2.5, 0.0, 0.0, 0.0, 0.0])
    with pytest.raises(UsageError, match="no direction for the pixel"):
        project(points, MOVING, distortion=folding, timing="directions")
