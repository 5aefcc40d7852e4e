"""Start-up and peak memory of nuScenes' tables at the size of v1.0-trainval.

    python tests/benchmarks/nuscenes_tables.py [--scenes 850] [--folder DIR] [--devkit]

Tables as large as the official ones are generated, with sensor files that are sparse, and read in
fresh processes: by the source for keyframes and for sweeps, then by the development kit's own
constructor (with --devkit; it needs more than 10 GB at full size). Loading the tables, listing the
frames and looking at every file is what is timed. DIR is kept and used again.
"""

import argparse
import contextlib
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLES = 34_149
SCENES = 850
ANNOTATIONS = 1_166_187
INSTANCES = 64_386
SCENE_S = 19.5
CAMERAS = ("FRONT", "FRONT_RIGHT", "BACK_RIGHT", "BACK", "BACK_LEFT", "FRONT_LEFT")
RADARS = ("FRONT", "FRONT_LEFT", "FRONT_RIGHT", "BACK_LEFT", "BACK_RIGHT")
# Rows between two keyframes that give 2.63 million rows in all, as there are.
CHANNELS = {
    "LIDAR_TOP": 9.72,
    **{f"CAM_{place}": 5.91 for place in CAMERAS},
    **{f"RADAR_{place}": 6.70 for place in RADARS},
}
SIZES = {"LIDAR_TOP": 34_688 * 20, "CAM": 150_000}
CHILD_BYTES = 11 << 30


def token(kind: int, number: int) -> str:
    return f"{kind:04x}{number * 0x9E3779B97F4A7C15 % 2**112:028x}"


class Table:
    """A table as the official ones are printed: one field a line."""

    def __init__(self, folder: Path, name: str) -> None:
        self.file = (folder / f"{name}.json").open("w")
        self.rows = 0

    def write(self, row: dict) -> None:
        self.file.write((",\n" if self.rows else "[\n") + json.dumps(row).replace(', "', ',\n"'))
        self.rows += 1

    def close(self) -> None:
        self.file.write("\n]" if self.rows else "[]")
        self.file.close()


def generate(root: Path, scenes: int) -> None:
    folder = root / "v1.0-trainval"
    folder.mkdir(parents=True)
    names = "category attribute visibility instance sensor calibrated_sensor ego_pose log scene"
    names += " sample sample_data sample_annotation map"
    tables = {name: Table(folder, name) for name in names.split()}
    for number, channel in enumerate(CHANNELS):
        modality = {"L": "lidar", "C": "camera", "R": "radar"}[channel[0]]
        tables["sensor"].write(
            {"token": token(1, number), "channel": channel, "modality": modality}
        )
        for part in ("samples", "sweeps"):
            (root / part / channel).mkdir(parents=True)
    from nuscenes.utils.splits import create_splits_scenes

    splits = create_splits_scenes()
    official = sorted(splits["train"] + splits["val"])[:scenes]
    for scene, name in enumerate(official):
        write_scene(root, tables, scene, name)
    tables["category"].write({"token": token(12, 0), "name": "vehicle.car", "description": ""})
    (root / "maps").mkdir()
    (root / "maps/map.png").write_bytes(b"not read")
    logs = [token(2, scene) for scene in range(scenes)]
    tables["map"].write({"token": token(13, 0), "log_tokens": logs, "filename": "maps/map.png"})
    for number in range(INSTANCES * scenes // SCENES):
        tables["instance"].write({"token": token(10, number), "category_token": token(12, 0)})
    for number in range(ANNOTATIONS * scenes // SCENES):
        tables["sample_annotation"].write(annotation(number, scenes))
    for name, table in tables.items():
        table.close()
        print(f"{name}: {table.rows:,} rows")


def annotation(number: int, scenes: int) -> dict:
    return {
        "token": token(11, number),
        "sample_token": token(4, number % (SAMPLES * scenes // SCENES)),
        "instance_token": token(10, number % (INSTANCES * scenes // SCENES)),
        "visibility_token": "4",
        "attribute_tokens": [token(14, 0)],
        "translation": [373.214 + number, 1130.48, 1.25],
        "size": [0.621, 0.669, 1.642],
        "rotation": [0.9831098797903927, 0.0, 0.0, -0.18301629506281616],
        "prev": "",
        "next": token(11, number + 1),
        "num_lidar_pts": 5,
        "num_radar_pts": 0,
    }


def write_scene(root: Path, tables: dict[str, Table], scene: int, name: str) -> None:
    begin = 1_532_402_927_647_951 + scene * 10**9
    first = SAMPLES * scene // SCENES
    samples = SAMPLES * (scene + 1) // SCENES - first
    log = {"token": token(2, scene), "logfile": f"n015-{scene:04d}", "vehicle": "n015"}
    tables["log"].write({**log, "date_captured": "2018-07-24", "location": "singapore-onenorth"})
    tables["scene"].write(
        {
            "token": token(3, scene),
            "log_token": token(2, scene),
            "nbr_samples": samples,
            "first_sample_token": token(4, first),
            "last_sample_token": token(4, first + samples - 1),
            "name": name,
            "description": "Parked truck, construction, intersection, turn left",
        }
    )
    for number in range(samples):
        tables["sample"].write(
            {
                "token": token(4, first + number),
                "timestamp": begin + number * 500_000,
                "prev": token(4, first + number - 1) if number else "",
                "next": token(4, first + number + 1) if number + 1 < samples else "",
                "scene_token": token(3, scene),
            }
        )
    for place, (channel, rate) in enumerate(CHANNELS.items()):
        mount = scene * len(CHANNELS) + place
        tables["calibrated_sensor"].write(
            {
                "token": token(5, mount),
                "sensor_token": token(1, place),
                "translation": [1.70079118954, 0.0159456324149, 1.51095763913],
                "rotation": [0.4998015, -0.5030316, 0.4997798, -0.4973708],
                "camera_intrinsic": [[1266.4, 0.0, 816.3], [0.0, 1266.4, 491.5], [0.0, 0.0, 1.0]]
                if channel.startswith("CAM")
                else [],
            }
        )
        count = round((samples - 1) * rate) + 1
        keyframe = [round(number * (count - 1) / (samples - 1)) for number in range(samples)]
        is_key = set(keyframe)
        sample = 0
        base = tables["sample_data"].rows
        for number in range(count):
            sample += number > keyframe[sample]
            key = number in is_key
            timestamp = begin + round(number * 500_000 / rate) - place * 1000
            suffix = ".jpg" if channel.startswith("CAM") else ".pcd.bin"
            part = "samples" if key else "sweeps"
            filename = f"{part}/{channel}/n015-2018-07-24-11-22-45__{channel}__{timestamp}{suffix}"
            row = token(6, base + number)
            tables["sample_data"].write(
                {
                    "token": row,
                    "sample_token": token(4, first + sample),
                    "ego_pose_token": row,
                    "calibrated_sensor_token": token(5, mount),
                    "timestamp": timestamp,
                    "fileformat": "jpg" if channel.startswith("CAM") else "pcd",
                    "is_key_frame": key,
                    "height": 900 if channel.startswith("CAM") else 0,
                    "width": 1600 if channel.startswith("CAM") else 0,
                    "filename": filename,
                    "prev": token(6, base + number - 1) if number else "",
                    "next": token(6, base + number + 1) if number + 1 < count else "",
                }
            )
            tables["ego_pose"].write(
                {
                    "token": row,
                    "timestamp": timestamp,
                    "rotation": [0.5720320396729045, -0.0016977771610471074, 0.011798001930183783,
                                 -0.8201446642457809],
                    "translation": [411.3039349319818 + number * 0.1, 1180.8903791765097, 0.0],
                }
            )  # fmt: skip
            if not channel.startswith("RADAR"):
                with (root / filename).open("wb") as file:
                    file.truncate(SIZES.get(channel, SIZES["CAM"]))


def own_bytes(value: object, seen: set[int]) -> int:
    """Memory of JSON values and records, each object counted once."""
    if id(value) in seen:
        return 0
    seen.add(id(value))
    size = sys.getsizeof(value)
    if isinstance(value, tuple):
        return size + sum(own_bytes(part, seen) for part in value)
    if hasattr(type(value), "__slots__") and not isinstance(value, str | float | int):
        return size + sum(own_bytes(getattr(value, name), seen) for name in value.__slots__)
    return size


def measure(root: Path, what: str) -> None:
    """Runs in a process of its own."""
    resource.setrlimit(resource.RLIMIT_AS, (CHILD_BYTES, CHILD_BYTES))
    wall, cpu = time.perf_counter(), time.process_time()
    if what == "devkit":
        from nuscenes.nuscenes import NuScenes as Kit

        with contextlib.suppress(MemoryError):
            Kit("v1.0-trainval", str(root), verbose=False)
            what += ", loaded"
        found = ""
    else:
        from simipu.pipelines.sources.nuscenes import NuScenes

        scan = NuScenes(root, sweeps=what == "sweeps").scan()
        frames = sum(len(scene.frames) for scene in scan.scenes)
        found = f", {frames:,} frames, {len(scan.skipped)} left out"
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{what}: {wall:.0f} s ({cpu:.0f} s of CPU), peak {peak:.2f} GiB{found}", flush=True)
    if found:
        some = scan.scenes[:20]
        gc.collect()
        count = sum(len(scene.frames) for scene in some)
        size = sum(own_bytes(scene.frames, set()) for scene in some)
        print(f"{what}: {size / count:,.0f} bytes of memory for each frame")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--devkit", action="store_true")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.folder, arguments.measure)
        return
    with contextlib.ExitStack() as stack:
        root = arguments.folder
        if root is None:
            root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not (root / "v1.0-trainval").exists():
            begin = time.perf_counter()
            generate(root, arguments.scenes)
            print(f"generated in {time.perf_counter() - begin:.0f} s")
        for what in ("keyframes", "sweeps", *(["devkit"] if arguments.devkit else [])):
            command = [sys.executable, __file__, "--folder", str(root), "--measure", what]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
