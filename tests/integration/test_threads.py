"""One opened store, many threads, and more files than are kept open."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

import simipu
from folders import ONE_WORKER
from simipu.pipelines.convert import convert
from simipu.pipelines.sources.kitti_raw import KittiRaw
from simipu.store import storage


def test_threads_may_share_a_store(raw_root, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_OPEN_FILES", 2)
    convert(KittiRaw(raw_root), tmp_path / "s", resources=ONE_WORKER, task_bytes=1)
    expected = [frame.points.xyz for frame in simipu.open_store(tmp_path / "s")]
    store = simipu.open_store(tmp_path / "s")
    order = np.random.default_rng(0).integers(0, len(store), 400).tolist()
    with ThreadPoolExecutor(8) as pool:
        for index, xyz in zip(order, pool.map(lambda i: store[i].points.xyz, order), strict=True):
            np.testing.assert_array_equal(xyz, expected[index])
