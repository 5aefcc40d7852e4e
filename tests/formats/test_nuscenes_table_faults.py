"""Every fault of the tables of nuScenes is named with its file and a way out."""

import json

import pytest

from nuscenes_faults import (
    CLOUD,
    POINTER,
    TABLES,
    assert_refused,
    assert_skipped,
    change,
)
from nuscenes_tree import LIDAR, edit, write_tree
from simipu.errors import SourceError
from simipu.pipelines.sources import nuscenes_rows
from simipu.pipelines.sources.nuscenes import NuScenes


@pytest.fixture
def root(tmp_path):
    return write_tree(tmp_path)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "the file is missing"),
        (b"", "the file is empty"),
        (POINTER.encode(), "Git LFS pointer"),
        (b'{"token": "a"}', "is no list of rows"),
        (b"[\n\n", "is not JSON from row 1 on"),
        (b'[{"token": "a",}]', "is not JSON from row 1 on"),
        (b"[" + b"[" * 100_000, "is not JSON from row 1 on"),
        (b"[3]", "row 1 is no object, but '3'"),
        (b"[] []", "it goes on after the end of the list"),
        (b'[{"token": "\xff"}]', "is not UTF-8 text"),
        (b'[{"token": "a"}]', "row 1 (a) has no "),
        (b'[{"tok": "a"}]', "row 1 () has no "),
    ],
)
def test_unreadable_table(root, table, content, fault):
    path = root / f"v1.0-mini/{table}.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    if table == "ego_pose" and content == b'[{"token": "a"}]':  # which nothing needs
        path, fault = root / "v1.0-mini/sample_data.json", "is in no row of ego_pose.json"
    assert_refused(root, path, fault, "Unpack the archive of the metadata")


@pytest.mark.parametrize("chunk", [7, 64, 1000])
@pytest.mark.parametrize("indent", [None, 0, 2])
def test_rows_do_not_depend_on_how_the_file_is_cut(tmp_path, monkeypatch, chunk, indent):
    monkeypatch.setattr(nuscenes_rows, "_CHUNK", chunk)
    rows = [{"token": "é" * n, "values": [n, [-n * 1e-3, None]], "]": "], "} for n in range(20)]
    path = tmp_path / "table.json"
    for ensure_ascii in (True, False):
        text = json.dumps(rows, indent=indent, ensure_ascii=ensure_ascii)
        path.write_text(f" \n{text}\n ", encoding="utf-8")
        assert list(nuscenes_rows.read_rows(path)) == list(enumerate(rows, start=1))
        path.write_text(text[:-40], encoding="utf-8")
        with pytest.raises(SourceError, match="is not JSON from row 20 on"):
            list(nuscenes_rows.read_rows(path))
    path.write_text(" [ ] ")
    assert list(nuscenes_rows.read_rows(path)) == []


def test_a_damaged_row_is_not_looked_for_to_the_end_of_a_large_table(tmp_path, monkeypatch):
    monkeypatch.setattr(nuscenes_rows, "_CHUNK", 100)
    monkeypatch.setattr(nuscenes_rows, "_LONGEST_ROW", 300)
    path = tmp_path / "table.json"
    path.write_text('[{"token": "a"}, {"token": b' + '}, {"token": "c"}' * 100_000)
    read = []
    opened = type(path).open

    def counted(self, *args, **options):
        file = opened(self, *args, **options)
        get = file.read
        file.read = lambda size: read.append(size) or get(size)
        return file

    monkeypatch.setattr(type(path), "open", counted)
    with pytest.raises(SourceError, match="is not JSON from row 2 on"):
        list(nuscenes_rows.read_rows(path))
    assert len(read) < 6


@pytest.mark.parametrize(
    ("table", "token", "fields", "fault"),
    [
        ("sensor", f"sensor-{LIDAR}", {"channel": 3}, "its channel, '3', is no text"),
        (
            "calibrated_sensor",
            f"mount-scene-0061-{LIDAR}",
            {"rotation": [0.9, 0, 0, 0]},
            "is no rotation: the quaternion's length is 0.9",
        ),
        (
            "calibrated_sensor",
            f"mount-scene-0061-{LIDAR}",
            {"rotation": [1.0, 0, 0]},
            "is no list of 4 numbers",
        ),
        (
            "calibrated_sensor",
            f"mount-scene-0061-{LIDAR}",
            {"translation": [1.0, 0, float("nan")]},
            "a number that is not finite",
        ),
        (
            "calibrated_sensor",
            "mount-scene-0061-CAM_BACK",
            {"camera_intrinsic": [[31, 0, 20], [0, -31, 12], [0, 0, 1]]},
            "is no pinhole matrix",
        ),
        (
            "calibrated_sensor",
            "mount-scene-0061-CAM_BACK",
            {"camera_intrinsic": [[31, 0, 20]]},
            "is no list of 3 rows",
        ),
        ("ego_pose", f"pose-{CLOUD}", {"rotation": "wxyz"}, "is no list of 4 numbers"),
        ("ego_pose", f"pose-{CLOUD}", {"translation": [1, 2, "3m"]}, "its translation"),
        ("ego_pose", f"pose-{CLOUD}", {"translation": [1, 2, 10**400]}, "is not finite"),
        ("ego_pose", f"pose-{CLOUD}", {"translation": [1, 2, "3"]}, "no list of 3 numbers"),
        ("log", "log-scene-0061", {"location": "a\ud800"}, "surrogates not allowed"),
        ("sample_data", CLOUD, {"filename": "a\0b"}, "has a NUL character"),
        ("sample_data", CLOUD, {"is_key_frame": 5}, "is neither true nor false"),
        ("sample_data", CLOUD, {"timestamp": 10**17}, "is out of range"),
        ("scene", "token-scene-0061", {"nbr_samples": "3"}, "is no whole number"),
        ("sample", "sample-scene-0061-1", {"timestamp": 1.5}, "is no whole number"),
        ("sample_data", CLOUD, {"is_key_frame": "true"}, "is neither true nor false"),
        ("sample_data", CLOUD, {"timestamp": True}, "is no whole number"),
        ("sample_data", CLOUD, {"filename": None}, "is no text"),
        ("sample_data", CLOUD, {"sample_token": ["a"]}, "its sample_token"),
    ],
)
def test_row_with_a_bad_value(root, table, token, fields, fault):
    path = change(root, table, token, **fields)
    assert_refused(root, path, fault, token, next(iter(fields)))


@pytest.mark.parametrize(
    ("table", "token", "field", "other"),
    [
        ("calibrated_sensor", f"mount-scene-0061-{LIDAR}", "sensor_token", "sensor"),
        ("scene", "token-scene-0061", "log_token", "log"),
        ("sample", "sample-scene-0061-1", "scene_token", "scene"),
        ("sample_data", CLOUD, "calibrated_sensor_token", "calibrated_sensor"),
        ("sample_data", CLOUD, "sample_token", "sample"),
        ("sample_data", CLOUD, "ego_pose_token", "ego_pose"),
    ],
)
def test_token_that_leads_nowhere(root, table, token, field, other):
    path = change(root, table, token, **{field: "nowhere"})
    fault = f"row {token}: its {field} 'nowhere' is in no row of {other}.json"
    assert_refused(root, path, fault)


@pytest.mark.parametrize("table", ["sample", "sample_data"])
def test_token_that_occurs_twice(root, table):
    path = edit(root, table, lambda rows: rows.append(rows[0]))
    assert_refused(root, path, "of an earlier row")


def test_two_scenes_of_one_name(root):
    path = change(root, "scene", "token-scene-0103", name="scene-0061")
    assert_refused(root, path, "2 rows have the name 'scene-0061'")


def test_scene_without_a_cloud_in_the_tables(root):
    path = edit(
        root,
        "sample_data",
        lambda rows: [
            rows.remove(r) for r in rows[:] if r["token"].startswith(f"{LIDAR}-scene-00")
        ],
    )
    frames = [f"sample-scene-0061-{number}" for number in range(3)]
    assert_skipped(root, path, f"no row is the {LIDAR} keyframe", frames=frames)


def test_camera_without_a_matrix(root):
    change(root, "calibrated_sensor", "mount-scene-0061-CAM_BACK", camera_intrinsic=[])
    path = root / "v1.0-mini/calibrated_sensor.json"
    assert_refused(root, path, "mount-scene-0061-CAM_BACK", "camera_intrinsic")


SECOND, OTHER = f"{LIDAR}-scene-0061-1", f"{LIDAR}-scene-0103-2"


@pytest.mark.parametrize(
    ("token", "fields", "fault"),
    [
        (SECOND, {"next": "nowhere"}, f"the next of row {SECOND}, 'nowhere', is no row of it"),
        (SECOND, {"next": OTHER}, f"{OTHER!r}, is no row of it"),
        (SECOND, {"next": f"{LIDAR}-scene-0061-0"}, "but its prev is ''"),
        (SECOND, {"next": SECOND}, f"but its prev is '{LIDAR}-scene-0061-0'"),
        (SECOND, {"prev": "nowhere"}, "but its prev is 'nowhere'"),
        (SECOND, {"prev": ""}, "2 of its 11 rows are the first of a chain"),
        (SECOND, {"next": ""}, "it passes by 9 of 11 rows"),
        (f"{LIDAR}-scene-0061-0", {"prev": SECOND}, "0 of its 11 rows are the first"),
        (SECOND, {"timestamp": 9}, "is earlier than its prev"),
    ],
)
def test_broken_chain_of_sweeps(root, token, fields, fault):
    path = change(root, "sample_data", token, **fields)
    for options in ({"sweeps": True}, {"accumulate": 1}):
        assert_refused(root, path, f"the chain of scene-0061, {LIDAR} is broken", fault, **options)
    NuScenes(root).scan()  # keyframes do not need it


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"next": "sample-scene-0103-1"}, "is no row of it"),
        ({"next": "sample-scene-0061-0"}, "but its prev is ''"),
        ({"scene_token": "token-scene-0103"}, "is no row of it"),
    ],
)
def test_broken_chain_of_samples(root, fields, fault):
    path = change(root, "sample", "sample-scene-0061-1", **fields)
    assert_refused(root, path, "the chain of scene-0061 is broken", fault)


@pytest.mark.parametrize(
    "fields", [{"nbr_samples": 4}, {"first_sample_token": "a"}, {"last_sample_token": ""}]
)
def test_scene_that_does_not_fit_its_samples(root, fields):
    path = change(root, "scene", "token-scene-0061", **fields)
    assert_refused(root, path, "but sample.json has 3 from sample-scene-0061-0")
