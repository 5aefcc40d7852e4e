"""The overlay shows each point at its place, in its colour, and tells hidden from visible."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from simipu.records import Correspondences
from simipu.viz.colors import DEPTH_RANGE_M, HIDDEN_COLOR, VIRIDIS, depth_colors
from simipu.viz.overlay import MIN_WIDTH, draw_overlay

WIDTH, HEIGHT = 800, 60
BACKGROUND = 90


def draw(uv, depth, visible, *, size=(WIDTH, HEIGHT), frame_id="drive/0000000003", **options):
    """Draw points given by hand on an evenly grey image."""
    matches = Correspondences(
        row=np.arange(len(uv), dtype=np.uint32),
        uv=np.array(uv, dtype=np.float32).reshape(-1, 2),
        depth=np.array(depth, dtype=np.float32),
        visible=np.array(visible, dtype=bool),
    )
    image = np.full((size[1], size[0], 3), BACKGROUND, dtype=np.uint8)
    camera = SimpleNamespace(name="image_02", image=lambda: image, correspondences=matches)
    frame = SimpleNamespace(id=frame_id, index=3)
    return draw_overlay(camera, frame, dataset="kitti-raw", **options)


def pixels(picture: Image.Image, height: int) -> np.ndarray:
    """The part above the panel, as integers that can be subtracted."""
    return np.asarray(picture)[:height].astype(int)


def luminance(rgb):
    linear = (np.asarray(rgb) / 255.0) ** 2.2
    return linear @ (0.2126, 0.7152, 0.0722)


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize(("u", "v"), [(300, 20), (300.4, 20.7)])
def test_a_point_is_drawn_where_its_pixel_has_its_centre(scale, u, v):
    drawn = pixels(draw([(u, v)], [10.0], [True], scale=scale), HEIGHT * scale)
    weight = np.abs(drawn - drawn[0, 0]).sum(axis=-1)
    row, column = np.indices(weight.shape)
    # An output pixel reaches from its index to its index + 1, in units of 1 / scale of an image
    # pixel, and the image begins half a pixel before its first pixel's centre.
    center_u, center_v = (
        np.average(index + 0.5, weights=weight) / scale - 0.5 for index in (column, row)
    )
    assert (center_u, center_v) == pytest.approx((u, v), abs=0.15)


def test_marks_keep_their_share_of_a_wide_image():
    def area(width):
        drawn = pixels(draw([(300, 20)], [10.0], [True], size=(width, 60), scale=2), 120)
        return (np.abs(drawn - drawn[0, 0]).sum(axis=-1) > 60).sum()

    assert area(800) == area(1242)
    assert area(2484) == pytest.approx(4 * area(1242), rel=0.25)


def test_a_point_has_the_colour_of_its_depth():
    scale = 3
    drawn = pixels(draw([(300, 20), (500, 30)], [5.0, 60.0], [True, True], scale=scale), 60 * scale)
    for (u, v), depth in [((300, 20), 5.0), ((500, 30), 60.0)]:
        color = drawn[v * scale + 1, u * scale + 1]
        assert color.tolist() == depth_colors([depth])[0].tolist()


def test_the_nearest_of_coinciding_points_is_on_top():
    for depths in ([5.0, 60.0], [60.0, 5.0]):
        drawn = pixels(draw([(300, 20)] * 2, depths, [True, True], scale=3), 180)
        assert drawn[61, 901].tolist() == depth_colors([5.0])[0].tolist()


def test_hidden_points_have_a_mark_of_their_own():
    drawn = pixels(draw([(300, 20), (500, 20)], [20.0, 20.0], [True, False], scale=3), 180)
    disc = drawn[50:73, 889:914]
    cross = drawn[50:73, 1489:1514]
    assert (disc == depth_colors([20.0])[0]).all(axis=-1).any()
    assert not (disc == HIDDEN_COLOR).all(axis=-1).any()
    assert (cross == HIDDEN_COLOR).all(axis=-1).any()
    assert not (cross == depth_colors([20.0])[0]).all(axis=-1).any()


def test_hidden_points_can_be_left_out():
    drawn = pixels(draw([(300, 20)], [20.0], [False], show_hidden=False), HEIGHT * 2)
    assert (drawn == drawn[0, 0]).all()


def test_lightness_falls_with_depth_over_the_whole_range():
    depths = np.geomspace(*DEPTH_RANGE_M, 200)
    assert (np.diff(luminance(depth_colors(depths))) < 0).all()


def test_equal_ratios_of_depth_are_equal_steps_of_colour():
    near, far = DEPTH_RANGE_M
    middle = depth_colors([np.sqrt(near * far)])[0]
    assert middle.tolist() == VIRIDIS[len(VIRIDIS) // 2].tolist()


def test_depths_out_of_range_have_the_colour_of_its_end():
    near, far = DEPTH_RANGE_M
    beyond = depth_colors([near / 10, far * 10])
    assert beyond.tolist() == depth_colors([near, far]).tolist()


def test_the_panel_is_below_the_image_and_names_the_frame():
    points = ([(300, 20)], [20.0], [True])
    picture = draw(*points, scale=2)
    assert picture.mode == "RGB"
    assert picture.width == WIDTH * 2
    assert picture.height > HEIGHT * 2
    other = draw(*points, scale=2, frame_id="drive/0000000004")
    differs = np.argwhere((np.asarray(picture) != np.asarray(other)).any(axis=-1))
    assert len(differs)
    assert differs[:, 0].min() >= HEIGHT * 2


def test_the_panel_counts_the_points():
    few = draw([(300, 20)], [20.0], [True])
    more = draw([(300, 20)] * 2, [20.0] * 2, [True] * 2)
    differs = np.argwhere((np.asarray(few) != np.asarray(more)).any(axis=-1))
    assert len(differs)
    assert differs[:, 0].min() >= HEIGHT * 2


def test_narrow_images_leave_room_for_the_panel():
    assert draw([], [], [], size=(40, 30), scale=1).width == MIN_WIDTH


def test_the_picture_is_wide_enough_for_a_long_name():
    assert draw([], [], [], size=(40, 30), scale=1, frame_id="x" * 200).width > MIN_WIDTH


def test_no_correspondences_leave_the_image_alone():
    drawn = pixels(draw([], [], []), HEIGHT * 2)
    assert (drawn == drawn[0, 0]).all()
