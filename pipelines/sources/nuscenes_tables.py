"""nuScenes' tables as the official development kit holds them, without what is not needed.

Loaded whole, those of v1.0-trainval take it a minute and 8 GB. It is imported here and nowhere
else, because that takes seconds and brings Matplotlib along.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from nuscenes.nuscenes import NuScenes as DevelopmentKit  # type: ignore[import-untyped]
from nuscenes.utils.splits import create_splits_scenes  # type: ignore[import-untyped]

from simipu.errors import SourceError

from .nuscenes_fields import FIELDS, LIDAR, faulty_row
from .nuscenes_rows import UNPACK_TABLES, read_rows
from .nuscenes_selection import split_of_scenes

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from pathlib import Path

    from .nuscenes_rows import Row
    from .nuscenes_selection import Selection


class Tables(DevelopmentKit):  # type: ignore[misc]
    """The development kit with the needed rows only: `get` and ``sample["data"]`` as ever.

    Annotations, maps and radar are never needed.

    Args:
        root: folder of the data set.
        selection: what is to be read.

    Attributes:
        cameras: the channels to read.
        split_of: name of a scene -> its official split.

    Raises:
        SourceError: a table is missing or damaged, or a token in it leads nowhere.
        UsageError: there is nothing like what is selected.
    """

    def __init__(self, root: Path, selection: Selection) -> None:
        # Its own constructor insists on the maps' images, and on the files of lidarseg.
        self.version, self.dataroot = selection.version, str(root)
        self.table_names = list(FIELDS)
        self._folder = root / selection.version
        official = create_splits_scenes()
        self.split_of = split_of_scenes(selection.version, official)

        self.sensor = self.__load_table__("sensor")
        self.calibrated_sensor = self.__load_table__("calibrated_sensor")
        self._check_references("calibrated_sensor", "sensor")
        self._check_cameras()
        channels = (row["channel"] for row in self.sensor if row["modality"] == "camera")
        self.cameras = selection.choose_cameras(channels)
        self.log = self.__load_table__("log")
        self.scene = self.__load_table__("scene")
        self._check_references("scene", "log")
        self._check_scenes()
        self.sample = self.__load_table__("sample")
        self._check_references("sample", "scene")

        names = selection.choose_scenes([row["name"] for row in self.scene], official)
        is_needed = self._chooser(selection, names)
        self.scene = [row for row in self.scene if row["name"] in names]
        scenes = {row["token"] for row in self.scene}
        self.sample = [row for row in self.sample if row["scene_token"] in scenes]
        self.sample_data = self.__load_table__("sample_data", is_needed)
        poses = {row["ego_pose_token"] for row in self.sample_data}
        self.ego_pose = self.__load_table__("ego_pose", lambda row: row["token"] in poses)
        self._check_references("sample_data", "ego_pose")

        self.sample_annotation: list[Row] = []
        self.map = [{"token": "", "log_tokens": [row["token"] for row in self.log]}]
        self.__make_reverse_index__(verbose=False)

    def table_path(self, table: str) -> Path:
        """Return the file of a table."""
        return self._folder / f"{table}.json"

    def __load_table__(
        self, table_name: str, is_needed: Callable[[Row], bool] = lambda row: True
    ) -> list[Row]:
        path, fields = self.table_path(table_name), FIELDS[table_name].items()
        rows: list[Row] = []
        tokens: set[str] = set()
        for number, row in read_rows(path):
            try:
                if not is_needed(row):
                    continue
                kept = {name: check(row[name]) for name, check in fields}
            except (LookupError, TypeError, ValueError):
                raise faulty_row(path, number, row) from None
            if kept["token"] in tokens:
                raise SourceError(
                    f"row {number} has the token {kept['token']} of an earlier row",
                    where=path,
                    fix=UNPACK_TABLES,
                )
            tokens.add(kept["token"])
            rows.append(kept)
        return rows

    def _chooser(self, selection: Selection, names: Container[str]) -> Callable[[Row], bool]:
        """Return what tells of a row of sample_data whether it is needed, before it is checked."""
        wanted = {LIDAR: (selection.needs_lidar_sweeps, True)}  # between keyframes, at keyframes
        wanted |= dict.fromkeys(self.cameras, (selection.sweeps, True))
        sensors = {row["token"]: row["channel"] for row in self.sensor}
        of_mount = {
            row["token"]: wanted.get(sensors[row["sensor_token"]], (False, False))
            for row in self.calibrated_sensor
        }
        in_scene = {row["token"]: row["name"] in names for row in self.scene}
        of_sample = {row["token"]: in_scene[row["scene_token"]] for row in self.sample}

        def is_needed(row: Row) -> bool:
            kinds = of_mount.get(row["calibrated_sensor_token"])
            if kinds is None:
                raise self._leads_nowhere("sample_data", row, "calibrated_sensor")
            is_in_scene = of_sample.get(row["sample_token"])
            if is_in_scene is None:
                raise self._leads_nowhere("sample_data", row, "sample")
            return is_in_scene and kinds[row["is_key_frame"]]

        return is_needed

    def _check_cameras(self) -> None:
        cameras = {row["token"] for row in self.sensor if row["modality"] == "camera"}
        for row in self.calibrated_sensor:
            if row["sensor_token"] in cameras and not row["camera_intrinsic"]:
                raise SourceError(
                    f"row {row['token']} is a camera's, but its camera_intrinsic is empty",
                    where=self.table_path("calibrated_sensor"),
                    fix=UNPACK_TABLES,
                )

    def _check_scenes(self) -> None:
        names = Counter(row["name"] for row in self.scene)
        for name, count in names.items():
            if count > 1:
                raise SourceError(
                    f"{count} rows have the name {name!r}",
                    where=self.table_path("scene"),
                    fix=UNPACK_TABLES,
                )

    def _check_references(self, table: str, other: str) -> None:
        tokens = {row["token"] for row in getattr(self, other)}
        for row in getattr(self, table):
            if row[f"{other}_token"] not in tokens:
                raise self._leads_nowhere(table, row, other)

    def _leads_nowhere(self, table: str, row: Row, other: str) -> SourceError:
        return SourceError(
            f"row {row.get('token')}: its {other}_token {row[f'{other}_token']!r} is in no row of "
            f"{other}.json",
            where=self.table_path(table),
            fix=UNPACK_TABLES,
        )
