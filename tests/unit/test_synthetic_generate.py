"""Generating unit by unit: where it may write, what it repeats, what it leaves behind."""

import json
import shutil
import signal
import subprocess
import sys
from math import ceil

import pytest

from folders import contents
from simipu.errors import IncompleteError, UsageError
from simipu.pipelines.synthetic import generate as module
from simipu.pipelines.synthetic.files import truth_folder, write_file
from simipu.pipelines.synthetic.generate import Unit, generate
from simipu.pipelines.synthetic.layouts import LAYOUTS, make_writer
from simipu.pipelines.synthetic.options import Options
from simipu.pipelines.synthetic.world import LONGEST_S
from simipu.store import lock


class FakeWriter:
    """Writes a line for each unit; can be told to be interrupted at one, or in `finish`."""

    def __init__(self, root, options, *, stop_at=None):
        self.root, self.options, self.stop_at = root, options, stop_at
        self.units = [Unit(s, f) for s in range(options.scenes) for f in range(options.frames)]
        self.written = []

    def write(self, unit, stage):
        text = f"{self.options.seed} {unit.scene} {unit.frame}\n"
        write_file(self.root / "training" / f"{unit.scene}-{unit.frame}.txt", text)
        write_file(truth_folder(self.root, unit.scene, unit.frame) / "t.txt", text)
        if unit == self.stop_at:
            raise KeyboardInterrupt
        self.written.append(unit)

    def finish(self):
        if self.stop_at == "finish":
            raise KeyboardInterrupt
        write_file(self.root / "ImageSets" / "all.txt", f"{len(self.units)}\n")


@pytest.fixture
def run(tmp_path, monkeypatch):
    def run(*, root=tmp_path / "world", stop_at=None, overwrite=False, **options):
        options = Options(**{"layout": "kitti", "scenes": 2, "frames": 3, "seed": 1, **options})
        writer = FakeWriter(root, options, stop_at=stop_at)
        monkeypatch.setattr(module, "make_writer", lambda *_: writer)
        told = []
        try:
            generate(root, options, overwrite=overwrite, progress=lambda *a: told.append(a))
        finally:
            run.written, run.told = writer.written, told
        return root

    return run


def test_all_is_written_and_nothing_else_left(run):
    root = run()
    assert set(contents(root)) == {
        "truth/world.json",
        "ImageSets/all.txt",
        *(f"training/{s}-{f}.txt" for s in range(2) for f in range(3)),
        *(f"truth/{s:04d}/{f:04d}/t.txt" for s in range(2) for f in range(3)),
    }
    assert not list(root.rglob(".*"))
    assert run.told[0] == ("generate", 0, 6)
    assert sum(count for _, count, _ in run.told) == 6
    made = json.loads((root / "truth/world.json").read_text())
    assert (made["complete"], made["layout"], made["seed"]) == (True, "kitti", 1)


@pytest.mark.parametrize("stop_at", [Unit(0, 0), Unit(1, 1), "finish"])
def test_what_was_interrupted_goes_on_to_the_same_bytes(run, tmp_path, stop_at):
    whole = contents(run(root=tmp_path / "whole"))
    with pytest.raises(IncompleteError, match=r"(?s) of 6 frames are done.*same command again"):
        run(stop_at=stop_at)
    done = list(run.written)
    assert json.loads((tmp_path / "world/truth/world.json").read_text())["complete"] is False
    root = run()
    assert run.told[0] == ("generate", len(done), 6)
    assert not set(run.written) & set(done)
    assert len(run.written) == 6 - len(done)
    assert contents(root) == whole
    assert not list(root.rglob(".*"))


def test_a_complete_one_is_left_alone_until_it_is_to_be_overwritten(run):
    root = run()
    before = contents(root)
    run()
    assert (run.written, run.told) == ([], [])
    run(overwrite=True)
    assert len(run.written) == 6
    assert contents(root) == before


@pytest.mark.parametrize("begun", [True, False])
def test_other_options_are_named_and_need_overwrite(run, tmp_path, begun):
    if begun:
        with pytest.raises(IncompleteError):
            run(stop_at=Unit(1, 2))
    else:
        run()
    before = contents(tmp_path / "world")
    with pytest.raises(
        UsageError, match=r"other options \(image_scale, seed\) was .*(?s:.*)--overwrite"
    ):
        run(seed=2, image_scale=0.5)
    assert contents(tmp_path / "world") == before
    fresh = contents(run(root=tmp_path / "fresh", seed=2, scenes=1))
    (tmp_path / "world/notes.txt").write_text("mine")
    root = run(seed=2, scenes=1, overwrite=True)
    assert (root / "notes.txt").read_text() == "mine"
    (root / "notes.txt").unlink()
    assert contents(root) == fresh


def test_killed_while_it_clears_another_the_same_command_goes_on(run, tmp_path, monkeypatch):
    run(scenes=3)
    fresh = contents(run(root=tmp_path / "fresh", seed=2))
    from simipu.pipelines.synthetic import destination

    remove = destination._remove
    removed = []

    def remove_one(path):
        if removed:
            raise KeyboardInterrupt
        removed.append(path)
        remove(path)

    monkeypatch.setattr(destination, "_remove", remove_one)
    with pytest.raises(IncompleteError):
        run(seed=2, overwrite=True)
    monkeypatch.setattr(destination, "_remove", remove)
    with pytest.raises(UsageError, match=r"other options \(scenes, seed\)"):
        run(seed=2)
    assert contents(run(seed=2, overwrite=True)) == fresh


@pytest.mark.parametrize("overwrite", [False, True])
def test_marks_that_outlive_their_data_set_do_not_count(run, tmp_path, overwrite):
    """As after ``rm -r world/*``, which leaves the hidden folder with the marks."""
    whole = contents(run(root=tmp_path / "whole"))
    with pytest.raises(IncompleteError):
        run(stop_at=Unit(1, 1))
    for path in (tmp_path / "world").glob("[!.]*"):
        shutil.rmtree(path)
    assert list((tmp_path / "world").rglob("000001"))
    root = run(overwrite=overwrite)
    assert len(run.written) == 6
    assert contents(root) == whole


@pytest.mark.parametrize("name", ["other.txt", "training/a.png", "truth/mine.txt"])
def test_a_folder_with_something_else_is_refused_even_to_overwrite(run, tmp_path, name):
    path = tmp_path / "world" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="holds something else"):
            run(overwrite=overwrite)
    assert list(contents(tmp_path)) == [f"world/{name}"]


def test_an_empty_folder_is_written_to_and_a_file_is_not(run, tmp_path):
    (tmp_path / "world").mkdir()
    run()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="not a folder"):
        run(root=tmp_path / "file")


def test_a_damaged_marker_is_named(run):
    root = run()
    (root / "truth/world.json").write_text("{")
    with pytest.raises(UsageError, match=r"world\.json: is damaged"):
        run(overwrite=True)


def test_two_at_once_are_refused(run, tmp_path):
    with lock.writing(tmp_path / "world"), pytest.raises(UsageError, match="another process"):
        run()
    assert not (tmp_path / "world").exists()


def test_a_killed_write_leaves_nothing_beside_the_file(tmp_path):
    path = tmp_path / "folder" / "a.txt"
    code = f"""
import os, signal
from pathlib import Path
from simipu.pipelines.synthetic.files import write_file
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
write_file(Path({str(path)!r}), "half")
"""
    killed = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists()
    assert len(list(path.parent.iterdir())) == 1
    write_file(path, "whole")
    assert {p.name: p.read_text() for p in path.parent.iterdir()} == {"a.txt": "whole"}


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
@pytest.mark.parametrize("scenes", [1, 2, 5, 7])
def test_tasks_are_whole_scenes_but_for_those_that_would_leave_workers_idle(workers, scenes):
    units = [Unit(s, f) for s in range(scenes) for f in range(10) if (s, f) != (0, 3)]
    parts = module._in_parts(units, workers)
    assert [unit for part in parts for unit in part] == units
    whole = scenes - scenes % workers
    assert [part[0].scene for part in parts[:whole]] == list(range(whole))
    each = ceil(workers / max(scenes - whole, 1))
    for scene in range(whole, scenes):
        sizes = [len(part) for part in parts[whole:] if part[0].scene == scene]
        assert len(sizes) <= each
        assert max(sizes) == ceil(sum(sizes) / each)
    assert all(len({unit.scene for unit in part}) == 1 for part in parts)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layout": "foo"}, "no layout 'foo'"),
        ({"scenes": 0}, "scenes is 0"),
        ({"frames": -1}, "frames is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**32}, r"seed is 4,294,967,296(?s:.*)at most 4,294,967,295"),
        ({"sweeps": False}, "kitti has no sweeps between keyframes"),
        ({"beams": 65}, r"velodyne has only 64 beams, not 65(?s:.*)--beams"),
        ({"columns": 16_385}, r"16,385 columns(?s:.*)at most 16,384"),
        ({"beams": 1}, "beams is 1"),
        ({"image_scale": float("nan")}, "image_scale is nan"),
        ({"cameras": ()}, "cameras is empty"),
        ({"cameras": ("image_2", "image_2")}, "names one twice"),
        ({"cameras": ("image_9",)}, r"no camera 'image_9'(?s:.*)image_2, image_3"),
    ],
)
def test_wrong_options_say_what_is_right(tmp_path, wrong, message):
    with pytest.raises(UsageError, match=message):
        make_writer(
            tmp_path, Options(**{"layout": "kitti", "scenes": 1, "frames": 1, "seed": 1, **wrong})
        )


MOST_FRAMES = {"kitti": 90, "kitti-raw": 900, "nuscenes": 180, "waymo-v1": 900, "waymo-v2": 900}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_scenes_that_no_street_can_hold_are_refused_before_anything_is_written(tmp_path, layout):
    most = MOST_FRAMES[layout]
    options = {"layout": layout, "scenes": 1, "seed": 1}
    for frames, asked_s in ((most, []), (most + 1, None)):
        root = tmp_path / "world"
        if asked_s is None:
            message = rf"{most + 1} --frames of {layout}(?s:.*)most {most} --frames(?s:.*)--scenes"
            with pytest.raises(UsageError, match=message):
                generate(root, Options(frames=frames, **options))
            assert not root.exists()
            continue

        class Asked(Exception):
            pass

        def stage(seed, scene, duration_s, asked_s=asked_s):
            asked_s.append(duration_s)
            raise Asked

        writer = make_writer(root, Options(frames=frames, **options))
        with pytest.raises(Asked):
            writer.write(writer.units[0], stage)
        assert LONGEST_S - 1.0 < asked_s[0] <= LONGEST_S


@pytest.mark.parametrize("layout", ["nuscenes", "waymo-v1", "waymo-v2"])
def test_beams_that_the_rig_does_not_have_are_refused_before_anything_is_written(tmp_path, layout):
    with pytest.raises(UsageError, match=r"has only \d+ beams, not 65"):
        generate(tmp_path / "world", Options(layout=layout, scenes=1, frames=1, seed=1, beams=65))
    assert not (tmp_path / "world").exists()


def test_every_entry_of_a_layout_is_below_its_root():
    for layout in LAYOUTS.values():
        assert all("/" not in entry and entry not in ("*", "truth") for entry in layout.entries)
