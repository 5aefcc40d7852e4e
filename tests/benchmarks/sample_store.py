"""The store that a benchmark measures on."""

import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from simipu.correspond.policy import Policy
from simipu.pipelines.convert import Resources, convert
from simipu.pipelines.correspond import correspond_store
from simipu.pipelines.sources.kitti_raw import KittiRaw


@contextmanager
def given_or_sample_store(paths):
    """The first of ``paths``, or else a store made for now of the KITTI raw samples."""
    if paths:
        yield paths[0]
        return
    samples = Path(os.environ.get("SIMIPU_SAMPLE_DATA", "../shared/data")) / "kitti_raw"
    if not samples.is_dir():
        sys.exit(f"skipped: no store given, and no samples at {samples}")
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "raw.zarr"
        convert(KittiRaw(samples), store, resources=Resources())
        correspond_store(store, Policy(), resources=Resources())
        yield store
