"""How long the viewer takes: from the command to its first frame, and from frame to frame.

    python tests/benchmarks/viewer.py [STORE]

Without a store, one is made for now of the KITTI raw samples. The browser is Chromium with
software rendering; the first frame is there when the page has the frame's name and its image.
Wall clock: on a machine that is busy with other work (see the load printed) it says little.
"""

import os
import subprocess
import sys
import time

from playwright.sync_api import sync_playwright

import simipu
from sample_store import given_or_sample_store
from simipu.viz.viewer.server import open_viewer

CHROMIUM = "/usr/bin/chromium"
GL = ("--use-gl=angle", "--use-angle=swiftshader", "--no-sandbox")
SERVE = (
    "import simipu, sys; from simipu.viz.viewer.server import serve; "
    "serve(simipu.open_store(sys.argv[1]), port=0)"
)


def first_frame(store):
    """Seconds from the command to the URL, and to the frame in a browser that already runs."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(GL))
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        start = time.perf_counter()
        command = [sys.executable, "-c", SERVE, str(store)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            url = server.stdout.readline().split()[0]
            ready = time.perf_counter() - start
            page.goto(url)
            page.get_by_text("Frame 0", exact=True).wait_for()
            page.wait_for_function("[...document.images].some(i => i.naturalWidth > 16)")
            shown = time.perf_counter() - start
            server.terminate()
        browser.close()
    return ready, shown


def next_frame(path):
    """CPU seconds of this process for each further frame."""
    store = simipu.open_store(path)
    viewer = open_viewer(store, host="localhost", port=0, frame=0)
    start = time.process_time()
    frames = range(1, min(len(store), 20))
    for frame in frames:
        viewer.ask(frame=frame)
        viewer._draw(viewer.wanted)
    spent = time.process_time() - start
    viewer.stop()
    return spent / max(len(frames), 1)


if __name__ == "__main__":
    with given_or_sample_store(sys.argv[1:]) as path:
        for _ in range(3):
            ready, shown = first_frame(path)
            print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores: ", end="")
            print(f"command to URL {ready:.2f} s, to the first frame in the browser {shown:.2f} s")
        print(f"each further frame {next_frame(path) * 1e3:.0f} ms CPU")
