"""Planning, converting, committing and opening a store of many frames without content.

    python tests/benchmarks/many_frames.py [FRAMES] [CAMERAS]

Frames have one point and images of one byte: what is measured is the cost of a frame itself.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import simipu
from simipu.pipelines.convert import Resources, convert
from simipu.records import CameraImage, Frame, FrameRef, LidarSweep, Scan, Scene, SourceInfo

SCENE = 200


class EmptyFrames:
    def __init__(self, frames, cameras):
        self.frames = frames
        self.info = SourceInfo(
            name="empty",
            licence="none",
            cameras=tuple(f"camera_{number}" for number in range(cameras)),
            point_columns={"x": "<f4", "y": "<f4", "z": "<f4"},
            point_suffix=".bin",
        )

    def scan(self):
        refs = [
            FrameRef(id=f"scene/{index:010d}", max_points=1, max_image_bytes=len(self.info.cameras))
            for index in range(self.frames)
        ]
        scenes = [
            Scene(name=f"scene{start}", split="train", frames=tuple(refs[start : start + SCENE]))
            for start in range(0, self.frames, SCENE)
        ]
        return Scan(scenes=tuple(scenes))

    def read(self, ref):
        one = np.ones(1, "<f4")
        camera = CameraImage(
            data=b"x", width=1, height=1, K=np.eye(3), distortion=np.zeros(5),
            T_camera_from_lidar=np.eye(4), T_ego_from_camera=np.eye(4), T_world_from_ego=np.eye(4),
            timestamp_ns=1,
        )  # fmt: skip
        return Frame(
            id=ref.id,
            lidar=LidarSweep(columns={"x": one, "y": one, "z": one}, timestamp_ns=1),
            cameras=dict.fromkeys(self.info.cameras, camera),
            timestamp_ns=1,
        )


def main(frames=100_000, cameras=6):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "s.zarr"
        begin = time.perf_counter()
        convert(EmptyFrames(frames, cameras), out, resources=Resources(workers=1))
        print(f"convert {time.perf_counter() - begin:8.1f} s")
        for name, action in {
            "open": lambda: simipu.open_store(out),
            "open, last frame": lambda: simipu.open_store(out)[-1].cameras["camera_0"].K,
            "open, scenes": lambda: simipu.open_store(out).scenes[-1],
        }.items():
            begin = time.perf_counter()
            action()
            print(f"{name:<18} {1000 * (time.perf_counter() - begin):6.1f} ms")
        print(f"files {sum(path.is_file() for path in out.rglob('*')):,}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
