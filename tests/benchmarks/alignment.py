"""Whether the report flags calibrations that are off by half a degree, and images out of time.

    python tests/benchmarks/alignment.py cases raw.zarr n.zarr --only LiDAR
    python tests/benchmarks/alignment.py cases --prepare 22

Each store is judged as it is, with the first camera and then the LiDAR rotated by 0.5 degrees
either way about each axis, and with images that are one frame late or early. The disturbance is
made while reading: matrices and images change, and correspondences are computed anew by the
store's own policy. ``--prepare`` first makes stores of the samples (SIMIPU_SAMPLE_DATA, else
../shared/data) and of generated worlds of these seeds. What is done stays in the folder and is
not done again, unless with ``--again``.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import simipu
from simipu.correspond.policy import Policy
from simipu.pipelines.correspond import frame_correspondences
from simipu.viz.alignment.estimate import BAD, GOOD, UNSURE, estimate_alignment

ANGLE_DEG = 0.5
SAMPLES = {
    "kitti_raw": ["kitti-raw"],
    "kitti_object": ["kitti"],
    "nuscenes": ["nuscenes"],
    "waymo": ["waymo", "--format", "v1"],
}
WORLDS = {
    "kitti-raw": "kitti-raw --frames 10 --cameras image_02",
    "nuscenes": "nuscenes --frames 6 --no-sweeps --cameras CAM_FRONT,CAM_FRONT_LEFT,CAM_BACK_RIGHT",
    "waymo": "waymo-v1 --frames 10 --cameras FRONT,FRONT_LEFT,SIDE_RIGHT",
}
LABELS = {BAD: "flagged", UNSURE: "unsure", GOOD: "good"}


class Changed:
    """An object of which some attributes are others."""

    def __init__(self, original, **others):
        self._original = original
        self.__dict__.update(others)

    def __getattr__(self, name):
        return getattr(self._original, name)


class Disturbed:
    """A store with other rotations, or with the images of other frames."""

    def __init__(self, store, *, camera=None, R=None, late=0):
        self.store, self.camera, self.R, self.late = store, camera, R, late
        self.cameras = store.cameras
        self.policy = Policy.from_dict(store.correspondence_policy)

    def __len__(self):
        return len(self.store)

    def __getitem__(self, index):
        frame = self.store[index]
        views = {name: self.view(frame, name) for name in frame.cameras}
        changed = Changed(frame, cameras=views)
        if self.R is None:
            return changed
        pairs = frame_correspondences(changed, self.policy)
        for name, view in views.items():
            view.correspondences = pairs[name]
        return changed

    def view(self, frame, name):
        view = frame.cameras[name]
        T = view.T_camera_from_lidar
        if self.R is not None and self.camera is None:
            T = T @ self.R
        elif self.R is not None and self.camera == name:
            T = self.R @ T
        other = self.store[min(max(frame.index - self.late, 0), len(self.store) - 1)]
        source = other if other.scene == frame.scene and name in other.cameras else frame
        return Changed(view, T_camera_from_lidar=T, image=source.cameras[name].image)


def rotation(axis, degrees):
    """(4, 4) rotation about one axis."""
    T = np.eye(4)
    a, b = [(1, 2), (2, 0), (0, 1)][axis]
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    T[a, a], T[a, b], T[b, a], T[b, b] = c, -s, s, c
    return T


def disturbances(store):
    """Yield a name, what is disturbed, and how."""
    yield "true", None, {}
    targets = [store.cameras[0], "LiDAR"] if len(store.cameras) > 1 else [store.cameras[0]]
    for target in targets:
        for axis in range(3):
            for sign in (1, -1):
                T = rotation(axis, sign * ANGLE_DEG)
                camera = None if target == "LiDAR" else target
                name = f"{'LiDAR' if camera is None else 'camera'} {'+-'[sign < 0]}{'xyz'[axis]}"
                yield name, target, {"camera": camera, "R": T}
    if len(store) > 1 and len(store.scenes) < len(store):
        for late in (1, -1):
            yield f"images {'late' if late > 0 else 'early'}", "time", {"late": late}


def judge(store, target, options):
    """Estimate one case; what is said of all, and of what was disturbed."""
    started = time.process_time()
    found = estimate_alignment(Disturbed(store, **options))
    rotations = dict(found.cameras)
    if found.lidar is not None:
        rotations["LiDAR"] = found.lidar
    verdicts = [one.verdict for one in [*rotations.values(), *found.timing.values()]]
    if target == "time":
        aimed = [one.verdict for one in found.timing.values()]
    elif target is None:
        aimed = verdicts
    else:
        aimed = [rotations[target].verdict]
    said = next(verdict for verdict in (BAD, GOOD, UNSURE) if verdict in aimed)
    if target is None and said != BAD and UNSURE in aimed:
        said = UNSURE
    shown = rotations.get(target) or found.lidar or next(iter(found.cameras.values()))
    return {
        "said": said,
        "elsewhere": said != BAD and BAD in verdicts,
        "rotations": {
            name: [one.verdict, one.angles_deg, one.sigma_deg] for name, one in rotations.items()
        },
        "timing": {name: [one.verdict, one.sigmas] for name, one in found.timing.items()},
        "angles_deg": shown.angles_deg,
        "sigma_deg": shown.sigma_deg,
        "seconds": time.process_time() - started,
    }


def prepare(folder, seeds):
    """Make the stores of the samples and of the worlds that are not there yet."""
    samples = Path(os.environ.get("SIMIPU_SAMPLE_DATA", "../shared/data"))
    for name, source in SAMPLES.items():
        if (samples / name).is_dir():
            convert(source, samples / name, folder / f"real-{name}.zarr")
        else:
            print(f"skipped: no samples at {samples / name}", file=sys.stderr)
    for seed in seeds:
        for name, options in WORLDS.items():
            out = folder / f"world-{name}-{seed}.zarr"
            if not out.exists():
                world = folder / "world"
                layout, *rest = options.split()
                fixed = ["--scenes", 1, "--seed", seed, "--image-scale", 0.5, "--no-truth"]
                prep("synthetic", "--layout", layout, "--out", world, *rest, *fixed)
                convert([name], world, out)
                shutil.rmtree(world)


def convert(source, root, out):
    if not out.exists():
        command, *rest = source
        prep(command, "--root", root, "--out", out, *rest)


def prep(*arguments):
    program = Path(sys.executable).with_name("simipu-prep")
    command = [program, *map(str, arguments), "--workers", "1"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def describe(case):
    angles = " ".join(
        f"{angle:+.2f}±{sigma:.2f}"
        for angle, sigma in zip(case["angles_deg"], case["sigma_deg"], strict=True)
    )
    return f"{LABELS[case['said']] + '*' * case['elsewhere']:9}{angles}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where stores and cases are kept")
    parser.add_argument("stores", type=Path, nargs="*")
    parser.add_argument("--prepare", type=int, nargs="*", metavar="SEED")
    parser.add_argument("--only", default="", help="cases whose names contain this")
    parser.add_argument("--again", action="store_true", help="estimate anew")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.prepare is not None:
        prepare(arguments.folder, arguments.prepare)
    stores = arguments.stores or sorted(arguments.folder.glob("*.zarr"))
    tally = {}
    for path in stores:
        store = simipu.open_store(path)
        print(f"\n{path.stem}: {len(store)} frames, {len(store.cameras)} cameras")
        for name, target, options in disturbances(store):
            if arguments.only not in name:
                continue
            file = arguments.folder / f"{path.stem}_{name.replace(' ', '_')}.json"
            if arguments.again or not file.exists():
                file.write_text(json.dumps(judge(store, target, options)))
            case = json.loads(file.read_text())
            print(f"  {name:14} {describe(case)}  {case['seconds']:.1f} s", flush=True)
            kind = (path.stem.split("-")[0], "true" if target is None else "disturbed")
            tally.setdefault(kind, []).append(LABELS[case["said"]])
    print("\n* flagged, but not what was disturbed")
    for (kind, what), said in sorted(tally.items()):
        counts = ", ".join(f"{said.count(label)} {label}" for label in LABELS.values())
        print(f"{kind:6} {what:10} {counts}")


if __name__ == "__main__":
    main()
