"""The viewer serves a store, follows its controls, and says what is missing."""

import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import simipu
from simipu.errors import StoreError, UsageError
from simipu.viz.viewer import open3d_window
from simipu.viz.viewer.pick import PickedPixel, PickedPoint
from simipu.viz.viewer.server import check_port, greeting, open_viewer

viser = pytest.importorskip("viser", reason="the extra viz is not installed")
CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture
def viewer(raw_store):
    """A viewer of the small store that draws on a thread of its own."""
    opened = open_viewer(simipu.open_store(raw_store), host="localhost", port=0, frame=0)
    drawing = threading.Thread(target=opened.run)
    drawing.start()
    yield opened
    opened.stop()
    drawing.join(timeout=10)
    assert not drawing.is_alive()


def settle(viewer, timeout_s=20):
    """Wait until what is wanted is on display."""
    end = time.monotonic() + timeout_s
    while viewer.drawn != viewer.wanted:
        assert time.monotonic() < end, "the viewer does not get there"
        time.sleep(0.01)


def test_controls_change_what_is_shown(viewer, raw_store):
    store, controls = simipu.open_store(raw_store), viewer.controls
    assert len(viewer.shown.rows) == len(store[0].points)

    controls.frame.value = 2
    settle(viewer)
    assert (viewer.frame.index, viewer.frame.id) == (2, store[2].id)
    assert controls.scene.value == store[2].scene

    name = store.cameras[0]
    for other in store.cameras[1:]:
        controls.cameras[other].value = False
    controls.show.value = "visible"
    settle(viewer)
    pairs = store[2].cameras[name].correspondences
    assert viewer.shown.rows.tolist() == pairs.row[pairs.visible].tolist()
    assert f"{pairs.visible.sum():,} of" in controls.status.content
    assert [n for n, image in controls.images.items() if image.visible] == [name]

    controls.depth.value = (10, 20)
    settle(viewer)
    near = pairs.visible & (pairs.depth >= 10) & (pairs.depth <= 20)
    assert viewer.shown.rows.tolist() == pairs.row[near].tolist()


def test_a_point_is_marked_in_the_images_until_the_frame_changes(viewer, raw_store):
    name = simipu.open_store(raw_store).cameras[0]
    pairs = viewer.frame.cameras[name].pairs
    before = viewer.controls.images[name].image
    viewer.controls.row.value = int(pairs.row[5])
    settle(viewer)
    assert viewer.wanted.pick == PickedPoint(int(pairs.row[5]))
    assert f"{pairs.uv[5, 0]:.1f}" in viewer.controls.mark.content
    assert (viewer.controls.images[name].image != before).any()
    viewer.controls.frame.value = 1
    settle(viewer)
    assert viewer.wanted.pick is None


def test_a_pixel_typed_finds_its_point(viewer, raw_store):
    name = simipu.open_store(raw_store).cameras[0]
    pairs = viewer.frame.cameras[name].pairs
    at = int(pairs.visible.nonzero()[0][0])
    viewer.controls.uv.value = tuple(pairs.uv[at].tolist())
    settle(viewer)
    assert isinstance(viewer.wanted.pick, PickedPixel)
    assert viewer.controls.row.value == pairs.row[at]


def test_scenes_steps_and_play(viewer, raw_store):
    store, controls = simipu.open_store(raw_store), viewer.controls
    second = store.scenes[1]
    controls.scene.value = second.name
    settle(viewer)
    assert viewer.frame.index == controls.frame.value == second.start
    viewer.step(-1)
    settle(viewer)
    assert viewer.frame.index == second.start - 1
    assert controls.scene.value == store.scenes[0].name
    controls.speed.value = 20
    viewer.toggle_play()
    end = time.monotonic() + 20
    while viewer.frame.index < len(store) - 1:
        assert time.monotonic() < end
        time.sleep(0.02)
    viewer.step(1)
    settle(viewer)
    assert viewer.frame.index == len(store) - 1


def test_a_damaged_frame_is_reported_and_the_last_one_stays(viewer, monkeypatch):
    def broken(_frame):
        raise StoreError("a byte is wrong", where="c/0")

    monkeypatch.setattr("simipu.viz.viewer.app.load_frame", broken)
    viewer.controls.frame.value = 1
    settle(viewer)
    assert "a byte is wrong" in viewer.controls.status.content
    assert viewer.frame.index == 0


def test_a_browser_shows_it_and_loads_nothing_from_elsewhere(viewer):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}")
    loaded, errors = [], []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--use-gl=angle", "--use-angle=swiftshader", "--no-sandbox"],
        )
        page = browser.new_page(viewport={"width": 900, "height": 700})
        page.on("request", lambda request: loaded.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"http://localhost:{viewer.port}")
        page.get_by_text("Next", exact=True).click()
        page.get_by_text("Frame 1", exact=True).wait_for()
        browser.close()
    settle(viewer)
    assert viewer.frame.index == 1
    assert errors == []
    ours = (f"http://localhost:{viewer.port}/", "blob:", "data:")
    assert [url for url in loaded if not url.startswith(ours)] == []


def test_it_starts_from_the_command_and_ctrl_c_ends_it(raw_store):
    code = "import simipu, sys; from simipu.viz.viewer.server import serve; "
    code += "serve(simipu.open_store(sys.argv[1]), port=0)"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(raw_store)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background ignores Ctrl-C, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout.readline().startswith("http://localhost:")
        assert "ssh -L" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert "Traceback" not in error


def test_a_port_in_use_is_not_silently_another():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--port {port}: the port is in use.*\n.*--port"):
            check_port("localhost", port)


@pytest.mark.parametrize("display", ["", ":{}", "localhost:{}.0", "nonsense"])
def test_a_display_that_does_not_answer_is_none(display, monkeypatch):
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", display.format(59_000))
    assert not open3d_window._has_display()


def test_a_display_that_answers_is_one(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("WAYLAND_DISPLAY", "w")
    monkeypatch.delenv("DISPLAY", raising=False)
    with socket.socket(socket.AF_UNIX) as display:
        display.bind(str(tmp_path / "w"))
        assert not open3d_window._has_display()
        display.listen()
        assert open3d_window._has_display()
    monkeypatch.delenv("WAYLAND_DISPLAY")
    with socket.socket() as forwarded:
        forwarded.bind(("127.0.0.1", 6000 + 59_001))
        forwarded.listen()
        monkeypatch.setenv("DISPLAY", "localhost:59001.0")
        assert open3d_window._has_display()


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_a_host_that_is_not_this_machine_is_refused(host):
    with pytest.raises(UsageError, match="of this machine, such as localhost"):
        check_port(host, 0)


def test_the_greeting_says_how_to_look_from_afar():
    local = greeting("localhost", 8123)
    assert "http://localhost:8123" in local
    assert "ssh -L 8123:localhost:8123" in local
    assert "http://[::1]:8123" in greeting("::1", 8123)
    everyone = greeting("0.0.0.0", 8123)
    assert f"http://{socket.gethostname()}:8123" in everyone
    assert "open to all" in everyone


def test_without_viser_it_says_what_to_install(raw_store, monkeypatch):
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(UsageError, match=r"pip install 'simipu\[viz\]'"):
        open_viewer(simipu.open_store(raw_store), host="localhost", port=0, frame=0)


def test_a_frame_that_is_not_there_is_refused(raw_store):
    store = simipu.open_store(raw_store)
    for call in (
        lambda: open_viewer(store, host="localhost", port=0, frame=len(store)),
        lambda: open3d_window.show(store, len(store)),
    ):
        with pytest.raises(UsageError, match=f"0 to {len(store) - 1}"):
            call()


def test_open3d_without_a_display_says_what_to_do(raw_store, monkeypatch):
    pytest.importorskip("open3d", reason="the extra viz is not installed")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="no display"):
        open3d_window.show(simipu.open_store(raw_store), 0)


def test_open3d_missing_says_what_to_install(raw_store, monkeypatch):
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(UsageError, match=r"pip install 'simipu\[viz\]'"):
        open3d_window.show(simipu.open_store(raw_store), 0)


def test_open3d_has_the_points_and_a_frustum_for_each_camera(raw_store):
    open3d = pytest.importorskip("open3d", reason="the extra viz is not installed")
    store = simipu.open_store(raw_store)
    settings = open3d_window.Settings(frame=0, cameras=store.cameras)
    frame = open3d_window.load_frame(store[0])
    cloud, *frusta = open3d_window.geometries(open3d, frame, settings)
    assert len(cloud.points) == len(store[0].points)
    assert len(frusta) == len(store[0].cameras)
