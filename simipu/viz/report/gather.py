"""The numbers of the report, gathered from a store."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from simipu.store import schema
from simipu.viz.alignment.estimate import Alignment, estimate_alignment
from simipu.viz.colors import depth_colors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from simipu.store.reader import Store
    from simipu.store.views import CameraView

DEPTH_EDGES_M = (0, 5, 10, 15, 20, 30, 40, 50, 60, 80, 100)
MOST_READ = 600
SHEET_IMAGES = 36
THUMBNAIL_PX = 480


@dataclass(slots=True)
class CameraNumbers:
    """What is known of one camera.

    Attributes:
        images: number of frames that have an image of it.
        pairs: (images,) correspondences of every image.
        by_depth: correspondences between `DEPTH_EDGES_M`, and beyond, in the frames read.
        visible: how many of them are visible.
        read: how many images these two are from.
        offsets_ms: (k,) the image's time minus the cloud's, where both are known.
        mounted: whether its pose on the vehicle is known in every frame.
    """

    images: int
    pairs: npt.NDArray[np.int64]
    offsets_ms: npt.NDArray[np.float64]
    mounted: bool
    by_depth: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(len(DEPTH_EDGES_M), np.int64)
    )
    visible: int = 0
    read: int = 0


class Sample(NamedTuple):
    """A small picture of one image with its points: JPEG bytes."""

    frame: int
    frame_id: str
    camera: str
    jpeg: bytes


class Numbers(NamedTuple):
    """All that the report says. ``alignment`` is None without correspondences."""

    cameras: dict[str, CameraNumbers]
    samples: list[Sample]
    alignment: Alignment | None


def gather(store: Store, *, progress: Callable[[Iterable[int]], Iterable[int]]) -> Numbers:
    """Read what the report needs: tables in full, points and images of frames spread over it."""
    cameras = _from_tables(store)
    count = max(len(store.cameras), 1)
    read = _spread(len(store), max(MOST_READ // count, 1))
    shown = set(_spread(len(store), max(SHEET_IMAGES // count, 1)))
    samples = []
    if store.correspondence_policy is None:
        return Numbers(cameras, [], None)
    for index in progress(sorted({*read, *shown})):
        frame = store[index]
        for name, view in frame.cameras.items():
            depth = view.correspondence_column("depth")
            edges = [*DEPTH_EDGES_M, np.inf]
            cameras[name].by_depth += np.histogram(depth, edges)[0]
            cameras[name].visible += int(view.correspondence_column("visible").sum())
            cameras[name].read += 1
            if index in shown:
                samples.append(Sample(index, frame.id, name, _thumbnail(view)))
    return Numbers(cameras, samples, estimate_alignment(store, progress=progress))


def _from_tables(store: Store) -> dict[str, CameraNumbers]:
    valid = store.table("camera/valid").astype(bool)
    entry = store.attributes["correspondence"]
    pairs = None if entry is None else store.table(f"{entry['group']}/count")
    taken = store.table("camera/timestamp_ns")
    swept = store.table("lidar/timestamp_ns")
    swept = np.where(swept == schema.MISSING_TIME_NS, store.table("frames/timestamp_ns"), swept)
    mounting = store.table("camera/T_ego_from_camera")
    numbers = {}
    for i, name in enumerate(store.cameras):
        rows = np.flatnonzero(valid[:, i])
        known = rows[
            (taken[rows, i] != schema.MISSING_TIME_NS) & (swept[rows] != schema.MISSING_TIME_NS)
        ]
        numbers[name] = CameraNumbers(
            images=len(rows),
            pairs=np.zeros(0, np.int64) if pairs is None else pairs[rows, i].astype(np.int64),
            offsets_ms=(taken[known, i] - swept[known]) / 1e6,
            mounted=not np.isnan(mounting[rows, i]).any(),
        )
    return numbers


def _spread(length: int, most: int) -> list[int]:
    """At most so many of the indices, evenly spread."""
    if length == 0:
        return []
    return [int(i) for i in np.unique(np.linspace(0, length - 1, min(length, most)).astype(int))]


def _thumbnail(view: CameraView) -> bytes:
    pairs = view.correspondences
    image = Image.fromarray(view.image())
    scale = min(THUMBNAIL_PX / image.width, 1.0)
    size = (round(image.width * scale), max(round(image.height * scale), 1))
    pixels = np.array(image.resize(size, Image.Resampling.BOX)) // 2 + 20
    order = np.argsort(-pairs.depth)
    order = order[pairs.visible[order]][:: max(len(pairs) // 4000, 1)]
    spot = np.clip(((pairs.uv[order] + 0.5) * scale).astype(int), 0, np.array(size) - 1)
    for du, dv in ((0, 0), (1, 0), (0, 1), (1, 1)):
        u, v = np.minimum(spot[:, 0] + du, size[0] - 1), np.minimum(spot[:, 1] + dv, size[1] - 1)
        pixels[v, u] = depth_colors(pairs.depth[order])
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=80)
    return file.getvalue()
