"""Every fault of a nuScenes root is named with its file and a way out."""

import json
import pickle
import subprocess
import sys

import pytest

from nuscenes_tree import LIDAR, edit, jpeg, write_tree
from simipu.errors import SourceError, UsageError
from simipu.pipelines.convert import Resources, convert
from simipu.pipelines.sources import nuscenes_rows
from simipu.pipelines.sources.nuscenes import NuScenes

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0f\nsize 886551\n"
CLOUD = f"{LIDAR}-scene-0061-5"
IMAGE = "CAM_BACK-scene-0061-3"
# The tree's middle keyframe: five sweeps and three images after the first.
TABLES = ("sensor", "calibrated_sensor", "log", "scene", "sample", "sample_data", "ego_pose")


@pytest.fixture
def root(tmp_path):
    return write_tree(tmp_path)


def row_of(rows, token):
    return next(row for row in rows if row["token"] == token)


def change(root, table, token, **fields):
    return edit(root, table, lambda rows: row_of(rows, token).update(fields))


def file_of(root, token):
    rows = json.loads((root / "v1.0-mini/sample_data.json").read_text())
    return root / row_of(rows, token)["filename"]


def assert_refused(root, path, *texts, **options):
    """The scan fails for this file, with these words."""
    with pytest.raises(SourceError) as caught:
        NuScenes(root, **options).scan()
    assert caught.value.where == str(path)
    assert caught.value.fix
    for text in texts:
        assert text in str(caught.value)


def assert_skipped(root, path, *texts, frames=(CLOUD,), **options):
    """The scan leaves out these frames for this file, with these words."""
    scan = NuScenes(root, **options).scan()
    assert [skipped.frame_id for skipped in scan.skipped] == list(frames)
    for skipped in scan.skipped:
        assert skipped.path == str(path)
        assert not skipped.expected
        for text in texts:
            assert text in skipped.reason
    listed = {ref.id for scene in scan.scenes for ref in scene.frames}
    assert listed
    assert not listed & set(frames)


def assert_unreadable(root, path, *texts):
    """The scan lists the middle frame; reading it fails for this file, with these words."""
    source = NuScenes(root)
    scan = source.scan()
    assert scan.skipped == ()
    with pytest.raises(SourceError) as caught:
        source.read(scan.scenes[0].frames[1])
    assert caught.value.where == str(path)
    for text in texts:
        assert text in str(caught.value)
    source.read(scan.scenes[1].frames[1])


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


@pytest.mark.parametrize("token", [CLOUD, IMAGE])
def test_missing_file(root, token):
    path = file_of(root, token)
    path.unlink()
    assert_skipped(root, path, "the file is missing", "Unpack")


@pytest.mark.parametrize("token", [CLOUD, IMAGE])
def test_link_that_leads_nowhere(root, token):
    path = file_of(root, token)
    path.unlink()
    path.symlink_to(root / "gone")
    assert_skipped(root, path, f"a link to {root / 'gone'}")


@pytest.mark.parametrize("token", [CLOUD, IMAGE])
def test_empty_file(root, token):
    path = file_of(root, token)
    path.write_bytes(b"")
    assert_skipped(root, path, "the file is empty", "Unpack")


@pytest.mark.parametrize("token", [CLOUD, IMAGE])
def test_git_lfs_pointer(root, token):
    path = file_of(root, token)
    path.write_text(POINTER)
    assert_skipped(root, path, "Git LFS pointer", "git lfs pull")


def test_truncated_cloud(root):
    path = file_of(root, CLOUD)
    path.write_bytes(path.read_bytes()[:-4])
    assert_skipped(root, path, "is not a multiple of 20 (five float32 per point)", "Unpack")


@pytest.mark.parametrize("sweep", [CLOUD, f"{LIDAR}-scene-0061-4"])
def test_missing_sweep_is_a_fault_of_all_frames_that_accumulate_it(root, sweep):
    path = file_of(root, sweep)
    path.unlink()
    first = int(sweep[-1])
    frames = [f"{LIDAR}-scene-0061-{number}" for number in range(first, first + 3)]
    assert_skipped(root, path, "the file is missing", frames=frames, sweeps=True, accumulate=2)


@pytest.mark.parametrize("token", [CLOUD, IMAGE])
@pytest.mark.parametrize("name", ["../a", "samples/../../a", "/etc/passwd", ""])
def test_name_outside_of_the_root(root, token, name):
    path = change(root, "sample_data", token, filename=name)
    (root.parent / "a").write_bytes(b"\0" * 2000)
    assert_skipped(root, path, f"row {token}", repr(name), "is not below the root")
    (root.parent / "a").unlink()


def test_truncated_image(root):
    path = file_of(root, IMAGE)
    path.write_bytes(path.read_bytes()[:-2])
    assert_unreadable(root, path, "truncated", "no end marker", "Unpack")


def test_image_of_another_size(root):
    path = file_of(root, IMAGE)
    path.write_bytes(jpeg((39, 22), 1))
    assert_unreadable(root, path, "39 x 22", IMAGE, "40 x 22")


@pytest.mark.parametrize("token", [CLOUD, IMAGE])
def test_file_that_vanished_after_the_scan(root, token):
    source = NuScenes(root)
    ref = source.scan().scenes[0].frames[1]
    file_of(root, token).unlink()
    with pytest.raises(SourceError, match="the file is missing"):
        source.read(ref)


def test_cloud_that_shrank_after_the_scan(root):
    source = NuScenes(root)
    ref = source.scan().scenes[0].frames[1]
    path = file_of(root, CLOUD)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SourceError, match="not a multiple of 20"):
        source.read(ref)


def test_sample_without_a_cloud(root):
    path = edit(root, "sample_data", lambda rows: rows.remove(row_of(rows, CLOUD)))
    assert_skipped(root, path, f"the {LIDAR} keyframe of", frames=["sample-scene-0061-1"])


def test_scene_without_a_sample_is_left_out(root):
    edit(root, "sample", lambda rows: [rows.remove(r) for r in rows[:] if "0061" in r["token"]])
    edit(
        root,
        "sample_data",
        lambda rows: [rows.remove(r) for r in rows[:] if "0061" in r["token"]],
    )
    source = NuScenes(root)
    assert [scene.name for scene in source.scan().scenes] == ["scene-0103"]
    assert "1 scenes in the tables have no frame (scene-0061)." in source.info.notes
    path = root / "v1.0-mini/scene.json"
    assert_refused(root, path, "there is no frame in 1 scenes", scenes=("scene-0061",))


def test_scenes_that_were_not_unpacked_are_one_fault(tmp_path):
    names = ["scene-0061", "scene-0103", "scene-0553", "scene-0655", "scene-0757"]
    write_tree(tmp_path, scenes=names)
    for number in range(1, 5):
        for path in tmp_path.glob(f"*/*/n015-{number}__*"):
            path.unlink()
    source = NuScenes(tmp_path)
    scan = source.scan()
    assert [scene.name for scene in scan.scenes] == ["scene-0061"]
    (reason,) = {skipped.reason for skipped in scan.skipped}
    assert reason.startswith(
        "no cloud of 4 of 5 scenes is here (scene-0103, scene-0553, scene-0655, ...). Unpack"
    )
    with pytest.raises(SourceError) as caught:
        convert(source, tmp_path / "n.zarr", resources=Resources())
    assert "12 frames of the data set are at fault" in str(caught.value)
    assert str(caught.value).count("no cloud of 4") == 1


def test_sweeps_that_were_not_unpacked_are_one_fault(root):
    for path in root.glob(f"sweeps/{LIDAR}/*"):
        path.unlink()
    (root / f"sweeps/{LIDAR}").rmdir()
    scan = NuScenes(root, sweeps=True).scan()
    assert {(s.path, s.reason.split(".")[0]) for s in scan.skipped} == {
        (str(root / f"sweeps/{LIDAR}"), "the folder is missing")
    }
    assert [len(scene.frames) for scene in scan.scenes] == [3, 3]
    with pytest.raises(SourceError) as caught:
        convert(NuScenes(root, sweeps=True), root / "n.zarr", resources=Resources())
    assert "(16 frames)" in str(caught.value)


def test_frames_at_fault_can_be_left_out(root, tmp_path):
    file_of(root, CLOUD).unlink()
    path = file_of(root, "CAM_FRONT-scene-0103-0")
    path.write_bytes(path.read_bytes()[:-2])
    convert(NuScenes(root), root / "n.zarr", resources=Resources(), skip_bad=True)
    document = json.loads((root / "n.zarr/zarr.json").read_text())
    skipped = document["attributes"]["simipu"]["skipped"]
    assert {entry["frame_id"] for entry in skipped} == {CLOUD, f"{LIDAR}-scene-0103-0"}
    assert all(entry["path"].startswith("samples/") for entry in skipped)


@pytest.mark.parametrize(
    ("options", "fault", "fix"),
    [
        ({"version": "v1.0-trainval"}, "no version v1.0-trainval here, only v1.0-mini", "mini"),
        ({"split": "train"}, "no split 'train' in v1.0-mini: it belongs to v1.0-trainval", "mini_"),
        ({"split": "mini_vall"}, "no split 'mini_vall' in v1.0-mini", "Did you mean mini_val?"),
        ({"scenes": ("scene-0016",)}, "no scene 'scene-0016'", "Did you mean scene-0061?"),
        ({"scenes": ("x",)}, "no scene 'x'", "Choose a scene of: scene-0061, scene-0103."),
        (
            {"scenes": ("scene-0061",), "split": "mini_val"},
            "scene 'scene-0061' is not in the split mini_val",
            "Leave the split out",
        ),
        ({"cameras": ("CAM_FRONTLEFT",)}, "no camera 'CAM_FRONTLEFT'", "CAM_FRONT_LEFT?"),
        ({"cameras": (LIDAR,)}, f"no camera {LIDAR!r}", "Choose a camera of: CAM_FRONT, "),
        ({"cameras": ()}, "no camera is chosen", "CAM_FRONT"),
        ({"accumulate": -1}, "accumulate must not be negative", "e.g."),
        ({"tolerance_ms": float("nan")}, "tolerance_ms must be 0 or more, not nan", "e.g."),
        ({"tolerance_ms": -1.0}, "tolerance_ms must be 0 or more, not -1", "e.g."),
    ],
)
def test_choice_that_is_not_there(root, options, fault, fix):
    with pytest.raises(UsageError) as caught:
        NuScenes(root, **options).scan()
    assert fault in caught.value.what
    assert fix in caught.value.fix


def test_split_without_a_scene_here(tmp_path):
    write_tree(tmp_path, scenes=["scene-0061"])
    with pytest.raises(UsageError, match="no scene of the split mini_val is in the tables"):
        NuScenes(tmp_path, split="mini_val").scan()


def test_one_of_several_versions_must_be_chosen(root):
    (root / "v1.0-trainval").mkdir()
    for table in TABLES:
        path = root / f"v1.0-mini/{table}.json"
        (root / f"v1.0-trainval/{table}.json").write_bytes(path.read_bytes())
    with pytest.raises(UsageError, match=r"(?s)v1.0-mini, v1.0-trainval.*--version v1.0-mini"):
        NuScenes(root)
    assert NuScenes(root, version="v1.0-trainval").info.options["version"] == "v1.0-trainval"


@pytest.mark.parametrize("inside", ["v1.0-mini", "samples", f"samples/{LIDAR}"])
def test_root_too_low(root, inside):
    with pytest.raises(SourceError) as caught:
        NuScenes(root / inside)
    assert f"Pass {root} instead" in str(caught.value)


def test_root_too_high(tmp_path):
    root = write_tree(tmp_path / "nuscenes", scenes=["scene-0061"], keyframes=1)
    with pytest.raises(SourceError) as caught:
        NuScenes(tmp_path)
    assert f"Pass {root} instead" in str(caught.value)


def test_root_without_tables(tmp_path):
    (tmp_path / "samples").mkdir()
    with pytest.raises(SourceError, match=r"(?s)no nuscenes data here.*samples.*v1.0-mini"):
        NuScenes(tmp_path)


IN_A_NEW_PROCESS = """
import pickle, sys
for name in sys.argv[1:]:
    sys.modules[name] = None  # as if it were not installed
source, ref = pickle.load(sys.stdin.buffer)
print(len(source.read(ref).lidar))
heavy = {"nuscenes", "matplotlib", "cv2"}
print(sorted(name for name in heavy if sys.modules.get(name)))
try:
    source.scan()
except Exception as error:
    print(type(error).__name__, error)
"""


def test_reading_does_not_need_the_development_kit_and_scanning_asks_for_it(root):
    source = NuScenes(root)
    ref = source.scan().scenes[0].frames[1]
    result = subprocess.run(
        [sys.executable, "-c", IN_A_NEW_PROCESS, "nuscenes"],
        input=pickle.dumps((source, ref)),
        capture_output=True,
        check=True,
    )
    count, loaded, *error = result.stdout.decode().splitlines()
    assert (int(count), loaded) == (ref.max_points, "[]")
    assert error[0].startswith("UsageError the nuScenes development kit cannot be imported")
    assert error[1].strip() == "pip install 'simipu[nuscenes]'"
