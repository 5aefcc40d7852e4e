"""Every fault of the files of nuScenes is named with its file and a way out."""

import json

import pytest

from nuscenes_faults import (
    CLOUD,
    IMAGE,
    POINTER,
    assert_refused,
    assert_skipped,
    assert_unreadable,
    change,
    file_of,
    row_of,
)
from nuscenes_tree import LIDAR, edit, jpeg, write_tree
from simipu.errors import SourceError
from simipu.pipelines.convert import Resources, convert
from simipu.pipelines.sources.nuscenes import NuScenes


@pytest.fixture
def root(tmp_path):
    return write_tree(tmp_path)


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
