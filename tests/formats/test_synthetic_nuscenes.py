"""The synthetic nuScenes layout, read by the official devkit: tables, files, times, options."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from nuscenes.nuscenes import NuScenes
from nuscenes.utils import splits
from nuscenes.utils.data_classes import LidarPointCloud
from PIL import Image
from pyquaternion import Quaternion

from folders import contents
from simipu.errors import UsageError
from simipu.pipelines.synthetic.generate import Stage, generate
from simipu.pipelines.synthetic.nuscenes import NuScenesWriter
from simipu.pipelines.synthetic.nuscenes_scenes import recordings
from simipu.pipelines.synthetic.nuscenes_tables import pose_fields
from simipu.pipelines.synthetic.options import Options
from synthetic_nuscenes import BEAMS, CAMERAS, COLUMNS, SMALL, matrix, rows_of

FRAMES = 2
CHAINED = ("sample", "sample_data", "sample_annotation")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("nuscenes")
    generate(folder, Options(scenes=2, frames=FRAMES, truth=False, **SMALL))
    return folder


@pytest.fixture(scope="module")
def nusc(root) -> NuScenes:
    return NuScenes("v1.0-mini", str(root), verbose=False)


@pytest.mark.parametrize("scenes", [1, 2, 3, 4, 8, 9, 10, 11, 40, 700, 799, 850])
def test_scenes_have_the_official_names(scenes):
    official = splits.create_splits_scenes()
    version, found = recordings(scenes)
    mini = scenes <= 10
    assert version == ("v1.0-mini" if mini else "v1.0-trainval")
    train, val = (
        official["mini_train" if mini else "train"],
        official["mini_val" if mini else "val"],
    )
    names = [recording.name for recording in found]
    held_out = [name for name in names if name in val]
    assert names == train[: scenes - len(held_out)] + val[: len(held_out)]
    assert len(names) == scenes
    if 2 <= scenes <= 600 and scenes not in (9, 10):
        assert len(held_out) == max(1, scenes // 4)
    assert len({recording.logfile for recording in found}) == scenes


def test_there_are_no_more_scenes_than_the_official_ones():
    with pytest.raises(UsageError, match="only 850 scenes"):
        recordings(851)


def test_the_devkit_loads_it_in_silence(nusc, capfd):
    NuScenes("v1.0-mini", nusc.dataroot, verbose=False)
    assert capfd.readouterr() == ("", "")
    assert [scene["name"] for scene in nusc.scene] == ["scene-0061", "scene-0103"]
    assert splits.get_scenes_of_split("mini_val", nusc)[0] == nusc.scene[1]["name"]
    for sample in nusc.sample:
        assert sorted(sample["data"]) == sorted([*CAMERAS, "LIDAR_TOP"])
        assert sample["anns"]
        for token in sample["data"].values():
            path, boxes, _ = nusc.get_sample_data(token)
            assert Path(path).is_file()
            assert len(boxes) <= len(sample["anns"])


def test_every_token_is_its_own_and_every_reference_leads_somewhere(nusc, root):
    tables = {path.stem: json.loads(path.read_bytes()) for path in root.glob("v1.0-mini/*")}
    assert sorted(tables) == sorted(nusc.table_names)
    tokens = {name: {row["token"] for row in rows} for name, rows in tables.items()}
    for name, rows in tables.items():
        assert len(tokens[name]) == len(rows)
        for row in rows:
            assert len(row["token"]) == (1 if name == "visibility" else 32)
            for key, value in row.items():
                other = key.removesuffix("_tokens").removesuffix("_token")
                if other != key and other in tokens:
                    assert (
                        {*value} <= tokens[other] if key.endswith("s") else value in tokens[other]
                    )
    assert all(row["token"] == row["ego_pose_token"] for row in tables["sample_data"])


@pytest.mark.parametrize("table", CHAINED)
def test_chains_run_through_all_rows_in_the_order_of_time(nusc, table):
    def key(row):
        if table == "sample":
            return row["scene_token"]
        return row["calibrated_sensor_token" if table == "sample_data" else "instance_token"]

    rows = getattr(nusc, table)
    seen = 0
    for first in (row for row in rows if not row["prev"]):
        chain = [first]
        while chain[-1]["next"]:
            chain.append(nusc.get(table, chain[-1]["next"]))
            assert chain[-1]["prev"] == chain[-2]["token"]
        samples = [nusc.get("sample", r.get("sample_token", r["token"])) for r in chain]
        times = [r.get("timestamp", s["timestamp"]) for r, s in zip(chain, samples, strict=True)]
        assert (np.diff(times) > 0).all()
        assert sum(key(row) == key(first) for row in rows) == len(chain)
        seen += len(chain)
    assert seen == len(rows)


def test_the_files_are_those_of_the_table_and_as_it_says(nusc, root):
    listed = {row["filename"] for row in nusc.sample_data}
    there = {p.relative_to(root).as_posix() for p in root.glob("s*/*/*")}
    assert there == listed
    for row in nusc.sample_data:
        assert row["filename"].startswith("samples/" if row["is_key_frame"] else "sweeps/")
        assert str(row["timestamp"]) in row["filename"]
        if row["channel"] == "LIDAR_TOP":
            assert (row["width"], row["height"], row["fileformat"]) == (0, 0, "pcd")
            continue
        with Image.open(root / row["filename"]) as image:
            assert image.size == (row["width"], row["height"]) == (192, 108)
            assert image.format == "JPEG"
            assert "progressive" not in image.info


def test_sensors_keep_the_official_rates(nusc):
    for scene in nusc.scene:
        samples = [s for s in nusc.sample if s["scene_token"] == scene["token"]]
        tokens = {s["token"] for s in samples}
        rows = [row for row in nusc.sample_data if row["sample_token"] in tokens]
        assert np.diff([s["timestamp"] for s in samples]).tolist() == [500_000] * (FRAMES - 1)
        turns = [row["timestamp"] for row in rows if row["channel"] == "LIDAR_TOP"]
        assert np.diff(turns).tolist() == [50_000] * 10 * (FRAMES - 1)
        for channel in CAMERAS:
            times = np.array([row["timestamp"] for row in rows if row["channel"] == channel])
            assert len(times) == 6 * (FRAMES - 1) + 1
            assert set(np.diff(times)) <= {50_000, 100_000}
            assert ((times[::6] - times[0]) % 500_000 == 0).all()
        for sample in samples:
            early = [
                sample["timestamp"] - nusc.get("sample_data", sample["data"][c])["timestamp"]
                for c in ("CAM_FRONT_LEFT", *CAMERAS[:-1])  # clockwise, from the left
            ]
            assert early == sorted(early, reverse=True)
            assert 0 <= early[-1] < early[0] <= 50_000
    for row in nusc.sample_data:
        sample = nusc.get("sample", row["sample_token"])
        late = sample["timestamp"] - row["timestamp"]
        assert 0 <= late <= (50_000 if row["is_key_frame"] else 549_999)


def test_points_are_all_firings_in_order(nusc):
    for row in nusc.sample_data:
        if row["channel"] != "LIDAR_TOP":
            continue
        points = rows_of(nusc, row)
        assert points.shape == (BEAMS * COLUMNS, 5)
        assert np.array_equal(points[:, 4], np.arange(len(points)) % BEAMS)
        assert np.array_equal(points[:, 3], np.rint(points[:, 3]))
        assert points[:, 3].min() >= 0
        assert 20 < points[:, 3].max() <= 255
        distance = np.linalg.norm(points[:, :3], axis=1)
        steep = np.arcsin(points[:, 2] / np.maximum(distance, 1e-9)).reshape(-1, BEAMS)
        steep = np.where((distance > 5.0).reshape(-1, BEAMS), steep, np.nan)
        average = [np.nanmean(ring) for ring in steep.T if np.isfinite(ring).any()]
        assert (np.diff(average) > 0).all()  # ring 0 is the lowest
        cloud = LidarPointCloud.from_file(str(Path(nusc.dataroot) / row["filename"]))
        assert np.array_equal(cloud.points.T, points[:, :4])


def test_the_ego_drives_where_the_map_is_white(nusc):
    for scene in nusc.scene:
        log = nusc.get("log", scene["log_token"])
        mask = nusc.get("map", log["map_token"])["mask"]
        rows = [row for row in nusc.sample_data if log["logfile"] in row["filename"]]
        xyz = np.array([nusc.get("ego_pose", row["token"])["translation"] for row in rows])
        assert mask.is_on_mask(xyz[:, 0], xyz[:, 1]).all()
        assert 0 < mask.mask().mean() < 25.5  # most of the plane is none of its ways


def test_the_order_of_the_units_changes_no_byte(tmp_path):
    small = {**SMALL, "columns": 60, "image_scale": 0.05}
    options = Options(scenes=1, frames=2, cameras=("CAM_BACK", "CAM_FRONT"), **small)
    stage = Stage()
    results = []
    for name, step in (("forth", 1), ("back", -1)):
        writer = pickle.loads(pickle.dumps(NuScenesWriter(tmp_path / name, options)))
        for unit in writer.units[::step]:
            writer.write(unit, stage)
        writer.finish()
        writer.finish()
        results.append(contents(tmp_path / name))
    assert results[0] == results[1]
    assert not [name for name in results[0] if ".units" in name or "partial" in name]


def test_options_decide_what_is_written(tmp_path):
    options = Options(
        scenes=1,
        frames=2,
        sweeps=False,
        truth=False,
        beams=8,
        cameras=("CAM_BACK",),
        **{**SMALL, "columns": 60, "image_scale": 0.05},
    )
    generate(tmp_path, options)
    nusc = NuScenes("v1.0-mini", str(tmp_path), verbose=False)
    assert (
        sorted(row["channel"] for row in nusc.sample_data) == ["CAM_BACK"] * 2 + ["LIDAR_TOP"] * 2
    )
    assert all(row["is_key_frame"] for row in nusc.sample_data)
    assert {row["channel"] for row in nusc.sensor} == {"CAM_BACK", "LIDAR_TOP"}
    assert not list(tmp_path.glob("truth/*/*"))
    assert not list(tmp_path.glob("sweeps/*"))
    lidar, camera = (nusc.sample[0]["data"][c] for c in ("LIDAR_TOP", "CAM_BACK"))
    assert rows_of(nusc, nusc.get("sample_data", lidar)).shape == (8 * 60, 5)
    assert nusc.get("sample_data", camera)["width"] == 80


@pytest.mark.parametrize(
    ("options", "fault"), [({"cameras": ("CAM_TOP",)}, "CAM_TOP"), ({"beams": 33}, "only 32 beams")]
)
def test_what_the_rig_does_not_have_is_refused(tmp_path, options, fault):
    with pytest.raises(UsageError, match=fault):
        NuScenesWriter(tmp_path, Options(scenes=1, frames=1, **{**SMALL, **options}))


def test_poses_are_written_without_loss():
    for wxyz in np.random.default_rng(3).standard_normal((200, 4)):
        T = np.eye(4)
        T[:3, :3] = Quaternion(wxyz).rotation_matrix
        T[:3, 3] = 1e3 * wxyz[:3]
        fields = json.loads(json.dumps(pose_fields(T)))
        assert fields["rotation"][0] >= 0
        assert np.linalg.norm(fields["rotation"]) == pytest.approx(1.0, abs=1e-15)
        assert np.abs(matrix(fields) - T).max() < 1e-15
