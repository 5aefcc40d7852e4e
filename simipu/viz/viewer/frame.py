"""One frame as the viewer needs it: read once, then filtered and coloured many times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from simipu.errors import UsageError
from simipu.store.images import decode_image
from simipu.viz.colors import camera_color

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simipu.records import Correspondences, FloatArray
    from simipu.store.reader import Store
    from simipu.store.views import CameraView, FrameView

MAX_PICTURE_WIDTH = 960


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LoadedCamera:
    """One camera of a frame.

    Attributes:
        name: the camera's name.
        number: its place among the store's cameras.
        color: its RGB colour.
        width, height: size of the stored image in pixels.
        K: (3, 3) float64 pinhole matrix.
        T_camera_from_lidar: (4, 4) float64.
        pairs: its correspondences; pixels are of the stored image.
        picture: (h, w, 3) uint8 RGB, the image at no more than ``MAX_PICTURE_WIDTH``.
    """

    name: str
    number: int
    color: tuple[int, int, int]
    width: int
    height: int
    K: FloatArray
    T_camera_from_lidar: FloatArray
    pairs: Correspondences
    picture: npt.NDArray[np.uint8]

    def contains(self, u: float, v: float) -> bool:
        """Whether a pixel lies in the image."""
        return -0.5 <= u < self.width - 0.5 and -0.5 <= v < self.height - 0.5

    def place_in_picture(self, uv: npt.ArrayLike) -> FloatArray:
        """Pixels of the stored image as pixels of the picture, (M, 2) float64."""
        height, width = self.picture.shape[:2]
        scale = np.array([width / self.width, height / self.height])
        placed: FloatArray = scale * (np.asarray(uv, dtype=np.float64) + 0.5) - 0.5
        return placed


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LoadedFrame:
    """One frame.

    Attributes:
        index, id, scene: which frame of the store it is.
        xyz: (N, 3) float32 metres, lidar frame.
        intensity: (N,) float32, or None where the source has none.
        cameras: by name, those that have an image in this frame.
    """

    index: int
    id: str
    scene: str
    xyz: npt.NDArray[np.float32]
    intensity: npt.NDArray[np.float32] | None
    cameras: Mapping[str, LoadedCamera]


def check_frame(store: Store, index: int) -> None:
    """Refuse a frame that a store does not have.

    Raises:
        UsageError: it has none of this number.
    """
    if not 0 <= index < len(store):
        raise UsageError(
            f"there is no frame {index}",
            where=store.path,
            fix=f"Its frames are 0 to {len(store) - 1}.",
        )


def load_frame(frame: FrameView) -> LoadedFrame:
    """Read all that the viewer shows of a frame.

    Raises:
        StoreError: the store is damaged, or its correspondences have not been computed.
    """
    points = frame.points
    has_intensity = "intensity" in points.columns
    return LoadedFrame(
        index=frame.index,
        id=frame.id,
        scene=frame.scene,
        xyz=points.xyz,
        intensity=points["intensity"].astype(np.float32) if has_intensity else None,
        cameras={
            name: _load_camera(camera, frame.store.cameras)
            for name, camera in frame.cameras.items()
        },
    )


def _load_camera(camera: CameraView, names: tuple[str, ...]) -> LoadedCamera:
    width = min(camera.width, MAX_PICTURE_WIDTH)
    size = (width, max(round(camera.height * width / camera.width), 1))
    return LoadedCamera(
        name=camera.name,
        number=names.index(camera.name),
        color=camera_color(names, camera.name),
        width=camera.width,
        height=camera.height,
        K=camera.K,
        T_camera_from_lidar=camera.T_camera_from_lidar,
        pairs=camera.correspondences,
        picture=decode_image(camera.encoded(), where=camera.where, size=size),
    )
