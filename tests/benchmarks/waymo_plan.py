"""Planning the full data set: tasks, files, time and memory, on generated lists of its frames.

    python tests/benchmarks/waymo_plan.py [--segments 1150] [--frames 199] [--version v1]

The lists have the sizes of the official data set, without files behind them. Scanning a segment is
measured apart, on a generated one of small payloads, and extrapolated: only headers and beginnings
are read.
"""

import argparse
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

from simipu.pipelines.plan import make_plan
from simipu.pipelines.sources.waymo import _PIXELS, Waymo, _Key
from simipu.pipelines.synthetic.generate import generate
from simipu.pipelines.synthetic.options import Options
from simipu.records import FrameRef, Scan, Scene
from simipu.store import schema

FRAME_BYTES = 5_250_000
IMAGE_BYTES = 1_650_000


class Listed:
    """The frames of so many segments, as `Waymo` lists them."""

    def __init__(self, info, root, version, segments, frames):
        self.info, self.root = info, root
        self.version, self.segments, self.frames = version, segments, frames

    def scan(self):
        return Scan(scenes=tuple(self.scene(number) for number in range(self.segments)))

    def scene(self, number):
        name = f"{number:020d}_0_000_20_000"
        points = 2 * sum(_PIXELS.values())
        # A record of version 1 is as long as its frame, and its images are somewhere in it.
        largest = FRAME_BYTES if self.version == "v1" else IMAGE_BYTES
        refs = []
        for k in range(self.frames):
            time_us = 1_550_000_000_000_000 + number * 1_000_000_000 + k * 100_000
            state = (k, k * FRAME_BYTES, FRAME_BYTES)
            key = _Key("training", f"segment-{name}_with_camera_labels.tfrecord", time_us, state)
            refs.append(
                FrameRef(
                    id=f"{name}/{time_us}",
                    max_points=points,
                    max_image_bytes=largest,
                    source_bytes=FRAME_BYTES,
                    key=key,
                )
            )
        return Scene(name=name, split="training", frames=tuple(refs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--segments", type=int, default=1150)
    parser.add_argument("--frames", type=int, default=199)
    parser.add_argument("--version", choices=("v1", "v2"), default="v1")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        options = Options(
            layout=f"waymo-{arguments.version}",
            scenes=1,
            seed=0,
            frames=20,
            image_scale=0.02,
            beams=8,
            columns=64,
            truth=False,
        )
        generate(root, options)
        source = Waymo(root)
        start = time.process_time()
        scan = source.scan()
        found = sum(len(scene.frames) for scene in scan.scenes)
        per_frame = (time.process_time() - start) / found
        info = source.info
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    listed = Listed(info, root, arguments.version, arguments.segments, arguments.frames)
    plan = make_plan(listed)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    frames = arguments.segments * arguments.frames
    print(f"{arguments.version}: {arguments.segments} segments, {frames:,} frames")
    print(f"scan, per frame {1e6 * per_frame:.0f} us; so for all {frames * per_frame:.0f} s of CPU")
    print(f"plan {seconds:.1f} s of CPU, {(peak - before) / 1024:.0f} MiB above the imports")
    sizes = Counter(len(task.frames) for task in plan.tasks)
    print(f"tasks {len(plan.tasks):,}; frames in each {dict(sizes.most_common(3))}")
    shards = plan.point_rows // schema.POINTS_PER_SHARD
    images = plan.image_rows // schema.IMAGE_BYTES_PER_SHARD
    print(f"shards allotted, an upper bound of the files: {shards:,} of each of")
    print(f"{len(info.point_columns)} point columns, {images:,} of images")


if __name__ == "__main__":
    main()
