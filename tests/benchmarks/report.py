"""How long a store's report takes, and how large it is.

python tests/benchmarks/report.py raw.zarr
"""

import sys
import tempfile
import time
from pathlib import Path

import simipu
from simipu.viz.report.write import write_report

with tempfile.TemporaryDirectory() as folder:
    page = Path(folder) / "report.html"
    store = simipu.open_store(sys.argv[1])
    wall, cpu = time.perf_counter(), time.process_time()
    write_report(store, page)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    images = store.attributes["counts"]["images"]
    size = page.stat().st_size / 1e6
    print(
        f"{len(store):,} frames, {images:,} images: {wall:.1f} s ({cpu:.1f} s CPU), {size:.2f} MB"
    )
