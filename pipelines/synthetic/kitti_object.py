"""KITTI object: single frames with labels, a few of each scene and about a second apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simipu.errors import UsageError

from . import kitti_calibration, kitti_frame, rigs
from .files import truth_folder, write_file
from .generate import Unit
from .kitti_labels import label_text

if TYPE_CHECKING:
    from pathlib import Path

    from .generate import Stage
    from .options import Options

CAMERAS = {"image_2": 2, "image_3": 3}
"""Folder -> number of the camera."""

MOST_FRAMES = 1_000_000
SPACING_S = 1.0
"""Time between the frames of a scene; the official frames are shuffled ones of whole drives."""

_SCAN, _NOISE = 0, 0  # sensor and purpose of the random numbers


class KittiObjectWriter:
    """Writes ``training`` and ``ImageSets``; frame f of scene s of F frames is ``s * F + f``.

    The last quarter of the scenes, one at least where there are two, is the validation set.
    The truth's ``surface`` is in the LiDAR's frame at the time of the images, which is when the
    scanner faces forward; its times count from the start of the scene.

    Args:
        root: the data set's root.
        options: what to write.

    Raises:
        UsageError: an option cannot be met.
    """

    def __init__(self, root: Path, options: Options) -> None:
        if options.scenes * options.frames > MOST_FRAMES:
            raise UsageError(
                f"{options.scenes * options.frames:,} frames",
                fix=f"File names of six digits are enough for {MOST_FRAMES:,}.",
            )
        self._root = root
        self._options = options
        self._rig = options.rig(rigs.kitti)
        self._duration_s = options.duration_s(SPACING_S)
        chosen = options.chosen_cameras(tuple(CAMERAS), ("image_2",))
        self._cameras = {name: self._rig.cameras[CAMERAS[name]] for name in chosen}
        self.units = [Unit(s, f) for s in range(options.scenes) for f in range(options.frames)]

    def write(self, unit: Unit, stage: Stage) -> None:
        """Write one frame."""
        options, scanner = self._options, self._rig.lidars[0]
        scenery = stage(options.seed, unit.scene, self._duration_s)
        exposure_s = unit.frame * SPACING_S
        moment = kitti_frame.observe(
            scenery,
            scanner,
            self._cameras,
            start_s=exposure_s - kitti_frame.forward_s(scanner),
            exposures_s=dict.fromkeys(self._cameras, exposure_s),
            rng=np.random.default_rng([options.seed, unit.scene, unit.frame, _SCAN, _NOISE]),
            with_truth=options.truth,
        )
        T_world_from_ego = scenery.world.ego.pose(exposure_s)
        if options.truth:
            kitti_frame.write_truth(
                truth_folder(self._root, unit.scene, unit.frame),
                moment,
                start_ns=0,
                T_frame_from_world=np.linalg.inv(T_world_from_ego @ scanner.T_ego_from_lidar),
            )
        folder, stem = self._root / "training", self._stem(unit)
        for name, image in moment.images.items():
            write_file(folder / name / f"{stem}.png", kitti_frame.png_bytes(image.rgb))
        labelled = next(iter(self._cameras))  # official labels are those of the left camera
        labels = label_text(
            scenery.world.actors,
            self._cameras[labelled],
            T_world_from_ego,
            self._rig.cameras[0].T_ego_from_camera,
            moment.images[labelled].depth,
            exposure_s,
        )
        write_file(folder / "label_2" / f"{stem}.txt", labels)
        write_file(folder / "calib" / f"{stem}.txt", kitti_calibration.object_text(self._rig))
        write_file(folder / "velodyne" / f"{stem}.bin", kitti_frame.scan_bytes(moment.sweep))

    def finish(self) -> None:
        """Write the lists of frames."""
        scenes = self._options.scenes
        first_of_val = scenes - max(scenes // 4, int(scenes > 1))
        splits = {
            "train": [unit for unit in self.units if unit.scene < first_of_val],
            "val": [unit for unit in self.units if unit.scene >= first_of_val],
            "trainval": self.units,
        }
        for split, units in splits.items():
            if not units:
                continue  # a list without a line would look like a damaged file
            lines = "".join(f"{self._stem(unit)}\n" for unit in units)
            write_file(self._root / "ImageSets" / f"{split}.txt", lines)

    def _stem(self, unit: Unit) -> str:
        return f"{unit.scene * self._options.frames + unit.frame:06d}"
