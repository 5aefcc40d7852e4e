"""Generated KITTI raw, as pykitti reads it, and the truth beside it."""

import re
import warnings
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pykitti
import pytest

from simipu.pipelines.sources.kitti_raw import KittiRaw
from simipu.store.summary import summarise
from synthetic_world import (
    MILLIMETRES_M,
    generated,
    kitti_rig,
    pixel_bound,
    stored,
    to_exposure,
    truth_of,
    worlds_of,
)

DATE, SCENES, FRAMES = "2011_09_26", 2, 3
CAMERAS = ("image_00", "image_01", "image_02", "image_03")
SCAN_TIMES = ("timestamps_start", "timestamps", "timestamps_end")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return generated(
        tmp_path_factory.mktemp("raw"),
        layout="kitti-raw",
        scenes=SCENES,
        frames=FRAMES,
        cameras=CAMERAS,
        noise=False,
        beams=24,
        columns=500,
    )


@pytest.fixture(scope="module")
def root(made):
    return made[0]


@pytest.fixture(scope="module")
def rig(made):
    return kitti_rig(made[1])


@pytest.fixture(scope="module")
def worlds(made, rig):
    return worlds_of(made[1], spacing_s=rig.lidars[0].period_s)


@pytest.fixture(scope="module")
def drives(root):
    return [pykitti.raw(str(root), DATE, f"{s + 1:04d}") for s in range(SCENES)]


def folder(root: Path, scene: int) -> Path:
    return root / DATE / f"{DATE}_drive_{scene + 1:04d}_sync"


def times_ns(path: Path) -> np.ndarray:
    lines = path.read_text().split("\n")
    assert lines.pop() == ""
    assert all(re.fullmatch(r"2011-09-26 \d\d:\d\d:\d\d\.\d{9}", line) for line in lines)
    return np.array(lines, dtype="datetime64[ns]").astype(np.int64)


def zero_ns(root: Path, scene: int, rig) -> int:
    """When the drive's world is at time 0: the scanner faces forward for the first time."""
    return int(times_ns(folder(root, scene) / "velodyne_points/timestamps.txt")[0])


def pose_of_imu(world, rig, drive, t_s: float) -> np.ndarray:
    return world.ego.pose(t_s) @ rig.lidars[0].T_ego_from_lidar @ drive.calib.T_velo_imu


def test_the_files_are_those_of_the_official_layout(root):
    names = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    expected = {f"{DATE}/calib_{name}.txt" for name in ("cam_to_cam", "velo_to_cam", "imu_to_velo")}
    for scene in range(SCENES):
        drive = folder(root, scene).relative_to(root).as_posix()
        expected |= {f"{drive}/velodyne_points/{name}.txt" for name in SCAN_TIMES}
        expected |= {f"{drive}/oxts/timestamps.txt", f"{drive}/oxts/dataformat.txt"}
        expected |= {f"{drive}/{camera}/timestamps.txt" for camera in CAMERAS}
        for stem in (f"{frame:010d}" for frame in range(FRAMES)):
            expected |= {f"{drive}/{camera}/data/{stem}.png" for camera in CAMERAS}
            expected |= {
                f"{drive}/velodyne_points/data/{stem}.bin",
                f"{drive}/oxts/data/{stem}.txt",
            }
    assert {name for name in names if not name.startswith("truth/")} == expected


def test_pykitti_finds_every_frame_and_reads_images_and_scans(drives, root):
    for scene, drive in enumerate(drives):
        assert len(drive) == FRAMES
        for frame in range(FRAMES):
            grey, colour = drive.get_gray(frame), drive.get_rgb(frame)
            assert {image.size for image in (*grey, *colour)} == {(248, 75)}
            assert all(np.asarray(image).std() > 5 for image in (*grey, *colour))
            assert len(drive.get_velo(frame)) == len(truth_of(root, scene, frame).object_id)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # pykitti leaves images open
            del grey, colour


def test_grey_images_are_8_bit_png_with_one_channel(root):
    for camera, colour_type in zip(CAMERAS, (0, 0, 2, 2), strict=True):
        data = (folder(root, 0) / camera / "data/0000000000.png").read_bytes()
        assert (data[24], data[25]) == (8, colour_type)


def test_calibration_is_printed_as_the_official_files_are(root):
    number = r" -?\d\.\d{6}e[+-]\d\d"
    counts = {"S": 2, "K": 9, "D": 5, "R": 9, "T": 3, "S_rect": 2, "R_rect": 9, "P_rect": 12}
    expected = {
        "cam_to_cam": [("corner_dist", 1)]
        + [(f"{key}_0{i}", count) for i in range(4) for key, count in counts.items()],
        "velo_to_cam": [("R", 9), ("T", 3), ("delta_f", 2), ("delta_c", 2)],
        "imu_to_velo": [("R", 9), ("T", 3)],
    }
    for name, keys in expected.items():
        first, *lines = (root / DATE / f"calib_{name}.txt").read_text().splitlines()
        assert re.fullmatch(r"calib_time: \d\d-[A-Z][a-z]{2}-20\d\d \d\d:\d\d:\d\d", first)
        for line, (key, count) in zip(lines, keys, strict=True):
            assert re.fullmatch(rf"{key}:(?:{number}){{{count}}}", line), line


def test_pykitti_reads_the_rigs_calibration(drives, rig):
    calib = drives[0].calib
    for number, camera in enumerate(rig.cameras):
        np.testing.assert_allclose(getattr(calib, f"K_cam{number}"), camera.K, atol=1e-4)
        # pykitti takes only x of the way between the cameras; the rest is below 4 mm.
        T = np.linalg.inv(camera.T_ego_from_camera) @ rig.lidars[0].T_ego_from_lidar
        np.testing.assert_allclose(getattr(calib, f"T_cam{number}_velo"), T, atol=4e-3)
    T = np.linalg.inv(rig.cameras[0].T_ego_from_camera) @ rig.lidars[0].T_ego_from_lidar
    np.testing.assert_allclose(calib.T_cam0_velo, T, atol=2e-6)


def test_unrectified_calibration_agrees_with_the_rectified(root):
    """x_rect = R_rect_i (R_i x_0 + T_i) is also R_rect_0 x_0 + t_i, with P_rect_i = K [I | t_i]."""
    values = pykitti.utils.read_calib_file(root / DATE / "calib_cam_to_cam.txt")
    for i in range(4):
        R_rect, R = (values[f"{key}_0{i}"].reshape(3, 3) for key in ("R_rect", "R"))
        P = values[f"P_rect_0{i}"].reshape(3, 4)
        np.testing.assert_allclose(R_rect @ R, values["R_rect_00"].reshape(3, 3), atol=2e-6)
        t = np.linalg.solve(P[:, :3], P[:, 3])
        np.testing.assert_allclose(R_rect @ values[f"T_0{i}"], t, atol=2e-6)


def test_pykittis_poses_are_those_of_the_true_drive(drives, root, rig, worlds):
    """Angles have 14 digits; 1e-12 degrees of latitude are 0.1 micrometres."""
    for scene, drive in enumerate(drives):
        t_s = times_ns(folder(root, scene) / "oxts/timestamps.txt") - zero_ns(root, scene, rig)
        poses = [pose_of_imu(worlds[scene], rig, drive, t * 1e-9) for t in t_s]
        for oxts, pose in zip(drive.oxts, poses, strict=True):
            np.testing.assert_allclose(oxts.T_w_imu[:3, :3], pose[:3, :3], atol=2e-6)
            way = pose[:3, 3] - poses[0][:3, 3]
            np.testing.assert_allclose(oxts.T_w_imu[:3, 3], way, atol=2e-6)
        assert np.linalg.norm(way) > 0.5


def test_packets_speeds_and_rates_follow_from_the_poses(drives, root, rig, worlds):
    for scene, drive in enumerate(drives):
        t_s = times_ns(folder(root, scene) / "oxts/timestamps.txt") - zero_ns(root, scene, rig)
        for oxts, t in zip(drive.oxts, t_s * 1e-9, strict=True):
            packet, h = oxts.packet, 1e-3
            before, pose, after = (
                pose_of_imu(worlds[scene], rig, drive, t + d) for d in (-h, 0.0, h)
            )
            velocity = (after - before)[:3, 3] / (2 * h)
            spin = pose[:3, :3].T @ (after - before)[:3, :3] / (2 * h)
            found = [packet.ve, packet.vn, packet.vu]
            np.testing.assert_allclose(found, velocity, atol=5e-3)
            found = [packet.wx, packet.wy, packet.wz]
            np.testing.assert_allclose(found, [spin[2, 1], spin[0, 2], spin[1, 0]], atol=5e-3)
            assert np.hypot(packet.vf, packet.vl) == pytest.approx(np.hypot(packet.ve, packet.vn))
            assert packet.vf > abs(packet.vl)  # it drives forward
            heading = np.arctan2(packet.vn, packet.ve)
            assert np.cos(heading - packet.yaw) > 0.99
            for near in ((packet.ax, packet.ay, packet.az), (packet.af, packet.al, packet.au)):
                assert 9 < np.linalg.norm(near) < 11  # gravity, and gentle driving
            assert packet.navstat == 4
    lines = (folder(root, 0) / "oxts/dataformat.txt").read_text().splitlines()
    names = [line.split(":")[0] for line in lines]
    assert tuple(names) == pykitti.utils.OxtsPacket._fields


def test_times_are_those_of_a_10_hz_rig(drives, root):
    for scene, drive in enumerate(drives):
        start, forward, end = (
            times_ns(folder(root, scene) / "velodyne_points" / f"{name}.txt") for name in SCAN_TIMES
        )
        assert np.array_equal(np.diff(forward), np.full(FRAMES - 1, 100_000_000))
        assert np.array_equal(end[:-1], start[1:])
        assert np.array_equal(forward - start, np.full(FRAMES, 50_000_000))
        for camera, least_ms, most_ms in zip(CAMERAS, (6, 6, 0, 0), (7, 7, 0.1, 0.1), strict=True):
            late = (times_ns(folder(root, scene) / camera / "timestamps.txt") - forward) / 1e6
            assert ((late >= least_ms) & (late <= most_ms)).all()
        packets = times_ns(folder(root, scene) / "oxts/timestamps.txt")
        first = times_ns(folder(root, scene) / "image_00/timestamps.txt")
        assert (np.abs(packets - first) <= 5_000_001).all()
        assert ((packets - packets[0]) % 10_000_000 == 0).all()
        parsed = [t - datetime(1970, 1, 1) for t in drive.timestamps]
        assert [t // timedelta(microseconds=1) for t in parsed] == (packets // 1000).tolist()


def test_true_times_are_within_the_sweep_and_true_points_where_they_were_met(
    drives, root, rig, worlds
):
    for scene, drive in enumerate(drives):
        zero = zero_ns(root, scene, rig)
        packet_0 = times_ns(folder(root, scene) / "oxts/timestamps.txt")[0] - zero
        origin = pose_of_imu(worlds[scene], rig, drive, packet_0 * 1e-9)[:3, 3]
        scans = folder(root, scene) / "velodyne_points"
        for frame in range(FRAMES):
            truth, scan = truth_of(root, scene, frame), drive.get_velo(frame).astype(float)
            assert (truth.t_ns >= times_ns(scans / "timestamps_start.txt")[frame]).all()
            assert (truth.t_ns < times_ns(scans / "timestamps_end.txt")[frame]).all()
            ahead = np.abs(np.arctan2(scan[:, 1], scan[:, 0])) < 0.02
            late = truth.t_ns[ahead] - times_ns(scans / "timestamps.txt")[frame]
            assert (np.abs(late) < 0.5e6).all()
            T = worlds[scene].ego.pose((truth.t_ns - zero) * 1e-9) @ rig.lidars[0].T_ego_from_lidar
            met = np.einsum("nij,nj->ni", T[:, :3, :3], scan[:, :3]) + T[:, :3, 3] - origin
            # Times are rounded to nanoseconds, in which a car moves 0.03 micrometres.
            assert np.linalg.norm(met - truth.surface, axis=1).max() < MILLIMETRES_M + 1e-4


@pytest.fixture(scope="module")
def store(root, tmp_path_factory):
    return stored(KittiRaw(root), tmp_path_factory.mktemp("store") / "raw.zarr")


def test_the_converter_reads_every_frame_with_its_pose(store, drives):
    assert [len(scene) for scene in store.scenes] == [FRAMES] * SCENES
    assert summarise(store.path)["skipped"] == []
    for index, view in enumerate(store):
        scene, frame = divmod(index, FRAMES)
        expected = drives[scene].oxts[frame].T_w_imu
        np.testing.assert_allclose(view.T_world_from_ego, expected, atol=1e-9)


def test_the_converters_pixels_are_the_true_ones_but_for_motion(store, root, rig, worlds):
    """By as much as the point moved, as the camera sees it, since the laser met it."""
    T_ego_from_lidar = rig.lidars[0].T_ego_from_lidar
    strict = 0
    for index, view in enumerate(store):
        scene, frame = divmod(index, FRAMES)
        truth, zero = truth_of(root, scene, frame), zero_ns(root, scene, rig)
        for number, camera in enumerate(CAMERAS):
            seen, found = truth.cameras[camera], view.cameras[camera].correspondences
            both, in_truth, in_store = np.intersect1d(seen.row, found.row, return_indices=True)
            assert len(both) > 0.9 * len(found.row) > 100
            xyz = view.points.xyz[both].astype(float)
            still = to_exposure(
                xyz,
                truth.object_id[both],
                (truth.t_ns[both] - zero) * 1e-9,
                (view.cameras[camera].timestamp_ns - zero) * 1e-9,
                worlds[scene],
                T_ego_from_lidar,
            )
            K = view.cameras[camera].K
            T = np.linalg.inv(rig.cameras[number].T_ego_from_camera) @ T_ego_from_lidar
            in_camera = still @ T[:3, :3].T + T[:3, 3]
            step = np.linalg.norm(still - xyz, axis=1) + MILLIMETRES_M
            off = np.linalg.norm(seen.uv[in_truth] - found.uv[in_store], axis=1)
            # Seven printed digits of calibration: 1e-6 in angles, 1e-4 in pixels.
            bound = pixel_bound(K, in_camera, step) + 2e-3
            assert (off <= bound).all()
            strict += np.count_nonzero(bound < 0.05)
            uv = in_camera @ K.T
            off = np.linalg.norm(uv[:, :2] / uv[:, 2:] - seen.uv[in_truth], axis=1)
            assert (off <= pixel_bound(K, in_camera, MILLIMETRES_M) + 2e-3).all()
    assert strict > 100
