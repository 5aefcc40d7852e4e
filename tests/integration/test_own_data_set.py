"""simipu-prep convert: a data set of a third party, its mistakes, and the example."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from distributed import Client

import nuscenes_tree
import rig_source
import simipu
from folders import contents
from simipu.cli.prep import main
from simipu.pipelines.sources.kitti_raw import KittiRaw

BIN = Path(sys.executable).parent
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "own_dataset"


def prep(*arguments, **environment):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], env=environment)


def succeed(*arguments, **environment):
    result = prep(*arguments, **environment)
    assert result.exit_code == 0, result.output
    return result.stdout


def run(*command, cwd, timeout=300, **environment):
    """A command as it is typed; PYTHONPATH, which pytest does not set, is left out."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    return rig_source.write_rig(tmp_path_factory.mktemp("rig") / "data")


def convert(name, root, out, *more):
    return "convert", "--source", f"rig_source:{name}", "--root", root, "--out", out, *more


def test_a_class_in_the_current_folder_on_two_workers(rig, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    shutil.copy(rig_source.__file__, here / "my_rig.py")
    command = [BIN / "simipu-prep", "convert", "--source", "my_rig:Strict", "--root", rig]
    command += ["--option", "count=3", "--option", "fast=yes"]
    result = run(*command, "--out", tmp_path / "two", "--workers", "2", cwd=here)
    assert result.returncode == 0, result.stderr
    assert "rig, format" in result.stdout
    result = run(*command, "--out", tmp_path / "one", "--workers", "1", cwd=here)
    assert result.returncode == 0, result.stderr
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    store = simipu.open_store(tmp_path / "two")
    assert [frame.id for frame in store] == [f"{s}/{n}" for s in ("one", "two") for n in range(4)]
    assert store[5].cameras["front"].encoded() == (rig / "two" / "1.png").read_bytes()
    elsewhere = run(*command, "--out", tmp_path / "three", cwd=tmp_path)
    assert elsewhere.returncode == 2
    assert "there is no module my_rig" in elsewhere.stderr


def test_one_frame_a_block_on_two_workers(rig, tmp_path, monkeypatch):
    """So small a data set is one block each scene; here the workers share the frames."""
    monkeypatch.setattr("simipu.store.extents.split_into_blocks", one_by_one)
    succeed(*convert("Rig", rig, tmp_path / "two", "--workers", 2))
    succeed(*convert("Rig", rig, tmp_path / "one", "--workers", 1))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def one_by_one(scenes, _task_bytes):
    from simipu.store.extents import Block

    for number, frames in enumerate(scenes):
        for frame in range(len(frames)):
            yield Block(number, frame, frame + 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_crash_of_the_source_is_one_line_and_debug_shows_the_rest(rig, tmp_path, workers):
    command = convert("Crashing", rig, tmp_path / "s", "--workers", workers)
    result = prep(*command)
    assert result.exit_code == 1
    assert "Error: rig_source:Crashing: frame 'one/2': KeyError: 'calibration'" in result.stderr
    assert "--skip-bad" in result.stderr
    assert "Traceback" not in result.stderr
    assert 'return {}["calibration"]' not in result.stderr
    debugged = prep(*command, "--debug")
    assert 'return {}["calibration"]' in debugged.stderr
    with pytest.raises(simipu.errors.IncompleteError):
        simipu.open_store(tmp_path / "s")


def test_skip_bad_leaves_out_what_crashed_and_says_so(rig, tmp_path):
    for name, frame in (("Crashing", "one/2"), ("BadImage", "two/1"), ("Silent", "one/3")):
        out = tmp_path / name
        printed = succeed(*convert(name, rig, out, "--skip-bad", "--workers", 1))
        assert "1 frames (once they are mended" in printed
        (skipped,) = simipu.open_store(out).attributes["skipped"]
        assert skipped["frame_id"] == frame
        assert frame in skipped["reason"]
        assert len(simipu.open_store(out)) == 7


@pytest.mark.parametrize(
    ("name", "exit_code", "message"),
    [
        ("Silent", 1, "frame 'one/3': cameras['front'].T_camera_from_lidar has NaN"),
        ("SameIds", 1, "the ids of the frames must be unique"),
        ("LowBound", 1, "frame 'one/0': lidar has 120 points, more than ref.max_points, 119"),
        ("ScanFails", 1, "rig_source:ScanFails: scan(): ValueError: no such index"),
        ("Empty", 1, "no frame is left to convert"),
        ("Half", 2, "Half is no source: it has no scan, read"),
        ("Strict", 2, "option count is missing"),
        ("Nothing", 2, "the module rig_source has no 'Nothing'"),
    ],
)
def test_mistakes_are_told_without_a_traceback(rig, tmp_path, name, exit_code, message):
    result = prep(*convert(name, rig, tmp_path / "s", "--workers", 1))
    assert result.exit_code == exit_code, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--option", "count"], "'count' is not of the form KEY=VALUE"),
        (["--option", "=3"], "'=3' is not of the form KEY=VALUE"),
        (["--option", "count=3", "--option", "count=4"], "count is given twice"),
        (["--option", "count=3", "--option", "drive=a=b", "--margin", "x"], "neither one number"),
        (["--option", "count=3", "--min-depth", "0"], "min_depth_m must be greater than 0"),
    ],
)
def test_options_that_cannot_be_meant(rig, tmp_path, options, message):
    result = prep(*convert("Strict", rig, tmp_path / "s", *options))
    assert result.exit_code == 2
    assert message in result.stderr


def test_an_option_changes_nothing_that_is_already_converted(rig, tmp_path):
    succeed(*convert("Rig", rig, tmp_path / "s", "--workers", 1))
    result = prep(*convert("LowBound", rig, tmp_path / "s", "--workers", 1))
    assert result.exit_code == 2
    assert "--overwrite" in result.stderr


def test_a_built_in_class_by_its_name_makes_the_same_store(raw_root, tmp_path):
    name = f"{KittiRaw.__module__}:{KittiRaw.__qualname__}"
    command = ["--root", raw_root, "--workers", 1, "--out"]
    succeed("convert", "--source", name, *command, tmp_path / "one")
    succeed("kitti-raw", *command, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.fixture(scope="module")
def nuscenes_root(tmp_path_factory):
    return nuscenes_tree.write_tree(tmp_path_factory.mktemp("nuscenes") / "data")


def policy_of(path):
    policy = simipu.open_store(path).correspondence_policy
    return {name: policy[name] for name in ("margin_px", "min_depth_m", "occlusion", "ego_points")}


def test_policies_start_from_the_data_sets_own(nuscenes_root, tmp_path):
    out = tmp_path / "n.zarr"
    succeed("nuscenes", "--out", out, "--workers", 1, NUSCENES_ROOT=str(nuscenes_root))
    own = {"margin_px": [1.5, 1.5, 0.5, 0.5], "min_depth_m": 1.0, "occlusion": "zbuffer"}
    assert policy_of(out) == {**own, "ego_points": "hide"}
    visible = simipu.open_store(out).attributes["correspondence"]["visible"]
    succeed("correspond", out, "--ego-points", "exclude", "--occlusion", "none")
    assert policy_of(out) == {**own, "ego_points": "exclude", "occlusion": "none"}
    succeed("correspond", out, "--margin", "1,2,3,4")
    assert policy_of(out) == {**own, "ego_points": "hide", "margin_px": [1, 2, 3, 4]}
    succeed("correspond", out, "--margin", "0", "--min-depth", "0.5", "--ego-points", "keep")
    changed = {"margin_px": [0.0] * 4, "min_depth_m": 0.5, "ego_points": "keep"}
    assert policy_of(out) == {**own, **changed}
    succeed("correspond", out)
    assert policy_of(out) == {**own, "ego_points": "hide"}
    assert simipu.open_store(out).attributes["correspondence"]["visible"] == visible


def test_a_conversion_takes_policy_options_too(nuscenes_root, tmp_path):
    more = ["--out", tmp_path / "s", "--workers", 1, "--margin", "2", "--limit", 1]
    succeed("nuscenes", "--root", nuscenes_root, *more, "--ego-points", "exclude")
    policy = policy_of(tmp_path / "s")
    assert policy["margin_px"] == [2.0] * 4
    assert policy["ego_points"] == "exclude"


def test_options_of_nuscenes(nuscenes_root, tmp_path):
    command = ["nuscenes", "--root", nuscenes_root, "--no-correspondences", "--workers", 1, "--out"]
    more = ["--version", "v1.0-mini", "--scenes", "scene-0103", "--cameras", "CAM_BACK, CAM_FRONT"]
    more += ["--sweeps", "--accumulate", 2, "--tolerance-ms", 30]
    succeed(*command, tmp_path / "s", *more)
    info = json.loads(succeed("info", tmp_path / "s", "--json"))
    assert [scene["name"] for scene in info["scenes"]] == ["scene-0103"]
    assert set(info["cameras"]) == {"CAM_BACK", "CAM_FRONT"}
    assert "time_offset_s" in info["point_columns"]
    options = info["source"]["options"]
    assert (options["version"], options["split"]) == ("v1.0-mini", None)
    assert (options["sweeps"], options["accumulate"], options["tolerance_ms"]) == (True, 2, 30.0)
    result = prep(*command, tmp_path / "t", "--tolerance-ms", 50)
    assert result.exit_code == 2
    assert "--tolerance-ms: it does nothing without --sweeps" in result.stderr
    assert not (tmp_path / "t").exists()
    result = prep(*command, tmp_path / "t", "--split", "no_such_split")
    assert result.exit_code == 2
    assert "no_such_split" in result.stderr


def test_nuscenes_root_has_a_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = prep("nuscenes", "--out", "s", NUSCENES_ROOT=None)
    assert result.exit_code == 1
    assert str(tmp_path / "data/nuscenes") in result.stderr
    nuscenes_tree.write_tree(tmp_path / "data/nuscenes", scenes=["scene-0061"], keyframes=1)
    succeed("nuscenes", "--out", "s", "--workers", 1, NUSCENES_ROOT=None)


@pytest.mark.slow
def test_the_next_command_after_a_synthetic_nuscenes_works(tmp_path):
    small = ["--scenes", 1, "--frames", 2, "--image-scale", 0.1, "--beams", 8, "--columns", 90]
    out = tmp_path / "world"
    printed = succeed("synthetic", "--layout", "nuscenes", "--out", out, *small, "--workers", 1)
    following = printed.splitlines()[-1].removeprefix("Next: simipu-prep ")
    assert following == f"nuscenes --root {out} --out {out}.zarr"
    succeed(*shlex.split(following), "--workers", 1)
    assert simipu.open_store(f"{out}.zarr").attributes["source"]["name"] == "nuscenes"


@pytest.mark.parametrize("command", ["convert", "nuscenes", "kitti", "correspond"])
def test_help_says_where_defaults_come_from(command):
    printed = " ".join(succeed(command, "--help").split())
    assert printed.count("[default: the data set's own, else") == 6


@pytest.mark.slow
@pytest.mark.parametrize("worker", ["late", "early", "without the source", "without simipu"])
def test_workers_of_a_scheduler_must_be_able_to_import_the_source(rig, tmp_path, worker):
    """The scheduler need not be, and a worker that joins late is asked as well."""
    source = Path(rig_source.__file__).parent
    shadow = tmp_path / "shadow"
    (shadow / "simipu").mkdir(parents=True)
    missing = "No module named 'simipu'"
    (shadow / "simipu" / "__init__.py").write_text(f'raise ModuleNotFoundError("{missing}")')
    paths = {"late": source, "early": source, "without simipu": shadow}
    where = tmp_path / "scheduler.json"
    options = ["--scheduler-file", where, "--no-dashboard"]
    with background("scheduler", "--port", 0, *options, path=tmp_path) as process:
        wait_for(lambda: where.exists() and where.read_text(), process)
        address = json.loads(where.read_text())["address"]
        command = convert("Rig", rig, tmp_path / "s", "--no-correspondences")
        command = [BIN / "simipu-prep", *command, "--scheduler", address]

        def join():
            path = paths.get(worker, tmp_path)
            return background("worker", *options, "--no-nanny", path=path)

        if worker == "late":
            with ThreadPoolExecutor() as pool:
                running = pool.submit(run, *command, cwd=source, timeout=120)
                wait_for(lambda: (tmp_path / "s").exists(), process)
                with join():
                    result = running.result()
        else:
            with join(), Client(address, set_as_default=False) as client:
                client.wait_for_workers(1, timeout=60)
                result = run(*command, cwd=source, timeout=120)
    if worker in ("late", "early"):
        assert result.returncode == 0, result.stderr
        return
    assert result.returncode == 2, result.stderr
    assert address in result.stderr
    assert "Traceback" not in result.stderr
    if worker == "without simipu":
        assert missing in result.stderr
    else:
        assert "a worker cannot import the reader" in result.stderr
        assert "No module named 'rig_source'" in result.stderr


@contextmanager
def background(*command, path):
    """A command of dask that is ended at the end; ``path`` is its PYTHONPATH."""
    process = subprocess.Popen(
        [str(part) for part in (BIN / "dask", *command)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def wait_for(condition, process):
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.returncode
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_the_example_from_its_folder_and_as_an_installed_source(tmp_path):
    root = tmp_path / "rig"
    made = run(sys.executable, "make_drive.py", root, cwd=EXAMPLE)
    assert made.returncode == 0, made.stderr
    command = [BIN / "simipu-prep", "convert", "--root", root, "--task-mib", "1"]
    out = tmp_path / "rig.zarr"
    result = run(
        *command, "--source", "roof_rig:RoofRig", "--out", out, "--workers", "2", cwd=EXAMPLE
    )
    assert result.returncode == 0, result.stderr
    assert "6 in 1 scenes" in result.stdout
    drawn = run(BIN / "simipu-viz", out, "--frame", "3", "--out", tmp_path / "o.png", cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr

    # As `pip install` leaves it: the module, and the entry point in the package's metadata.
    site = tmp_path / "site"
    metadata = site / "roof_rig-1.0.dist-info"
    metadata.mkdir(parents=True)
    shutil.copy(EXAMPLE / "roof_rig.py", site)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: roof-rig\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[simipu.sources]\nroof-rig = roof_rig:RoofRig\n")
    again = run(
        *command, "--source", "roof-rig", "--out", tmp_path / "again", "--workers", "2",
        cwd=tmp_path, PYTHONPATH=str(site),
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert contents(tmp_path / "again") == contents(out)


@pytest.mark.slow
def test_the_examples_own_tests_pass():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_roof_rig.py"]
    result = run(*command, cwd=EXAMPLE)
    assert result.returncode == 0, result.stdout
    assert "3 passed" in result.stdout
