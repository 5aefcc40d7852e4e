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
    _judge,
    _timing,
    choose_frames,
    estimate_alignment,
)
from simipu.viz.alignment.evidence import Seen, group_runs
from simipu.viz.alignment.profiles import COLUMNS, OFFSETS_DEG, ROWS, Gradients
from simipu.viz.alignment.rotation import Fit, fit_rotation, image_motion, score_blocks


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


def grid(u, v, depth):
    uv = np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float32)
    return Correspondences(
        row=np.arange(len(uv), dtype=np.uint32),
        uv=uv,
        depth=depth.ravel().astype(np.float32),
        visible=np.ones(len(uv), bool),
    )


def test_edges_of_a_box_lie_between_its_last_returns_and_the_next_beams():
    u, v = np.meshgrid(np.arange(0, 200, 4.0), np.arange(0, 100, 10.0))
    box = (u >= 80) & (u <= 120) & (v >= 40)
    side, top = find_edges(grid(u, v, np.where(box, 10.0, 40.0)), (v.ravel() // 10).astype(int))
    assert {tuple(one) for one in side[:, :, 0]} == {(80.0, 76.0), (120.0, 124.0)}
    assert {tuple(one) for one in top[:, :, 1]} == {(40.0, 30.0)}
    assert top[..., 0].min() == 80
    assert top[..., 0].max() == 120


def test_a_surface_ends_where_returns_are_missing():
    u, v = np.meshgrid(np.arange(0, 200, 4.0), np.arange(0, 100, 10.0))
    there = (u <= 80) | (u >= 160)
    pairs = grid(u[there], v[there], np.full(there.sum(), 10.0))
    side, top = find_edges(pairs, (v[there] // 10).astype(int))
    assert {tuple(one) for one in side[:, :, 0]} == {(80.0, 84.0), (160.0, 156.0)}
    assert len(top) == 0


def test_a_mark_ends_between_returns_of_other_intensity():
    u, v = np.meshgrid(np.arange(0, 200, 4.0), np.arange(0, 100, 10.0))
    bright = (u >= 60) & (u < 120)
    pairs, line = grid(u, v, np.full(u.shape, 10.0)), (v.ravel() // 10).astype(int)
    intensity = np.where(bright, 200.0, 10.0) + np.linspace(0, 1, u.size).reshape(u.shape)
    side, _ = find_edges(pairs, line, intensity.ravel())
    assert {tuple(one) for one in side[:, :, 0]} == {(56.0, 60.0), (116.0, 120.0)}
    assert len(find_edges(pairs, line).side) == 0


def test_a_slanted_plane_has_no_edges():
    u, v = np.meshgrid(np.arange(0, 200, 4.0), np.arange(60, 160, 10.0))
    side, top = find_edges(grid(u, v, 1000.0 / (v - 40)), (v.ravel() // 10).astype(int))
    assert len(side) == len(top) == 0


WIDTH, HEIGHT, FOCAL = 800, 400, 500.0
K = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])


def boxes(seed, R):
    """An image of boxes, and beams that meet them where R has turned the LiDAR to.

    Beams are 0.2 degrees apart along 24 lines; the lines are 1 degree apart.
    """
    rng = np.random.default_rng(seed)
    image = np.full((HEIGHT, WIDTH), 120, np.uint8)
    depth = np.full((HEIGHT, WIDTH), 60.0)
    for _ in range(30):
        u, v = rng.integers(0, WIDTH - 40), rng.integers(20, HEIGHT - 40)
        wide, high, lean = rng.integers(20, 90), rng.integers(30, 120), rng.uniform(-0.6, 0.6)
        rows, columns = np.mgrid[v : min(v + high, HEIGHT), 0:WIDTH]
        inside = np.abs(columns - u - wide / 2 - lean * (rows - v)) < wide / 2
        image[v : v + high][inside] = rng.integers(0, 256)
        depth[v : v + high][inside] = rng.uniform(5, 30)
    line, step = np.meshgrid(np.arange(-12, 12), np.arange(-180, 180), indexing="ij")
    x, y = np.tan(np.radians(0.2 * step)), np.tan(np.radians(1.0 * line + rng.uniform(0, 1)))
    seen = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
    true = seen @ R.T @ K.T
    u, v = np.rint(true[:, :2] / true[:, 2:]).astype(int).T
    inside = (u >= 0) & (u < WIDTH) & (v >= 0) & (v < HEIGHT)
    pixels = (seen @ K.T)[inside, :2]
    pairs = grid(pixels[:, 0], pixels[:, 1], depth[v[inside], u[inside]])
    return np.repeat(image[..., None], 3, axis=2), pairs, (line.ravel() + 12)[inside]


def blocks_of(seed, R, turn):
    image, pairs, line = boxes(seed, R)
    profiles, _ = Gradients(image, FOCAL).profiles(find_edges(pairs, line), WIDTH, HEIGHT)
    return score_blocks(profiles, turn)


CAMERA = SimpleNamespace(K=K, width=WIDTH, height=HEIGHT)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("degrees", [-0.5, 0.0, 0.5])
def test_a_rotation_about_any_axis_is_found_between_widely_spaced_beams(axis, degrees):
    R = rotation(axis, degrees)
    turn = image_motion(CAMERA)
    fit = fit_rotation(np.concatenate([blocks_of(seed, R, turn) for seed in range(5)]))
    np.testing.assert_allclose(fit.angles, degrees * np.eye(3)[axis], atol=0.12)
    assert _judge(fit, edges=1000, runs=5) == (BAD if degrees else GOOD)


def test_cameras_together_tell_what_one_alone_does_not():
    # The roll of one is the pitch of the other, as of cameras that look forward and to the side.
    R, aside = rotation(2, 0.5), np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
    turn = image_motion(CAMERA)
    forward = blocks_of(20, R, turn)
    sideways = blocks_of(21, aside @ R @ aside.T, np.tensordot(aside.T, turn, axes=1))
    alone, both = fit_rotation(forward), fit_rotation(np.concatenate([forward, sideways]))
    assert both.angles[2] == pytest.approx(0.5, abs=0.15)
    assert both.sigma[2] < alone.sigma[2]


def test_profiles_peak_at_the_offset_of_an_edge():
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, 104:] = 200
    side = np.array([[[98.0, 50.0], [102.0, 50.0]]])
    edges = SimpleNamespace(side=side, top=np.empty((0, 2, 2)))
    profiles, count = Gradients(image, 300.0).profiles((side, edges.top), 200, 100)
    across = profiles.sum(axis=0).mean(axis=0)
    assert count == 1
    offset = np.degrees(np.arctan(3.5 / 300))
    assert OFFSETS_DEG[across.argmax()] == pytest.approx(offset, abs=0.25)


@pytest.mark.parametrize(
    ("angle", "half", "runs", "verdict"),
    [
        (0.5, 0.1, 1, BAD),
        (0.5, 0.4, 20, UNSURE),
        (0.1, 0.1, 20, GOOD),
        (0.1, 0.1, 2, UNSURE),
        (0.1, 0.5, 20, UNSURE),
        (0.26, 0.05, 20, GOOD),
    ],
)
def test_good_needs_half_a_degree_to_be_excluded(angle, half, runs, verdict):
    angles, wide = np.array([0.0, angle, 0.0]), np.array([0.05, half, 0.05])
    fit = Fit(angles, wide / 2, angles - wide, angles + wide, peak=9.0, gain=3.0)
    assert _judge(fit, 500, runs) == verdict
    assert _judge(fit._replace(peak=3.0), 500, runs) == UNSURE


def test_what_a_standing_vehicle_sees_counts_once():
    def runs_of(places):
        seen = [Seen(np.ones(1), 1, (None, 0.0, None), place) for place in places]
        return [len(run) for run in group_runs(seen)]

    driving = [np.array([5.0 * i, 0, 0]) for i in range(24)]
    assert runs_of(driving) == [2] * 12
    assert runs_of([None] * 24) == [2] * 12  # where it is is not known
    assert runs_of([np.array([0.01 * i, 0, 0]) for i in range(24)]) == [24]
    assert runs_of(driving[:4] + [driving[4]] * 20) == [2, 2, 20]


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
