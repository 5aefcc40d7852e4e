"""A world in nuScenes' layout: v1.0-mini or v1.0-trainval, six cameras and LIDAR_TOP.

As in the real data, keyframes come at 2 Hz, sweeps at 20 Hz and images at 12 Hz; a sweep is
stamped with its end and brought to it by the ego's true motion; a camera fires when the LiDAR looks
along its axis; a file between two keyframes belongs to the later one. Each file has the ego's pose
at its own microsecond. Deviations: there is no radar; and the ego's height is written as it is,
where the real data has 0.

Truth is written for keyframes, with the keyframe's images, not for sweeps. Its points are in the
global frame; a row of the point file without a return has object -1 and no place (NaN).
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from . import rigs
from .files import truth_folder, write_file
from .generate import Unit
from .nuscenes_map import mask_png
from .nuscenes_scenes import IMAGE_SWEEPS, KEYFRAME_S, SWEEPS, recordings
from .nuscenes_tables import Notes, make_tables, map_filename
from .nuscenes_turn import Turn

if TYPE_CHECKING:
    from pathlib import Path

    from simipu.records import FloatArray

    from .generate import Stage
    from .nuscenes_scenes import Recording
    from .options import Options

_ORIGIN_M = (600.0, 1600.0)
"""Where the worlds' origin lies in the global frame: as far out as in the real data."""
_LIDAR, _PLACE = 0, 1  # what random numbers are for


class NuScenesWriter:
    """Writes nuScenes. A unit is a keyframe with the sweeps up to the next one.

    Args:
        root: folder of the data set.
        options: what to write.

    Raises:
        UsageError: there are not as many official scenes, or an option cannot be met.
    """

    def __init__(self, root: Path, options: Options) -> None:
        self._root, self._options = root, options
        rig = options.rig(rigs.nuscenes)
        self._duration_s = options.duration_s(KEYFRAME_S)
        available = tuple(model.name for model in rig.cameras)
        chosen = options.chosen_cameras(available, available)
        self._rig = dataclasses.replace(
            rig, cameras=tuple(model for model in rig.cameras if model.name in chosen)
        )
        version, self._recordings = recordings(options.scenes)
        self._tables = root / version
        self._notes = self._tables / ".units"
        self.units = tuple(
            Unit(scene, keyframe)
            for scene in range(options.scenes)
            for keyframe in range(options.frames)
        )

    def write(self, unit: Unit, stage: Stage) -> None:
        """Write the files of a keyframe and of the sweeps after it, and note down their rows."""
        options, recording = self._options, self._recordings[unit.scene]
        scenery = stage(options.seed, unit.scene, self._duration_s)
        T_global_from_world = self._place(unit.scene)
        rows: list[dict[str, Any]] = []
        boxes: list[dict[str, Any]] = []
        is_last = unit.frame == options.frames - 1
        for phase in range(SWEEPS if options.sweeps and not is_last else 1):
            number = unit.frame * SWEEPS + phase
            turn = Turn(
                number,
                np.random.default_rng([options.seed, unit.scene, number, 0, _LIDAR]),
                scenery=scenery,
                rig=self._rig,
                recording=recording,
                T_global_from_world=T_global_from_world,
            )
            for file in [turn.points(), *(turn.images() if phase in IMAGE_SWEEPS else ())]:
                write_file(self._root / file.row["filename"], file.data)
                rows.append(file.row)
            if phase == 0:
                boxes = turn.boxes()
                if options.truth:
                    turn.write_truth(truth_folder(self._root, unit.scene, unit.frame))
        if unit.frame == 0:
            mask = mask_png(scenery.world.static, T_global_from_world)
            write_file(self._root / map_filename(options.seed, recording), mask)
        write_file(self._note(unit), json.dumps({"files": rows, "boxes": boxes}))

    def finish(self) -> None:
        """Write the tables."""
        done = self._notes.with_name(".done")
        if self._notes.exists():
            tables = make_tables(
                self._options.seed, self._rig, [self._scene_notes(n) for n in self._recordings]
            )
            for name, rows in tables.items():
                write_file(self._tables / f"{name}.json", json.dumps(rows, indent=1) + "\n")
            self._notes.rename(done)  # from here on, all tables are there
        shutil.rmtree(done, ignore_errors=True)

    def _scene_notes(self, recording: Recording) -> Notes:
        units = [unit for unit in self.units if unit.scene == recording.number]
        notes = [json.loads(self._note(unit).read_bytes()) for unit in units]
        return Notes(
            recording=recording,
            files=[row for note in notes for row in note["files"]],
            boxes=[note["boxes"] for note in notes],
        )

    def _note(self, unit: Unit) -> Path:
        return self._notes / f"{unit.scene:04d}" / f"{unit.frame:06d}.json"

    def _place(self, scene: int) -> FloatArray:
        """Return (4, 4) T_global_from_world of a scene: far out, and facing any way."""
        rng = np.random.default_rng([self._options.seed, scene, 0, 0, _PLACE])
        yaw = rng.uniform(-math.pi, math.pi)
        T = np.eye(4)
        T[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
        T[:2, 3] = _ORIGIN_M
        return T
