"""A nuScenes tree with faults, and what must be said of them."""

import json

import pytest

from nuscenes_tree import LIDAR, edit
from simipu.errors import SourceError
from simipu.pipelines.sources.nuscenes import NuScenes

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0f\nsize 886551\n"
TABLES = ("sensor", "calibrated_sensor", "log", "scene", "sample", "sample_data", "ego_pose")
# The tree's middle keyframe: five sweeps and three images after the first.
CLOUD = f"{LIDAR}-scene-0061-5"
IMAGE = "CAM_BACK-scene-0061-3"


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
