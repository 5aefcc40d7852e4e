"""The public reading API, on a small store."""

import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

import simipu
from simipu.correspond.compute import correspond
from simipu.correspond.policy import Policy
from simipu.errors import StoreError
from simipu.pipelines.convert import Resources, convert
from simipu.pipelines.correspond import correspond_store
from simipu.pipelines.sources.kitti_raw import KittiRaw
from simipu.store import schema


@pytest.fixture
def store(raw_store):
    return simipu.open_store(raw_store)


def test_a_store_is_a_sequence_of_frames(store):
    assert len(store) == 11
    assert [frame.index for frame in store] == list(range(11))
    assert store[-1].id == store[10].id
    assert [frame.index for frame in store[2:9:3]] == [2, 5, 8]
    assert store[4:][1].index == 5
    assert len(store[3:3]) == 0
    for index in (11, -12):
        with pytest.raises(IndexError, match="11"):
            store[index]


def test_reprs_say_what_a_person_wants_to_know(store, raw_store):
    assert f"{raw_store}: kitti-raw, 11 frames in 3 scenes, 4 cameras" in repr(store)
    assert "image_02" in repr(store[3])
    assert store[3].id in repr(store[3])
    assert "45 x 21" in repr(store[3].cameras["image_02"])
    assert "x, y, z, intensity" in repr(store[3].points)
    assert "11 frames" in repr(store[:])


def test_points_and_images(store):
    frame = store[3]
    assert frame.points.columns == ("x", "y", "z", "intensity")
    assert frame.points.xyz.shape == (len(frame.points), 3)
    assert frame.points.xyz.dtype == np.float32
    np.testing.assert_array_equal(frame.points.xyz[:, 1], frame.points["y"])
    with pytest.raises(KeyError, match="there are x, y, z, intensity"):
        frame.points["ring"]
    for camera in frame.cameras.values():  # grey and colour
        assert camera.image().shape == (camera.height, camera.width, 3)
        assert camera.image().dtype == np.uint8


def test_stored_correspondences_are_the_computed_ones(store):
    found = 0
    for frame in store:
        for camera in frame.cameras.values():
            expected = correspond(
                frame.points.xyz,
                T_camera_from_lidar=camera.T_camera_from_lidar,
                K=camera.K,
                distortion=camera.distortion,
                width=camera.width,
                height=camera.height,
                policy=Policy(),
            )
            pairs = camera.correspondences
            for name in ("row", "uv", "depth", "visible"):
                assert getattr(pairs, name).dtype == getattr(expected, name).dtype
                np.testing.assert_array_equal(getattr(pairs, name), getattr(expected, name))
            found += len(pairs)
    assert found > 500


def test_without_correspondences_the_way_to_them_is_named(raw_root, tmp_path):
    convert(KittiRaw(raw_root), tmp_path / "s", resources=Resources(), limit=1)
    store = simipu.open_store(tmp_path / "s")
    assert store.correspondence_policy is None
    with pytest.raises(StoreError, match="simipu-prep correspond"):
        _ = store[0].cameras["image_02"].correspondences


def test_what_the_source_lacks_is_none(sample_data, tmp_path):
    convert(KittiRaw(sample_data / "kitti_raw"), tmp_path / "s", resources=Resources(), limit=1)
    frame = simipu.open_store(tmp_path / "s")[0]
    camera = frame.cameras["image_02"]
    missing = (
        frame.timestamp_ns, frame.T_world_from_ego, frame.points.timestamp_ns,
        frame.points.timestamp_start_ns, camera.timestamp_ns, camera.T_world_from_ego,
    )  # fmt: skip
    assert missing == (None,) * 6
    assert camera.T_ego_from_camera is not None


def test_a_store_travels_to_other_processes_with_nothing_open(store):
    store[0].points["x"]
    copy = pickle.loads(pickle.dumps(store))
    assert copy.fingerprint == store.fingerprint
    np.testing.assert_array_equal(copy[5].points.xyz, store[5].points.xyz)
    assert len(pickle.dumps(store)) < 500


def test_a_store_that_was_rewritten_meanwhile_is_not_mixed_with_the_old(raw_store, tmp_path):
    copy = shutil.copytree(raw_store, tmp_path / "copy.zarr")
    sent = pickle.dumps(simipu.open_store(copy))
    correspond_store(copy, Policy(min_depth_m=5.0), resources=Resources())
    with pytest.raises(StoreError, match="rewritten after it had been opened"):
        pickle.loads(sent)


def test_reading_one_camera_of_one_frame_reads_only_that(store, monkeypatch):
    from simipu.store.storage import LocalStorage

    frame = store[7]
    frame.cameras["image_02"].encoded()  # the small tables are read once
    number = int(store.table("frames/scene")[7])
    read = []
    original = LocalStorage.read_range

    def counted(self, path, offset, length):
        read.append((path, length))
        return original(self, path, offset, length)

    monkeypatch.setattr(LocalStorage, "read_range", counted)
    frame.cameras["image_02"].encoded()
    assert [path for path, _ in read] == [f"camera/data/c/{number}"]
    assert read[0][1] < 2 * schema.IMAGE_BYTES_PER_CHUNK + 100


def test_zarr_python_opens_the_same_store(store):
    group = store.group
    np.testing.assert_array_equal(group["lidar/count"][:], store.table("lidar/count"))
    start, count = store.table("lidar/start")[4], store.table("lidar/count")[4]
    np.testing.assert_array_equal(
        group["lidar/points/z"][start : start + count], store[4].points["z"]
    )
    assert group.attrs["simipu"]["format_version"] == store.attributes["format_version"]


def test_without_consolidated_metadata_zarr_python_finds_every_array(store, raw_store):
    import zarr

    group = zarr.open_group(raw_store, mode="r", use_consolidated=False)
    for path, (spec, rows) in store.layouts.items():
        assert group[path].shape == (rows, *spec.row_shape)


def test_reading_needs_neither_torch_nor_dask_nor_zarr(raw_store):
    code = (
        "import sys, simipu;"
        f"f = simipu.open_store({str(raw_store)!r})[3];"
        "f.points.xyz, f.cameras['image_02'].image(), f.cameras['image_02'].correspondences;"
        "sys.exit(bool({'torch', 'dask', 'zarr', 'distributed'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
