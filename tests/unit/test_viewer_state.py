"""The viewer's settings, picks and placement, without a window."""

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from simipu.geometry.projection import project
from simipu.records import Correspondences
from simipu.viz.colors import CAMERA_COLORS, DEPTH, HIDDEN_COLOR, NO_VALUE_COLOR
from simipu.viz.viewer.controls import depth_limits
from simipu.viz.viewer.draw import draw_picture
from simipu.viz.viewer.frame import LoadedCamera, LoadedFrame
from simipu.viz.viewer.pick import PickedPixel, PickedPoint, mark, pick_along_ray
from simipu.viz.viewer.rig import opening_angle, overlook, place
from simipu.viz.viewer.state import BEHIND_ALL_M, EVERY_DEPTH, Settings, image_depths, select
from simipu.viz.viewer.text import describe_colors, describe_frame, describe_mark, literal

WIDTH, HEIGHT = 200, 100
K = np.array([[100.0, 0, 90], [0, 110, 40], [0, 0, 1]])  # off the middle, on purpose
FORWARD = np.array([[0.0, -1, 0, 0.2], [0, 0, -1, -0.1], [1, 0, 0, 0.3], [0, 0, 0, 1]])
BACKWARD = np.array([[0.0, 1, 0, 0], [0, 0, -1, 0], [-1, 0, 0, 0], [0, 0, 0, 1]])
XYZ = np.array(
    [(10, 0, 0), (20, 1, 1), (40, 0, 0.1), (-10, 0, 0), (0, 30, 0), (np.nan, 0, 0)], np.float32
)


def camera(name, number, T, visible):
    """A camera of the rig whose pairs are projected here, row by row of `visible`."""
    uv, depth = project(XYZ, T, K, np.zeros(5))
    rows = np.array(sorted(visible), dtype=np.uint32)
    pairs = Correspondences(
        row=rows,
        uv=uv[rows].astype(np.float32),
        depth=depth[rows].astype(np.float32),
        visible=np.array([visible[row] for row in rows.tolist()], dtype=bool),
    )
    return LoadedCamera(
        name=name,
        number=number,
        color=CAMERA_COLORS[number],
        width=WIDTH,
        height=HEIGHT,
        K=K,
        T_camera_from_lidar=T,
        pairs=pairs,
        picture=np.full((HEIGHT // 2, WIDTH // 2, 3), 77, np.uint8),
    )


CAMERAS = {
    "front": camera("front", 0, FORWARD, {0: True, 1: True, 2: False}),
    "back": camera("back", 1, BACKWARD, {3: True}),
}
FRAME = LoadedFrame(index=3, id="drive/3", scene="drive", xyz=XYZ, intensity=None, cameras=CAMERAS)
ALL = Settings(frame=3, cameras=("front", "back"))


@pytest.mark.parametrize(
    ("changes", "rows"),
    [
        ({}, [0, 1, 2, 3, 4]),  # all but the point that is not finite
        ({"show": "in an image"}, [0, 1, 2, 3]),
        ({"show": "visible"}, [0, 1, 3]),
        ({"show": "hidden"}, [2]),
        ({"show": "visible", "cameras": ("back",)}, [3]),
        ({"show": "visible", "cameras": ("elsewhere",)}, []),
        ({"depth_m": (0.0, 15.0)}, [0, 3]),
        ({"depth_m": (15.0, math.inf)}, [1, 2]),
        ({"depth_m": (15.0, 25.0), "show": "hidden"}, []),
    ],
)
def test_filters_choose_points_and_pairs_alike(changes, rows):
    shown = select(FRAME, replace(ALL, **changes))
    assert shown.rows.tolist() == rows
    paired = {int(row) for name, on in shown.pairs.items() for row in CAMERAS[name].pairs.row[on]}
    assert paired == set(rows) - {4}


def test_a_point_has_the_colour_of_its_depth_or_of_its_first_camera():
    by_depth = select(FRAME, ALL).colors
    assert by_depth[:3].tolist() == DEPTH.colors(CAMERAS["front"].pairs.depth).tolist()
    assert by_depth[4].tolist() == list(NO_VALUE_COLOR)
    by_camera = select(FRAME, replace(ALL, color_by="camera"))
    assert by_camera.colors[[0, 3]].tolist() == [list(c) for c in CAMERA_COLORS[:2]]
    assert by_camera.colors_of([3]).tolist() == [list(CAMERA_COLORS[1])]


def test_height_and_intensity_colour_every_point():
    height = select(FRAME, replace(ALL, color_by="height")).colors.sum(axis=1)
    assert height.argmax() == 1
    none = select(FRAME, replace(ALL, color_by="intensity")).colors
    assert (none == NO_VALUE_COLOR).all()
    measured = replace(FRAME, intensity=np.arange(6, dtype=np.float32))
    shades = select(measured, replace(ALL, color_by="intensity")).colors
    assert len({tuple(color) for color in shades.tolist()}) == 5


def test_the_ends_of_the_depth_slider_are_no_limit():
    assert depth_limits(0, 100) == EVERY_DEPTH
    assert depth_limits(5, 100) == (5.0, math.inf)
    assert depth_limits(0, 30) == (0.0, 30.0)


def test_a_point_has_its_pixel_in_every_camera_filtered_or_not():
    shown = select(FRAME, replace(ALL, show="hidden"))
    marked = mark(FRAME, shown, PickedPoint(1))
    uv, depth = project(XYZ[1:2], FORWARD, K, np.zeros(5))
    assert list(marked.sights) == ["front"]
    sight = marked.sights["front"]
    assert (sight.u, sight.v, sight.depth) == pytest.approx((*uv[0], depth[0]), abs=1e-4)
    assert sight.visible
    assert marked.uv_in("front") == (sight.u, sight.v)
    assert marked.uv_in("back") is None
    assert mark(FRAME, shown, PickedPoint(len(XYZ))) is None


def test_a_pixel_has_the_nearest_point_that_is_seen_there():
    shown = select(FRAME, ALL)
    hidden_uv = CAMERAS["front"].pairs.uv[2]
    marked = mark(FRAME, shown, PickedPixel("front", *hidden_uv.tolist()))
    assert marked.row == 0  # not row 2, which lies there, but is hidden
    gap = np.linalg.norm(CAMERAS["front"].pairs.uv[0] - hidden_uv)
    assert marked.gap_px == pytest.approx(gap)
    assert marked.uv_in("front") == tuple(hidden_uv.tolist())
    only_hidden = select(FRAME, replace(ALL, show="hidden"))
    assert mark(FRAME, only_hidden, marked.pixel).row == 2


def test_a_pixel_far_from_all_points_has_none():
    marked = mark(FRAME, select(FRAME, ALL), PickedPixel("front", 199.0, 99.0))
    assert marked.row is None
    assert "No point" in describe_mark(FRAME, marked)


@pytest.mark.parametrize("pixel", [("front", 200.0, 5.0), ("front", -1.0, 5.0), ("none", 5, 5)])
def test_what_is_no_pixel_marks_nothing(pixel):
    assert mark(FRAME, select(FRAME, ALL), PickedPixel(*pixel)) is None


def test_a_click_on_an_image_in_the_scene_picks_the_pixel_that_projects_there():
    """The inverse of the projection: the point clicked at, on the image, projects to the pixel."""
    target = place(CAMERAS["front"], 4.0).center + np.array([0.0, 0.7, -0.4])
    eye = np.array([-14.0, 3.0, 9.0])
    empty = select(FRAME, replace(ALL, cameras=("none",), show="visible"))
    pick = pick_along_ray(FRAME, empty, {"front": 4.0, "back": 4.0}, eye, target - eye)
    uv, depth = project(target[None], FORWARD, K, np.zeros(5))
    assert depth[0] == pytest.approx(4.0)
    assert pick.camera == "front"
    assert (pick.u, pick.v) == pytest.approx(uv[0])


def test_a_click_picks_the_nearest_of_points_and_images():
    shown = select(FRAME, ALL)
    eye = np.array([-30.0, 2.0, 5.0])
    click = {
        row: pick_along_ray(FRAME, shown, {}, eye, XYZ[row] - eye + [0, 0.01, 0])
        for row in range(5)
    }
    assert click == {row: PickedPoint(row) for row in range(5)}
    aim = XYZ[0] - eye
    behind = pick_along_ray(FRAME, shown, {"front": 60.0}, eye, aim)
    assert behind == PickedPoint(0)
    covered = pick_along_ray(FRAME, shown, {"front": 1.0}, np.array([-0.3, 0.2, -0.1]), [1, 0, 0])
    assert isinstance(covered, PickedPixel)
    assert pick_along_ray(FRAME, shown, {}, eye, [0, 0, 1]) is None


def test_an_image_stands_where_its_pixels_project_to():
    placed = place(CAMERAS["front"], 5.0)
    corners = placed.edges[:4, 0]
    uv, depth = project(np.vstack([corners, placed.center]), FORWARD, K, np.zeros(5))
    ends = [(-0.5, -0.5), (199.5, -0.5), (199.5, 99.5), (-0.5, 99.5), (99.5, 49.5)]
    assert uv == pytest.approx(np.array(ends))
    assert depth == pytest.approx(5.0)
    width, height = placed.size_m
    assert np.linalg.norm(corners[1] - corners[0]) == pytest.approx(width)
    assert np.linalg.norm(corners[2] - corners[1]) == pytest.approx(height)


@pytest.mark.parametrize("aspect", [0.5, 1.0, 3.0])
def test_the_whole_image_fits_the_window_that_looks_through(aspect):
    reach_v = math.tan(opening_angle(CAMERAS["front"], aspect) / 2)
    u, v = np.array([-0.5, 199.5]), np.array([-0.5, 99.5])
    across = np.abs((u - K[0, 2]) / K[0, 0]).max() / (reach_v * aspect)
    down = np.abs((v - K[1, 2]) / K[1, 1]).max() / reach_v
    assert max(across, down) == pytest.approx(1.0)


def test_the_first_view_looks_the_way_the_first_camera_does():
    position, target = overlook(FRAME)
    assert target - position == pytest.approx([24.0, 0.0, -9.0], abs=1e-9)
    backward = replace(FRAME, cameras={"back": CAMERAS["back"]})
    assert overlook(backward)[0] == pytest.approx([14.0, 0.0, 9.0])


def test_a_camera_looked_through_has_its_image_alone_and_behind_all():
    assert image_depths(FRAME, ALL) == {"front": 4.0, "back": 4.0}
    through = replace(ALL, look_through="back", cameras=("front",))
    assert image_depths(FRAME, through) == {"back": BEHIND_ALL_M}
    assert image_depths(FRAME, replace(ALL, look_through="none")) == image_depths(FRAME, ALL)


def test_a_picture_has_its_points_at_their_pixels_in_their_colours():
    front = CAMERAS["front"]
    u, v = np.floor((front.pairs.uv.T + 0.5) / 2).astype(int)  # the picture is half as wide
    hidden = select(FRAME, replace(ALL, show="hidden"))
    drawn = draw_picture(front, hidden, points=True, marked_uv=None)
    assert drawn[v[2], u[2]].tolist() == list(HIDDEN_COLOR)
    assert (drawn != 77).any(axis=-1).sum() == 18
    half = np.asarray(Image.fromarray(drawn).reduce(2)).astype(int)  # as the page shows it
    differs = np.abs(half - HIDDEN_COLOR).sum(axis=-1)
    assert differs.min() < differs.max() / 3
    shown = select(FRAME, ALL)
    drawn = draw_picture(front, shown, points=True, marked_uv=None)
    assert (drawn[v[:2], u[:2]] == shown.colors[:2]).all()
    changed = (drawn != 77).any(axis=-1)
    assert changed.sum() <= 2 * 9 + 18
    assert (draw_picture(front, shown, points=False, marked_uv=None) == 77).all()
    assert (front.picture == 77).all()


def test_the_mark_is_a_ring_around_its_pixel():
    drawn = draw_picture(CAMERAS["front"], select(FRAME, ALL), points=False, marked_uv=(100, 50))
    v, u = np.nonzero((drawn != 77).any(axis=-1))
    assert (u.mean(), v.mean()) == pytest.approx((49.75, 24.75), abs=0.3)
    assert (drawn[25, 50] == 77).all()


def test_texts_say_what_is_shown():
    shown = select(FRAME, replace(ALL, show="visible"))
    assert "3 of 6 points" in describe_frame(FRAME, shown)
    assert "| `front` |" in describe_mark(FRAME, mark(FRAME, shown, PickedPoint(0)))
    assert "no image" in describe_mark(FRAME, mark(FRAME, shown, PickedPoint(4)))
    assert "80 m" in describe_colors(FRAME, "depth")
    assert "lidar frame" in describe_colors(FRAME, "height")
    assert "no intensity" in describe_colors(FRAME, "intensity")


def test_names_of_a_store_are_no_markup():
    assert literal("a`<img src=x onerror=1>|b\n") == "`a<img src=x onerror=1>b`"
    assert literal("") == ""
