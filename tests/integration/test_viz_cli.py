"""simipu-viz: the picture that was asked for, or a message that says what can be had."""

import shutil

import pytest
from click.testing import CliRunner
from PIL import Image

from simipu import open_store
from simipu.cli.viz import main
from simipu.pipelines.convert import Resources, convert
from simipu.pipelines.sources.kitti_raw import KittiRaw


def viz(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_picture_has_the_size_of_the_scaled_image(raw_store, tmp_path):
    out = tmp_path / "overlay.png"
    result = viz(raw_store, "--frame", 3, "--camera", "image_02", "--scale", 4, "--out", out)
    assert result.exit_code == 0, result.output
    image = open_store(raw_store)[3].cameras["image_02"].image()
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert picture.height > 4 * image.shape[0]
        assert result.output == f"{out}  {picture.width} x {picture.height}\n"


def test_the_first_camera_is_the_default(raw_store, tmp_path):
    pictures = [tmp_path / "default.png", tmp_path / "named.png"]
    assert viz(raw_store, "--out", pictures[0]).exit_code == 0
    assert viz(raw_store, "--camera", "image_00", "--out", pictures[1]).exit_code == 0
    assert pictures[0].read_bytes() == pictures[1].read_bytes()


def test_frames_and_cameras_differ(raw_store, tmp_path):
    drawn = set()
    for frame, camera in ((0, "image_02"), (1, "image_02"), (0, "image_03")):
        out = tmp_path / f"{frame}-{camera}.png"
        assert viz(raw_store, "--frame", frame, "--camera", camera, "--out", out).exit_code == 0
        drawn.add(out.read_bytes())
    assert len(drawn) == 3


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--frame", 1000], "frames are 0 to 10"),
        (["--camera", "image_07"], "image_00, image_01, image_02, image_03"),
        (["--out", "overlay.txt"], "PNG or JPEG"),
        (["--scale", 0], "0 is not in the range"),
    ],
)
def test_a_wrong_option_ends_with_2_and_names_what_is_possible(raw_store, options, expected):
    result = viz(raw_store, "--out", "overlay.png", *options)
    assert result.exit_code == 2
    assert expected in result.output


def test_a_store_without_correspondences_ends_with_1(raw_root, tmp_path):
    store = tmp_path / "raw.zarr"
    convert(KittiRaw(raw_root), store, resources=Resources(workers=1), limit=1)
    result = viz(store, "--out", tmp_path / "overlay.png")
    assert result.exit_code == 1
    assert "simipu-prep correspond" in result.output
    assert not (tmp_path / "overlay.png").exists()


def test_no_store_ends_with_1(tmp_path):
    result = viz(tmp_path / "nothing.zarr", "--out", tmp_path / "overlay.png")
    assert result.exit_code == 1
    assert "nothing.zarr" in result.output


def test_a_damaged_image_is_named(raw_store, tmp_path):
    store = tmp_path / "raw.zarr"
    shutil.copytree(raw_store, store)
    for shard in (store / "camera" / "data").rglob("c/*"):
        shard.write_bytes(bytes([shard.read_bytes()[0] ^ 1]) + shard.read_bytes()[1:])
    result = viz(store, "--out", tmp_path / "overlay.png")
    assert result.exit_code == 1
    assert "camera/data" in result.output
