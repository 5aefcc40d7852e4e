"""Generated KITTI object: the official format, the official formula, and the truth beside it."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from simipu.pipelines.sources.kitti_object import KittiObject
from simipu.pipelines.synthetic.kitti_object import KittiObjectWriter
from simipu.pipelines.synthetic.options import Options
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

SCENES, FRAMES, CAMERAS = 2, 2, ("image_2", "image_3")
STEMS = [f"{index:06d}" for index in range(SCENES * FRAMES)]
SMALL = {"beams": 32, "columns": 600}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Without noise, so that every point is where the truth has it."""
    return generated(
        tmp_path_factory.mktemp("kitti"),
        layout="kitti",
        scenes=SCENES,
        frames=FRAMES,
        cameras=CAMERAS,
        noise=False,
        **SMALL,
    )


@pytest.fixture(scope="module")
def root(made):
    return made[0]


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    return generated(tmp_path_factory.mktemp("noisy"), layout="kitti", **SMALL)


@pytest.fixture(scope="module")
def worlds(made):
    return worlds_of(made[1], spacing_s=1.0)


def calibration(root: Path, stem: str) -> dict[str, np.ndarray]:
    text = (root / f"training/calib/{stem}.txt").read_text()
    lines = [line.split(": ") for line in text.splitlines() if line]
    return {key: np.array(values.split(), dtype=np.float64) for key, values in lines}


def official_projection(root: Path, stem: str, camera: str) -> tuple[np.ndarray, np.ndarray]:
    """P and R0_rect @ Tr_velo_to_cam, as the development kit's readme multiplies them."""
    values = calibration(root, stem)
    R0 = np.eye(4)
    R0[:3, :3] = values["R0_rect"].reshape(3, 3)
    Tr = np.vstack([values["Tr_velo_to_cam"].reshape(3, 4), [0, 0, 0, 1]])
    return values[f"P{camera[-1]}"].reshape(3, 4), R0 @ Tr


def scan_of(root: Path, stem: str) -> np.ndarray:
    return np.fromfile(root / f"training/velodyne/{stem}.bin", dtype="<f4").reshape(-1, 4)


def pixels(P: np.ndarray, chain: np.ndarray, xyz: np.ndarray) -> np.ndarray:
    projected = P @ chain @ np.vstack([xyz.T, np.ones(len(xyz))])
    return (projected[:2] / projected[2]).T


def frames_of(root: Path):
    for index, stem in enumerate(STEMS):
        yield stem, *divmod(index, FRAMES), scan_of(root, stem).astype(float)


def test_the_files_are_those_of_the_official_layout(root):
    names = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    expected = {f"ImageSets/{split}.txt" for split in ("train", "val", "trainval")}
    for stem in STEMS:
        expected |= {f"training/{camera}/{stem}.png" for camera in CAMERAS}
        expected |= {f"training/calib/{stem}.txt", f"training/label_2/{stem}.txt"}
        expected.add(f"training/velodyne/{stem}.bin")
    assert {name for name in names if not name.startswith("truth/")} == expected


@pytest.mark.parametrize(("scenes", "first_of_val"), [(1, 1), (2, 1), (4, 3), (9, 7)])
def test_the_last_quarter_of_the_scenes_is_for_validation(tmp_path, scenes, first_of_val):
    KittiObjectWriter(tmp_path, Options(layout="kitti", scenes=scenes, frames=3, seed=1)).finish()
    lists = {path.stem: path.read_text() for path in (tmp_path / "ImageSets").iterdir()}
    assert lists.keys() == {"train", "trainval", *(["val"] if scenes > 1 else [])}
    assert lists["trainval"] == "".join(f"{index:06d}\n" for index in range(scenes * 3))
    assert lists["train"] == "".join(f"{index:06d}\n" for index in range(first_of_val * 3))
    assert lists["train"] + lists.get("val", "") == lists["trainval"]


def test_calibration_is_printed_as_the_official_files_are(root):
    number = r"-?\d\.\d{12}e[+-]\d\d"
    for stem in STEMS:
        lines = (root / f"training/calib/{stem}.txt").read_text().split("\n")
        keys = {"P0": 12, "P1": 12, "P2": 12, "P3": 12}
        keys |= {"R0_rect": 9, "Tr_velo_to_cam": 12, "Tr_imu_to_velo": 12}
        assert lines[7:] == ["", ""]
        for line, (key, count) in zip(lines, keys.items(), strict=False):
            assert re.fullmatch(rf"{key}:(?: {number}){{{count}}}", line)
            assert "-0.000000000000e+00" not in line


def test_calibration_is_that_of_the_real_car_but_for_the_image_scale(root, made):
    values = calibration(root, STEMS[0])
    s = made[1].image_scale
    A = np.array([[s, 0, (s - 1) / 2], [0, s, (s - 1) / 2], [0, 0, 1]])  # u' = s (u + 1/2) - 1/2
    P2 = [
        [7.215377e02, 0.0, 6.095593e02, 4.485728e01],
        [0.0, 7.215377e02, 1.728540e02, 2.163791e-01],
        [0.0, 0.0, 1.0, 2.745884e-03],
    ]
    Tr = [
        *(7.533745e-03, -9.999714e-01, -6.166020e-04, -4.069766e-03),
        *(1.480249e-02, 7.280733e-04, -9.998902e-01, -7.631618e-02),
        *(9.998621e-01, 7.523790e-03, 1.480755e-02, -2.717806e-01),
    ]
    np.testing.assert_allclose(values["P2"].reshape(3, 4), A @ P2, atol=2e-4)
    np.testing.assert_allclose(values["Tr_velo_to_cam"], Tr, atol=2e-6)


def test_images_are_8_bit_rgb_png_of_the_scaled_size(root, made):
    s = made[1].image_scale
    for stem in STEMS:
        for camera in CAMERAS:
            data = (root / "training" / camera / f"{stem}.png").read_bytes()
            assert data[:8] == b"\x89PNG\r\n\x1a\n"
            assert (data[24], data[25]) == (8, 2)  # bit depth, colour type
            with Image.open(root / "training" / camera / f"{stem}.png") as image:
                assert image.size == (round(1242 * s), round(375 * s))
                assert np.asarray(image).std() > 10


@pytest.mark.parametrize("noise", [True, False])
def test_scans_are_on_the_millimetre_and_from_ahead_to_the_left_beam_by_beam(root, noisy, noise):
    scan = scan_of(noisy[0] if noise else root, STEMS[0])
    assert len(scan) > 0.4 * SMALL["beams"] * SMALL["columns"]
    assert np.array_equal(scan[:, :3], np.round(scan[:, :3].astype(float), 3).astype("<f4"))
    assert np.array_equal(scan[:, 3], np.round(scan[:, 3].astype(float), 2).astype("<f4"))
    assert (scan[:, 3] >= 0).all()
    assert (scan[:, 3] < 1).all()
    assert 60 < np.linalg.norm(scan[:, :3], axis=1).max() < 80.001
    azimuth = np.arctan2(scan[:, 1], scan[:, 0]) % (2 * np.pi)
    starts = np.flatnonzero(np.diff(azimuth) < -np.pi) + 1
    assert SMALL["beams"] // 2 < len(starts) + 1 <= SMALL["beams"]  # the topmost may see only sky
    elevation = np.arctan2(scan[:, 2], np.hypot(scan[:, 0], scan[:, 1]))
    beams = np.split(elevation, starts)
    assert (np.diff([np.median(beam) for beam in beams]) < 0).all()
    # A point 1 mm off at 2 m is 0.03 degrees off; columns are 0.6 degrees apart.
    assert all((np.diff(part) > 0).all() for part in np.split(azimuth, starts))


def test_the_images_are_taken_when_the_scanner_faces_forward(root):
    for _, scene, frame, scan in frames_of(root):
        t_s = truth_of(root, scene, frame).t_ns * 1e-9 - frame
        assert t_s.min() >= -0.05
        assert t_s.max() < 0.05
        azimuth = np.arctan2(scan[:, 1], scan[:, 0])  # counter-clockwise at 10 Hz
        assert np.abs(azimuth / (2 * np.pi) * 0.1 - t_s).max() < 1e-4


def test_noise_moves_points_along_their_rays_only(noisy):
    root, options = noisy
    scan, truth = scan_of(root, STEMS[0]).astype(float), truth_of(root, 0, 0)
    (world,) = worlds_of(options, spacing_s=1.0)
    assert len(scan) == len(truth.object_id)
    T_ego_from_lidar = kitti_rig(options).lidars[0].T_ego_from_lidar
    here = to_exposure(
        scan[:, :3], np.zeros(len(scan)), truth.t_ns * 1e-9, 0.0, world, T_ego_from_lidar
    )
    off = np.linalg.norm(here - truth.surface, axis=1)
    assert 0.003 < np.median(off) < 0.05


@pytest.mark.parametrize("camera", CAMERAS)
def test_the_official_formula_gives_the_true_pixel_once_motion_is_undone(
    root, made, worlds, camera
):
    T_ego_from_lidar = kitti_rig(made[1]).lidars[0].T_ego_from_lidar
    for stem, scene, frame, scan in frames_of(root):
        truth, seen = truth_of(root, scene, frame), truth_of(root, scene, frame).cameras[camera]
        assert len(scan) == len(truth.object_id)
        assert len(seen.row) > 500
        row = seen.row
        P, chain = official_projection(root, stem, camera)
        still = to_exposure(
            scan[row, :3],
            truth.object_id[row],
            truth.t_ns[row] * 1e-9,
            float(frame),
            worlds[scene],
            T_ego_from_lidar,
        )
        in_camera = np.linalg.solve(P[:, :3], P @ chain @ np.vstack([still.T, np.ones(len(row))])).T
        bound = pixel_bound(P, in_camera, MILLIMETRES_M) + 1e-3
        off = np.linalg.norm(pixels(P, chain, still) - seen.uv, axis=1)
        assert (off <= bound).all(), (stem, off.max(), bound[off.argmax()])
        np.testing.assert_allclose(in_camera[:, 2], seen.depth, atol=MILLIMETRES_M + 1e-6)
        # The truth's own points stand still already, and are not rounded.
        resting = truth.object_id[row] == 0
        exact = pixels(P, chain, truth.surface[row[resting]])
        np.testing.assert_allclose(exact, seen.uv[resting], atol=1e-3)


@pytest.fixture(scope="module")
def store(root, tmp_path_factory):
    return stored(KittiObject(root), tmp_path_factory.mktemp("store") / "k.zarr")


def test_the_converter_reads_every_frame_with_its_split(store):
    assert len(store) == SCENES * FRAMES
    assert summarise(store.path)["skipped"] == []
    assert [(scene.split, len(scene)) for scene in store.scenes] == [("train", 2), ("val", 2)]


def test_the_converters_pixels_are_the_true_ones_but_for_motion(store, root, made, worlds):
    """By as much as the point moved, as the camera sees it, since the laser met it."""
    T_ego_from_lidar = kitti_rig(made[1]).lidars[0].T_ego_from_lidar
    strict = 0
    for frame_view in store:
        stem = frame_view.id.split("/")[1]
        scene, frame = divmod(int(stem), FRAMES)
        truth, scan = truth_of(root, scene, frame), scan_of(root, stem).astype(float)
        still = to_exposure(
            scan[:, :3],
            truth.object_id,
            truth.t_ns * 1e-9,
            float(frame),
            worlds[scene],
            T_ego_from_lidar,
        )
        for camera in CAMERAS:
            seen, found = truth.cameras[camera], frame_view.cameras[camera].correspondences
            P, chain = official_projection(root, stem, camera)
            both, in_truth, in_store = np.intersect1d(seen.row, found.row, return_indices=True)
            assert len(both) > 0.95 * len(found.row)
            step = np.linalg.norm(still[both] - scan[both, :3], axis=1) + MILLIMETRES_M
            xyz1 = np.vstack([still[both].T, np.ones(len(both))])
            in_camera = np.linalg.solve(P[:, :3], P @ chain @ xyz1).T
            bound = pixel_bound(P, in_camera, step) + 1e-3
            off = np.linalg.norm(seen.uv[in_truth] - found.uv[in_store], axis=1)
            assert (off <= bound).all()
            strict += np.count_nonzero(bound < 0.05)
    assert strict > 100


class Label(NamedTuple):
    kind: str
    truncated: float
    occluded: int
    alpha: float
    box: np.ndarray  # x1 y1 x2 y2
    size: np.ndarray  # h w l
    place: np.ndarray
    rotation_y: float


def labels_of(root: Path, stem: str) -> list[Label]:
    labels = []
    for line in (root / f"training/label_2/{stem}.txt").read_text().splitlines():
        kind, *texts = line.split(" ")
        assert len(texts) == 14
        assert all(re.fullmatch(r"-?\d+\.\d\d", text) for text in [texts[0], *texts[2:]])
        v = np.array(texts, dtype=float)
        labels.append(Label(kind, v[0], int(texts[1]), v[2], v[3:7], v[7:10], v[10:13], v[13]))
    return labels


def test_labels_hold_their_points_in_3d_and_their_pixels_in_2d(root, made, worlds):
    T_ego_from_lidar = kitti_rig(made[1]).lidars[0].T_ego_from_lidar
    labelled = points = 0
    for stem, scene, frame, scan in frames_of(root):
        truth, world = truth_of(root, scene, frame), worlds[scene]
        _, chain = official_projection(root, stem, "image_2")
        T_rect_from_world = chain @ np.linalg.inv(world.ego.pose(float(frame)) @ T_ego_from_lidar)
        seen = truth.cameras["image_2"]
        for label in labels_of(root, stem):
            assert label.kind in ("Car", "Van", "Truck", "Pedestrian", "Cyclist")
            T_rect_from_world = chain @ np.linalg.inv(
                world.ego.pose(float(frame)) @ T_ego_from_lidar
            )
            places = {
                actor.object_id: (T_rect_from_world @ actor.trajectory.pose(float(frame)))[:3, 3]
                for actor in world.actors
            }
            object_id = min(places, key=lambda i: np.linalg.norm(places[i] - label.place))
            assert np.linalg.norm(places[object_id] - label.place) < 0.02
            rows = np.flatnonzero(truth.object_id == object_id)
            still = to_exposure(
                scan[rows, :3],
                truth.object_id[rows],
                truth.t_ns[rows] * 1e-9,
                float(frame),
                world,
                T_ego_from_lidar,
            )
            # Back into the box, as the development kit's computeBox3D.m turns it out of it.
            c, s = np.cos(label.rotation_y), np.sin(label.rotation_y)
            R = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
            rect = (chain @ np.vstack([still.T, np.ones(len(rows))]))[:3].T
            along, down, across = ((rect - label.place) @ R).T
            h, w, length = label.size
            # Labels know no pitch and roll: the far end of a box may be so much off.
            slack = 0.03 + 0.05 * length
            assert (np.abs(along) < length / 2 + slack).all()
            assert (np.abs(across) < w / 2 + slack).all()
            assert (down < slack).all()
            assert (down > -h - slack).all()
            uv = seen.uv[np.isin(seen.row, rows)]
            x1, y1, x2, y2 = label.box
            assert (uv >= [x1 - 0.6, y1 - 0.6]).all()
            assert (uv <= [x2 + 0.6, y2 + 0.6]).all()
            bearing = np.arctan2(label.place[0], label.place[2])
            turn = label.alpha - (label.rotation_y - bearing)
            assert abs((turn + np.pi) % (2 * np.pi) - np.pi) < 0.03
            labelled += 1
            points += len(rows)
    assert labelled >= SCENES
    assert points > 100
