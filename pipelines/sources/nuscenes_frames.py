"""From nuScenes' tables to frames: which files belong to which moment."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING

from simipu.errors import SourceError
from simipu.records import FrameRef, Skipped

from .files import LFS_MAX_BYTES, UNPACK_AGAIN, read_bytes, skipped_frame
from .nuscenes_chain import in_order
from .nuscenes_fields import LIDAR
from .nuscenes_key import FrameKey, Mount, SensorFile
from .nuscenes_points import BYTES_PER_POINT, check_size
from .nuscenes_rows import UNPACK_TABLES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .nuscenes_rows import Row
    from .nuscenes_selection import Selection
    from .nuscenes_tables import Tables


class SceneFrames:
    """The frames of the scenes in the tables.

    Args:
        root: folder of the data set.
        tables: with the rows that the selection needs.
        selection: what becomes a frame.
    """

    def __init__(self, root: Path, tables: Tables, selection: Selection) -> None:
        self._root, self._tables, self._selection = root, tables, selection
        self._mounts = {
            row["token"]: Mount((*row["rotation"], *row["translation"]), row["camera_intrinsic"])
            for row in tables.calibrated_sensor
        }
        self._samples: dict[str, list[Row]] = defaultdict(list)
        for row in tables.sample:
            self._samples[row["scene_token"]].append(row)
        self._data: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
        for row in tables.sample_data:
            scene = tables.get("sample", row["sample_token"])["scene_token"]
            self._data[scene][row["channel"]].append(row)

    def of(self, scene: Row) -> tuple[list[FrameRef], list[Skipped]]:
        """Return a scene's frames in order of time, and those that must be left out.

        Raises:
            SourceError: the tables contradict themselves.
        """
        samples = self._ordered_samples(scene)
        data = self._data[scene["token"]]
        sweeps = self._ordered_sweeps(scene, samples)
        images = {camera: _ByTime(data[camera]) for camera in self._tables.cameras}
        files = _Files(self._root, self._tables, self._mounts)
        frames: list[FrameRef] = []
        skipped = [
            skipped_frame(row["token"], self._no_sweep(row))
            for row in samples
            if LIDAR not in row["data"]
        ]
        for number, row in enumerate(sweeps):
            if not (self._selection.sweeps or row["is_key_frame"]):
                continue
            try:
                if number and row["timestamp"] == sweeps[number - 1]["timestamp"]:
                    raise SourceError(
                        f"row {row['token']} has the timestamp of the sweep before it, "
                        f"{row['timestamp']}",
                        where=self._tables.table_path("sample_data"),
                        fix=UNPACK_TABLES,
                    )
                past = sweeps[max(0, number - self._selection.accumulate) : number][::-1]
                frames.append(self._frame(row, past, images, files))
            except SourceError as fault:
                skipped.append(skipped_frame(row["token"], fault))
        return frames, skipped

    def is_absent(self, scene: Row) -> bool:
        """Tell whether none of a scene's clouds is there."""
        rows = self._data[scene["token"]][LIDAR]
        return bool(rows) and not any(os.path.lexists(self._root / row["filename"]) for row in rows)

    def _frame(
        self, row: Row, past: Sequence[Row], images: dict[str, _ByTime], files: _Files
    ) -> FrameRef:
        if row["is_key_frame"]:  # its images are those that the data set's authors chose
            own = self._tables.get("sample", row["sample_token"])["data"]
            seen = {
                camera: self._tables.get("sample_data", own[camera])
                for camera in images
                if camera in own
            }
        else:
            near = (
                (camera, by_time.nearest(row["timestamp"], self._selection.tolerance_ms * 1000.0))
                for camera, by_time in images.items()
            )
            seen = {camera: image for camera, image in near if image is not None}
        clouds = [row, *past]
        return FrameRef(
            id=row["token"],
            max_points=sum(files.points(cloud) for cloud in clouds),
            max_image_bytes=sum(files.size(image) for image in seen.values()),
            key=FrameKey(
                attributes=(row["sample_token"], "1" if row["is_key_frame"] else "0"),
                sweep=files.file(row),
                cameras=tuple(seen),
                images=tuple(files.file(image) for image in seen.values()),
                past=tuple(files.file(cloud) for cloud in past),
            ),
        )

    def _ordered_samples(self, scene: Row) -> list[Row]:
        path = self._tables.table_path("sample")
        samples = in_order(self._samples[scene["token"]], path, scene["name"])
        tokens = [row["token"] for row in samples]
        expected = (scene["first_sample_token"], scene["last_sample_token"], scene["nbr_samples"])
        if samples and (tokens[0], tokens[-1], len(tokens)) != expected:
            raise SourceError(
                f"{scene['name']} has {expected[2]} samples from {expected[0]} to {expected[1]}, "
                f"but sample.json has {len(tokens)} from {tokens[0]} to {tokens[-1]}",
                where=self._tables.table_path("scene"),
                fix=UNPACK_TABLES,
            )
        return samples

    def _ordered_sweeps(self, scene: Row, samples: Sequence[Row]) -> list[Row]:
        if self._selection.needs_lidar_sweeps:
            path = self._tables.table_path("sample_data")
            return in_order(self._data[scene["token"]][LIDAR], path, f"{scene['name']}, {LIDAR}")
        tokens = [row["data"][LIDAR] for row in samples if LIDAR in row["data"]]
        return [self._tables.get("sample_data", token) for token in tokens]

    def _no_sweep(self, sample: Row) -> SourceError:
        return SourceError(
            f"no row is the {LIDAR} keyframe of sample {sample['token']}",
            where=self._tables.table_path("sample_data"),
            fix=UNPACK_TABLES,
        )


class _ByTime:
    """The images of one camera."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = sorted(rows, key=lambda row: row["timestamp"])
        self._times = [row["timestamp"] for row in self._rows]

    def nearest(self, time_us: int, tolerance_us: float) -> Row | None:
        after = bisect_left(self._times, time_us)
        around = range(max(0, after - 1), min(after + 1, len(self._rows)))
        best = min(around, key=lambda i: abs(self._times[i] - time_us), default=None)
        if best is None or abs(self._times[best] - time_us) > tolerance_us:
            return None
        return self._rows[best]


class _Files:
    """The files of one scene; each is looked at once, however many frames have it."""

    def __init__(self, root: Path, tables: Tables, mounts: dict[str, Mount]) -> None:
        self._root, self._tables, self._mounts = root, tables, mounts
        self._files: dict[str, SensorFile] = {}
        self._sizes: dict[str, int] = {}

    def file(self, row: Row) -> SensorFile:
        token = row["token"]
        if token not in self._files:
            pose = self._tables.get("ego_pose", row["ego_pose_token"])
            self._files[token] = SensorFile(
                token=token,
                filename=row["filename"],
                timestamp_us=row["timestamp"],
                size=(row["width"], row["height"]),
                pose=(*pose["rotation"], *pose["translation"]),
                mount=self._mounts[row["calibrated_sensor_token"]],
            )
        return self._files[token]

    def points(self, row: Row) -> int:
        size = self.size(row)
        check_size(size, self._root / row["filename"])
        return size // BYTES_PER_POINT

    def size(self, row: Row) -> int:
        """Return a file's size in bytes; only one small enough to be a pointer is opened.

        Raises:
            SourceError: its name leaves the root, or it is missing, empty or a Git LFS pointer.
        """
        name = row["filename"]
        if name not in self._sizes:
            if not name or name.startswith("/") or ".." in name.split("/"):
                raise SourceError(
                    f"row {row['token']} has the filename {name!r}, which is not below the root",
                    where=self._tables.table_path("sample_data"),
                    fix="Do not use tables that ask for files outside their data set.",
                )
            self._sizes[name] = _size(self._root, name)
        return self._sizes[name]


def _size(root: Path, name: str) -> int:
    try:
        size = os.stat(os.path.join(root, name)).st_size
    except OSError:
        size = -1
    if size < LFS_MAX_BYTES:
        folder = (root / name).parent
        if not folder.is_dir():  # one fault of all that should be in it
            raise SourceError("the folder is missing", where=folder, fix=UNPACK_AGAIN)
        read_bytes(root / name)
    return size
