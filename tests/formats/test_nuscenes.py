"""Reading nuScenes' keyframes: everything right, on real files and on tiny generated ones."""

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from nuscenes.nuscenes import NuScenes as DevelopmentKit
from PIL import Image
from pyquaternion import Quaternion

import simipu
from nuscenes_tree import CAMERAS, LIDAR, edit, write_tree
from simipu.correspond.compute import correspond, in_ego_box
from simipu.correspond.policy import Policy
from simipu.geometry.projection import project
from simipu.pipelines.convert import Resources, convert
from simipu.pipelines.sources.nuscenes import NuScenes
from simipu.store.extract import extract

COLUMNS = ("x", "y", "z", "intensity", "ring")


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    return write_tree(tmp_path_factory.mktemp("nuscenes"))


@pytest.fixture(scope="module", params=["generated", "real"])
def root(request, tree) -> Path:
    if request.param == "generated":
        return tree
    return request.getfixturevalue("sample_data") / "nuscenes"


@pytest.fixture(scope="module")
def nusc(root) -> DevelopmentKit:
    return DevelopmentKit("v1.0-mini", str(root), verbose=False)


@pytest.fixture(scope="module")
def frames(root) -> list:
    return read_all(NuScenes(root))


def read_all(source):
    return [source.read(ref) for scene in source.scan().scenes for ref in scene.frames]


def matrix(record: dict) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = Quaternion(record["rotation"]).rotation_matrix
    T[:3, 3] = record["translation"]
    return T


def poses(nusc, token: str) -> tuple[np.ndarray, np.ndarray]:
    """T_ego_from_sensor and T_world_from_ego of a file."""
    data = nusc.get("sample_data", token)
    mount = nusc.get("calibrated_sensor", data["calibrated_sensor_token"])
    return matrix(mount), matrix(nusc.get("ego_pose", data["ego_pose_token"]))


def xyz_of(frame) -> np.ndarray:
    return np.stack([frame.lidar.columns[name] for name in "xyz"], axis=1)


def test_there_is_a_frame_for_each_sample_in_order(nusc, frames):
    assert [frame.id for frame in frames] == [s["data"][LIDAR] for s in nusc.sample]
    for frame, sample in zip(frames, nusc.sample, strict=True):
        assert frame.attributes == {"sample_token": sample["token"], "is_key_frame": "1"}
        assert tuple(frame.cameras) == CAMERAS
        assert {c: image.id for c, image in frame.cameras.items()} == {
            c: sample["data"][c] for c in CAMERAS
        }


def test_points_are_the_file_bit_by_bit(root, nusc, frames):
    for frame in frames:
        data = (root / nusc.get("sample_data", frame.id)["filename"]).read_bytes()
        stored = np.frombuffer(data, "<f4").reshape(-1, 5)
        assert tuple(frame.lidar.columns) == COLUMNS
        assert len(frame.lidar) == len(stored) > 0
        for number, column in enumerate(frame.lidar.columns.values()):
            assert column.dtype == np.dtype("<f4")
            assert column.flags.c_contiguous
            assert column.tobytes() == stored[:, number].tobytes()


def test_images_are_the_files_byte_by_byte(root, nusc, frames):
    for frame in frames:
        for image in frame.cameras.values():
            data = (root / nusc.get("sample_data", image.id)["filename"]).read_bytes()
            assert image.data == data
            assert (image.width, image.height) == Image.open(io.BytesIO(data)).size


def test_poses_and_times_are_those_of_each_file(nusc, frames):
    for frame in frames:
        mount, ego = poses(nusc, frame.id)
        time_ns = nusc.get("sample_data", frame.id)["timestamp"] * 1000
        np.testing.assert_allclose(frame.lidar.T_ego_from_lidar, mount, rtol=0, atol=1e-12)
        np.testing.assert_allclose(frame.T_world_from_ego, ego, rtol=0, atol=1e-12)
        assert frame.timestamp_ns == frame.lidar.timestamp_ns == time_ns
        assert frame.lidar.timestamp_end_ns == time_ns
        assert frame.lidar.timestamp_start_ns is None
        for image in frame.cameras.values():
            mount, ego = poses(nusc, image.id)
            np.testing.assert_allclose(image.T_ego_from_camera, mount, rtol=0, atol=1e-12)
            np.testing.assert_allclose(image.T_world_from_ego, ego, rtol=0, atol=1e-12)
            assert image.timestamp_ns == nusc.get("sample_data", image.id)["timestamp"] * 1000
            assert np.array_equal(image.distortion, np.zeros(5))
            assert image.shutter is None


def test_pixels_are_those_of_the_chain_of_poses(nusc, frames):
    """Point by point through the four steps, with another's quaternions and inverses."""
    for frame in frames:
        mount, ego = poses(nusc, frame.id)
        points = np.c_[xyz_of(frame).astype(np.float64), np.ones(len(frame.lidar))].T
        for image in frame.cameras.values():
            camera_mount, camera_ego = poses(nusc, image.id)
            seen = ego @ (mount @ points)
            seen = np.linalg.inv(camera_mount) @ (np.linalg.inv(camera_ego) @ seen)
            data = nusc.get("sample_data", image.id)
            sensor = nusc.get("calibrated_sensor", data["calibrated_sensor_token"])
            K = np.array(sensor["camera_intrinsic"])
            assert np.array_equal(image.K, K)
            uv, depth = project(points[:3].T, image.T_camera_from_lidar, image.K, image.distortion)
            near = seen[2] > 1.0
            expected = K @ seen[:3, near]
            assert np.abs(uv[near] - (expected[:2] / expected[2]).T).max() < 1e-6
            assert np.abs(depth[near] - seen[2, near]).max() < 1e-9


@pytest.mark.parametrize("camera", CAMERAS)
def test_correspondences_are_the_development_kits(root, nusc, frames, camera):
    policy = Policy.from_dict({**NuScenes(root).info.policy, "occlusion": "none"})
    for frame, sample in zip(frames, nusc.sample, strict=True):
        found, depth, picture = nusc.explorer.map_pointcloud_to_image(
            sample["data"][LIDAR], sample["data"][camera]
        )
        picture.close()
        image = frame.cameras[camera]
        pairs = correspond(
            xyz_of(frame),
            T_camera_from_lidar=image.T_camera_from_lidar,
            K=image.K,
            distortion=image.distortion,
            width=image.width,
            height=image.height,
            policy=policy,
        )
        assert len(pairs) == found.shape[1] > 0
        # The development kit computes in float32 at global coordinates of a thousand metres.
        assert np.abs(pairs.uv - found[:2].T).max() < 0.06
        assert np.abs(pairs.depth - depth).max() < 1e-3


def test_the_cars_own_returns_are_in_its_box(frames, root):
    for frame in frames:
        xyz = xyz_of(frame)
        own = in_ego_box(xyz, frame.lidar.T_ego_from_lidar, NuScenes(root).info.ego_box_m)
        # Nothing else returns within 2.5 m of the roof, and these returns are all nearer.
        assert np.array_equal(own, np.linalg.norm(xyz, axis=1) < 2.5)
        assert 0.2 < own.mean() < 0.4
        for image in frame.cameras.values():
            uv, depth = project(xyz[own], image.T_camera_from_lidar, image.K, image.distortion)
            inside = (uv >= -0.5).all(axis=1) & (uv < (image.width, image.height)).all(axis=1)
            assert not (inside & (depth > 1.0)).any()


def test_the_cars_own_returns_in_the_real_keyframe(sample_data):
    (frame,) = read_all(source := NuScenes(sample_data / "nuscenes"))
    own = in_ego_box(xyz_of(frame), frame.lidar.T_ego_from_lidar, source.info.ego_box_m)
    assert own.sum() == 8526
    # Half of them are firings without a return; the others lie on the bonnet and the roof.
    T = frame.lidar.T_ego_from_lidar
    ego = xyz_of(frame)[own] @ T[:3, :3].T + T[:3, 3]
    body = ego[ego[:, 2] < 1.7]
    assert len(body) == 4133
    assert body.min(axis=0) == pytest.approx([-0.19, -0.64, 0.88], abs=0.01)
    assert body.max(axis=0) == pytest.approx([2.73, 0.63, 1.62], abs=0.01)


def test_scenes_have_their_splits_and_what_the_tables_say(nusc, root):
    scan = NuScenes(root).scan()
    assert scan.skipped == ()
    expected = {"scene-0061": "mini_train", "scene-0103": "mini_val"}
    assert {s.name: s.split for s in scan.scenes}.items() <= expected.items()
    for scene, row in zip(scan.scenes, nusc.scene, strict=True):
        log = nusc.get("log", row["log_token"])
        assert scene.name == row["name"]
        assert scene.attributes == {
            "token": row["token"],
            "description": row["description"],
            "location": log["location"],
            "log_token": log["token"],
            "logfile": log["logfile"],
            "date_captured": log["date_captured"],
            "vehicle": log["vehicle"],
        }


def test_info(tree):
    info = NuScenes(tree).info  # without an earlier scan
    assert info.name == "nuscenes"
    assert info.licence.startswith("CC BY-NC-SA 4.0")
    assert info.cameras == CAMERAS
    assert info.point_columns == dict.fromkeys(COLUMNS, "<f4")
    assert info.point_suffix == ".pcd.bin"
    assert Policy.from_dict(info.policy).margin_px == (1.5, 1.5, 0.5, 0.5)
    assert info.frame_attributes == ("sample_token", "is_key_frame")
    assert info.options["version"] == "v1.0-mini"
    json.dumps(info.options)


def test_bounds_hold_and_are_tight(root):
    source = NuScenes(root)
    for scene in source.scan().scenes:
        for ref in scene.frames:
            frame = source.read(ref)
            assert ref.max_points == len(frame.lidar)
            assert ref.max_image_bytes == sum(len(i.data) for i in frame.cameras.values())


def test_source_and_frames_are_pickled_small(tree):
    source = NuScenes(tree)
    ref = source.scan().scenes[0].frames[1]
    assert len(pickle.dumps(source)) < 3000
    assert len(pickle.dumps(ref)) < 4000
    copy = pickle.loads(pickle.dumps(source))
    assert copy.info == source.info
    frame, again = source.read(ref), copy.read(pickle.loads(pickle.dumps(ref)))
    for name, image in frame.cameras.items():
        assert again.cameras[name].data == image.data
        assert np.array_equal(again.cameras[name].T_camera_from_lidar, image.T_camera_from_lidar)


def test_a_calibration_is_shared_by_the_frames_of_its_scene(tree):
    first, second, third = NuScenes(tree).scan().scenes[0].frames
    for key in (second.key, third.key):
        assert key[1].mount is first.key[1].mount
        assert all(a.mount is b.mount for a, b in zip(key[3], first.key[3], strict=True))


def test_cameras_can_be_chosen(tree):
    source = NuScenes(tree, cameras=("CAM_BACK", "CAM_FRONT"))
    assert source.info.cameras == ("CAM_FRONT", "CAM_BACK")
    frames = read_all(source)
    assert all(tuple(frame.cameras) == ("CAM_FRONT", "CAM_BACK") for frame in frames)
    assert source.info.options["cameras"] == ["CAM_BACK", "CAM_FRONT"]


def test_scenes_and_splits_can_be_chosen(tree):
    def names(**options):
        return [scene.name for scene in NuScenes(tree, **options).scan().scenes]

    assert names() == ["scene-0061", "scene-0103"]
    assert names(split="mini_val") == ["scene-0103"]
    assert names(split="mini_train") == ["scene-0061"]
    assert names(scenes=("scene-0103",)) == ["scene-0103"]
    assert names(scenes=("scene-0103", "scene-0061")) == ["scene-0061", "scene-0103"]
    assert names(split="mini_train", scenes=("scene-0061",)) == ["scene-0061"]


@pytest.mark.parametrize(
    ("version", "scenes", "splits"),
    [
        ("v1.0-trainval", ["scene-0001", "scene-0003", "scene-9999"], ["train", "val", ""]),
        ("v1.0-test", ["scene-0077"], ["test"]),
        ("v1.0-mine", ["scene-0061"], [""]),
    ],
)
def test_splits_are_those_of_the_version(tmp_path, version, scenes, splits):
    write_tree(tmp_path, version=version, scenes=scenes, keyframes=1)
    assert [s.split for s in NuScenes(tmp_path, version=version).scan().scenes] == splits
    if version == "v1.0-trainval":
        (half,) = NuScenes(tmp_path, split="train_detect").scan().scenes
        assert (half.name, half.split) == ("scene-0001", "train")


def test_a_camera_that_a_sample_lacks_is_missing_in_its_frame(tmp_path):
    write_tree(tmp_path, scenes=["scene-0061"])
    edit(
        tmp_path,
        "sample_data",
        lambda rows: rows.remove(next(r for r in rows if r["token"] == "CAM_BACK-scene-0061-3")),
    )
    source = NuScenes(tmp_path)
    assert ["CAM_BACK" in frame.cameras for frame in read_all(source)] == [True, False, True]
    assert "1 of 3 frames have no image of CAM_BACK." in source.info.notes


def test_values_that_are_not_finite_are_kept(tmp_path):
    write_tree(tmp_path, scenes=["scene-0061"], keyframes=1)
    (path,) = tmp_path.glob(f"samples/{LIDAR}/*")
    rows = np.fromfile(path, "<f4")
    rows[[7, 10, 16]] = np.nan, np.inf, -0.0
    rows.tofile(path)
    (frame,) = read_all(NuScenes(tmp_path))
    stored = np.stack(list(frame.lidar.columns.values()), axis=1)
    assert stored.tobytes() == rows.tobytes()


def test_folders_may_be_links(tmp_path):
    write_tree(tmp_path / "disk", scenes=["scene-0061"])
    (tmp_path / "root").mkdir()
    for folder in (tmp_path / "disk").iterdir():
        (tmp_path / "root" / folder.name).symlink_to(folder)
    assert len(read_all(NuScenes(tmp_path / "root"))) == 3


def test_lidarseg_tables_do_not_get_in_the_way(tmp_path):
    write_tree(tmp_path, scenes=["scene-0061"])
    (tmp_path / "v1.0-mini/lidarseg.json").write_text('[{"token": "a"}]')
    (tmp_path / "maps/map.png").unlink()
    for name in ("map", "sample_annotation", "instance", "category"):
        (tmp_path / f"v1.0-mini/{name}.json").unlink()
    assert len(read_all(NuScenes(tmp_path))) == 3


def test_a_store_has_it_all(root, tmp_path):
    source = NuScenes(root)
    convert(source, tmp_path / "n.zarr", resources=Resources(workers=1))
    store = simipu.open_store(tmp_path / "n.zarr")
    expected = read_all(source)
    assert len(store) == len(expected)
    for view, frame in zip(store, expected, strict=True):
        assert (view.id, view.attributes) == (frame.id, frame.attributes)
        assert view.timestamp_ns == frame.timestamp_ns
        assert np.array_equal(view.T_world_from_ego, frame.T_world_from_ego)
        for name, image in frame.cameras.items():
            camera = view.cameras[name]
            assert (camera.id, camera.encoded()) == (image.id, image.data)
            assert np.array_equal(camera.T_camera_from_lidar, image.T_camera_from_lidar)
            assert np.array_equal(camera.T_world_from_ego, image.T_world_from_ego)
    assert store.attributes["source"]["ego_box_m"] == list(source.info.ego_box_m)
    extract(store[0], tmp_path / "out")
    nusc = json.loads((root / "v1.0-mini/sample_data.json").read_text())
    files = {row["token"]: root / row["filename"] for row in nusc}
    assert (tmp_path / "out/points.pcd.bin").read_bytes() == files[expected[0].id].read_bytes()
    back = (tmp_path / "out/CAM_BACK.jpg").read_bytes()
    assert back == files[expected[0].cameras["CAM_BACK"].id].read_bytes()
