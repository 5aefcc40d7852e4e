"""Waymo frames of the official sizes: how many a second one core decodes, stores and projects.

    OMP_NUM_THREADS=1 python tests/benchmarks/waymo.py [--frames 4] [--continuous]

Frames are made up (see waymo_frames.py). Ranges are multiples of 2^-9 m, intensities and
elongations of 1/256, which gives Parquet files of about as many bytes a point as the published ones
are said to have; with --continuous, all their bits are noise. All times are CPU time of one
process; "stored" is with the store's codec, checksums and files, without correspondences.
"""

import argparse
import cProfile
import pstats
import tempfile
import time
from pathlib import Path

import numpy as np

from simipu.geometry import shutter
from simipu.pipelines.sources import waymo_messages, waymo_v1
from simipu.pipelines.sources.tfrecord import index_records, read_record
from simipu.pipelines.sources.waymo_frame import Assembly
from simipu.pipelines.sources.waymo_parts import CAMERAS
from simipu.pipelines.sources.waymo_range_image import POINT_COLUMNS, PROJECTION_COLUMNS
from simipu.pipelines.synthetic.waymo_v1 import as_record, encode_frame
from simipu.store import schema
from simipu.store.storage import LocalStorage
from simipu.store.writer import FrameWriter
from waymo_frames import make_frame

REPETITIONS = 3
COLUMNS = POINT_COLUMNS | PROJECTION_COLUMNS


def per_frame(function, items):
    """Median CPU time in milliseconds, and what the function returned."""
    times, results = [], []
    for repetition in range(REPETITIONS + 1):
        for item in items:
            start = time.process_time()
            result = function(item)
            if repetition:
                times.append(time.process_time() - start)
            else:
                results.append(result)
    return 1000 * float(np.median(times)), results


def store(frames, folder):
    """CPU milliseconds a frame, and the bytes on disk of each group of arrays."""
    storage = LocalStorage(Path(folder))
    rows = sum(len(frame.lidar) for frame in frames)
    images = sum(len(i.data) for frame in frames for i in frame.cameras.values())
    writer = FrameWriter(
        storage,
        cameras=list(CAMERAS.values()),
        attributes=[],
        point_columns=COLUMNS,
        points=range(-(-rows // schema.POINTS_PER_SHARD) * schema.POINTS_PER_SHARD),
        images=range(-(-images // schema.IMAGE_BYTES_PER_SHARD) * schema.IMAGE_BYTES_PER_SHARD),
    )
    start = time.process_time()
    with writer:
        for frame in frames:
            writer.append(frame)
    seconds = time.process_time() - start
    sizes = {
        part: sum(f.stat().st_size for f in (Path(folder) / part).rglob("*") if f.is_file())
        for part in ("lidar/points", "camera/data")
    }
    return 1000 * seconds / len(frames), sizes


def projected(frame, timing):
    columns = frame.lidar.columns
    points = np.stack([columns[axis] for axis in "xyz"], axis=1)
    return sum(
        len(
            shutter.project(
                points,
                T_camera_from_lidar=image.T_camera_from_lidar,
                T_ego_from_camera=image.T_ego_from_camera,
                K=image.K,
                distortion=image.distortion,
                width=image.width,
                height=image.height,
                shutter=image.shutter,
                timestamp_ns=image.timestamp_ns,
                timing=timing,
            )[0]
        )
        for image in frame.cameras.values()
    )


def lidar_bytes(path, record):
    """Bytes of the range images, projections and pixel poses in a frame."""
    message = waymo_messages.parse_frame(read_record(path, record), path, "frame")
    found = (image for laser in message.lasers for image in (laser.ri_return1, laser.ri_return2))
    return sum(
        len(image.range_image_compressed)
        + len(image.camera_projection_compressed)
        + len(image.range_image_pose_compressed)
        for image in found
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--continuous", action="store_true")
    arguments = parser.parse_args()
    steps = {} if arguments.continuous else {"range_step_m": 2**-9, "intensity_step": 1 / 256}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "segment.tfrecord"
        with path.open("wb") as out:
            for number in range(arguments.frames):
                out.write(as_record(encode_frame(make_frame(number, **steps))))
        records = index_records(path)

        def decode(record):
            return Assembly().frame(waymo_v1.read_frame(path, record)[0], "a", path)

        decoding, frames = per_frame(decode, records)
        storing, sizes = store(frames, Path(folder) / "store")
        reading, _ = per_frame(lambda record: read_record(path, record), records)
        count = len(frames)
        points = sum(len(frame.lidar) for frame in frames)
        images = sizes["camera/data"]
        used = images + sum(lidar_bytes(path, record) for record in records)
        print(f"{count} frames of {points / count:,.0f} points; milliseconds of CPU time a frame")
        print(f"read and check          {reading:7.1f}")
        print(f"read and decode         {decoding:7.1f}   {1000 / decoding:5.1f} frames/s")
        together = decoding + storing
        print(f"decode and store        {together:7.1f}   {1000 / together:5.1f} frames/s")
        for timing in ("pixels", "directions"):
            ms, pairs = per_frame(lambda frame, t=timing: projected(frame, t), frames)
            print(
                f"project, {timing:<10}     {ms:7.1f}   {1000 / (together + ms):5.1f} frames/s "
                f"with all before; {sum(pairs) / count:,.0f} pixels"
            )
        stored = sum(sizes.values())
        print(
            f"\nbytes a frame: used of the segment {used / count:,.0f}, "
            f"stored {stored / count:,.0f}"
        )
        print(f"ratio {stored / used:.3f}; points {sizes['lidar/points'] / points:.2f} bytes each,")
        print(f"in the segment {(used - images) / points:.2f}")
        profile = cProfile.Profile()
        profile.runcall(lambda: [decode(record) for record in records])
        print("\nwhere the time of decoding goes:")
        pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(12)


if __name__ == "__main__":
    main()
