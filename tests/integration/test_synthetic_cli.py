"""simipu-prep synthetic as a person types it: kills, signals, workers, mistakes."""

import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from folders import contents
from simipu.cli.prep import main
from simipu.store import lock

PREP = Path(sys.executable).with_name("simipu-prep")
MARKS = ".simipu/synthetic/*/*"
SMALL = ["--scenes", 1, "--frames", 12, "--seed", 7, "--image-scale", 0.1, "--beams", 8]
SMALL += ["--columns", 90]


def prep(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def command(out, *more, layout="kitti"):
    return ["synthetic", "--layout", layout, "--out", out, *SMALL, *more]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An undisturbed run in one process: its folder and what it printed."""
    out = tmp_path_factory.mktemp("made") / "world"
    result = prep(*command(out, "--workers", 1))
    assert result.exit_code == 0, result.output
    return out, result


def start(out, *more):
    return subprocess.Popen(
        [str(part) for part in (PREP, *command(out, *more))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
        # A test run in the background ignores Ctrl-C, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_a_unit(out, process):
    while not list(out.glob(MARKS)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def test_it_says_what_is_where_and_the_next_command_works(made, tmp_path):
    out, result = made
    first, following = result.stdout.splitlines()
    assert first.startswith(f"{out}: 1 scene of 12 frames in the layout of kitti")
    assert "truth/" in first
    assert following == f"Next: simipu-prep kitti --root {out} --out {out}.zarr"
    assert "12/12" in result.stderr  # the progress bar
    arguments = shlex.split(following.removeprefix("Next: simipu-prep "))
    converted = prep(*arguments, "--workers", 1)
    assert converted.exit_code == 0, converted.output
    assert "skipped" not in converted.stdout


def test_the_same_command_again_does_nothing(made):
    out, _ = made
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    result = prep(*command(out, "--json"))
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["root"] == str(out)
    assert told["files"] == len(contents(out))
    assert told["options"]["seed"] == 7
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


@pytest.mark.parametrize("layout", ["kitti", "kitti-raw"])
def test_one_folder_holds_no_second_data_set_until_told_to_overwrite(made, tmp_path, layout):
    out = tmp_path / "world"
    assert prep(*command(out, "--no-truth", "--workers", 1, layout=layout)).exit_code == 0
    assert set((out / "truth").iterdir()) == {out / "truth" / "world.json"}
    refused = prep(*command(out))
    assert refused.exit_code == 2
    assert "--overwrite" in refused.stderr
    assert "other options (" in refused.stderr
    assert "truth) was generated here" in refused.stderr
    replaced = prep(*command(out, "--overwrite", "--workers", 1))
    assert replaced.exit_code == 0, replaced.output
    assert contents(out) == contents(made[0])
    assert not list(out.glob("2011*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cameras", "image_2,left"], "no camera 'left'"),
        (["--cameras", ""], "no camera ''"),
        (["--beams", "1"], "beams is 1"),
        (["--beams", "65"], "only 64 beams"),
        (["--frames", "91"], "at most 90 --frames"),
        (["--no-sweeps"], "--no-sweeps"),
        (["--seed", "4294967296"], "--seed"),
        (["--image-scale", "0"], "image_scale is 0"),
        (["--scenes", "0"], "--scenes"),
        (["--layout", "foo"], "--layout"),
        (["--out", "{tmp}/file"], "not a folder"),
        (["--out", "{tmp}/full"], "holds something else (note.txt)"),
    ],
)
def test_mistakes_have_a_message_an_exit_code_and_no_traceback(tmp_path, arguments, message):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    before = contents(tmp_path)
    filled = [text.format(tmp=tmp_path) for text in arguments]
    result = prep(*command(tmp_path / "world", "--workers", 1, *filled))
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert contents(tmp_path) == before


def test_two_generators_on_one_folder_are_refused(tmp_path):
    with lock.writing(tmp_path / "world"):
        result = prep(*command(tmp_path / "world", "--workers", 1))
    assert result.exit_code == 2
    assert "another process is writing" in result.stderr


def test_help_has_an_example_and_names_every_layout():
    printed = prep("synthetic", "--help").stdout
    assert "\n  simipu-prep synthetic --layout kitti --out " in printed
    for layout in ("kitti", "kitti-raw", "nuscenes", "waymo-v1", "waymo-v2"):
        assert layout in printed


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "frames"), [("kitti", 12), ("kitti-raw", 4), ("nuscenes", 2)])
def test_two_workers_write_the_same_bytes(made, tmp_path, layout, frames):
    """In other processes than one does, so with other seeds of Python's hashes as well."""
    one, two = made[0] if layout == "kitti" else tmp_path / "1", tmp_path / "2"
    more = ["--frames", frames, "--workers"]
    assert prep(*command(one, *more, 1, layout=layout)).exit_code == 0
    arguments = command(two, *more, 2, layout=layout)
    subprocess.run(
        [str(part) for part in (PREP, *arguments)],
        check=True,
        timeout=300,
        env={**os.environ, "PYTHONHASHSEED": "1"},
    )
    assert contents(one) == contents(two)


@pytest.mark.parametrize("layout", ["kitti", "kitti-raw"])
def test_another_seed_is_another_world(tmp_path, layout):
    found = []
    for seed in (7, 8):
        arguments = command(tmp_path / str(seed), "--workers", 1, "--frames", 2, layout=layout)
        assert prep(*arguments, "--seed", seed).exit_code == 0
        found.append(contents(tmp_path / str(seed)))
    one, another = found
    alike = [name for name, digest in one.items() if digest in another.values()]
    common = re.compile(r"calib|ImageSets|dataformat|velodyne_points/timestamps")
    assert [name for name in alike if not common.search(name)] == []


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_moment_the_same_command_ends_with_the_same_bytes(made, tmp_path, workers):
    out, chance = tmp_path / "world", random.Random(workers)
    for kill in range(3):
        process = start(out, "--workers", workers)
        if kill == 0:  # while it begins
            time.sleep(chance.uniform(0.0, 2.0))
        else:  # while it writes another frame than before
            done = set(out.glob(MARKS))
            while not set(out.glob(MARKS)) - done:
                assert process.poll() is None, process.communicate()
                time.sleep(0.005)
            time.sleep(chance.uniform(0.0, 0.1))
        assert process.poll() is None, process.communicate()
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    assert len(list(out.glob(MARKS))) >= 2
    process = start(out, "--workers", workers)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert contents(out) == contents(made[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "workers", "group"),
    [
        (signal.SIGINT, 2, True),
        (signal.SIGTERM, 1, False),
        (signal.SIGTERM, 2, False),
    ],
)
def test_a_signal_says_how_far_it_is_and_how_to_go_on(tmp_path, number, workers, group):
    out = tmp_path / "world"
    process = start(out, "--workers", workers, "--frames", 30)
    wait_for_a_unit(out, process)
    (os.killpg if group else os.kill)(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    assert " of 30 frames are done" in errors
    assert "Run the same command again to go on." in errors
    assert "Traceback" not in errors
    refused = prep(*command(out))
    assert refused.exit_code == 2
    assert "other options (frames) was generated here" in refused.stderr
