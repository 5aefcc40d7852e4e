"""The viewer: it keeps a window in the browser in step with what is wanted.

Callbacks of the browser, which come on many threads, only change what is wanted. One thread, the
one in `Viewer.run`, draws what is wanted last, so scrubbing never queues up frames.
"""

from __future__ import annotations

import contextlib
import io
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import viser

from simipu.errors import SimipuError
from simipu.viz.viewer.controls import Controls
from simipu.viz.viewer.frame import load_frame
from simipu.viz.viewer.pick import PickedPoint, mark, pick_along_ray
from simipu.viz.viewer.scene import Scene
from simipu.viz.viewer.state import Settings, image_depths, select
from simipu.viz.viewer.text import literal

if TYPE_CHECKING:
    from simipu.store.reader import Store
    from simipu.viz.viewer.frame import LoadedFrame
    from simipu.viz.viewer.state import Shown


class Viewer:
    """A store in the browser. See `simipu.viz.viewer.server.serve`.

    Attributes:
        controls: what the user can set.
        wanted: the settings wanted last.
        drawn: the settings on display.
        frame, shown: what is on display.
    """

    def __init__(self, store: Store, *, host: str, port: int, frame: int) -> None:
        self.wanted = self.drawn = Settings(frame=frame, cameras=store.cameras)
        self.frame: LoadedFrame = load_frame(store[frame])
        self.shown: Shown = select(self.frame, self.wanted)
        self._store = store
        self._changed = threading.Condition()
        self._playing = self._stopped = False
        self._drawing = threading.get_ident()
        with contextlib.redirect_stdout(io.StringIO()):  # its banner names no forwarding
            self._server = viser.ViserServer(host, port, label="simipu-viz", verbose=False)
        self._server.gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False)
        self._scene = Scene(self._server, self.frame)
        self.controls = Controls(self._server, store, self.wanted)
        self._display(self.wanted)
        self.controls.connect(self, lambda: threading.get_ident() == self._drawing)
        self._server.scene.on_click()(self._click)
        self._server.on_client_connect(self._welcome)

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return self._server.get_port()

    def ask(self, **changes: Any) -> None:
        """Want other settings. A marked point does not outlive its frame; a pixel does."""
        with self._changed:
            if "frame" in changes and isinstance(self.wanted.pick, PickedPoint):
                changes.setdefault("pick", None)
            self.wanted = replace(self.wanted, **changes)
            self._changed.notify_all()

    def step(self, frames: int) -> None:
        """Go on or back by some frames, not beyond the ends of the store."""
        with self._changed:
            self.ask(frame=min(max(self.wanted.frame + frames, 0), len(self._store) - 1))

    def toggle_play(self) -> None:
        """Start or stop going on by itself; at the last frame it stops."""
        with self._changed:
            self._playing = not self._playing
            self._changed.notify_all()

    def run(self) -> None:
        """Draw what is wanted until `stop` or Ctrl-C."""
        self._drawing = threading.get_ident()
        due = time.monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._stopped or self._playing or self.wanted != self.drawn
                )
                if self._playing and self.wanted == self.drawn:
                    self._changed.wait_for(
                        lambda: self._stopped or self.wanted != self.drawn,
                        timeout=due - time.monotonic(),
                    )
                    if self._playing and self.wanted == self.drawn:
                        self.step(1)
                        self._playing = self.wanted != self.drawn
                if self._stopped:
                    return
                wanted = self.wanted
            due = time.monotonic() + 1 / self.controls.speed.value
            self._draw(wanted)

    def stop(self) -> None:
        """Close the server and end `run`."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        with contextlib.redirect_stdout(io.StringIO()):
            self._server.stop()

    def _draw(self, wanted: Settings) -> None:
        """Put a frame on display; one that cannot be read leaves the last one there."""
        moved = wanted.frame != self.frame.index
        try:
            frame = load_frame(self._store[wanted.frame]) if moved else self.frame
        except SimipuError as error:
            self._playing = False
            self.drawn = wanted
            self.controls.status.content = f"**Frame {wanted.frame}** {literal(str(error))}"
            return
        aimed_anew = (moved and wanted.look_through) or (
            wanted.look_through != self.drawn.look_through
        )
        self.frame, self.shown = frame, select(frame, wanted)
        self._display(wanted)
        if aimed_anew:
            self._scene.aim(self._server.get_clients().values(), frame, wanted)
        self.drawn = wanted

    def _display(self, settings: Settings) -> None:
        frame, shown = self.frame, self.shown
        marked = None if settings.pick is None else mark(frame, shown, settings.pick)
        with self._server.atomic():
            self._scene.draw(frame, shown, settings, marked)
            self.controls.display(frame, shown, settings, marked)
            if settings == self.wanted:  # else the user is ahead, and a slider would jump back
                self.controls.follow(frame, marked)

    def _welcome(self, client: viser.ClientHandle) -> None:
        if self.drawn.look_through is not None:
            self._scene.aim([client], self.frame, self.drawn)

    def _click(self, event: viser.SceneClickEvent) -> None:
        frame, shown, depths = self.frame, self.shown, image_depths(self.frame, self.drawn)
        if self.drawn.look_through in frame.cameras:
            # What was clicked on is the image, whatever point is drawn over it there.
            shown = replace(shown, rows=shown.rows[:0], colors=shown.colors[:0])
        pick = pick_along_ray(frame, shown, depths, event.ray_origin, event.ray_direction)
        self.ask(pick=pick)
