"""A sheet shows each camera where the rig has it, and each point at its pixel in its image."""

import io
import math
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from simipu.geometry import se3
from simipu.records import Correspondences
from simipu.viz.colors import HIDDEN_COLOR, camera_color, depth_colors
from simipu.viz.figure import DPI, RASTER_ABOVE, save
from simipu.viz.rig import lay_out
from simipu.viz.sheet import draw_sheet

SIZE = (80, 60)
R_CAMERA_FROM_EGO = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])  # of one that looks ahead


def pairs(uv=(), depth=10.0, visible=True):
    uv = np.array(uv, dtype=np.float32).reshape(-1, 2)
    return Correspondences(
        row=np.arange(len(uv), dtype=np.uint32),
        uv=uv,
        depth=np.full(len(uv), depth, dtype=np.float32),
        visible=np.broadcast_to(np.array(visible), len(uv)).copy(),
    )


def camera(name="front", *, yaw_deg=0.0, left_m=0.0, size=SIZE, image=None, matches=None):
    """A camera on the ego frame, which is the lidar's, too; yaw is counter-clockwise from above."""
    yaw = math.radians(yaw_deg)
    R_ego_from_mount = np.array(
        [[math.cos(yaw), -math.sin(yaw), 0], [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1]]
    )
    T_ego_from_camera = np.eye(4)
    T_ego_from_camera[:3, :3] = R_ego_from_mount @ R_CAMERA_FROM_EGO.T
    T_ego_from_camera[:3, 3] = (1.5, left_m, 1.6)
    width, height = size
    pixels = np.zeros((height, width, 3), dtype=np.uint8) if image is None else image
    return SimpleNamespace(
        name=name,
        width=width,
        height=height,
        K=np.array([[50.0, 0, (width - 1) / 2], [0, 50, (height - 1) / 2], [0, 0, 1]]),
        distortion=np.zeros(5),
        T_camera_from_lidar=se3.invert(T_ego_from_camera),
        image=lambda: pixels,
        correspondences=pairs() if matches is None else matches,
    )


def frame_of(*cameras, xyz=None, **columns):
    """A frame whose lidar stands in the origin of the ego frame."""
    xyz = np.zeros((0, 3), dtype=np.float32) if xyz is None else np.array(xyz, dtype=np.float32)
    named = {each.name: each for each in cameras}

    class Points:
        T_ego_from_lidar = np.eye(4)

        def __len__(self):
            return len(xyz)

        def __getitem__(self, name):
            return np.array(columns[name])

    points = Points()
    points.columns, points.xyz = ("x", "y", "z", *columns), xyz
    store = SimpleNamespace(cameras=tuple(named), attributes={"source": {"name": "rig"}})
    return SimpleNamespace(id="scene/7", index=7, points=points, cameras=named, store=store)


def sheet(*cameras, frame=None, **options):
    return draw_sheet(frame or frame_of(*cameras), cameras, dataset="rig", **options)


def rendered(figure) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def image_part(figure) -> np.ndarray:
    """The output pixels of the first image of a figure, but for its edges."""
    canvas = rendered(figure)
    box = figure.axes[0].get_position()
    height, width = canvas.shape[:2]
    top, bottom = (round((1 - edge) * height) for edge in (box.y1, box.y0))
    left, right = round(box.x0 * width), round(box.x1 * width)
    return canvas[top + 3 : bottom - 3, left + 3 : right - 3]


def centre(weights) -> np.ndarray:
    """(x, y) of the middle of a mark in output pixels."""
    rows, columns = np.indices(weights.shape)
    return np.array([np.average(columns, weights=weights), np.average(rows, weights=weights)])


@pytest.mark.parametrize(("u", "v"), [(20, 15), (61, 44)])
def test_a_point_is_drawn_over_its_pixel(u, v):
    image = np.zeros((60, 80, 3), dtype=np.uint8)
    image[v, u] = 255
    white = image_part(sheet(camera(image=image))).sum(axis=-1)
    mark = image_part(sheet(camera(matches=pairs([(u, v)])))).sum(axis=-1)
    assert centre(mark) == pytest.approx(
        centre(white), abs=1.1
    )  # marks are put on whole output pixels

    moved = image_part(sheet(camera(matches=pairs([(u + 0.5, v - 0.5)])))).sum(axis=-1)
    per_px = (white.shape[1] + 6) / 80
    step = centre(moved) - centre(mark)
    assert step == pytest.approx([0.5 * per_px, -0.5 * per_px], abs=1.1)


def test_a_point_has_the_colour_of_its_depth_and_a_hidden_one_its_own():
    figure = sheet(camera(matches=pairs([(20, 15), (60, 45)], visible=[True, False])))
    crosses, discs = figure.axes[0].collections
    assert discs.get_offsets().tolist() == [[20, 15]]
    assert (255 * discs.get_facecolors()[0, :3]).round().tolist() == depth_colors([10])[0].tolist()
    assert crosses.get_offsets().tolist() == [[60, 45]]
    drawn = image_part(figure)
    assert (np.abs(drawn - HIDDEN_COLOR).sum(axis=-1) < 30).any()


def test_hidden_points_can_be_left_out():
    matches = pairs([(20, 15), (60, 45)], visible=[True, False])
    (discs,) = sheet(camera(matches=matches), show_hidden=False).axes[0].collections
    assert discs.get_offsets().tolist() == [[20, 15]]


def test_the_nearest_of_coinciding_points_is_on_top():
    matches = pairs([(30, 30)] * 3)
    matches.depth[:] = (20, 5, 60)
    discs = sheet(camera(matches=matches)).axes[0].collections[-1]
    expected = depth_colors([60, 20, 5]) / 255
    np.testing.assert_allclose(discs.get_facecolors()[:, :3], expected)


def names(rows):
    return [[each.name for each in row] for row in rows]


def test_the_rig_of_nuscenes_is_laid_out_as_it_sees():
    yaw_deg = {  # about those of the data set, in its order
        "CAM_FRONT": 0.3,
        "CAM_FRONT_RIGHT": -56,
        "CAM_BACK_RIGHT": -110,
        "CAM_BACK": 180,
        "CAM_BACK_LEFT": 109,
        "CAM_FRONT_LEFT": 55,
    }
    cameras = [camera(name, yaw_deg=yaw, size=(160, 90)) for name, yaw in yaw_deg.items()]
    assert names(lay_out(frame_of(*cameras), cameras)) == [
        ["CAM_FRONT_LEFT", "CAM_FRONT", "CAM_FRONT_RIGHT"],
        ["CAM_BACK_LEFT", "CAM_BACK", "CAM_BACK_RIGHT"],
    ]
    figure = sheet(*cameras)
    place = {axes.get_label(): axes.get_position() for axes in figure.axes}
    assert place["CAM_FRONT_LEFT"].x1 < place["CAM_FRONT"].x0
    assert place["CAM_FRONT"].x1 < place["CAM_FRONT_RIGHT"].x0
    assert place["CAM_FRONT"].y0 > place["CAM_BACK"].y1
    assert place["CAM_BACK"].x0 == pytest.approx(place["CAM_FRONT"].x0)


def test_the_real_rig_of_nuscenes(sample_data, tmp_path):
    pytest.importorskip("nuscenes")
    from folders import ONE_WORKER
    from simipu import open_store
    from simipu.pipelines.convert import convert
    from simipu.pipelines.sources.nuscenes import NuScenes

    convert(NuScenes(sample_data / "nuscenes"), tmp_path / "n.zarr", resources=ONE_WORKER)
    frame = open_store(tmp_path / "n.zarr")[0]
    assert names(lay_out(frame, list(frame.cameras.values()))) == [
        ["CAM_FRONT_LEFT", "CAM_FRONT", "CAM_FRONT_RIGHT"],
        ["CAM_BACK_LEFT", "CAM_BACK", "CAM_BACK_RIGHT"],
    ]


def test_side_cameras_stand_beside_the_front_and_all_have_one_scale():
    yaw_deg = {"FRONT": 0, "FRONT_LEFT": 45, "FRONT_RIGHT": -45, "SIDE_LEFT": 91, "SIDE_RIGHT": -91}
    cameras = [
        camera(name, yaw_deg=yaw, size=(192, 88 if "SIDE" in name else 128))
        for name, yaw in yaw_deg.items()
    ]
    (row,) = names(lay_out(frame_of(*cameras), cameras))
    assert row == ["SIDE_LEFT", "FRONT_LEFT", "FRONT", "FRONT_RIGHT", "SIDE_RIGHT"]
    figure = sheet(*cameras)
    width, height = figure.get_size_inches()
    scales = []
    for axes, name in zip(figure.axes, row, strict=False):
        box, seen = axes.get_position(), next(c for c in cameras if c.name == name)
        scales += [box.width * width / seen.width, box.height * height / seen.height]
    assert scales == pytest.approx([scales[0]] * 10)


def test_a_stereo_pair_stands_as_it_is_mounted_and_wide_rows_are_broken():
    cameras = [
        camera(name, left_m=left, size=(120, 36))
        for name, left in [("right", -0.5), ("left", 0.5), ("far_right", -0.6), ("far_left", 0.6)]
    ]
    rows = lay_out(frame_of(*cameras), cameras)
    assert names(rows) == [["far_left", "left"], ["right", "far_right"]]


@pytest.mark.parametrize("by", ["intensity", "height", "time", "camera"])
def test_points_are_coloured_by_what_was_asked(by):
    xyz = [(10, 0, z) for z in (-1.0, 0.0, 3.0)]
    uv = [(20, 30), (40, 30), (60, 30)]
    seen = camera(matches=pairs(uv))
    frame = frame_of(seen, xyz=xyz, intensity=[0.1, 0.2, 0.9], time_offset_s=[-0.5, -0.1, 0.0])
    discs = sheet(seen, frame=frame, color_by=by).axes[0].collections[-1]
    colors = discs.get_facecolors()[:, :3]
    if by == "camera":
        assert (255 * colors).round().tolist() == [list(camera_color(["front"], "front"))] * 3
    else:  # all grow, and light means more
        lightness = colors @ (0.2126, 0.7152, 0.0722)
        assert (np.diff(lightness) > 0.02).all()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".svg", ".pdf"])
def test_every_format_is_written_the_same_again(suffix, tmp_path):
    uv = np.random.default_rng(0).uniform(0, 59, (RASTER_ABOVE + 1, 2))
    files = [tmp_path / f"{number}{suffix}" for number in range(2)]
    for file in files:
        save(sheet(camera(matches=pairs(uv))), file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_many_points_are_one_picture_inside_an_svg(tmp_path):
    few, many = (
        sheet(camera(matches=pairs(np.full((count, 2), 30.0))))
        for count in (RASTER_ABOVE, RASTER_ABOVE + 1)
    )
    save(few, tmp_path / "few.svg")
    save(many, tmp_path / "many.svg")
    marks = [(tmp_path / name).read_text().count("<use ") for name in ("few.svg", "many.svg")]
    assert marks[0] > marks[1] + RASTER_ABOVE - 100
