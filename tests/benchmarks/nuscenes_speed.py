"""nuScenes: correspondences beside the development kit's, conversion beside copying the files.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python tests/benchmarks/nuscenes_speed.py

Correspondences of all six cameras of a frame are timed against the arithmetic of
NuScenesExplorer.map_pointcloud_to_image, by the development kit's own classes, with the files
already in memory. A conversion with one worker is timed against `cp -r` and `sync` of the same
files; both take turns. Frames are the real sample (SIMIPU_SAMPLE_DATA) under new names, or
synthetic ones where it is absent.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from nuscenes.nuscenes import NuScenes as DevelopmentKit
from nuscenes.utils.data_classes import LidarPointCloud
from nuscenes.utils.geometry_utils import view_points
from pyquaternion import Quaternion

from simipu.correspond.compute import correspond
from simipu.correspond.policy import Policy
from simipu.pipelines.convert import Resources, convert
from simipu.pipelines.sources.nuscenes import NuScenes
from simipu.pipelines.synthetic.generate import generate
from simipu.pipelines.synthetic.options import Options

REPEATS = 40
ROUNDS = 3
PROJECT = Path(__file__).resolve().parents[2]
SAMPLES = Path(os.environ.get("SIMIPU_SAMPLE_DATA", PROJECT.parent / "shared" / "data"))


def devkit_view(nusc: DevelopmentKit, cloud: LidarPointCloud, lidar: dict, camera: dict) -> int:
    """The steps of map_pointcloud_to_image after its files are open; returns how many are left."""
    mount = nusc.get("calibrated_sensor", lidar["calibrated_sensor_token"])
    ego = nusc.get("ego_pose", lidar["ego_pose_token"])
    for pose in (mount, ego):
        cloud.rotate(Quaternion(pose["rotation"]).rotation_matrix)
        cloud.translate(np.array(pose["translation"]))
    mount = nusc.get("calibrated_sensor", camera["calibrated_sensor_token"])
    ego = nusc.get("ego_pose", camera["ego_pose_token"])
    for pose in (ego, mount):
        cloud.translate(-np.array(pose["translation"]))
        cloud.rotate(Quaternion(pose["rotation"]).rotation_matrix.T)
    depth = cloud.points[2, :]
    uv = view_points(cloud.points[:3, :], np.array(mount["camera_intrinsic"]), normalize=True)
    kept = depth > 1.0
    kept = np.logical_and(kept, (uv[0] > 1) & (uv[0] < camera["width"] - 1))
    kept = np.logical_and(kept, (uv[1] > 1) & (uv[1] < camera["height"] - 1))
    return uv[:, kept].shape[1]


def compare_correspondences(name: str, root: Path) -> None:
    nusc = DevelopmentKit("v1.0-mini", str(root), verbose=False)
    source = NuScenes(root)
    ref = source.scan().scenes[0].frames[0]
    frame = source.read(ref)
    lidar = nusc.get("sample_data", frame.id)
    cameras = [(nusc.get("sample_data", im.id), im) for im in frame.cameras.values()]
    columns = frame.lidar.columns
    xyz = np.array([columns[axis] for axis in "xyz"]).T  # as the pipeline has it
    points = np.stack([columns[column] for column in ("x", "y", "z", "intensity")])

    def devkit() -> tuple[float, int]:
        clouds = [LidarPointCloud(points.copy()) for _ in cameras]  # it changes them
        begin = time.process_time()
        count = 0
        for cloud, (camera, _) in zip(clouds, cameras, strict=True):
            count += devkit_view(nusc, cloud, lidar, camera)
        return time.process_time() - begin, count

    def ours(occlusion: str) -> tuple[float, int]:
        policy = Policy.from_dict({**source.info.policy, "occlusion": occlusion})
        begin = time.process_time()
        count = 0
        for _, image in cameras:
            pairs = correspond(
                xyz,
                T_camera_from_lidar=image.T_camera_from_lidar,
                K=image.K,
                distortion=image.distortion,
                width=image.width,
                height=image.height,
                policy=policy,
                T_ego_from_lidar=frame.lidar.T_ego_from_lidar,
                ego_box_m=source.info.ego_box_m,
            )
            count += len(pairs)
        return time.process_time() - begin, count

    rivals = {"devkit": devkit, "without": lambda: ours("none"), "with": lambda: ours("zbuffer")}
    seconds: dict[str, list[float]] = {key: [] for key in rivals}
    counts = {}
    for _ in range(REPEATS):
        for key, run in rivals.items():
            spent, counts[key] = run()
            seconds[key].append(spent)
    ms = {key: statistics.median(values) * 1e3 / len(cameras) for key, values in seconds.items()}
    print(
        f"{name}: {len(xyz):,} points, {counts['devkit']:,} and {counts['without']:,} in "
        f"{len(cameras)} images; for a camera {ms['devkit']:.2f} ms by the development kit, "
        f"{ms['without']:.2f} ms without the occlusion test "
        f"({ms['devkit'] / ms['without']:.1f} times faster), {ms['with']:.2f} ms with it "
        f"({ms['devkit'] / ms['with']:.2f} times faster)"
    )


def multiply(source: Path, root: Path, frames: int) -> None:
    """Copy the first sample of a data set so many times, as one scene."""
    version = source / "v1.0-mini"
    tables = {path.stem: json.loads(path.read_text()) for path in version.glob("*.json")}
    sample = tables["sample"][0]
    data = [row for row in tables["sample_data"] if row["sample_token"] == sample["token"]]
    data = [row for row in data if row["is_key_frame"]]
    poses = {row["token"]: row for row in tables["ego_pose"]}
    scene = {**tables["scene"][0], "nbr_samples": frames}
    scene |= {"first_sample_token": "s0", "last_sample_token": f"s{frames - 1}"}
    made: dict[str, list[dict]] = {"sample": [], "sample_data": [], "ego_pose": []}
    for number in range(frames):
        late = number * 500_000
        around = {
            "prev": f"s{number - 1}" if number else "",
            "next": f"s{number + 1}" if number + 1 < frames else "",
        }
        made["sample"].append(
            {**sample, **around, "token": f"s{number}", "timestamp": sample["timestamp"] + late}
        )
        for row in data:
            old = source / row["filename"]
            name = f"{row['filename'].partition('.')[0]}{number:06d}{''.join(old.suffixes)}"
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(old, root / name)
            token = f"{row['token']}-{number}"
            made["ego_pose"].append({**poses[row["ego_pose_token"]], "token": token})
            made["sample_data"].append(
                {
                    **row,
                    "token": token,
                    "sample_token": f"s{number}",
                    "ego_pose_token": token,
                    "timestamp": row["timestamp"] + late,
                    "filename": name,
                    "prev": "",
                    "next": "",
                }
            )
    (root / "v1.0-mini").mkdir()
    for name, rows in {**tables, **made, "scene": [scene]}.items():
        (root / f"v1.0-mini/{name}.json").write_text(json.dumps(rows))


def compare_conversion(source: Path, folder: Path, frames: int) -> None:
    root = folder / "nuscenes"
    root.mkdir()
    multiply(source, root, frames)
    size = sum(path.stat().st_size for path in root.glob("samples/*/*"))
    print(f"conversion: {frames} frames, {size / 2**20:,.0f} MiB in {7 * frames:,} files")
    os.sync()
    ratios: list[float] = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        subprocess.run(["cp", "-r", root, folder / "copy"], check=True)
        os.sync()
        copy = time.perf_counter() - begin
        shutil.rmtree(folder / "copy")
        os.sync()
        command = [sys.executable, __file__, "--convert", str(root), "--folder", str(folder)]
        ours, cpu, memory = json.loads(subprocess.check_output(command))
        shutil.rmtree(folder / "n.zarr")
        os.sync()
        ratios.append(ours / copy)
        quarter = max(1, len(memory) // 4)
        print(
            f"  copy {copy:.2f} s, convert {ours:.2f} s ({cpu:.2f} s of CPU), ratio "
            f"{ours / copy:.2f}; memory of the process in the first quarter of the blocks at most "
            f"{max(memory[:quarter]):.0f} MiB, in the last {max(memory[-quarter:]):.0f} MiB"
        )
    print(f"conversion: median ratio {statistics.median(ratios):.2f}")


def convert_alone(root: Path, out: Path) -> None:
    """In a process of its own: prints seconds, seconds of CPU, and MiB after each block."""
    memory: list[float] = []

    def note_memory(*_: object) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        memory.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)

    reader = NuScenes(root)
    reader.scan()  # loads the development kit
    begin, cpu = time.perf_counter(), time.process_time()
    convert(
        reader,
        out,
        resources=Resources(workers=1),
        progress=note_memory,
    )
    os.sync()
    spent = time.perf_counter() - begin, time.process_time() - cpu
    print(json.dumps([*spent, memory[1:]]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    parser.add_argument("--convert", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.convert:
        convert_alone(arguments.convert, arguments.folder / "n.zarr")
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        world = folder / "world"
        generate(
            world, Options(layout="nuscenes", scenes=1, frames=1, seed=3, truth=False), workers=2
        )
        compare_correspondences("synthetic", world)
        real = SAMPLES / "nuscenes"
        if real.is_dir():
            compare_correspondences("real", real)
        else:
            print(f"no real sample under {SAMPLES}: set SIMIPU_SAMPLE_DATA")
        compare_conversion(real if real.is_dir() else world, folder, arguments.frames)


if __name__ == "__main__":
    main()
