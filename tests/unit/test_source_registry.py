"""Finding a source by name, and calling it with texts."""

import inspect
import sys
import textwrap
from pathlib import Path

import pytest

import rig_source
from simipu.errors import SimipuError, UsageError
from simipu.pipelines.sources.registry import find_source, make_source

ROOT = Path("/data/rig")


@pytest.fixture
def offer(tmp_path, monkeypatch):
    """Install, as far as Python's metadata goes, a package that offers sources."""

    def install(name: str, *lines: str) -> None:
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        entries = "\n".join(["[simipu.sources]", *lines, ""])
        (folder / "entry_points.txt").write_text(entries)

    monkeypatch.syspath_prepend(tmp_path)
    return install


def refusal(name, options=None):
    with pytest.raises(SimipuError) as told:
        make_source(name, ROOT, options or {})
    return told.value


def test_a_class_by_its_module():
    source = make_source("rig_source:Rig", ROOT, {})
    assert type(source) is rig_source.Rig
    assert source.root == ROOT


def test_a_class_in_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "rig_of_this_folder.py").write_text("from rig_source import Rig as MyRig\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert find_source("rig_of_this_folder:MyRig") is rig_source.Rig
    assert sys.path[0] == str(tmp_path)


def test_sources_of_installed_packages(offer):
    offer("rigs", "roof = rig_source:Rig", "strict = rig_source:Strict", "lost = rigs.lost:Rig")
    assert find_source("roof") is rig_source.Rig
    assert make_source("strict", ROOT, {"count": "3"}).arguments[0] == 3
    error = refusal("rofo")
    assert isinstance(error, UsageError)
    assert "no installed source has this name" in error.what
    assert "lost, roof, strict" in error.fix
    assert "there is no module rigs" in refusal("lost").what
    offer("again", "roof = rig_source:Rig")
    assert find_source("roof") is rig_source.Rig
    offer("other", "roof = rig_source:Drifting")
    assert "several packages offer" in refusal("roof").what


def test_no_package_offers_any():
    assert "No package offers a source" in refusal("roof").fix


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:Rig", "there is no module no_such_module"),
        ("rig_source.no_such:Rig", "there is no module rig_source.no_such"),
        ("rig_source:Rigg", "the module rig_source has no 'Rigg'"),
        ("rig_source:", "the module rig_source has no ''"),
        (":Rig", "'' is not the name of a module"),
        ("../rig:Rig", "'../rig' is not the name of a module"),
        ("rig_source:SIZE", "SIZE is a tuple, not a class"),
        ("rig_source:Half", "Half is no source: it has no info, scan, read"),
        ("pathlib:PurePath", "PurePosixPath is no source: it has no info, scan, read"),
    ],
)
def test_what_cannot_be_a_source(name, message):
    if name == "rig_source:Half":
        message = message.replace("info, ", "")
    error = refusal(name)
    assert message in error.what
    assert error.where == name
    assert error.fix


def test_the_classes_of_the_module_are_listed():
    assert "Rig" in refusal("rig_source:Rigg").fix
    assert "CameraImage" not in refusal("rig_source:Rigg").fix  # imported there


@pytest.mark.parametrize("content", ["import no_such_dependency", "1 / 0", "def broken(:"])
def test_a_module_that_fails_to_import_says_why(tmp_path, monkeypatch, content):
    name = f"failing_{len(content)}"
    (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    error = refusal(f"{name}:Rig")
    assert "cannot be imported" in error.what
    assert type(error.__cause__).__name__ in error.what


def test_options_are_parsed_by_their_annotations():
    texts = {"count": "3", "rate": "0.5", "fast": "Yes", "drive": "7", "free": "1"}
    assert make_source("rig_source:Strict", ROOT, texts).arguments == (3, 0.5, True, "7", "1")


def test_annotations_that_only_a_type_checker_can_resolve(tmp_path, monkeypatch):
    (tmp_path / "lazy_rig.py").write_text(
        textwrap.dedent(
            """
            from __future__ import annotations
            from typing import TYPE_CHECKING, Optional
            from rig_source import Rig
            if TYPE_CHECKING:
                from pathlib import Path

            class Lazy(Rig):
                def __init__(self, root: Path, a: int | None = None, b: Optional[float] = None,
                             c: None | bool = None, d: tuple[int, ...] = (), **more: str):
                    super().__init__(root)
                    self.arguments = (a, b, c, d, more)
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    texts = {"a": "1", "b": "2", "c": "false", "d": "4", "e": "5"}
    source = make_source("lazy_rig:Lazy", ROOT, texts)
    assert source.arguments == (1, 2.0, False, "4", {"e": "5"})
    assert type(source.arguments[1]) is float


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"cuont": "3"}, "there is no option cuont; option count is missing"),
        ({"count": "3", "root": "/"}, "there is no option root"),
        ({}, "option count is missing"),
        ({"count": "x"}, "the option count is 'x', which is no int"),
        ({"count": "1", "fast": "2"}, "the option fast is '2', which is no bool"),
        ({"count": "-1"}, "making the source failed: ValueError: count must not be negative"),
    ],
)
def test_wrong_options(texts, message):
    error = refusal("rig_source:Strict", texts)
    assert message in error.what
    if "option " in message and "no " in message and "which" not in message:
        for parameter in inspect.signature(rig_source.Strict).parameters.values():
            assert parameter.name == "root" or parameter.name in error.fix
        assert "count: int;" in error.fix
