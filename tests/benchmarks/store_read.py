"""Time of reading one frame (cloud, one image, correspondences) by four readers of one store.

    python tests/benchmarks/store_read.py [STORE]

Without STORE, one is made of the KITTI raw samples (SIMIPU_SAMPLE_DATA, or ../shared/data).
Frames are read in random order from a warm page cache, nothing is decoded but the chunks. The four
readers take turns frame by frame, so that the ratios hold on a machine with other work to do.
"""

import statistics
import sys
import time

import numpy as np

import simipu
from sample_store import given_or_sample_store

COLUMNS = ("x", "y", "z", "intensity")
PAIRS = ("point", "u", "v", "depth", "visible")


def open_with_zarr(store, pipeline):
    import zarr

    def read(path, start, stop):
        with zarr.config.set({"codec_pipeline.path": pipeline}):
            if path not in arrays:
                arrays[path] = zarr.open_array(store.path / path, mode="r")
            return arrays[path][start:stop]

    arrays = {}
    return read


def open_with_tensorstore(store):
    import tensorstore

    def read(path, start, stop):
        if path not in arrays:
            kvstore = {"driver": "file", "path": str(store.path / path)}
            arrays[path] = tensorstore.open({"driver": "zarr3", "kvstore": kvstore}).result()
        return arrays[path][start:stop].read().result()

    arrays = {}
    return read


def main(path):
    store = simipu.open_store(path)
    group = store.attributes["correspondence"]["group"]
    readers = {
        "simipu": lambda name, start, stop: store.array(name).read(start, stop),
        "tensorstore": open_with_tensorstore(store),
        "zarr-python + zarrs": open_with_zarr(store, "zarrs.ZarrsCodecPipeline"),
        "zarr-python": open_with_zarr(store, "zarr.core.codec_pipeline.BatchedCodecPipeline"),
    }
    requests = []
    for frame in range(len(store)):
        start, count = (int(store.table(f"lidar/{name}")[frame]) for name in ("start", "count"))
        wanted = [(f"lidar/points/{column}", start, start + count) for column in COLUMNS]
        start, count = (
            int(store.table(f"camera/{name}")[frame, 0]) for name in ("start", "nbytes")
        )
        wanted.append(("camera/data", start, start + count))
        start, count = (
            int(store.table(f"{group}/{name}")[frame, 0]) for name in ("start", "count")
        )
        wanted += [(f"{group}/{column}", start, start + count) for column in PAIRS]
        requests.append(wanted)
    times = {name: [] for name in readers}
    rng = np.random.default_rng(0)
    for repetition in range(6):
        for frame in rng.permutation(len(store)):
            for name, read in readers.items():
                begin = time.perf_counter()
                for wanted in requests[frame]:
                    read(*wanted)
                if repetition:  # the first opens the arrays
                    times[name].append(time.perf_counter() - begin)
    ours = statistics.median(times["simipu"])
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:<20} {1000 * median:6.2f} ms a frame, {median / ours:5.1f} x simipu")


if __name__ == "__main__":
    with given_or_sample_store(sys.argv[1:]) as path:
        main(path)
