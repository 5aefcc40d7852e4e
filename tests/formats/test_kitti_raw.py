"""Reading KITTI raw: everything right, on real frames and on generated trees."""

import io
import math
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kitti_tree import DRIVE_1, DRIVE_2, DRIVE_3, write_raw_tree
from simipu.pipelines.sources.kitti_raw import KittiRaw

CAMERAS = ("image_00", "image_01", "image_02", "image_03")


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    return write_raw_tree(tmp_path_factory.mktemp("kitti_raw"), missing_scans=[(DRIVE_2, 2)])


@pytest.fixture(scope="module", params=["generated", "real"])
def root(request, tree) -> Path:
    if request.param == "generated":
        return tree
    return request.getfixturevalue("sample_data") / "kitti_raw"


def frames_of(source):
    return [source.read(ref) for scene in source.scan().scenes for ref in scene.frames]


def locate(root: Path, frame) -> tuple[Path, str]:
    drive, stem = frame.id.rsplit("/", 1)
    return root / drive, stem


def parse(path: Path) -> dict[str, np.ndarray]:
    entries = {}
    for line in path.read_text().split("\n"):
        key, _, values = line.partition(": ")
        if key not in ("", "calib_time"):
            entries[key] = np.array(values.split(), dtype=np.float64)
    return entries


def rigid(R: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.vstack([np.column_stack([R.reshape(3, 3), t]), [0, 0, 0, 1]])


def nanoseconds(path: Path, index: int) -> int:
    line = path.read_text().split("\n")[index]
    return int(np.datetime64(line.replace(" ", "T"), "ns").astype(np.int64))


def test_points_and_images_are_the_files(root):
    for frame in frames_of(KittiRaw(root)):
        drive, stem = locate(root, frame)
        stored = np.fromfile(drive / f"velodyne_points/data/{stem}.bin", "<f4").reshape(-1, 4)
        assert tuple(frame.lidar.columns) == ("x", "y", "z", "intensity")
        assert np.stack(list(frame.lidar.columns.values()), axis=1).tobytes() == stored.tobytes()
        assert frame.cameras
        for camera, image in frame.cameras.items():
            data = (drive / camera / "data" / f"{stem}.png").read_bytes()
            assert image.data == data
            assert (image.width, image.height) == Image.open(io.BytesIO(data)).size


def test_projection_is_the_product_of_the_files_matrices(root):
    for frame in frames_of(KittiRaw(root)):
        drive, _ = locate(root, frame)
        cam = parse(drive.parent / "calib_cam_to_cam.txt")
        velo = parse(drive.parent / "calib_velo_to_cam.txt")
        chain = rigid(cam["R_rect_00"], np.zeros(3)) @ rigid(velo["R"], velo["T"])
        xyz1 = np.stack([*(frame.lidar.columns[c].astype(float) for c in "xyz"),
                         np.ones(len(frame.lidar))])  # fmt: skip
        for camera, image in frame.cameras.items():
            P = cam[f"P_rect_{camera[-2:]}"].reshape(3, 4)
            expected = P @ chain @ xyz1
            ours = image.K @ (image.T_camera_from_lidar @ xyz1)[:3]
            assert np.max(np.abs(ours - expected) / np.abs(expected).max(axis=0)) < 1e-9
            assert np.array_equal(image.K, P[:, :3])
            assert np.array_equal(image.distortion, np.zeros(5))


def test_mounting_poses_lead_to_the_imu(root):
    for frame in frames_of(KittiRaw(root)):
        drive, _ = locate(root, frame)
        imu = parse(drive.parent / "calib_imu_to_velo.txt")
        T_ego_from_lidar = frame.lidar.T_ego_from_lidar
        identity = T_ego_from_lidar @ rigid(imu["R"], imu["T"])
        np.testing.assert_allclose(identity, np.eye(4), atol=1e-14)
        for image in frame.cameras.values():
            back = image.T_ego_from_camera @ image.T_camera_from_lidar
            np.testing.assert_allclose(back, T_ego_from_lidar, atol=1e-13)


def test_dates_have_their_own_calibration(tree):
    source = KittiRaw(tree)
    frames = {frame.id: frame for frame in frames_of(source)}
    first = frames[f"{DRIVE_1}/0000000000"].cameras["image_02"].K
    assert np.array_equal(first, frames[f"{DRIVE_2}/0000000001"].cameras["image_02"].K)
    assert not np.array_equal(first, frames[f"{DRIVE_3}/0000000000"].cameras["image_02"].K)


def test_scenes_are_drives_in_order(tree):
    scan = KittiRaw(tree).scan()
    assert [(s.name, s.split) for s in scan.scenes] == [(DRIVE_1, ""), (DRIVE_2, ""), (DRIVE_3, "")]
    assert [ref.id for ref in scan.scenes[1].frames] == [
        f"{DRIVE_2}/{index:010d}" for index in (0, 1, 3, 4)
    ]


def test_lost_scan_is_an_expected_gap_and_shifts_nothing(tree):
    source = KittiRaw(tree)
    scan = source.scan()
    (gap,) = scan.skipped
    assert gap.frame_id == f"{DRIVE_2}/0000000002"
    assert gap.path == str(tree / DRIVE_2 / "velodyne_points/data/0000000002.bin")
    assert gap.expected
    assert "scan" in gap.reason
    for ref in scan.scenes[1].frames:  # times and poses stay with their own index
        frame = source.read(ref)
        drive, stem = locate(tree, frame)
        times = drive / "velodyne_points/timestamps.txt"
        assert frame.timestamp_ns == nanoseconds(times, int(stem))
        assert frame.T_world_from_ego[2, 3] == pytest.approx(0.05 * int(stem))


def test_numbers_need_not_be_contiguous(tmp_path):
    """A hand-picked subset keeps its numbers; line i of the times is still frame i."""
    write_raw_tree(tmp_path, drives={DRIVE_1: 4}, cameras=("image_02",))
    for index in (0, 2):
        (tmp_path / DRIVE_1 / f"image_02/data/{index:010d}.png").unlink()
        (tmp_path / DRIVE_1 / f"velodyne_points/data/{index:010d}.bin").unlink()
    frames = frames_of(KittiRaw(tmp_path))
    assert [frame.id[-1] for frame in frames] == ["1", "3"]
    for frame, index in zip(frames, (1, 3), strict=True):
        times = tmp_path / DRIVE_1 / "image_02/timestamps.txt"
        assert frame.cameras["image_02"].timestamp_ns == nanoseconds(times, index)
        assert frame.T_world_from_ego[2, 3] == pytest.approx(0.05 * index)


def test_times_are_exact(tree):
    for frame in frames_of(KittiRaw(tree)):
        drive, stem = locate(tree, frame)
        index, scans, lidar = int(stem), drive / "velodyne_points", frame.lidar
        assert frame.timestamp_ns == nanoseconds(scans / "timestamps.txt", index)
        assert lidar.timestamp_ns == frame.timestamp_ns
        assert lidar.timestamp_start_ns == nanoseconds(scans / "timestamps_start.txt", index)
        assert lidar.timestamp_end_ns == nanoseconds(scans / "timestamps_end.txt", index)
        assert lidar.timestamp_start_ns < lidar.timestamp_ns < lidar.timestamp_end_ns
        assert tuple(frame.cameras) == CAMERAS
        for camera, image in frame.cameras.items():
            assert image.timestamp_ns == nanoseconds(drive / camera / "timestamps.txt", index)


def test_real_times_and_pose_of_drive_0001(tmp_path, sample_data):
    """The real text files of drive 0001 under generated scans and images."""
    write_raw_tree(tmp_path, drives={DRIVE_1: 2}, times=False, oxts=False)
    text = sample_data / "kitti_raw_drive0001_text"
    shutil.copytree(text, tmp_path / DRIVE_1, dirs_exist_ok=True)
    first, second = frames_of(KittiRaw(tmp_path))
    day_ns = 15243 * 86_400 * 10**9
    at = day_ns + (13 * 3600 + 2 * 60) * 10**9
    assert first.timestamp_ns == at + 25_951_199_337
    assert second.timestamp_ns == at + 26_054_281_661
    assert second.lidar.timestamp_start_ns == at + 26_002_763_147
    assert second.lidar.timestamp_end_ns == at + 26_105_800_175
    assert second.cameras["image_00"].timestamp_ns == at + 26_070_920_448
    assert second.cameras["image_03"].timestamp_ns == at + 26_064_301_056
    packet = (text / "oxts/data/0000000000.txt").read_text().split()
    pitch, yaw = float(packet[4]), float(packet[5])
    np.testing.assert_allclose(
        first.T_world_from_ego[:, 0],
        [math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), -math.sin(pitch), 0],
    )
    assert first.T_world_from_ego[:3, 3].tolist() == [0, 0, 0]
    assert second.T_world_from_ego is None  # only the first packet is in the samples


def oxts_position(path: Path, first_lat: float) -> np.ndarray:
    lat, lon, alt = (float(word) for word in path.read_text().split()[:3])
    scale = math.cos(first_lat * math.pi / 180)
    return np.array([
        scale * 6378137 * math.pi * lon / 180,
        scale * 6378137 * math.log(math.tan(math.pi * (90 + lat) / 360)),
        alt,
    ])  # fmt: skip


def test_poses_are_relative_to_the_drives_first_packet(tree):
    for frame in frames_of(KittiRaw(tree)):
        drive, stem = locate(tree, frame)
        packets = drive / "oxts" / "data"
        lat = float((packets / "0000000000.txt").read_text().split()[0])
        position, origin = (
            oxts_position(packets / f"{name}.txt", lat) for name in (stem, "0000000000")
        )
        np.testing.assert_allclose(frame.T_world_from_ego[:3, 3], position - origin, atol=1e-8)
        for image in frame.cameras.values():
            assert np.array_equal(image.T_world_from_ego, frame.T_world_from_ego)


def test_first_packet_counts_even_without_a_scan(tmp_path):
    write_raw_tree(tmp_path, drives={DRIVE_1: 3}, missing_scans=[(DRIVE_1, 0)])
    frames = frames_of(KittiRaw(tmp_path))
    assert [round(frame.T_world_from_ego[2, 3], 9) for frame in frames] == [0.05, 0.1]


def test_notes_say_how_times_and_poses_came_about(tree):
    notes = " ".join(KittiRaw(tree).info.notes)
    assert "as if they were UTC" in notes
    assert "share that pose" in notes
    assert "frames have no" not in notes


def test_real_drive_has_no_times_and_no_poses(sample_data):
    source = KittiRaw(sample_data / "kitti_raw")
    frames = frames_of(source)
    assert len(frames) == 20
    for frame in frames:
        assert frame.timestamp_ns is frame.T_world_from_ego is frame.lidar.timestamp_end_ns is None
        assert frame.cameras["image_02"].timestamp_ns is None
        assert frame.cameras["image_02"].T_world_from_ego is None
    assert source.info.cameras == ("image_02",)
    notes = source.info.notes
    assert "20 of 20 frames have no OXTS packet and so no ego pose." in notes
    assert "20 of 20 frames have no scan time (velodyne_points/timestamps.txt)." in notes
    assert "20 of 20 frames have no time of the image_02 image." in notes


def test_what_is_missing_of_some_frames_is_counted(tmp_path):
    write_raw_tree(tmp_path, drives={DRIVE_1: 3, DRIVE_3: 2}, cameras=("image_00", "image_02"))
    (tmp_path / DRIVE_1 / "image_00/data/0000000001.png").unlink()
    shutil.rmtree(tmp_path / DRIVE_3 / "image_00")
    (tmp_path / DRIVE_3 / "image_02/timestamps.txt").unlink()
    (tmp_path / DRIVE_1 / "oxts/data/0000000002.txt").unlink()
    source = KittiRaw(tmp_path)
    frames = {frame.id: frame for frame in frames_of(source)}
    assert source.scan().skipped == ()
    assert source.info.cameras == ("image_00", "image_02")
    assert tuple(frames[f"{DRIVE_1}/0000000001"].cameras) == ("image_02",)
    assert tuple(frames[f"{DRIVE_3}/0000000000"].cameras) == ("image_02",)
    assert frames[f"{DRIVE_1}/0000000002"].T_world_from_ego is None
    assert [note for note in source.info.notes if "frames have no" in note] == [
        "1 of 5 frames have no OXTS packet and so no ego pose.",
        "3 of 5 frames have no image of image_00.",
        "2 of 5 frames have no time of the image_02 image.",
    ]


def test_other_folders_are_left_out_by_name(tmp_path):
    write_raw_tree(tmp_path, drives={DRIVE_1: 1, DRIVE_2.replace("sync", "extract"): 1})
    (tmp_path / DRIVE_3).mkdir(parents=True)
    source = KittiRaw(tmp_path)
    assert [scene.name for scene in source.scan().scenes] == [DRIVE_1]
    note = source.info.notes[-1]
    assert note.startswith("2 folders are not synchronised drives")
    assert "2011_09_26_drive_0009_extract" in note
    assert DRIVE_3 in note


def test_bounds_hold_and_are_tight(root):
    source = KittiRaw(root)
    for scene in source.scan().scenes:
        for ref in scene.frames:
            frame = source.read(ref)
            assert ref.max_points == len(frame.lidar)
            assert ref.max_image_bytes == sum(len(i.data) for i in frame.cameras.values())


def test_source_and_frames_are_pickled_small(tree):
    source = KittiRaw(tree)
    ref = source.scan().scenes[2].frames[1]
    assert len(pickle.dumps(source)) < 10_000
    assert len(pickle.dumps(ref)) < 1000
    unscanned = KittiRaw(tree)
    for reader in (pickle.loads(pickle.dumps(source)), unscanned):
        frame = reader.read(pickle.loads(pickle.dumps(ref)))
        assert frame.id == f"{DRIVE_3}/0000000001"
        assert np.array_equal(frame.T_world_from_ego, source.read(ref).T_world_from_ego)
