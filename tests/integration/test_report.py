"""The report opens offline in a browser, and what a store says cannot break out of its text."""

from pathlib import Path

import pytest

import simipu
from folders import ONE_WORKER
from simipu.correspond.policy import Policy
from simipu.errors import UsageError
from simipu.pipelines.convert import convert
from simipu.pipelines.correspond import correspond_store
from simipu.pipelines.sources.kitti_raw import KittiRaw
from simipu.store.reader import SceneView
from simipu.viz.report.write import write_report
from synthetic_world import generated

CHROMIUM = Path("/usr/bin/chromium")
HOSTILE = '<script>console.error("in")</script>"><img src=x onerror=alert(1)>'


@pytest.fixture(scope="module")
def store_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    root, _ = generated(folder / "w", layout="kitti-raw", frames=3, beams=16, columns=300)
    convert(KittiRaw(root), folder / "s.zarr", resources=ONE_WORKER)
    return folder / "s.zarr"


@pytest.fixture(scope="module")
def page_file(store_path):
    bare = store_path.with_name("bare.html")
    write_report(simipu.open_store(store_path), bare)
    assert "has no correspondences" in bare.read_text()
    correspond_store(store_path, Policy(), resources=ONE_WORKER)
    store = simipu.open_store(store_path)
    store.__dict__["scenes"] = (SceneView(HOSTILE, HOSTILE, 0, len(store)),)
    write_report(store, store_path.with_name("report.html"))
    return store_path.with_name("report.html")


def test_names_from_the_store_are_escaped(page_file):
    text = page_file.read_text()
    assert "<script" not in text
    assert "<img src=x" not in text
    assert text.count("&lt;script&gt;") == 2


def test_a_browser_opens_it(page_file):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}")
    said, loaded = [], []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: loaded.append(request.url))
        page.goto(page_file.as_uri())
        assert page.locator("svg.chart").count() == 4  # two cameras: pairs and timing
        assert page.locator("svg.chart rect.bar").count() > 20
        assert page.locator("#samples img").count() == 6
        images = page.locator("img")
        assert all(images.nth(i).get_attribute("alt") for i in range(images.count()))
        assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        links = page.locator("a")
        for i in range(links.count()):
            links.nth(i).click()
            assert page.evaluate("document.querySelector(location.hash) !== null")
        page.set_viewport_size({"width": 400, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == 400
        browser.close()
    assert said == []
    assert [url for url in loaded if not url.startswith(("file:", "data:"))] == []


def test_the_folder_must_exist(store_path):
    with pytest.raises(UsageError, match="no such folder"):
        write_report(simipu.open_store(store_path), store_path.parent / "no" / "r.html")
