"""The files of exact truth: what each return hit, where it is in the images, and their depth.

See `visibility.locate` for the places in the images.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from simipu.errors import SourceError

from .files import write_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from simipu.records import FloatArray

_POINTS = "points.npz"
_CAMERA_PARTS = ("row", "uv", "depth", "reached")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CameraTruth:
    """The M returns whose spots lie in one image.

    Attributes:
        row: (M,) uint32 row of the point file, ascending.
        uv: (M, 2) float64 pixels, integers at pixel centres.
        depth: (M,) float64 metres along the optical axis.
        reached: (M,) bool, whether a ray from the camera's centre gets to the spot.
    """

    row: npt.NDArray[np.uint32]
    uv: FloatArray
    depth: FloatArray
    reached: npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FrameTruth:
    """What `write` wrote.

    Attributes:
        object_id: (N,) int32 of what each return hit, 0 for scenery.
        t_ns: (N,) int64 firing times.
        surface: (N, 3) float64 spots without noise, in the frame that the writer chose.
        cameras: camera name -> where the returns are in its image.
        folder: where it was read from.
    """

    object_id: npt.NDArray[np.int32]
    t_ns: npt.NDArray[np.int64]
    surface: FloatArray
    cameras: Mapping[str, CameraTruth]
    folder: Path = field(repr=False)

    def depth(self, camera: str) -> npt.NDArray[np.float32]:
        """Return the (H, W) float32 depth of an image's pixel centres, inf for sky."""
        path = self.folder / f"depth_{camera}.npy"
        depth: npt.NDArray[np.float32] = _load(path)
        return depth


def write(
    folder: Path,
    *,
    object_id: npt.NDArray[np.int32],
    t_ns: npt.NDArray[np.int64],
    surface: FloatArray,
    cameras: Mapping[str, CameraTruth],
    depth: Mapping[str, npt.NDArray[np.float32]],
) -> None:
    """Write a frame's truth: ``points.npz`` and one ``depth_<camera>.npy`` for each image.

    Args:
        folder: made if it is not there; each file is there whole or not at all.
        object_id: (N,) of what each return hit; rows are those of the official point file.
        t_ns: (N,) firing times.
        surface: (N, 3) spots without noise, in a frame of the caller's choice.
        cameras: camera name -> where the returns are in its image.
        depth: camera name -> (H, W) metres along the optical axis, inf for sky.
    """
    arrays: dict[str, npt.NDArray[Any]] = {
        "object_id": object_id.astype(np.int32),
        "t_ns": t_ns.astype(np.int64),
        "surface": surface.astype(np.float64),
    }
    for name, found in cameras.items():
        for part in _CAMERA_PARTS:
            arrays[f"{name}.{part}"] = getattr(found, part)
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_file(folder / _POINTS, content.getvalue())
    for name, image in depth.items():
        content = io.BytesIO()
        np.save(content, image.astype(np.float32))
        write_file(folder / f"depth_{name}.npy", content.getvalue())


def read(folder: Path) -> FrameTruth:
    """Read what `write` wrote.

    Raises:
        SourceError: if a file is missing or damaged.
    """
    points = _load(folder / _POINTS)
    try:
        with points:
            arrays = {name: points[name] for name in points.files}
        names = [key.removesuffix(".row") for key in arrays if key.endswith(".row")]
        return FrameTruth(
            object_id=arrays["object_id"],
            t_ns=arrays["t_ns"],
            surface=arrays["surface"],
            cameras={
                name: CameraTruth(**{part: arrays[f"{name}.{part}"] for part in _CAMERA_PARTS})
                for name in names
            },
            folder=folder,
        )
    except (KeyError, ValueError, OSError, zipfile.BadZipFile, AttributeError) as error:
        raise _damaged(folder / _POINTS, error) from error


def _load(path: Path) -> Any:
    try:
        # From memory: np.load leaves a damaged archive open.
        return np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> SourceError:
    return SourceError(
        f"The truth of this frame cannot be read: {error}",
        where=path,
        fix="Generate the data set again.",
    )
