"""What a store holds, frame by frame; each value is read when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np
import numpy.typing as npt

from simipu.errors import StoreError
from simipu.records import Column, Correspondences, FloatArray, Shutter
from simipu.store import schema
from simipu.store.images import decode_image

if TYPE_CHECKING:
    from simipu.records import ReadOut
    from simipu.store.reader import SceneView, Store

Array = npt.NDArray[Any]


class FrameRange(Sequence["FrameView"]):
    """Frames of a store, chosen by a slice; each is made when asked for."""

    def __init__(self, store: Store, indices: range) -> None:
        self._store = store
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> FrameView: ...
    @overload
    def __getitem__(self, index: slice) -> FrameRange: ...
    def __getitem__(self, index: int | slice) -> FrameView | FrameRange:
        if isinstance(index, slice):
            return FrameRange(self._store, self._indices[index])
        try:
            return FrameView(self._store, self._indices[index])
        except IndexError:
            raise IndexError(f"frame {index} of {len(self)}") from None

    def __repr__(self) -> str:
        return f"<{len(self):,} frames of {self._store.path}>"


class FrameView:
    """One frame of a store. Poses and times that the source does not have are None."""

    def __init__(self, store: Store, index: int) -> None:
        self._store = store
        self.index = index

    def __repr__(self) -> str:
        return (
            f"<Frame {self.index} {self.id!r}: {len(self.points):,} points, "
            f"{', '.join(self.cameras)}>"
        )

    @property
    def store(self) -> Store:
        """The store that the frame is of."""
        return self._store

    @cached_property
    def id(self) -> str:
        """The source's own name of the frame."""
        return self._text("frames/id")

    @property
    def _scene(self) -> SceneView:
        return self._store.scenes[int(self._store.table("frames/scene")[self.index])]

    @property
    def scene(self) -> str:
        """Name of the frame's scene."""
        return self._scene.name

    @property
    def split(self) -> str:
        """Split that the frame's scene belongs to; "" where the source names none."""
        return self._scene.split

    @property
    def timestamp_ns(self) -> int | None:
        """The frame's time."""
        return _time(self._store.table("frames/timestamp_ns")[self.index])

    @property
    def T_world_from_ego(self) -> FloatArray | None:
        """(4, 4) ego pose at the sweep's time."""
        return _pose(self._store.table("frames/T_world_from_ego")[self.index])

    @property
    def attributes(self) -> dict[str, str]:
        """What else the source says of the frame, such as its tokens."""
        names = self._store.attributes.get("frame_attributes", ())
        return {name: self._text(f"frames/attributes/{name}") for name in names}

    def _text(self, path: str) -> str:
        return schema.decode_text(self._store.table(path)[self.index : self.index + 1])[0]

    @cached_property
    def points(self) -> PointCloud:
        """The point cloud; columns are read when asked for."""
        return PointCloud(self._store, self.index)

    @cached_property
    def cameras(self) -> Mapping[str, CameraView]:
        """The cameras that have an image in this frame, by name."""
        valid = self._store.table("camera/valid")[self.index]
        return {
            name: CameraView(self._store, self.index, number)
            for number, name in enumerate(self._store.cameras)
            if valid[number]
        }


class PointCloud:
    """The points of one frame, in the lidar frame, column by column."""

    def __init__(self, store: Store, index: int) -> None:
        self._store = store
        self._index = index
        self._start = int(store.table("lidar/start")[index])
        self._count = int(store.table("lidar/count")[index])

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"<{len(self):,} points: {', '.join(self.columns)}>"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in the source's order."""
        return tuple(self._store.point_columns)

    def __getitem__(self, column: str) -> Column:
        """One column, (N,) in its own dtype."""
        if column not in self.columns:
            raise KeyError(f"no point column {column!r}; there are {', '.join(self.columns)}")
        array = self._store.array(f"lidar/points/{column}")
        return array.read(self._start, self._start + self._count)

    @property
    def xyz(self) -> npt.NDArray[np.float32]:
        """(N, 3) float32 metres."""
        return np.stack([self["x"], self["y"], self["z"]], axis=1).astype(np.float32, copy=False)

    @property
    def T_ego_from_lidar(self) -> FloatArray | None:
        """(4, 4) mounting pose."""
        return _pose(self._store.table("lidar/T_ego_from_lidar")[self._index])

    @property
    def timestamp_ns(self) -> int | None:
        """The time that the cloud stands for."""
        return _time(self._store.table("lidar/timestamp_ns")[self._index])

    @property
    def timestamp_start_ns(self) -> int | None:
        """First firing of the sweep."""
        return _time(self._store.table("lidar/timestamp_start_ns")[self._index])

    @property
    def timestamp_end_ns(self) -> int | None:
        """Last firing of the sweep."""
        return _time(self._store.table("lidar/timestamp_end_ns")[self._index])


class CameraView:
    """One camera of one frame: its image, calibration and correspondences."""

    def __init__(self, store: Store, frame: int, number: int) -> None:
        self._store = store
        self._frame = frame
        self._number = number

    def __repr__(self) -> str:
        return f"<Camera {self.name!r} of frame {self._frame}: {self.width} x {self.height}>"

    def _value(self, name: str) -> Any:
        return self._store.table(f"camera/{name}")[self._frame, self._number]

    @property
    def name(self) -> str:
        """The camera's name."""
        return self._store.cameras[self._number]

    @property
    def width(self) -> int:
        """Width of the image in pixels."""
        return int(self._value("width"))

    @property
    def height(self) -> int:
        """Height of the image in pixels."""
        return int(self._value("height"))

    @property
    def K(self) -> FloatArray:
        """(3, 3) pinhole matrix."""
        return np.array(self._value("K"))

    @property
    def distortion(self) -> FloatArray:
        """(5,) Brown coefficients k1 k2 p1 p2 k3."""
        return np.array(self._value("distortion"))

    @property
    def T_camera_from_lidar(self) -> FloatArray:
        """(4, 4) from the cloud to this camera, ego motion between the two included where known."""
        return np.array(self._value("T_camera_from_lidar"))

    @property
    def T_ego_from_camera(self) -> FloatArray | None:
        """(4, 4) mounting pose."""
        return _pose(self._value("T_ego_from_camera"))

    @property
    def T_world_from_ego(self) -> FloatArray | None:
        """(4, 4) ego pose at the image's time."""
        return _pose(self._value("T_world_from_ego"))

    @property
    def timestamp_ns(self) -> int | None:
        """Capture time of the image."""
        return _time(self._value("timestamp_ns"))

    @property
    def id(self) -> str:
        """The source's own name of the image; "" where it has none."""
        if "camera/id" not in self._store.layouts:  # format 1.0
            return ""
        return schema.decode_text(self._value("id")[None])[0]

    @property
    def shutter(self) -> Shutter | None:
        """The rolling shutter; None for a global one, or where nothing is known."""
        paths = schema.SHUTTER_PATHS
        if paths[0] not in self._store.layouts:  # format 1.0
            return None
        direction, start, end, linear, angular = (
            self._store.table(path)[self._frame, self._number] for path in paths
        )
        if not direction:
            return None
        return Shutter(
            direction=cast("ReadOut", schema.SHUTTER_DIRECTIONS[direction]),
            start_ns=int(start),
            end_ns=int(end),
            linear_velocity_m_s=np.array(linear),
            angular_velocity_rad_s=np.array(angular),
        )

    def encoded(self) -> bytes:
        """The PNG or JPEG file, as the source has it."""
        start = int(self._value("start"))
        return self._store.array("camera/data").read_bytes(start, start + self._nbytes)

    @property
    def _nbytes(self) -> int:
        return int(self._value("nbytes"))

    def image(self) -> npt.NDArray[np.uint8]:
        """The decoded image, (height, width, 3) uint8 RGB.

        Raises:
            StoreError: it cannot be decoded, or has more than 8 bits a channel.
        """
        return decode_image(self.encoded(), where=self.where)

    @property
    def where(self) -> str:
        """What to call the image in an error."""
        return f"{self._store.path}, frame {self._frame}, camera {self.name}"

    @property
    def correspondences(self) -> Correspondences:
        """The points that lie in this image.

        Raises:
            StoreError: none have been computed.
        """
        column = self.correspondence_column
        return Correspondences(
            row=column("point"),
            uv=np.stack([column("u"), column("v")], axis=1),
            depth=column("depth"),
            visible=column("visible"),
        )

    def correspondence_column(self, name: str) -> Array:
        """One column of the correspondences, for who does not need them all.

        Args:
            name: "point" (the row in the cloud), "u", "v", "depth" or "visible".

        Returns:
            (M,) in the dtype of `Correspondences`.

        Raises:
            StoreError: none have been computed.
        """
        entry = self._store.attributes["correspondence"]
        if entry is None:
            raise StoreError(
                "the store has no correspondences",
                where=self._store.path,
                fix=f"Run `simipu-prep correspond {self._store.path}`.",
            )
        group = entry["group"]
        start = int(self._store.table(f"{group}/start")[self._frame, self._number])
        count = int(self._store.table(f"{group}/count")[self._frame, self._number])
        return self._store.array(f"{group}/{name}").read(start, start + count)


def _time(value: np.int64) -> int | None:
    return None if value == schema.MISSING_TIME_NS else int(value)


def _pose(value: FloatArray) -> FloatArray | None:
    return None if np.isnan(value).all() else np.array(value)
