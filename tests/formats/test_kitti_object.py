"""Reading KITTI object: everything right, on real frames and on generated trees."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kitti_tree import write_object_tree
from simipu.pipelines.sources.kitti_object import KittiObject

COLUMNS = ("x", "y", "z", "intensity")


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    return write_object_tree(
        tmp_path_factory.mktemp("kitti"), splits={"train": [2, 0], "val": [3], "test": [0, 1]}
    )


@pytest.fixture(scope="module", params=["generated", "real"])
def root(request, tree) -> Path:
    if request.param == "generated":
        return tree
    return request.getfixturevalue("sample_data") / "kitti_object"


def frames_of(source):
    return [source.read(ref) for scene in source.scan().scenes for ref in scene.frames]


def parse(path: Path) -> dict[str, np.ndarray]:
    lines = [line.split(": ") for line in path.read_text().split("\n") if line]
    return {key: np.array(values.split(), dtype=np.float64) for key, values in lines}


def square(matrix: np.ndarray) -> np.ndarray:
    """Extend a 3 x 3 or 3 x 4 matrix to 4 x 4."""
    return np.block([[matrix, np.zeros((3, 4 - matrix.shape[1]))], [0, 0, 0, 1]])


def test_points_are_the_file_bit_by_bit(root):
    for frame in frames_of(KittiObject(root)):
        part, stem = frame.id.split("/")
        stored = np.fromfile(root / part / "velodyne" / f"{stem}.bin", dtype="<f4").reshape(-1, 4)
        assert tuple(frame.lidar.columns) == COLUMNS
        assert len(frame.lidar) == len(stored) > 0
        for number, column in enumerate(frame.lidar.columns.values()):
            assert column.dtype == np.dtype("<f4")
            assert column.flags.c_contiguous
            assert column.tobytes() == stored[:, number].tobytes()


def test_images_are_the_files_byte_by_byte(root):
    for frame in frames_of(KittiObject(root)):
        part, stem = frame.id.split("/")
        assert frame.cameras
        for camera, image in frame.cameras.items():
            stored = (root / part / camera / f"{stem}.png").read_bytes()
            assert image.data == stored
            assert (image.width, image.height) == Image.open(io.BytesIO(stored)).size


def test_projection_is_the_product_of_the_files_matrices(root):
    for frame in frames_of(KittiObject(root)):
        part, stem = frame.id.split("/")
        calib = parse(root / part / "calib" / f"{stem}.txt")
        chain = square(calib["R0_rect"].reshape(3, 3)) @ square(
            calib["Tr_velo_to_cam"].reshape(3, 4)
        )
        xyz1 = np.stack([*(frame.lidar.columns[c].astype(float) for c in "xyz"),
                         np.ones(len(frame.lidar))])  # fmt: skip
        for camera, image in frame.cameras.items():
            P = calib[f"P{camera[-1]}"].reshape(3, 4)
            expected = P @ chain @ xyz1
            ours = image.K @ (image.T_camera_from_lidar @ xyz1)[:3]
            scale = np.abs(expected).max(axis=0)
            assert np.max(np.abs(ours - expected) / scale) < 1e-9
            assert np.array_equal(image.K, P[:, :3])
            assert np.array_equal(image.distortion, np.zeros(5))
            assert image.T_camera_from_lidar.dtype == image.K.dtype == np.float64


def test_mounting_poses_lead_to_the_imu(root):
    for frame in frames_of(KittiObject(root)):
        part, stem = frame.id.split("/")
        T_lidar_from_imu = square(
            parse(root / part / "calib" / f"{stem}.txt")["Tr_imu_to_velo"].reshape(3, 4)
        )
        T_ego_from_lidar = frame.lidar.T_ego_from_lidar
        np.testing.assert_allclose(T_ego_from_lidar @ T_lidar_from_imu, np.eye(4), atol=1e-14)
        # The scanner sits 0.81 m ahead of the IMU and 0.80 m above it.
        np.testing.assert_allclose(T_ego_from_lidar[:3, 3], [0.81, -0.31, 0.80], atol=0.02)
        for image in frame.cameras.values():
            back = image.T_ego_from_camera @ image.T_camera_from_lidar
            np.testing.assert_allclose(back, T_ego_from_lidar, atol=1e-13)


def test_right_camera_is_right_of_the_left(tree):
    for frame in frames_of(KittiObject(tree)):
        left, right = (frame.cameras[c].T_ego_from_camera[:3, 3] for c in ("image_2", "image_3"))
        np.testing.assert_allclose(right - left, [0, -0.533, 0], atol=0.02)


def test_no_times_and_no_ego_poses(root):
    source = KittiObject(root)
    for frame in frames_of(source):
        assert frame.timestamp_ns is frame.T_world_from_ego is None
        assert frame.lidar.timestamp_ns is frame.lidar.timestamp_start_ns is None
        for image in frame.cameras.values():
            assert image.timestamp_ns is image.T_world_from_ego is None
    assert "no times and no ego poses" in " ".join(source.info.notes)


def test_calibration_without_imu_has_no_mounting_poses(tmp_path):
    write_object_tree(tmp_path, training=1, testing=0)
    path = tmp_path / "training/calib/000000.txt"
    path.write_text(path.read_text().split("Tr_imu_to_velo")[0])
    (frame,) = frames_of(KittiObject(tmp_path))
    assert frame.lidar.T_ego_from_lidar is None
    assert all(image.T_ego_from_camera is None for image in frame.cameras.values())


def test_scenes_follow_the_image_sets(tree):
    scan = KittiObject(tree).scan()
    assert [(s.name, s.split, [ref.id for ref in s.frames]) for s in scan.scenes] == [
        ("training/train", "train", ["training/000000", "training/000002"]),
        ("training/val", "val", ["training/000003"]),
        ("training", "", ["training/000001"]),
        ("testing", "test", ["testing/000000", "testing/000001"]),
    ]
    assert scan.skipped == ()


def test_without_image_sets_training_is_one_scene(tmp_path):
    write_object_tree(tmp_path, training=2, testing=0)
    scan = KittiObject(tmp_path).scan()
    assert [(s.name, s.split, len(s.frames)) for s in scan.scenes] == [("training", "", 2)]


def test_listed_frames_that_are_not_here_are_counted(tmp_path):
    write_object_tree(tmp_path, training=2, testing=3, splits={"train": [0, 2], "val": [1, 5]})
    source = KittiObject(tmp_path)
    assert sum(len(scene.frames) for scene in source.scan().scenes) == 5
    assert "ImageSets names 2 frames of which no file is here." in source.info.notes


def test_real_root_is_described(sample_data):
    source = KittiObject(sample_data / "kitti_object")
    (scene,) = source.scan().scenes
    assert [ref.id for ref in scene.frames] == ["training/000000", "training/000002"]
    assert source.info.cameras == ("image_2",)
    assert source.info.licence.startswith("CC BY-NC-SA 3.0")


def test_info_names_columns_and_cameras(tree):
    info = KittiObject(tree).info  # without an earlier scan
    assert info.cameras == ("image_2", "image_3")
    assert info.point_columns == dict.fromkeys(COLUMNS, "<f4")
    assert info.point_suffix == ".bin"


@pytest.mark.parametrize("cameras", [("image_2",), ("image_3",)])
def test_either_camera_alone(tmp_path, cameras):
    write_object_tree(tmp_path, training=1, testing=1, cameras=cameras)
    source = KittiObject(tmp_path)
    assert source.info.cameras == cameras
    assert [tuple(frame.cameras) for frame in frames_of(source)] == [cameras, cameras]


def test_bounds_hold_and_are_tight(root):
    source = KittiObject(root)
    for scene in source.scan().scenes:
        for ref in scene.frames:
            frame = source.read(ref)
            assert ref.max_points == len(frame.lidar)
            assert ref.max_image_bytes == sum(len(i.data) for i in frame.cameras.values())


def test_source_and_frames_are_pickled_small(tree):
    source = KittiObject(tree)
    ref = source.scan().scenes[0].frames[1]
    assert len(pickle.dumps(source)) < 2000
    assert len(pickle.dumps(ref)) < 400
    copy = pickle.loads(pickle.dumps(source))
    assert copy.info == source.info
    frame = copy.read(pickle.loads(pickle.dumps(ref)))
    assert frame.cameras["image_3"].data == source.read(ref).cameras["image_3"].data


def test_negative_zero_and_denormals_survive(tmp_path):
    write_object_tree(tmp_path, training=1, testing=0)
    data = np.array([[-0.0, 1e-45, -1e-40, 0.99], [3.4e38, -0.0, 1.0, 0.0]], dtype="<f4").tobytes()
    (tmp_path / "training/velodyne/000000.bin").write_bytes(data)
    (frame,) = frames_of(KittiObject(tmp_path))
    assert np.stack(list(frame.lidar.columns.values()), axis=1).tobytes() == data


def test_folders_may_be_links(tmp_path):
    write_object_tree(tmp_path / "disk", training=2, testing=0)
    (tmp_path / "root/training").mkdir(parents=True)
    for folder in (tmp_path / "disk/training").iterdir():
        (tmp_path / "root/training" / folder.name).symlink_to(folder)
    assert len(frames_of(KittiObject(tmp_path / "root"))) == 2
