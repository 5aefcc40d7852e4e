"""What it costs to check every frame before it is written, as a share of a conversion.

    python tests/benchmarks/validate.py

The frames are made up, of the sizes of KITTI's and nuScenes'. They come from memory, so that the
conversion measured against is one without reading files: the share of a real one is smaller.
"""

import io
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from simipu.pipelines.convert import Resources, convert
from simipu.pipelines.sources.validate import check_scan
from simipu.pipelines.sources.validate_frame import check_frame
from simipu.records import CameraImage, Frame, FrameRef, LidarSweep, Scan, Scene, SourceInfo

FRAMES = 60
REPEATS = 200
T_CAMERA_FROM_LIDAR = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


class Memory:
    """Yields one frame again and again."""

    root = Path("/nowhere")

    def __init__(self, kind: str, points: int, cameras: int, size: tuple[int, int], **saving):
        rng = np.random.default_rng(0)
        columns = ("x", "y", "z", "intensity", *(["ring"] if kind == "JPEG" else []))
        small = rng.integers(0, 255, (size[1] // 8, size[0] // 8, 3), np.uint8)
        encoded = io.BytesIO()
        noise = Image.fromarray(small).resize(size)
        noise.save(encoded, kind, **saving)
        names = tuple(f"camera_{number}" for number in range(cameras))
        self.info = SourceInfo(
            name="memory",
            licence="none",
            cameras=names,
            point_columns=dict.fromkeys(columns, "<f4"),
            point_suffix=".bin",
        )
        xyz = rng.normal(0, 20, (len(columns), points)).astype("<f4").round(3)
        image = CameraImage(
            data=encoded.getvalue(),
            width=size[0],
            height=size[1],
            K=np.array([[1000.0, 0, 800], [0, 1000, 450], [0, 0, 1]]),
            distortion=np.zeros(5),
            T_camera_from_lidar=T_CAMERA_FROM_LIDAR,
            T_ego_from_camera=T_CAMERA_FROM_LIDAR.T,
            T_world_from_ego=np.eye(4),
            timestamp_ns=1,
            id="token",
        )
        self.lidar = LidarSweep(
            columns=dict(zip(columns, xyz, strict=True)),
            T_ego_from_lidar=np.eye(4),
            timestamp_ns=1,
        )
        self.cameras = dict.fromkeys(names, image)

    def scan(self) -> Scan:
        size = sum(len(image.data) for image in self.cameras.values())
        refs = tuple(
            FrameRef(id=str(n), max_points=len(self.lidar), max_image_bytes=size, key=(n,))
            for n in range(FRAMES)
        )
        return Scan(scenes=(Scene(name="only", split="", frames=refs),))

    def read(self, ref: FrameRef) -> Frame:
        return Frame(
            id=ref.id,
            lidar=self.lidar,
            cameras=self.cameras,
            T_world_from_ego=np.eye(4),
            timestamp_ns=int(ref.id),
        )


def measure(name: str, source: Memory) -> None:
    scan = source.scan()
    ref = scan.scenes[0].frames[0]
    frame = source.read(ref)
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        for _ in range(REPEATS):
            check_frame(frame, ref, source.info)
        best = min(best, (time.process_time() - start) / REPEATS)
    start = time.process_time()
    check_scan(scan)
    listed = (time.process_time() - start) / FRAMES
    with tempfile.TemporaryDirectory() as folder:
        convert(source, Path(folder) / "warm", resources=Resources(workers=1), limit=5)
        start = time.process_time()
        convert(source, Path(folder) / "s", resources=Resources(workers=1))
        converted = (time.process_time() - start) / FRAMES
    size = sum(len(image.data) for image in frame.cameras.values())
    print(
        f"{name:9} {len(frame.lidar):7,} points, {len(frame.cameras)} images of {size / 2**20:.2f} "
        f"MiB: check {best * 1e3:.3f} ms a frame (its reference {listed * 1e6:.0f} us), conversion "
        f"{converted * 1e3:.1f} ms, {best / converted:.2%}"
    )


if __name__ == "__main__":
    print(f"CPU time, {FRAMES} frames from memory, one worker")
    measure("KITTI", Memory("PNG", 120_000, 2, (1242, 375), compress_level=1))
    measure("nuScenes", Memory("JPEG", 34_720, 6, (1600, 900), quality=75))
