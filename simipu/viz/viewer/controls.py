"""The controls of the viewer and the images beside its scene."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol, get_args

import numpy as np

from simipu.viz.viewer.draw import draw_picture
from simipu.viz.viewer.pick import PickedPixel, PickedPoint
from simipu.viz.viewer.state import EVERY_DEPTH, ColorBy, Show
from simipu.viz.viewer.text import describe_colors, describe_frame, describe_mark

if TYPE_CHECKING:
    from collections.abc import Callable

    import viser

    from simipu.store.reader import Store
    from simipu.viz.viewer.frame import LoadedFrame
    from simipu.viz.viewer.pick import Marked
    from simipu.viz.viewer.state import Settings, Shown

PREVIOUS, PLAY, NEXT = "Previous", "Play / stop", "Next"
NO_CAMERA = "free"
DEPTH_SLIDER_M = (0, 100)
IMAGES_WIDTH_PX = 460
CONTROLS_WIDTH_PX = 380
JPEG_QUALITY = 85


class Asked(Protocol):
    """What the controls ask of the viewer; called from any thread."""

    def ask(self, **changes: Any) -> None:
        """Want other settings."""

    def step(self, frames: int) -> None:
        """Go on or back by some frames."""

    def toggle_play(self) -> None:
        """Start or stop going on by itself."""


class Controls:
    """The handles of all controls, by what they set."""

    def __init__(self, server: viser.ViserServer, store: Store, settings: Settings) -> None:
        gui = server.gui
        self._store = store
        self._scene_names = [scene.name for scene in store.scenes]
        self.status = gui.add_markdown("")
        last = len(store) - 1
        with gui.add_folder("Frame"):
            self.scene = gui.add_dropdown("Scene", self._scene_names)
            self.frame = gui.add_slider(
                "Frame", 0, max(last, 1), 1, settings.frame, disabled=last == 0
            )
            self.go = gui.add_button_group("", (PREVIOUS, PLAY, NEXT), disabled=last == 0)
            self.speed = gui.add_slider("Frames / s", 1, 20, 1, 5, disabled=last == 0)
        with gui.add_folder("Points"):
            self.show = gui.add_dropdown("Show", get_args(Show), initial_value=settings.show)
            self.depth = gui.add_multi_slider(
                "Depth (m)",
                *DEPTH_SLIDER_M,
                1,
                DEPTH_SLIDER_M,
                hint="At both ends there is no limit. Points in no image have no depth.",
            )
            self.color_by = gui.add_dropdown(
                "Colour", get_args(ColorBy), initial_value=settings.color_by
            )
            self.legend = gui.add_markdown("")
            self.point_size = gui.add_slider("Size (m)", 0.02, 0.3, 0.01, settings.point_size_m)
        with gui.add_folder("Cameras"):
            self.cameras = {
                name: gui.add_checkbox(name, name in settings.cameras) for name in store.cameras
            }
            self.look_through = gui.add_dropdown(
                "Look through",
                (NO_CAMERA, *store.cameras),
                hint="The window becomes the camera's image, and a click picks its pixel.",
            )
            self.image_depth = gui.add_slider(
                "Images at (m)", 1.0, 30.0, 0.5, settings.image_depth_m
            )
        with gui.add_folder("Mark"):
            self.mark = gui.add_markdown("")
            self.row = gui.add_number("Point", 0, min=0, step=1, hint="Its row in the cloud.")
            self.camera = gui.add_dropdown("Image", store.cameras)
            self.uv = gui.add_vector2("Pixel u, v", (0.0, 0.0), step=1.0)
            self.clear = gui.add_button("Clear")
        panel = gui.add_panel()
        blank = np.zeros((9, 16, 3), dtype=np.uint8)
        with panel.add_tab("Images"):
            self.points_on_images = gui.add_checkbox("Draw points", settings.points_on_images)
            self.images = {
                name: gui.add_image(
                    blank, label=name, format="jpeg", jpeg_quality=JPEG_QUALITY, visible=False
                )
                for name in store.cameras
            }
        panel.dock_left()
        panel.set_width(IMAGES_WIDTH_PX)
        gui.main_panel.dock_right()
        gui.main_panel.set_width(CONTROLS_WIDTH_PX)

    def connect(self, asked: Asked, is_echo: Callable[[], bool]) -> None:
        """Let the controls act.

        Args:
            asked: the viewer.
            is_echo: whether a change comes from `display`, which sets controls itself.
        """

        def on(handle: Any, act: Callable[[Any], None]) -> None:
            def respond(_event: object) -> None:
                if not is_echo():
                    act(handle.value)

            handle.on_update(respond)

        starts = {scene.name: scene.start for scene in self._store.scenes}
        on(self.scene, lambda name: asked.ask(frame=starts[name]))
        on(self.frame, lambda frame: asked.ask(frame=min(frame, len(self._store) - 1)))
        on(self.show, lambda show: asked.ask(show=show))
        on(self.depth, lambda ends: asked.ask(depth_m=depth_limits(*ends)))
        on(self.color_by, lambda color_by: asked.ask(color_by=color_by))
        on(self.point_size, lambda size: asked.ask(point_size_m=size))
        on(self.image_depth, lambda depth: asked.ask(image_depth_m=depth))
        on(self.points_on_images, lambda drawn: asked.ask(points_on_images=drawn))
        on(
            self.look_through,
            lambda name: asked.ask(look_through=None if name == NO_CAMERA else name),
        )
        on(self.row, lambda row: asked.ask(pick=PickedPoint(row)))
        for checkbox in self.cameras.values():
            on(checkbox, lambda _: asked.ask(cameras=self._chosen_cameras()))
        for handle in (self.camera, self.uv):
            on(handle, lambda _: asked.ask(pick=PickedPixel(self.camera.value, *self.uv.value)))
        self.clear.on_click(lambda _: asked.ask(pick=None))

        @self.go.on_click
        def _(_event: object) -> None:
            if self.go.value == PLAY:
                asked.toggle_play()
            else:
                asked.step(1 if self.go.value == NEXT else -1)

    def _chosen_cameras(self) -> tuple[str, ...]:
        return tuple(name for name, checkbox in self.cameras.items() if checkbox.value)

    def display(
        self, frame: LoadedFrame, shown: Shown, settings: Settings, marked: Marked | None
    ) -> None:
        """Show the images and texts of a frame."""
        self.status.content = describe_frame(frame, shown)
        self.legend.content = describe_colors(frame, settings.color_by)
        self.mark.content = describe_mark(frame, marked)
        for name, handle in self.images.items():
            camera = frame.cameras.get(name)
            handle.visible = camera is not None and name in settings.cameras
            if camera is not None and handle.visible:
                marked_uv = None if marked is None else marked.uv_in(name)
                handle.image = draw_picture(
                    camera, shown, points=settings.points_on_images, marked_uv=marked_uv
                )

    def follow(self, frame: LoadedFrame, marked: Marked | None) -> None:
        """Set the controls of what may have changed by other means than themselves."""
        _set(self.scene, frame.scene)
        _set(self.frame, frame.index)
        if marked is not None and marked.row is not None:
            _set(self.row, marked.row)
        if marked is not None and (pixel := marked.pixel) is not None:
            _set(self.camera, pixel.camera)
            _set(self.uv, (pixel.u, pixel.v))


def _set(handle: Any, value: object) -> None:
    handle.value = value


def depth_limits(low: float, high: float) -> tuple[float, float]:
    """The limits that the ends of the depth slider mean; either end of its way is no limit."""
    least, most = DEPTH_SLIDER_M
    return (
        EVERY_DEPTH[0] if low <= least else float(low),
        math.inf if high >= most else float(high),
    )
