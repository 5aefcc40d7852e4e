"""A wrong root is answered with the right one."""

import re

import pytest

from kitti_tree import DRIVE_1, write_object_tree, write_raw_tree
from simipu.errors import SourceError
from simipu.pipelines.sources.kitti_object import KittiObject
from simipu.pipelines.sources.kitti_raw import KittiRaw

SOURCES = {"kitti": KittiObject, "kitti-raw": KittiRaw}


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return {
        "kitti": write_object_tree(folder / "object" / "KITTI", training=1, testing=1),
        "kitti-raw": write_raw_tree(folder / "raw" / "KITTI", drives={DRIVE_1: 1}),
    }


def message(name, root) -> str:
    with pytest.raises(SourceError) as caught:
        SOURCES[name](root)
    assert caught.value.where == str(root)
    return str(caught.value)


@pytest.mark.parametrize("name", ["kitti", "kitti-raw"])
def test_right_root(roots, name):
    assert SOURCES[name](roots[name]).info.name == name


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("kitti", "training"),
        ("kitti", "testing"),
        ("kitti", "training/image_2"),
        ("kitti", "testing/velodyne"),
        ("kitti-raw", "2011_09_26"),
        ("kitti-raw", DRIVE_1),
        ("kitti-raw", f"{DRIVE_1}/image_02"),
        ("kitti-raw", f"{DRIVE_1}/velodyne_points/data"),
    ],
)
def test_root_too_low(roots, name, inside):
    text = message(name, roots[name] / inside)
    assert "too low" in text
    assert f"Pass {roots[name]} instead" in text


@pytest.mark.parametrize("name", ["kitti", "kitti-raw"])
def test_root_too_high(roots, name):
    text = message(name, roots[name].parent)
    assert "one folder too high" in text
    assert f"Pass {roots[name]} instead" in text


def test_relative_root_is_answered_with_a_whole_path(roots, monkeypatch):
    monkeypatch.chdir(roots["kitti"] / "training")
    for root in (".", "image_2", "../training"):
        with pytest.raises(SourceError, match=re.escape(f"Pass {roots['kitti']} instead")):
            KittiObject(type(roots["kitti"])(root))


@pytest.mark.parametrize(("name", "other"), [("kitti", "kitti-raw"), ("kitti-raw", "kitti")])
def test_root_of_the_other_data_set(roots, name, other):
    text = message(name, roots[other])
    assert f"this is the root of {other}, not of {name}" in text
    assert f"Convert it as {other}" in text


@pytest.mark.parametrize("name", ["kitti", "kitti-raw"])
def test_no_data_at_all(tmp_path, name):
    (tmp_path / "deep" / "empty").mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    assert "the root folder does not exist" in message(name, tmp_path / "absent")
    assert "the root is a file, not a folder" in message(name, tmp_path / "file")
    assert f"no {name} data here: there is no folder in it" in message(
        name, tmp_path / "deep/empty"
    )
    assert f"no {name} data here: there is only empty in it" in message(name, tmp_path / "deep")
