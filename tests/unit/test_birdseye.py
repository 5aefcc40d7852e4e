"""The view from above: forward is up, left is left, and frusta are where the calibration says."""

import numpy as np
import pytest
from test_sheet import camera, frame_of, pairs, rendered

from simipu.errors import UsageError
from simipu.geometry import se3
from simipu.geometry.projection import project
from simipu.viz.birdseye import REACHES_M, choose_reach, draw_birdseye, seen_and_hidden
from simipu.viz.colors import distance_scale
from simipu.viz.rig import frustum
from simipu.viz.sheet import draw_sheet


def birdseye(frame, **options):
    cameras = list(frame.cameras.values())
    return draw_birdseye(frame, cameras, dataset="rig", **options)


def pose(yaw_deg, translation):
    yaw = np.radians(yaw_deg)
    T = np.eye(4)
    T[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    T[:3, 3] = translation
    return T


@pytest.mark.parametrize("distortion", [np.zeros(5), np.array([-0.2, 0.05, 1e-3, -2e-3, 0.0])])
@pytest.mark.parametrize("yaw_deg", [0, 110])
def test_the_sides_of_a_frustum_are_seen_at_the_borders_of_the_image(yaw_deg, distortion):
    seen = camera(yaw_deg=yaw_deg, left_m=0.4)
    seen.distortion = distortion
    frame = frame_of(seen)
    # The lidar is turned and stands elsewhere than the ego frame's origin.
    T_ego_from_lidar = pose(-90, (0.9, 0.1, 1.8))
    frame.points.T_ego_from_lidar = T_ego_from_lidar
    seen.T_camera_from_lidar = seen.T_camera_from_lidar @ T_ego_from_lidar

    corners = se3.apply(se3.invert(T_ego_from_lidar), frustum(frame, seen, 12.0))
    uv, depth = project(corners[1:], seen.T_camera_from_lidar, seen.K, seen.distortion)
    np.testing.assert_allclose(uv, [(-0.5, 29.5), (79.5, 29.5)], atol=1e-6)
    np.testing.assert_allclose(depth, 12.0)
    np.testing.assert_allclose(se3.apply(seen.T_camera_from_lidar, corners[:1]), 0.0, atol=1e-12)


def test_a_lens_that_is_not_known_up_to_the_border_is_followed_as_far_as_it_goes():
    seen = camera()
    seen.distortion = np.array([-0.6, 0.0, 0.0, 0.0, 0.0])
    frame = frame_of(seen)
    uv, _ = project(
        frustum(frame, seen, 10.0)[1:], seen.T_camera_from_lidar, seen.K, seen.distortion
    )
    assert 0 < uv[0, 0] < 25
    assert uv[:, 0].sum() == pytest.approx(79.0)


def test_a_name_is_no_formula():
    frame = frame_of(camera(name=r"front$\frac$"), xyz=[(9, 0, 0)])
    frame.id = r"$\undefined{$"
    rendered(birdseye(frame))
    rendered(draw_sheet(frame, list(frame.cameras.values()), dataset="$x$"))


def test_points_and_frusta_share_the_axes():
    ahead = camera(name="ahead")
    frame = frame_of(ahead, xyz=[(10, 0, 0), (0, 15, 1)])
    axes = birdseye(frame).axes[0]
    discs = axes.collections[-1]
    # To the right on paper is -y, up is x; the highest point is last, on top.
    assert discs.get_offsets().tolist() == [[0, 10], [-15, 0]]
    outline = next(p for p in axes.patches if len(p.get_path().vertices) == 4)
    centre, left, right, _ = outline.get_path().vertices
    assert centre.tolist() == [0.0, 1.5]
    assert left[0] < 0 < right[0]
    assert left[1] == pytest.approx(right[1])
    assert left[1] > 1.5
    assert axes.get_aspect() == 1.0


def test_points_are_drawn_in_the_ego_frame_or_said_to_be_in_the_lidars():
    frame = frame_of(camera(), xyz=[(10, 0, 0)])
    frame.points.T_ego_from_lidar = pose(90, (1.0, 0.0, 0.0))
    axes = birdseye(frame).axes[0]
    np.testing.assert_allclose(axes.collections[-1].get_offsets(), [[-10, 1]], atol=1e-12)
    assert "ego frame" in axes.get_xlabel()
    rings = [p for p in axes.patches if hasattr(p, "radius")]
    assert {p.center for p in rings} == {(0.0, 1.0)}  # about the lidar

    frame.points.T_ego_from_lidar = None
    axes = birdseye(frame).axes[0]
    assert axes.collections[-1].get_offsets().tolist() == [[0, 10]]
    assert "lidar frame" in axes.get_xlabel()


def test_numbers_to_the_right_have_the_sign_of_y():
    figure = birdseye(frame_of(camera(), xyz=[(10, 0, 0)]))
    axes = figure.axes[0]
    figure.draw_without_rendering()
    labels = [(text.get_position()[0], text.get_text()) for text in axes.get_xticklabels()]
    assert (10.0, "\N{MINUS SIGN}10") in labels
    assert (-10.0, "10") in labels


def test_range_rings_are_named_by_their_radius():
    axes = birdseye(frame_of(camera(), xyz=[(33, 0, 0)])).axes[0]
    rings = sorted(p.radius for p in axes.patches if hasattr(p, "radius"))
    assert rings == [10, 20, 30, 40]
    texts = {text.get_text() for text in axes.texts}
    assert {"10 m", "20 m", "30 m", "front"} <= texts


def test_the_vehicle_is_drawn_where_the_store_knows_it():
    frame = frame_of(camera(), xyz=[(5, 0, 0)])
    rectangles = [type(p).__name__ for p in birdseye(frame).axes[0].patches]
    assert "Rectangle" not in rectangles
    frame.store.attributes["source"]["ego_box_m"] = [-1.0, -0.9, 0.0, 3.5, 0.8, 2.0]
    axes = birdseye(frame).axes[0]
    box = next(p for p in axes.patches if type(p).__name__ == "Rectangle").get_bbox()
    assert (box.x0, box.x1, box.y0, box.y1) == pytest.approx((-0.8, 0.9, -1.0, 3.5))


def test_a_point_that_one_camera_sees_is_not_hidden():
    left = camera("left", matches=pairs([(1, 1), (2, 2)], visible=[True, False]))
    right = camera("right", matches=pairs([(3, 3), (4, 4)], visible=[False, False]))
    frame = frame_of(left, right, xyz=[(5, 0, 0), (6, 0, 0), (7, 0, 0)])
    seen, hidden = seen_and_hidden(frame, [left, right])
    assert seen.tolist() == [True, False, False]
    assert hidden.tolist() == [False, True, False]
    crosses, discs = birdseye(frame).axes[0].collections
    assert crosses.get_offsets().tolist() == [[0, 6]]
    assert sorted(discs.get_offsets()[:, 1]) == [5, 7]
    (discs,) = birdseye(frame, show_hidden=False).axes[0].collections
    assert sorted(discs.get_offsets()[:, 1]) == [5, 7]


def test_depth_becomes_the_distance_from_the_lidar():
    frame = frame_of(camera(), xyz=[(12, 9, 20)])
    discs = birdseye(frame).axes[0].collections[-1]
    expected = distance_scale("").colors([25.0])
    np.testing.assert_allclose(255 * discs.get_facecolors()[:, :3], expected)


def test_firings_without_a_return_do_no_harm():
    frame = frame_of(camera(), xyz=[(0, 0, 0), (np.nan, 0, 0), (np.inf, 0, 0), (9, 0, 0)])
    for by in ("depth", "height"):
        rendered(birdseye(frame, color_by=by))
    rendered(birdseye(frame_of(camera())))


def test_the_picture_reaches_as_far_as_nearly_all_points():
    assert choose_reach(np.array([3.0, 30.5, 30.5])) == 40
    assert choose_reach(np.array([5000.0])) == REACHES_M[-1]
    assert choose_reach(np.array([])) == REACHES_M[0]


@pytest.mark.parametrize("by", ["intensity", "time"])
def test_what_the_points_do_not_have_is_said(by):
    with pytest.raises(UsageError, match=f"no {by}: there is no column .* among x, y, z"):
        birdseye(frame_of(camera(), xyz=[(5, 0, 0)]), color_by=by)
