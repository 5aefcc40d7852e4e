"""simipu-viz: the picture that was asked for, or a message that says what can be had."""

import shutil
import sys
from types import ModuleType, SimpleNamespace
from xml.etree import ElementTree

import pytest
import torch
from click.testing import CliRunner
from PIL import Image, JpegImagePlugin

from simipu import open_store
from simipu.cli.viz import main
from simipu.methods.build import build_method
from simipu.methods.config import ModelConfig
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
        (["--out", "overlay.txt"], "PNG or JPEG, SVG or PDF"),
        (["--scale", 0], "0 is not in the range"),
        (["--color", "time"], "no column 'time_offset_s'"),
        (["--birdseye", "--scale", 2], "does nothing for --birdseye"),
        (["--camera", "all", "--scale", 2], "does nothing for --camera all"),
        (["--port", 80], "does nothing for an overlay"),
        (["--report", "r.html"], "does nothing for --report"),
        (["--run", "runs/a"], "--query U,V, --query-point ROW or --features"),
        (["--features"], "--run"),
        (["--query", "3,4", "--camera", "all", "--run", "runs/a"], "is of one camera"),
        (["--query", "3", "--run", "runs/a"], "500,200"),
        (["--query", "3,4", "--features", "--run", "runs/a"], "does nothing for --features"),
        (["--features", "--run", "nowhere"], "not the folder of a run"),
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


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".svg", ".pdf"])
@pytest.mark.parametrize("options", [[], ["--camera", "all"], ["--birdseye"]])
def test_every_picture_is_written_in_every_format(raw_store, tmp_path, options, suffix):
    out = tmp_path / f"picture{suffix}"
    result = viz(raw_store, *options, "--no-hidden", "--color", "height", "--out", out)
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"{out}  ")
    if suffix == ".svg":
        drawing = ElementTree.parse(out).getroot()
        assert drawing.tag.endswith("svg")
        assert "(not drawn)" in out.read_text()  # texts are drawn as paths, with a comment each
    elif suffix == ".pdf":
        written = out.read_bytes()
        assert written.startswith(b"%PDF-")
        assert written.rstrip().endswith(b"%%EOF")
    else:
        with Image.open(out) as picture:
            picture.load()
            assert picture.format == {".png": "PNG", ".jpg": "JPEG"}[suffix]
            assert min(picture.size) > 100


def test_a_jpeg_keeps_the_colours_of_small_marks(raw_store, tmp_path):
    for options in ([], ["--camera", "all"]):
        out = tmp_path / "picture.jpg"
        assert viz(raw_store, *options, "--out", out).exit_code == 0
        with Image.open(out) as picture:
            assert JpegImagePlugin.get_sampling(picture) == 0  # 4:4:4


def test_from_above_are_all_cameras_or_the_one_that_was_named(raw_store, tmp_path):
    texts = []
    for options in ([], ["--camera", "image_02"]):
        out = tmp_path / "above.svg"
        assert viz(raw_store, "--birdseye", *options, "--out", out).exit_code == 0
        texts.append(out.read_text())
    assert "<!-- image_03 -->" in texts[0]
    assert "<!-- image_03 -->" not in texts[1]
    assert "<!-- image_02 -->" in texts[1]


@pytest.fixture(scope="module")
def run():
    """A run as `read_run` returns it, without the training."""
    torch.manual_seed(1)
    model = ModelConfig(image_backbone="resnet10t")
    sample = {"height": 32, "width": 64, "pairs": 16, "points": 64}
    method = build_method(model, pairs=16).eval()
    return SimpleNamespace(
        method=method,
        settings={"sample": sample, "model": {"image_backbone": "resnet10t"}},
        step=7,
        name="a",
    )


@pytest.mark.parametrize(
    "options", [["--query", "30,20"], ["--query-point", "visible"], ["--features"]]
)
def test_features_are_drawn(raw_store, run, tmp_path, monkeypatch, options):
    asked = []
    monkeypatch.setattr(
        "simipu.export.run.read_run", lambda path, **which: asked.append((path, which)) or run
    )
    matches = open_store(raw_store)[1].cameras["image_02"].correspondences
    row = int(matches.row[matches.visible][len(matches) // 3])
    options = [row if option == "visible" else option for option in options]
    before = torch.get_rng_state()
    pictures = []
    for name in ("a.png", "b.png"):
        out = tmp_path / name
        result = viz(
            raw_store, "--frame", 1, "--camera", "image_02", "--run", "runs/a", *options,
            "--checkpoint", "best", "--out", out,
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        pictures.append(out.read_bytes())
    assert pictures[0] == pictures[1]
    assert torch.equal(torch.get_rng_state(), before)
    path, which = asked[0]
    assert (str(path), which) == ("runs/a", {"checkpoint": "best", "weights": "model"})


def test_a_pixel_outside_and_a_point_not_in_the_image_are_refused(raw_store, run, monkeypatch):
    monkeypatch.setattr("simipu.export.run.read_run", lambda *_, **__: run)
    for options, expected in (
        (["--query", "5000,20"], "It sees u from"),
        (["--query-point", "4000000"], "camera.correspondences.row"),
    ):
        result = viz(raw_store, "--run", "runs/a", *options, "--out", "similar.png")
        assert result.exit_code == 2
        assert expected in result.output


def test_without_a_picture_the_viewer_is_opened(raw_store, monkeypatch):
    served = []
    monkeypatch.setattr(
        "simipu.viz.viewer.server.serve",
        lambda store, **options: served.append((store.path, options)),
    )
    assert viz(raw_store, "--frame", 2, "--port", 8123).exit_code == 0
    assert served == [(raw_store, {"host": "localhost", "port": 8123, "frame": 2})]
    result = viz(raw_store, "--camera", "image_02")
    assert result.exit_code == 2
    assert "--out FILE" in result.output
    assert len(served) == 1


def test_a_report_and_a_window_are_asked_of_their_modules(raw_store, tmp_path, monkeypatch):
    done = []
    report, window = ModuleType("report"), ModuleType("window")
    report.write_report = lambda store, path, *, progress: done.append(
        (store.path, path, list(progress(range(3))))
    )
    window.show = lambda store, frame: done.append((store.path, frame))
    monkeypatch.setitem(sys.modules, "simipu.viz.report.write", report)
    monkeypatch.setitem(sys.modules, "simipu.viz.viewer.open3d_window", window)
    out = tmp_path / "report.html"
    result = viz(raw_store, "--report", out)
    assert result.exit_code == 0, result.output
    assert str(out) in result.output
    assert viz(raw_store, "--open3d", "--frame", 1).exit_code == 0
    assert viz(raw_store, "--open3d", "--frame", 1000).exit_code == 2
    assert done == [(raw_store, out, [0, 1, 2]), (raw_store, 1)]
