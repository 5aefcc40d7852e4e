"""The scene of the viewer: cloud, frusta with their images, the mark, and the point of view."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import viser
import viser.transforms

from simipu.viz.viewer.rig import opening_angle, overlook, place
from simipu.viz.viewer.state import image_depths

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simipu.records import FloatArray
    from simipu.viz.viewer.frame import LoadedCamera, LoadedFrame
    from simipu.viz.viewer.pick import Marked
    from simipu.viz.viewer.state import Settings, Shown

MARK_COLOR = (255, 40, 40)
OVERLOOK_OPENING_RAD = math.radians(60.0)
JPEG_QUALITY = 85
FINER = 0.3
"""Points are drawn smaller by this where an image is to be seen between them."""


class Scene:
    """Draws into a viser scene, and only what has changed since the last time."""

    def __init__(self, server: viser.ViserServer, frame: LoadedFrame) -> None:
        self._server = server
        self._rig: tuple[object, ...] = ()
        self._images: dict[str, tuple[viser.ImageHandle, viser.LineSegmentsHandle]] = {}
        server.scene.set_up_direction("+z")
        server.initial_camera.position, server.initial_camera.look_at = overlook(frame)
        server.initial_camera.fov = OVERLOOK_OPENING_RAD

    def draw(
        self, frame: LoadedFrame, shown: Shown, settings: Settings, marked: Marked | None
    ) -> None:
        """Show a frame."""
        self._server.scene.add_point_cloud(
            "/points",
            frame.xyz[shown.rows],
            shown.colors,
            point_size=settings.point_size_m * (1.0 if settings.look_through is None else FINER),
            point_shape="circle",
            point_shading="flat",
            precision="float32",  # of 16 bits the steps are 6 cm at 80 m
        )
        depths = image_depths(frame, settings)
        if (rig := (frame.index, depths)) != self._rig:
            self._rig = rig
            self._draw_rig(frame, depths)
        self._draw_mark(frame, settings, marked)

    def _draw_rig(self, frame: LoadedFrame, depths: dict[str, float]) -> None:
        for name in self._images.keys() - depths.keys():
            for handle in self._images.pop(name):
                handle.remove()
        for name, depth_m in depths.items():
            camera = frame.cameras[name]
            placed = place(camera, depth_m)
            image = self._server.scene.add_image(
                f"/cameras/{camera.number}/image",
                camera.picture,
                *placed.size_m,
                format="jpeg",
                jpeg_quality=JPEG_QUALITY,
                wxyz=_quaternion(placed.R_lidar_from_camera),
                position=placed.center,
            )
            lines = self._server.scene.add_line_segments(
                f"/cameras/{camera.number}/edges",
                placed.edges,
                camera.color,
                thickness=2.0,
                thickness_units="screen",
            )
            self._images[name] = (image, lines)

    def _draw_mark(self, frame: LoadedFrame, settings: Settings, marked: Marked | None) -> None:
        row = None if marked is None else marked.row
        self._server.scene.add_icosphere(
            "/mark",
            radius=2.5 * settings.point_size_m,
            color=MARK_COLOR,
            position=(0.0, 0.0, 0.0) if row is None else frame.xyz[row],
            visible=row is not None,
        )

    def aim(
        self, clients: Iterable[viser.ClientHandle], frame: LoadedFrame, settings: Settings
    ) -> None:
        """Put browsers behind the camera that is looked through, or back above the scene."""
        camera = frame.cameras.get(settings.look_through or "")
        for client in clients:
            if camera is None:
                _overlook(client, frame)
            else:
                _look_through(client, camera)


def _look_through(client: viser.ClientHandle, camera: LoadedCamera) -> None:
    placed = place(camera, 1.0)
    with client.atomic():
        client.camera.position = placed.edges[-1, 0]
        client.camera.wxyz = _quaternion(placed.R_lidar_from_camera)
        client.camera.fov = opening_angle(camera, client.camera.aspect)


def _overlook(client: viser.ClientHandle, frame: LoadedFrame) -> None:
    with client.atomic():
        client.camera.up_direction = (0.0, 0.0, 1.0)
        client.camera.position, client.camera.look_at = overlook(frame)
        client.camera.fov = OVERLOOK_OPENING_RAD


def _quaternion(R: FloatArray) -> FloatArray:
    """The quaternion w, x, y, z of a rotation."""
    wxyz: FloatArray = viser.transforms.SO3.from_matrix(R).wxyz
    return wxyz
