"""Converting a Waymo segment: time, memory and bytes, and what the full set would take.

    OMP_NUM_THREADS=1 python tests/benchmarks/waymo_conversion.py [--version v2] [--frames 8]
        [--root DIR] [--profile]

From the files to a store with correspondences (lens distortion, rolling shutter, occlusion) in
one process, as `simipu-prep waymo` does. The segment is made up (waymo_frames.py), of the
official sizes; with --root, the data set there is converted. More frames than --made are the
same ones again. Times are CPU time of a fresh process; memory is its peak resident size.
"""

import argparse
import cProfile
import multiprocessing
import pstats
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from waymo_open_dataset import dataset_pb2

import simipu
from simipu.correspond.policy import Policy
from simipu.pipelines.convert import Resources, convert
from simipu.pipelines.correspond import correspond_store
from simipu.pipelines.sources.waymo import Waymo
from simipu.pipelines.sources.waymo_tables import COMPONENTS
from simipu.pipelines.synthetic.waymo_tables import PER_SEGMENT, rows
from simipu.pipelines.synthetic.waymo_v1 import as_record, encode_frame
from simipu.pipelines.synthetic.waymo_v2 import schema
from waymo_frames import START_US, make_frame

SEGMENTS, FRAMES = 1150, 199
CORES = 32
FRAMES_PER_GROUP = 2


def contents(frames, made):
    """Frames of one segment; ranges in steps, see waymo.py."""
    kept = [make_frame(k, range_step_m=2**-9, intensity_step=1 / 256) for k in range(made)]
    for number in range(frames):
        yield replace(kept[number % made], timestamp_us=START_US + 100_000 * number)


def write_v1(root, frames, made):
    folder = root / "training"
    folder.mkdir()
    # A frame takes longer to compress than to convert: those that come again differ in time only.
    kept = [dataset_pb2.Frame.FromString(encode_frame(one)) for one in contents(made, made)]
    with (folder / "segment-1_with_camera_labels.tfrecord").open("wb") as out:
        for number in range(frames):
            message = kept[number % made]
            message.timestamp_micros = START_US + 100_000 * number
            out.write(as_record(message.SerializeToString()))


def write_v2(root, frames, made):
    with ExitStack() as stack:
        writers = {}
        group = {name: [] for name in COMPONENTS}
        for number, content in enumerate(contents(frames, made)):
            found = rows(content)
            for name in COMPONENTS:
                if name not in PER_SEGMENT:
                    group[name].append(pa.Table.from_pylist(found[name], schema=schema(name)))
                elif number == 0:
                    group[name] = [pa.Table.from_pylist(found[name], schema=schema(name))]
                if not writers.get(name):
                    path = root / "training" / name / f"{content.context}.parquet"
                    path.parent.mkdir(parents=True)
                    writers[name] = stack.enter_context(
                        pq.ParquetWriter(path, schema(name), compression="brotli")
                    )
            if number % FRAMES_PER_GROUP == FRAMES_PER_GROUP - 1:
                flush(writers, group)
        flush(writers, group)


def flush(writers, group):
    for name, tables in group.items():
        if tables:
            writers[name].write_table(pa.concat_tables(tables))
            tables.clear()


def worker(root, version, out, has_profile):
    """CPU seconds of the conversion and of the correspondences, peak MiB before and after each."""
    profile = cProfile.Profile()
    if has_profile:
        profile.enable()
    results = [peak_mib()]
    for step in (
        lambda: convert(Waymo(root, format=version), out, resources=Resources()),
        lambda: correspond_store(out, Policy(), resources=Resources()),
    ):
        start = time.process_time()
        step()
        results += [time.process_time() - start, peak_mib(), size(out)]
    if has_profile:
        profile.disable()
        pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(16)
    return results


def peak_mib():
    """Of this process alone: `getrusage` would count what the one that started it had."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def used_bytes(root, version):
    """Bytes of the data set's files; of version 2, of the components that are read."""
    names = ("*.tfrecord",) if version == "v1" else [f"{name}/*.parquet" for name in COMPONENTS]
    return sum(path.stat().st_size for name in names for path in root.rglob(name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--version", choices=("v1", "v2"), default="v1")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--made", type=int, default=2)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.root or Path(folder) / "waymo"
        if arguments.root is None:
            root.mkdir()
            write = write_v1 if arguments.version == "v1" else write_v2
            write(root, arguments.frames, arguments.made)
        out = Path(folder) / "waymo.zarr"
        with multiprocessing.get_context("spawn").Pool(1) as pool:  # nothing here counts
            found = pool.apply(worker, (root, arguments.version, out, arguments.profile))
            pool.close()
            pool.join()
        before, convert_s, convert_mib, stored, correspond_s, peak, with_pairs = found
        count, pairs = len(simipu.open_store(out)), with_pairs - stored
        used = used_bytes(root, arguments.version)
    both_s = convert_s + correspond_s
    print(f"{arguments.version}: {count} frames, {used / 1e6:,.0f} MB of files that are read")
    for what, seconds in (
        ("decoded and stored", convert_s),
        ("correspondences", correspond_s),
        ("both", both_s),
    ):
        print(f"{what:20}{1000 * seconds / count:6.0f} ms  {count / seconds:5.2f} frames/s")
    print(
        f"peak memory: {before:.0f} MiB after the imports, {convert_mib:.0f} with the conversion,"
    )
    print(f"{peak:.0f} with the correspondences")
    print(f"bytes: {stored / used:.3f} of those used, {with_pairs / used:.3f} with pairs")
    every = SEGMENTS * FRAMES / count
    for what, seconds, nbytes in (
        ("without pairs", convert_s, stored),
        ("with pairs", both_s, stored + pairs),
    ):
        hours = every * seconds / 3600
        print(
            f"{SEGMENTS} x {FRAMES} frames, {what}: {hours:.1f} core hours, "
            f"{hours / CORES:.2f} h on {CORES} cores, {every * nbytes / 1e12:.2f} TB "
            f"(of {every * used / 1e12:.2f} TB)"
        )


if __name__ == "__main__":
    main()
