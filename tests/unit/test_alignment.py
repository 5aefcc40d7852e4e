"""The rotation between depth edges and image edges, and what of it is flagged."""

from types import SimpleNamespace

import numpy as np
import pytest

import simipu
from folders import ONE_WORKER
from simipu.correspond.policy import Policy
from simipu.pipelines.convert import convert
from simipu.pipelines.correspond import correspond_store
from simipu.pipelines.sources.kitti_raw import KittiRaw
from simipu.records import Correspondences
from simipu.viz.alignment.edges import find_edges
from simipu.viz.alignment.estimate import (
    BAD,
    GOOD,
    UNSURE,
    _timing,
    choose_frames,
    estimate_alignment,
)
from simipu.viz.alignment.profiles import COLUMNS, ROWS
from simipu.viz.alignment.rotation import image_motion


def rotation(axis, degrees):
    """Rotation matrix by the axis' own pair of coordinates, without Rodrigues' formula."""
    a, b = [(1, 2), (2, 0), (0, 1)][axis]
    R = np.eye(3)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    R[a, a], R[a, b], R[b, a], R[b, b] = c, -s, s, c
    return R


@pytest.mark.parametrize("axis", range(3))
def test_image_motion_is_that_of_rotated_points(axis):
    K = np.array([[700.0, 0, 610], [0, 700, 180], [0, 0, 1]])
    camera = SimpleNamespace(K=K, width=1240, height=370)
    u = (np.arange(COLUMNS) + 0.5) * 1240 / COLUMNS - 0.5
    v = (np.arange(ROWS) + 0.5) * 370 / ROWS - 0.5
    pixels = np.array([[x, y, 1.0] for y in v for x in u])
    moved = pixels @ np.linalg.inv(K).T @ rotation(axis, 0.01).T @ K.T
    moved = moved[:, :2] / moved[:, 2:] - pixels[:, :2]
    expected = np.radians(0.01) * 700 * image_motion(camera)[axis].T
    np.testing.assert_allclose(moved, expected, atol=1e-4)


def test_edges_of_a_box_lie_half_a_step_outside_it():
    u, v = np.meshgrid(np.arange(0, 200, 4.0), np.arange(0, 100, 10.0))
    box = (u >= 80) & (u <= 120) & (v >= 40)
    uv = np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float32)
    depth = np.where(box, 10.0, 40.0).ravel().astype(np.float32)
    pairs = Correspondences(
        row=np.arange(len(uv), dtype=np.uint32), uv=uv, depth=depth, visible=np.ones(len(uv), bool)
    )
    side, top = find_edges(pairs, (uv[:, 1] // 10).astype(np.int64))
    assert sorted(set(side[:, 0])) == [78.0, 122.0]
    assert set(top[:, 1]) == {35.0}
    assert top[:, 0].min() == 80
    assert top[:, 0].max() == 120


def test_a_slanted_plane_has_no_edges():
    u, v = np.meshgrid(np.arange(0, 200, 4.0), np.arange(60, 160, 10.0))
    uv = np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float32)
    depth = (1000.0 / (uv[:, 1] - 40)).astype(np.float32)
    pairs = Correspondences(
        row=np.arange(len(uv), dtype=np.uint32), uv=uv, depth=depth, visible=np.ones(len(uv), bool)
    )
    side, top = find_edges(pairs, (uv[:, 1] // 10).astype(np.int64))
    assert len(side) == len(top) == 0


def test_long_stores_are_sampled_in_runs():
    store = type("S", (), {"cameras": ["a", "b"], "__len__": lambda _: 1000})()
    chosen = np.array(choose_frames(store))
    assert len(chosen) == 120
    assert (np.diff(chosen.reshape(-1, 3), axis=1) == 1).all()
    assert chosen[0] == 0
    assert chosen[-1] == 999


@pytest.fixture(scope="module")
def drive(sample_data, tmp_path_factory):
    """The real KITTI drive in a folder that a test may change, by links to its files."""
    root = tmp_path_factory.mktemp("drive")
    for file in (sample_data / "kitti_raw").rglob("*"):
        if file.is_file():
            link = root / file.relative_to(sample_data / "kitti_raw")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
    return root


def converted(root, out):
    convert(KittiRaw(root), out, resources=ONE_WORKER)
    correspond_store(out, Policy(), resources=ONE_WORKER)
    return estimate_alignment(simipu.open_store(out))


def test_the_true_drive_is_not_flagged(drive, tmp_path):
    found = converted(drive, tmp_path / "s.zarr")
    assert found.cameras["image_02"].verdict == GOOD
    assert found.timing["image_02"].verdict == GOOD


def test_a_calibration_rotated_by_half_a_degree_is_flagged(drive, tmp_path):
    file = drive / "2011_09_26" / "calib_velo_to_cam.txt"
    text = file.read_text()
    lines = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    R = rotation(1, 0.5) @ np.array(lines["R"].split(), float).reshape(3, 3)
    T = rotation(1, 0.5) @ np.array(lines["T"].split(), float)
    lines["R"], lines["T"] = (" ".join(f"{x:.9e}" for x in a.ravel()) for a in (R, T))
    target = file.resolve()
    file.unlink()
    try:
        file.write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
        found = converted(drive, tmp_path / "s.zarr").cameras["image_02"]
    finally:
        file.unlink()
        file.symlink_to(target)
    assert found.verdict == BAD
    assert found.angles_deg[1] == pytest.approx(-0.5, abs=0.15)


def test_images_one_frame_late_are_flagged(drive, tmp_path):
    folder = next(drive.rglob("image_02")) / "data"
    images = sorted(folder.iterdir())
    targets = [image.resolve() for image in images]
    for image, target in zip(images, [*targets[1:], targets[-1]], strict=True):
        image.unlink()
        image.symlink_to(target)
    try:
        found = converted(drive, tmp_path / "s.zarr")
    finally:
        for image, target in zip(images, targets, strict=True):
            image.unlink()
            image.symlink_to(target)
    assert found.timing["image_02"].verdict == BAD


def test_a_few_synthetic_frames_without_evidence_are_not_called_good(tmp_path):
    from simipu.pipelines.sources.kitti_object import KittiObject
    from synthetic_world import generated

    root, _ = generated(tmp_path / "w", layout="kitti", frames=1, beams=8, columns=100)
    convert(KittiObject(root), tmp_path / "s.zarr", resources=ONE_WORKER)
    correspond_store(tmp_path / "s.zarr", Policy(), resources=ONE_WORKER)
    found = estimate_alignment(simipu.open_store(tmp_path / "s.zarr"))
    assert all(one.verdict == UNSURE for one in found.timing.values())
    assert all(one.verdict == UNSURE for one in found.cameras.values())


@pytest.mark.parametrize(("frames", "verdict"), [(2, UNSURE), (5, GOOD)])
def test_many_cameras_make_up_for_no_frames(frames, verdict):
    fits = [(0.1 + 0.001 * i, 1.0, 0.1 + 0.002 * i) for i in range(12)]
    assert _timing(fits, frames=frames).verdict == verdict
