"""The commands as a person types them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import kitti_tree
import simipu
from folders import contents
from simipu.cli.prep import main

CONVERT = ["kitti-raw", "--root", "{raw}", "--out", "{tmp}/s"]
PREP = Path(sys.executable).with_name("simipu-prep")


def prep(*arguments, **environment):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], env=environment)


def succeed(*arguments, **environment):
    result = prep(*arguments, **environment)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_kitti_raw_from_root_to_info_verify_extract(raw_root, tmp_path):
    out = tmp_path / "raw.zarr"
    printed = succeed("kitti-raw", "--root", raw_root, "--out", out, "--workers", 1)
    assert "11 in 3 scenes" in printed
    info = json.loads(succeed("info", out, "--json"))
    assert info["counts"]["frames"] == 11
    assert info["cameras"] == {f"image_0{number}": 11 for number in range(4)}
    assert info["correspondence"]["policy"]["min_depth_m"] == 1.0
    assert info["correspondence"]["pairs"] > 0
    assert [entry["frame_id"].rsplit("/", 1)[1] for entry in info["skipped"]] == ["0000000002"]
    assert info["bytes"] < sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    assert json.loads(succeed("verify", out, "--json")) == {"whole": True, "faults": []}

    succeed("extract", out, "--frame", 3, "--out", tmp_path / "frame")
    drive = raw_root / kitti_tree.DRIVE_1
    for camera in ("image_00", "image_03"):
        expected = (drive / camera / "data" / "0000000003.png").read_bytes()
        assert (tmp_path / "frame" / f"{camera}.png").read_bytes() == expected
    expected = (drive / "velodyne_points" / "data" / "0000000003.bin").read_bytes()
    assert (tmp_path / "frame" / "points.bin").read_bytes() == expected
    description = json.loads((tmp_path / "frame" / "frame.json").read_text())
    camera = simipu.open_store(out)[3].cameras["image_02"]
    for name in ("K", "T_camera_from_lidar", "T_ego_from_camera", "T_world_from_ego"):
        found = np.array(description["cameras"]["image_02"][name])
        np.testing.assert_array_equal(found, getattr(camera, name))


def test_kitti_object_with_the_root_from_the_environment(tmp_path):
    root = kitti_tree.write_object_tree(tmp_path / "kitti")
    out = tmp_path / "k.zarr"
    succeed("kitti", "--out", out, "--no-correspondences", KITTI_ROOT=str(root))
    assert "none (`simipu-prep correspond` computes them)" in succeed("info", out)
    succeed("correspond", out, "--min-depth", 5, "--occlusion", "none")
    policy = simipu.open_store(out).correspondence_policy
    assert (policy["min_depth_m"], policy["occlusion"]) == (5.0, "none")


def test_verify_exits_1_and_names_each_fault(raw_root, tmp_path):
    out = tmp_path / "raw.zarr"
    succeed("kitti-raw", "--root", raw_root, "--out", out, "--workers", 1)
    victim = out / "lidar" / "points" / "x" / "c" / "0"
    victim.write_bytes(victim.read_bytes()[::-1])
    (out / "frames" / "scene" / "zarr.json").unlink()
    result = prep("verify", out)
    assert result.exit_code == 1
    assert f"{victim}: was changed" in result.stdout
    assert "frames/scene/zarr.json: is missing" in result.stdout
    assert {
        fault["path"] for fault in json.loads(prep("verify", out, "--json").stdout)["faults"]
    } == {
        "lidar/points/x/c/0",
        "frames/scene/zarr.json",
    }


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["kitti-raw", "--root", "{tmp}/absent", "--out", "{tmp}/s"], 1, "absent"),
        (["kitti-raw", "--root", "{raw}", "--out", "{raw}"], 2, "cannot be written to"),
        (["kitti-raw", "--root", "{raw}/2011_09_26", "--out", "{tmp}/s"], 1, "the root is too low"),
        (["kitti-raw", "--out", "{tmp}/s"], 2, "Missing option '--root'"),
        (["convert", "--source", "a:B", "--out", "{tmp}/s"], 2, "Missing option '--root'"),
        (["convert", "--root", "{raw}", "--out", "{tmp}/s"], 2, "Missing option '--source'"),
        (["info", "{tmp}/absent"], 1, "no such store"),
        (["info", "{raw}"], 1, "not a simipu store"),
        (["verify", "{raw}"], 1, "not a simipu store"),
        (["correspond", "{raw}"], 1, "not a simipu store"),
        (["correspond", "{store}", "--min-depth", "-1"], 2, "greater than 0"),
        (["correspond", "{store}", "--margin", "1,2"], 2, "neither one number nor four"),
        (["correspond", "{store}", "--margin", "a"], 2, "neither one number nor four"),
        (["correspond", "{store}", "--margin", "1,2,3,-4"], 2, "must not be negative"),
        (["correspond", "{store}", "--margin", "nan"], 2, "must be a finite number"),
        (
            ["kitti-raw", "--root", "{raw}", "--out", "{tmp}/s", "--min-depth", "-1"],
            2,
            "greater than 0",
        ),
        (["correspond", "{store}", "--scheduler", "foo", "--min-depth", "2"], 2, "not the address"),
        (
            ["correspond", "{store}", "--scheduler", "tcp://127.0.0.1:9", "--workers", "2"],
            2,
            "--workers: it does nothing with --scheduler",
        ),
        (
            [*CONVERT, "--scheduler", "tcp://127.0.0.1:9", "--workers", "2"],
            2,
            "--workers: it does nothing with --scheduler",
        ),
        (
            [*CONVERT, "--no-correspondences", "--min-depth", "2"],
            2,
            "--min-depth: it does nothing with --no-correspondences",
        ),
        ([*CONVERT, "--projection", "published"], 2, "has no projection of its own"),
        (["extract", "{store}", "--frame", "99", "--out", "{tmp}/f"], 2, "there is no frame 99"),
    ],
)
def test_mistakes_have_a_message_an_exit_code_and_no_traceback(
    raw_root, raw_store, tmp_path, arguments, exit_code, message
):
    before = contents(raw_root), contents(raw_store), contents(tmp_path)
    filled = [text.format(tmp=tmp_path, raw=raw_root, store=raw_store) for text in arguments]
    result = prep(*filled, KITTI_RAW_ROOT=None)
    assert result.exit_code == exit_code, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert (contents(raw_root), contents(raw_store), contents(tmp_path)) == before


def test_debug_shows_the_traceback(tmp_path):
    result = prep("info", tmp_path / "absent", "--debug")
    assert "Traceback" in result.output


@pytest.mark.parametrize(
    "command",
    [
        "",
        "kitti",
        "kitti-raw",
        "nuscenes",
        "waymo",
        "convert",
        "correspond",
        "info",
        "verify",
        "extract",
    ],
)
def test_help_has_an_example_on_a_line_of_its_own(command):
    printed = succeed(*command.split(), "--help")
    assert f"\n  simipu-prep {command}".rstrip() in printed


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_says_how_far_it_is_and_how_to_go_on(tmp_path, workers):
    root = kitti_tree.write_raw_tree(
        tmp_path / "raw", drives={kitti_tree.DRIVE_1: 60}, points=60_000
    )
    command = [PREP, "kitti-raw", "--root", root, "--out", tmp_path / "s", "--task-mib", "1"]
    process = subprocess.Popen(
        [*command, "--workers", str(workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
        # A test run in the background ignores Ctrl-C, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not list(tmp_path.glob("s/.simipu/convert/*.npz")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    assert "Run the same command again to go on." in errors
    assert " of 60 frames are done" in errors
    assert "Traceback" not in errors
    assert subprocess.run([*command, "--workers", "1"], check=False).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.slow
def test_a_full_disk_is_said_and_more_space_resumes(tmp_path):
    root = kitti_tree.write_raw_tree(
        tmp_path / "raw", drives={kitti_tree.DRIVE_1: 20}, points=60_000
    )
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode()}")
    try:
        arguments = ["kitti-raw", "--root", root, "--out", disk / "s", "--task-mib", "1"]
        result = prep(*arguments, "--workers", 1)
        assert result.exit_code == 3, result.output
        assert "no space is left on the disk" in result.stderr
        assert "of 20 frames are done" in result.stderr
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        succeed(*arguments, "--workers", 1)
        succeed("verify", disk / "s")
    finally:
        subprocess.run(["umount", disk], check=True)
