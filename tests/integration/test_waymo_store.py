"""Waymo from its files to stored correspondences: shutter, published pixels, empty frames."""

import shutil

import numpy as np
import pytest

import simipu
from folders import ONE_WORKER
from simipu.correspond import occlusion
from simipu.correspond.policy import Policy
from simipu.errors import EmptyFrameError, SourceError, UsageError
from simipu.pipelines.convert import convert
from simipu.pipelines.correspond import correspond_store, frame_correspondences
from simipu.pipelines.sources.kitti_raw import KittiRaw
from simipu.pipelines.sources.waymo import Waymo
from synthetic_world import generated, truth_of

LASERS = ("TOP", "FRONT", "SIDE_LEFT", "SIDE_RIGHT", "REAR")


@pytest.fixture(scope="module")
def sample(sample_data, tmp_path_factory):
    """The real sample as a store, and what the official code makes of it."""
    folder = sample_data / "waymo"
    if not folder.is_dir():
        pytest.skip(f"no Waymo sample at {folder}")
    out = tmp_path_factory.mktemp("waymo") / "waymo.zarr"
    convert(Waymo(folder / "v1"), out, resources=ONE_WORKER)
    expected = [np.load(folder / "expected" / f"frame_{k}.npz") for k in range(3)]
    return out, expected


def first_returns(frame):
    """Rows of the store in the order in which the official results have them: return 1 only."""
    return np.flatnonzero(frame.points["return"] == 1)


def official(results, camera):
    return (results[f"{camera}_{key}"] for key in ("uv", "depth", "trust"))


def test_stored_pixels_are_those_of_the_official_camera_model(sample):
    path, expected = sample
    correspond_store(path, Policy(occlusion="none"), resources=ONE_WORKER)
    compared = 0
    for frame, results in zip(simipu.open_store(path), expected, strict=True):
        place = {row: k for k, row in enumerate(first_returns(frame))}
        for name, camera in frame.cameras.items():
            uv, depth, trust = official(results, name)
            pairs = camera.correspondences
            mine, theirs = np.array(
                [(i, place[row]) for i, row in enumerate(pairs.row) if row in place]
            ).T
            known = trust[theirs]
            mine, theirs = mine[known], theirs[known]
            # Waymo counts pixels from the left edge of the first.
            np.testing.assert_allclose(pairs.uv[mine] + 0.5, uv[theirs], atol=0.05)
            np.testing.assert_allclose(pairs.depth[mine], depth[theirs], atol=0.01)
            width, height = camera.width, camera.height
            u, v = uv.T
            inside = trust & (depth >= 1.0) & (u > 0.05) & (u < width - 0.05)
            inside &= (v > 0.05) & (v < height - 0.05)
            assert set(np.flatnonzero(inside)) <= set(theirs)
            compared += len(mine)
    assert compared > 10_000


def test_without_the_rolling_shutter_moving_frames_are_off(sample):
    path, expected = sample
    correspond_store(path, Policy(occlusion="none", rolling_shutter="ignore"), resources=ONE_WORKER)
    frame = simipu.open_store(path)[1]
    pairs = frame.cameras["SIDE_LEFT"].correspondences
    place = {row: k for k, row in enumerate(first_returns(frame))}
    uv, _, trust = official(expected[1], "SIDE_LEFT")
    both = [(i, place[row]) for i, row in enumerate(pairs.row) if row in place]
    mine, theirs = np.array([(i, k) for i, k in both if trust[k]]).T
    assert np.median(np.abs(pairs.uv[mine] + 0.5 - uv[theirs]).max(axis=1)) > 10.0


def test_published_pixels_are_the_stored_integers(sample):
    path, expected = sample
    policy = Policy(occlusion="none", projection="published", min_depth_m=1e-3)
    correspond_store(path, policy, resources=ONE_WORKER)
    numbers = {"FRONT": 1, "FRONT_LEFT": 2, "FRONT_RIGHT": 3, "SIDE_LEFT": 4, "SIDE_RIGHT": 5}
    found = 0
    for frame, results in zip(simipu.open_store(path), expected, strict=True):
        stored = np.concatenate([results[f"{laser}_r{r}_cp"] for r in (1, 2) for laser in LASERS])
        assert len(stored) == len(frame.points)
        for name, camera in frame.cameras.items():
            of_camera = {}
            for first in (3, 0):  # the first projection counts
                rows = np.flatnonzero(stored[:, first] == numbers[name])
                of_camera |= dict(zip(rows, stored[rows, first + 1 : first + 3], strict=True))
            pairs = camera.correspondences
            assert pairs.row.tolist() == sorted(of_camera)
            np.testing.assert_array_equal(pairs.uv, [of_camera[row] for row in pairs.row])
            found += len(pairs)
    assert found > 1000


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A synthetic segment; its shutter is timed by pixels."""
    folder = tmp_path_factory.mktemp("world")
    size = {"image_scale": 0.2, "beams": 16, "columns": 400, "noise": False}
    return generated(folder / "waymo", layout="waymo-v1", frames=3, **size)[0]


def test_synthetic_pixels_are_the_true_ones(world, tmp_path):
    out = tmp_path / "world.zarr"
    convert(Waymo(world, returns=1), out, resources=ONE_WORKER)
    correspond_store(out, Policy(rolling_shutter="pixels"), resources=ONE_WORKER)
    compared = 0
    for number, frame in enumerate(simipu.open_store(out)):
        truth = truth_of(world, 0, number)
        still = truth.object_id == 0
        for name, camera in frame.cameras.items():
            pairs = camera.correspondences
            exact = truth.cameras[name]
            _, mine, theirs = np.intersect1d(pairs.row, exact.row, return_indices=True)
            assert len(mine) > 0.98 * len(pairs)
            keep = still[pairs.row[mine]]
            off = np.abs(pairs.uv[mine] - exact.uv[theirs])[keep]
            # The bound is for full-size images; these are a fifth of that.
            assert off.max() < 0.05 * 0.2
            compared += keep.sum()
    assert compared > 500


def test_each_lasers_points_are_judged_from_its_own_place(world, tmp_path):
    out = tmp_path / "world.zarr"
    policy = Policy()
    convert(Waymo(world), out, resources=ONE_WORKER)
    correspond_store(out, policy, resources=ONE_WORKER)
    store = simipu.open_store(out)
    places = store.attributes["source"]["lidar_origins_m"]
    for frame in store:
        laser = frame.points["laser"]
        for camera in frame.cameras.values():
            pairs = camera.correspondences
            origins = np.array([[*places[str(laser[row])], 1.0] for row in pairs.row]).reshape(
                -1, 4
            )
            from_camera = origins @ camera.T_camera_from_lidar[:3].T
            is_apart = np.linalg.norm(from_camera, axis=1) > 1.0
            expected = occlusion.visible(pairs.uv, pairs.depth, from_camera @ camera.K.T, is_apart)
            np.testing.assert_array_equal(pairs.visible, expected)

    # A store of an earlier version does not say where they stand.
    del store.attributes["source"]["lidar_origins_m"]
    changed = 0
    for frame in store:
        for name, pairs in frame_correspondences(frame, policy).items():
            camera = frame.cameras[name]
            epipole = camera.K @ camera.T_camera_from_lidar[:3, 3]
            expected = occlusion.visible(pairs.uv, pairs.depth, epipole)
            np.testing.assert_array_equal(pairs.visible, expected)
            changed += (pairs.visible != camera.correspondences.visible).sum()
    assert changed > 20


def test_frames_without_returns_are_left_out_and_listed(world, tmp_path, monkeypatch):
    original = Waymo.read

    def read(self, ref):
        if ref is refs[1]:
            raise EmptyFrameError("the frame has no LiDAR returns", where=world / "segment")
        return original(self, ref)

    source = Waymo(world)
    scan = source.scan()
    refs = scan.scenes[0].frames
    monkeypatch.setattr(Waymo, "read", read)
    monkeypatch.setattr(Waymo, "scan", lambda self: scan)
    out = tmp_path / "world.zarr"
    for _ in range(2):  # the second time, nothing is left to do
        convert(source, out, resources=ONE_WORKER)
    store = simipu.open_store(out)
    assert [frame.id for frame in store] == [refs[0].id, refs[2].id]
    (skipped,) = store.attributes["skipped"]
    assert (skipped["frame_id"], skipped["expected"]) == (refs[1].id, True)


def test_a_damaged_frame_still_stops_the_conversion(world, tmp_path):
    root = shutil.copytree(world, tmp_path / "root")
    (path,) = root.rglob("*.tfrecord")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(SourceError, match=path.name):
        convert(Waymo(root), tmp_path / "out.zarr", resources=ONE_WORKER)


def test_a_data_set_without_its_own_projection_says_so(raw_root, tmp_path):
    out = tmp_path / "raw.zarr"
    convert(KittiRaw(raw_root), out, resources=ONE_WORKER, limit=1)
    with pytest.raises(UsageError, match="no projection of its own"):
        correspond_store(out, Policy(projection="published"), resources=ONE_WORKER)


def test_scenes_carry_the_segments_statistics(world, tmp_path):
    out = tmp_path / "world.zarr"
    convert(Waymo(world), out, resources=ONE_WORKER)
    (scene,) = simipu.open_store(out).scenes
    assert set(scene.attributes) == {"time_of_day", "location", "weather"}
    assert all(scene.attributes.values())
