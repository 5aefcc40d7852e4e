"""A window of Open3D with the cloud and the camera frusta, for machines with a display."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from simipu.errors import UsageError
from simipu.viz.viewer.frame import check_frame, load_frame
from simipu.viz.viewer.rig import overlook, place
from simipu.viz.viewer.state import Settings, select

if TYPE_CHECKING:
    from simipu.store.reader import Store
    from simipu.viz.viewer.frame import LoadedFrame

BACKGROUND = (0.08, 0.08, 0.08)
FRUSTUM_DEPTH_M = 2.0
POINT_SIZE_PX = 2.0
ZOOM = 0.15
ANSWER_S = 3.0


def show(store: Store, frame: int = 0) -> None:
    """Open a window with a frame's points, coloured by depth, and its cameras, until it is closed.

    Raises:
        StoreError: the store is damaged or has no correspondences.
        UsageError: Open3D or a display is missing, or there is no such frame.
    """
    try:
        import open3d
    except (ImportError, OSError) as error:  # OSError: a library of the system is missing
        raise UsageError(
            f"the window needs Open3D, which cannot be loaded ({error})",
            where="--open3d",
            fix="Run `pip install 'simipu[viz]'`, or leave --open3d out to look in a browser.",
        ) from error
    check_frame(store, frame)
    window = open3d.visualization.Visualizer()
    title = f"{store.path}  frame {frame}"
    # Without a display Open3D may draw into a window that nobody sees and nobody can close.
    if not _has_display() or not window.create_window(title, width=1280, height=800):
        raise UsageError(
            "there is no display to open a window on",
            where="--open3d",
            fix="Leave --open3d out: the viewer in the browser needs none, not even over SSH.",
        )
    try:
        loaded = load_frame(store[frame])
        for geometry in geometries(open3d, loaded, Settings(frame=frame, cameras=store.cameras)):
            window.add_geometry(geometry)
        _arrange(window, loaded)
        window.run()
    finally:
        window.destroy_window()


def geometries(open3d: Any, frame: LoadedFrame, settings: Settings) -> list[Any]:
    """The cloud and, for each chosen camera, the edges of its frustum, as Open3D has them."""
    shown = select(frame, settings)
    cloud = open3d.geometry.PointCloud()
    cloud.points = open3d.utility.Vector3dVector(frame.xyz[shown.rows].astype(np.float64))
    cloud.colors = open3d.utility.Vector3dVector(shown.colors / 255.0)
    frusta = []
    for name in shown.pairs:
        camera = frame.cameras[name]
        ends = place(camera, FRUSTUM_DEPTH_M).edges.reshape(-1, 3)
        lines = open3d.geometry.LineSet()
        lines.points = open3d.utility.Vector3dVector(ends)
        lines.lines = open3d.utility.Vector2iVector(np.arange(len(ends)).reshape(-1, 2))
        lines.paint_uniform_color(np.array(camera.color) / 255.0)
        frusta.append(lines)
    return [cloud, *frusta]


def _has_display() -> bool:
    """Whether a display answers: a name may be left over from a forwarding that has ended."""
    if sys.platform != "linux":
        return True
    if name := os.environ.get("WAYLAND_DISPLAY"):
        return _answers(os.path.join(os.environ.get("XDG_RUNTIME_DIR", ""), name))
    # [HOST]:NUMBER[.SCREEN]; see the section "display names" of X(7)
    host, _, number = os.environ.get("DISPLAY", "").rpartition(":")
    number = number.partition(".")[0]
    if not number.isdecimal():
        return False
    if host in ("", "unix"):
        path = f"/tmp/.X11-unix/X{number}"
        return _answers(path) or _answers(f"\0{path}")
    return _answers((host, 6000 + int(number)))


def _answers(address: str | tuple[str, int]) -> bool:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as trial:
        trial.settimeout(ANSWER_S)
        try:
            trial.connect(address)
        except OSError:
            return False
    return True


def _arrange(window: Any, frame: LoadedFrame) -> None:
    options = window.get_render_option()
    options.background_color = np.array(BACKGROUND)
    options.point_size = POINT_SIZE_PX
    position, target = overlook(frame)
    view = window.get_view_control()
    view.set_lookat(target)
    view.set_front((position - target) / np.linalg.norm(position - target))
    view.set_up((0.0, 0.0, 1.0))
    view.set_zoom(ZOOM)
