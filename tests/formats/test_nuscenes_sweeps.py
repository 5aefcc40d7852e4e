"""Sweeps between nuScenes' keyframes: frames of their own, and accumulated clouds."""

import numpy as np
import pytest
from nuscenes.nuscenes import NuScenes as DevelopmentKit
from pyquaternion import Quaternion

from nuscenes_tree import CAMERAS, LIDAR, SWEEPS, edit, write_tree
from simipu.pipelines.sources.nuscenes import NuScenes

KEYFRAMES = 3
TURNS = (KEYFRAMES - 1) * SWEEPS + 1


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("nuscenes"), keyframes=KEYFRAMES)


@pytest.fixture(scope="module")
def nusc(root):
    return DevelopmentKit("v1.0-mini", str(root), verbose=False)


def read_scenes(source):
    return [[source.read(ref) for ref in scene.frames] for scene in source.scan().scenes]


def rows_of(root, nusc, token) -> np.ndarray:
    return np.fromfile(root / nusc.get("sample_data", token)["filename"], "<f4").reshape(-1, 5)


def table_of(frame) -> np.ndarray:
    return np.stack(list(frame.lidar.columns.values()), axis=1)


def matrix(record) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = Quaternion(record["rotation"]).rotation_matrix
    T[:3, 3] = record["translation"]
    return T


def global_from_lidar(nusc, token) -> np.ndarray:
    data = nusc.get("sample_data", token)
    mount = nusc.get("calibrated_sensor", data["calibrated_sensor_token"])
    return matrix(nusc.get("ego_pose", data["ego_pose_token"])) @ matrix(mount)


def test_every_sweep_is_a_frame_in_order_of_time(nusc, root):
    scenes = read_scenes(NuScenes(root, sweeps=True))
    for frames, scene in zip(scenes, nusc.scene, strict=True):
        token = nusc.get("sample", scene["first_sample_token"])["data"][LIDAR]
        for frame in frames:
            data = nusc.get("sample_data", token)
            assert frame.id == token
            assert frame.timestamp_ns == data["timestamp"] * 1000
            assert frame.attributes == {
                "sample_token": data["sample_token"],
                "is_key_frame": str(int(data["is_key_frame"])),
            }
            assert table_of(frame).tobytes() == rows_of(root, nusc, token).tobytes()
            token = data["next"]
        assert token == ""
        assert len(frames) == TURNS


@pytest.mark.parametrize("tolerance_ms", [0.0, 3.0, 50.0, 1000.0])
def test_each_camera_has_the_image_nearest_in_time(nusc, root, tolerance_ms):
    source = NuScenes(root, sweeps=True, tolerance_ms=tolerance_ms)
    lacking = 0
    for frames, scene in zip(read_scenes(source), nusc.scene, strict=True):
        for frame in frames:
            if frame.attributes["is_key_frame"] == "1":
                sample = nusc.get("sample", frame.attributes["sample_token"])
                images = {name: image.id for name, image in frame.cameras.items()}
                assert images == {camera: sample["data"][camera] for camera in CAMERAS}
                continue
            for camera in CAMERAS:
                away = {
                    row["token"]: abs(row["timestamp"] * 1000 - frame.timestamp_ns)
                    for row in nusc.sample_data
                    if row["channel"] == camera and scene["name"] in row["token"]
                }
                near = min(away.values())
                if near > tolerance_ms * 1e6:
                    assert camera not in frame.cameras
                    lacking += 1
                else:
                    image = frame.cameras[camera]
                    assert away[image.id] == near
                    assert abs(image.timestamp_ns - frame.timestamp_ns) == near
    assert (lacking > 0) == (tolerance_ms < 100)
    assert any(f"{tolerance_ms:g} ms" in note for note in source.info.notes)


@pytest.mark.parametrize("sweeps", [False, True])
def test_keyframes_are_the_same_with_and_without_sweeps(root, sweeps):
    plain = [ref for scene in NuScenes(root).scan().scenes for ref in scene.frames]
    other = NuScenes(root, sweeps=sweeps, accumulate=0).scan()
    refs = {ref.id: ref for scene in other.scenes for ref in scene.frames}
    assert all(refs[ref.id] == ref for ref in plain)


@pytest.mark.parametrize("sweeps", [False, True])
@pytest.mark.parametrize("accumulate", [1, 4, 100])
def test_earlier_sweeps_are_brought_to_the_frame(nusc, root, accumulate, sweeps):
    source = NuScenes(root, accumulate=accumulate, sweeps=sweeps)
    assert list(source.info.point_columns)[-1] == "time_offset_s"
    assert source.info.point_suffix != ".pcd.bin"
    for frames in read_scenes(source):
        assert len(frames) == (TURNS if sweeps else KEYFRAMES)
        for number, frame in enumerate(frames):
            own_rows = rows_of(root, nusc, frame.id)
            expected = [np.c_[own_rows.astype(np.float64), np.zeros(len(own_rows))]]
            own, token = nusc.get("sample_data", frame.id), frame.id
            for _ in range(accumulate):
                token = nusc.get("sample_data", token)["prev"]
                if not token:
                    break
                rows = rows_of(root, nusc, token).astype(np.float64)
                rows = rows[np.linalg.norm(rows[:, :3], axis=1) > 2.5]  # not the car itself
                T = np.linalg.inv(global_from_lidar(nusc, frame.id)) @ global_from_lidar(
                    nusc, token
                )
                rows[:, :3] = rows[:, :3] @ T[:3, :3].T + T[:3, 3]
                offset = (nusc.get("sample_data", token)["timestamp"] - own["timestamp"]) * 1e-6
                expected.append(np.c_[rows, np.full(len(rows), offset)])
            step = 1 if sweeps else SWEEPS
            assert len(expected) == 1 + min(accumulate, number * step)
            found = table_of(frame)
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, np.concatenate(expected), rtol=0, atol=2e-5)
            assert found[: len(own_rows), :5].tobytes() == own_rows.tobytes()


def test_bounds_hold(root):
    for options in ({"sweeps": True}, {"accumulate": 3}, {"sweeps": True, "accumulate": 2}):
        source = NuScenes(root, **options)
        for scene in source.scan().scenes:
            for ref in scene.frames:
                frame = source.read(ref)
                assert len(frame.lidar) <= ref.max_points
                assert ref.max_image_bytes == sum(len(i.data) for i in frame.cameras.values())


def test_values_that_are_not_finite_are_kept_in_accumulated_clouds(tmp_path):
    write_tree(tmp_path, scenes=["scene-0061"], keyframes=2)
    for path in tmp_path.glob(f"*/{LIDAR}/*"):
        rows = np.fromfile(path, "<f4")
        rows[[5, 10, 15]] = np.nan, np.inf, 3e38
        rows.tofile(path)
    source = NuScenes(tmp_path, accumulate=2)
    frame = source.read(source.scan().scenes[0].frames[1])
    bad = ~np.isfinite(table_of(frame)[:, :3]).all(axis=1)
    assert bad.sum() >= 2 + 2 * 2


def test_files_are_shared_between_the_frames_that_have_them(root):
    frames = NuScenes(root, sweeps=True, accumulate=3).scan().scenes[0].frames
    own = [ref.key[1] for ref in frames]
    assert [*frames[4].key[4]] == own[3:0:-1]
    assert all(a is b for a, b in zip(frames[4].key[4], own[3:0:-1], strict=True))


def test_radar_and_other_scenes_need_no_file(tmp_path):
    write_tree(tmp_path)
    for path in {*tmp_path.glob("*/RADAR_FRONT/*"), *tmp_path.glob("*/*/n015-1__*")}:
        path.unlink()
    scan = NuScenes(tmp_path, sweeps=True, scenes=("scene-0061",)).scan()
    assert scan.skipped == ()
    assert [len(scene.frames) for scene in scan.scenes] == [TURNS]


def test_two_sweeps_of_one_time_are_a_fault_of_the_second(tmp_path):
    write_tree(tmp_path, scenes=["scene-0061"])

    def repeat(rows):
        by_token = {row["token"]: row for row in rows}
        by_token[f"{LIDAR}-scene-0061-3"]["timestamp"] = by_token[f"{LIDAR}-scene-0061-2"][
            "timestamp"
        ]

    edit(tmp_path, "sample_data", repeat)
    scan = NuScenes(tmp_path, sweeps=True).scan()
    assert [skipped.frame_id for skipped in scan.skipped] == [f"{LIDAR}-scene-0061-3"]
    assert "has the timestamp of the sweep before it" in scan.skipped[0].reason
    assert len(scan.scenes[0].frames) == TURNS - 1
