"""simipu-train on a store, from the command to the last line."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
import torch
from click.testing import CliRunner

import killing
from folders import ONE_WORKER
from simipu.cli._errors import ReportingCommand
from simipu.cli.train import _FLAGS, main
from simipu.correspond.policy import Policy
from simipu.errors import IncompleteError
from simipu.methods.config import PRESETS
from simipu.pipelines.convert import convert
from simipu.pipelines.correspond import correspond_store
from simipu.pipelines.sources.kitti_raw import KittiRaw
from simipu.train.checkpoint import list_checkpoints, load_checkpoint
from simipu.train.config import TrainConfig
from simipu.train.recipes import RECIPES
from simipu.train.runlog import read_log
from simipu.train.settings import read_yaml

TRAIN = Path(sys.executable).with_name("simipu-train")
TINY = (
    "--image-backbone", "test_resnet", "--image-size", "32x64", "--pairs", "8", "--points", "24",
    "--batch-size", "3", "--device", "cpu",
)  # fmt: skip


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def last_state(out: Path) -> dict:
    return load_checkpoint(list_checkpoints(out / "checkpoints")[-1])


def test_help_shows_an_example_and_loads_nothing_heavy():
    code = "import sys, simipu.cli.train; assert not {'torch', 'zarr'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    exit_code, text = run("--help")
    assert exit_code == 0
    for part in (
        "simipu-train raw.zarr --out runs/a", "--resume", "--eval-frames", "--debug", "torchrun",
        "in --set, then in the flags, in --config, in --recipe",
    ):  # fmt: skip
        assert part in text


def test_the_defaults_in_the_help_are_those_of_the_settings():
    defaults = TrainConfig().to_dict()
    for option in main.params:
        section, _, name = _FLAGS.get(option.name, "").partition(".")
        if match := re.search(r"  \[(.*)\]$", getattr(option, "help", None) or ""):
            if section:
                assert match[1] == str(defaults[section][name]), option.name
        elif section:
            assert defaults[section][name] is None, option.name
    _, text = run("--help")
    assert f"start from: {', '.join(RECIPES)}." in " ".join(text.split())


def settings(*arguments):
    exit_code, text = run("--show", *arguments)
    assert exit_code == 0, text
    return read_yaml(text, where="")


def test_what_is_said_last_holds(tmp_path):
    """Recipe, file, flags, --set."""
    path = tmp_path / "settings.yaml"
    path.write_text("optim: {lr: 0.5, batch_size: 2}\ndata: {stores: [{path: a, splits: [train]}]}")
    assert settings("--recipe", "nuscenes")["optim"]["batch_size"] == 16
    given = ("--recipe", "nuscenes", "--config", path)
    found = settings(*given)
    assert (found["optim"]["batch_size"], found["optim"]["lr"]) == (2, 0.5)
    assert found["run"]["epochs"] == 50
    found = settings(*given, "--batch-size", 3, "--steps", 7, "--image-size", "64x96")
    assert (found["optim"]["batch_size"], found["optim"]["lr"]) == (3, 0.5)
    assert found["run"] == {"steps": 7, "epochs": None, "seed": 0}
    assert (found["sample"]["height"], found["sample"]["width"]) == (64, 96)
    found = settings(*given, "--batch-size", 3, "--set", "optim.batch_size=4")
    assert found["optim"]["batch_size"] == 4

    (store,) = settings(*given, "--frames", "0:9")["data"]["stores"]
    assert (store["path"], store["frames"], store["splits"]) == ("a", "0:9", ["train"])
    found = settings("b", "c", "--frames", ":4", "--eval-frames", "4:")["data"]
    assert [(s["path"], s["frames"]) for s in found["stores"]] == [("b", ":4"), ("c", ":4")]
    assert [(s["path"], s["frames"]) for s in found["held_out"]] == [("b", "4:"), ("c", "4:")]


def test_two_stores_a_run_folder_that_repeats_it_and_one_that_resumes_itself(raw_store, tmp_path):
    copy = tmp_path / "copy.zarr"
    shutil.copytree(raw_store, copy)
    first, second = tmp_path / "first", tmp_path / "second"
    options = ["--steps", 4, "--workers", 0, "--set", "optim.average=0.9", *TINY]
    exit_code, text = run(raw_store, copy, "--out", first, *options)
    assert exit_code == 0, text
    exit_code, text = run("--config", first / "config.yaml", "--out", second)
    assert exit_code == 0, text
    ours, theirs = last_state(first), last_state(second)
    assert len(ours["fingerprints"]) == 2
    for part in ("method", "ema"):
        for name, value in ours[part].items():
            assert torch.equal(value, theirs[part][name]), name
    assert not torch.equal(
        ours["ema"]["g_image.layers.0.weight"], ours["method"]["g_image.layers.0.weight"]
    )
    for path in list_checkpoints(second / "checkpoints"):
        path.unlink()
    exit_code, text = run("--out", second, "--resume")
    assert exit_code == 0, text
    assert "4 steps done" in text
    exit_code, text = run("--out", second, "--resume", "--lr", 0.1)
    assert exit_code == 2
    assert "optim.lr: 0.001 -> 0.1" in text


def test_the_presets_are_those_of_the_trainer():
    (option,) = (option for option in main.params if option.name == "preset")
    assert tuple(option.type.choices) == tuple(PRESETS)


def test_a_store_is_trained_on(raw_store, tmp_path):
    out = tmp_path / "run"
    exit_code, text = run(
        raw_store, "--out", out, "--steps", 4, "--workers", 0, "--log-every", 2,
        "--frames", "0:8", "--eval-frames", "8:11", *TINY,
    )  # fmt: skip
    assert exit_code == 0, text
    assert "step 4/4  inter" in text
    assert "pixel to point: R@1" in text
    assert "with another frame's image" in text
    assert "before   after  chance" in text
    assert f"{out}: 4 steps done" in text
    records = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    # A busy machine is warned of.
    assert [r["step"] for r in records if "warning" not in r] == [0, 2, 4, 4]


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (KeyboardInterrupt(), 3, "Error: interrupted"),
        (OSError(28, "No space left on device", "a.pt"), 1, "Error: a.pt: No space left on device"),
        (IncompleteError("half", where="a", fix="More."), 3, "Error: a: half\n  More."),
    ],
)
def test_how_every_command_ends(error, expected, message):
    @click.command(cls=ReportingCommand)
    def fail():
        raise error

    result = CliRunner().invoke(fail)
    assert result.exit_code == expected
    assert result.stderr == f"{message}\n"
    debug = CliRunner().invoke(fail, ["--debug"])
    assert debug.exit_code == expected
    assert "Traceback" in debug.stderr


ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}


def begin(command: list[str], out: Path, *, records: int) -> subprocess.Popen:
    """Start a run in a process group of its own, and wait for records in its log."""
    process = subprocess.Popen(
        command, env=ENVIRONMENT, stderr=subprocess.PIPE, start_new_session=True
    )
    log = out / "log.jsonl"
    deadline = time.monotonic() + 240
    while not (log.exists() and log.read_text().count("\n") >= records):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "records", "delay_s"),
    [
        (signal.SIGINT, 0, 0.0),  # about when the forkserver is started
        (signal.SIGTERM, 0, 0.7),  # while the workers load their modules
        (signal.SIGINT, 0, 1.5),
        (signal.SIGTERM, 5, 0.0),
    ],
)
def test_a_signal_to_the_whole_process_group_stops_with_a_checkpoint(
    raw_store, tmp_path, number, records, delay_s
):
    """As Ctrl-C, Slurm, systemd and docker send it."""
    options = ["--steps", "10000", "--workers", "1", "--log-every", "1", *TINY]
    command = [str(TRAIN), str(raw_store), "--out", str(tmp_path / "run"), *options]
    process = begin(command, tmp_path / "run", records=records)
    time.sleep(delay_s)
    os.killpg(process.pid, number)
    _, message = process.communicate(timeout=240)
    assert process.returncode == 3, message
    assert b"Run the same command with --resume to continue." in message
    assert b"Traceback" not in message
    assert last_state(tmp_path / "run")["step"] >= max(records, 1)


@pytest.mark.slow
def test_workers_end_with_a_run_that_is_killed(raw_store, tmp_path):
    options = ["--steps", "10000", "--workers", "2", "--log-every", "1", *TINY]
    command = [str(TRAIN), str(raw_store), "--out", str(tmp_path / "run"), *options]
    process = begin(command, tmp_path / "run", records=2)
    process.kill()
    # The pipe ends with the last process that holds it.
    process.communicate(timeout=240)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(raw_store, tmp_path):
    """By SIGKILL, anywhere; the number of workers does not matter."""
    options = ("--steps", "12", *TINY, "--set", "optim.average=0.9")
    whole = killing.train(raw_store, tmp_path / "whole", [*options, "--workers", "0"], kills=[])
    for workers, kills in ((0, [5]), (2, [1, 7])):
        out = tmp_path / f"killed-{workers}"
        killed = killing.train(raw_store, out, [*options, "--workers", workers], kills=kills)
        killing.check_equal(whole, killed)


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_weights(raw_store, tmp_path):
    """In a process of its own, with workers, by the signal of a batch system."""

    def command(name: str) -> list[str]:
        out = str(tmp_path / name)
        options = ["--out", out, "--steps", "200", "--workers", "2", "--log-every", "1"]
        return [str(TRAIN), str(raw_store), *options, *TINY]

    subprocess.run(command("whole"), check=True, env=ENVIRONMENT, capture_output=True)

    broken = tmp_path / "broken"
    process = begin(command("broken"), broken, records=5)
    process.send_signal(signal.SIGTERM)
    _, message = process.communicate(timeout=240)
    assert process.returncode == 3, message
    assert b"of 200\n  Run the same command with --resume to continue." in message
    assert b"Traceback" not in message
    assert 5 <= last_state(broken)["step"] < 200

    subprocess.run(
        [*command("broken"), "--resume"], check=True, env=ENVIRONMENT, capture_output=True
    )
    ours, theirs = last_state(tmp_path / "whole"), last_state(broken)
    assert ours["step"] == theirs["step"] == 200
    for name, value in ours["method"].items():
        assert torch.equal(value, theirs["method"][name]), name


def test_errors_have_a_message_a_code_and_no_traceback(raw_store, raw_root, tmp_path):
    options = ["--out", tmp_path / "run", "--steps", 2, "--workers", 0, *TINY]
    bare = tmp_path / "bare.zarr"
    convert(KittiRaw(raw_root), bare, resources=ONE_WORKER)
    cases = [
        ((tmp_path / "no.zarr", *options), 1, "no.zarr"),
        ((bare, *options), 1, f"simipu-prep correspond {bare}"),
        ((raw_store, *options, "--epochs", 1), 2, "either --steps or --epochs"),
        ((raw_store, *options, "--image-size", "100x64"), 2, "Take 96 or 128"),
        ((raw_store, *options, "--image-size", "wide"), 2, "height x width"),
        ((raw_store, *options, "--frames", "5:5"), 2, "select nothing"),
        ((raw_store, *options, "--batch-size", 999), 2, "do not fill one batch"),
        ((raw_store, *options, "--image-backbone", "resnet19"), 2, "e.g. resnet"),
        ((raw_store, *options, "--preset", "best"), 2, "fixed"),
        ((raw_store, *options, "--seed", 2**63), 2, "run.seed is"),
        ((raw_store, *options, "--recipe", "kiti"), 2, "Did you mean kitti?"),
        ((raw_store, *options, "--set", "optim.lrr=1"), 2, "Did you mean optim.lr?"),
        ((raw_store, *options, "--set", "data.policy={occlusion: none}"), 1, "another policy"),
        ((raw_store, *options, "--config", raw_store / "zarr.json"), 2, "there is no setting"),
        ((raw_store, "--steps", 2), 2, "Name one with --out"),
        (("--out", tmp_path / "run", "--steps", 2), 2, "no store to train on"),
        ((raw_store, *options, "--out", raw_store), 2, "this is a store"),
        ((raw_store, *options, "--out", raw_store / "zarr.json"), 2, "this is a file"),
    ]
    for arguments, expected, message in cases:
        exit_code, text = run(*arguments)
        assert exit_code == expected, text
        assert message in text
        assert "Traceback" not in text
    assert not (tmp_path / "run").exists()
    exit_code, text = run(raw_store, *options, "--epochs", 1, "--debug")
    assert exit_code == 2
    assert "Traceback" in text


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_is_named(raw_store, tmp_path, workers):
    store = tmp_path / "damaged.zarr"
    shutil.copytree(raw_store, store)
    shards = [path for path in (store / "camera" / "data").rglob("*") if path.is_file()]
    for path in shards:
        data = bytearray(path.read_bytes())
        data[: len(data) // 2] = bytes(len(data) // 2)
        path.write_bytes(data)
    options = ["--out", tmp_path / "run", "--steps", 2, "--workers", workers]
    exit_code, text = run(store, *options, *TINY)
    assert exit_code == 1
    assert text.startswith(f"Error: {store}")
    assert "camera/data" in text
    assert "Traceback" not in text
    assert "DataLoader" not in text


@pytest.mark.slow
def test_real_frames_are_learned(sample_data, tmp_path):
    """Twenty frames of one street at low speed: a smoke test, no evidence of quality."""
    store, out = tmp_path / "raw.zarr", tmp_path / "run"
    convert(KittiRaw(sample_data / "kitti_raw"), store, resources=ONE_WORKER)
    correspond_store(store, Policy(), resources=ONE_WORKER)
    exit_code, text = run(
        store, "--out", out, "--image-backbone", "resnet18", "--steps", 120, "--batch-size", 4,
        "--frames", "0:16", "--eval-frames", "16:20", "--workers", 0, "--device", "cpu",
    )  # fmt: skip
    assert exit_code == 0, text
    *_, losses, retrieval = (record for record in read_log(out) if "warning" not in record)
    assert losses["loss/inter"] < losses["chance/loss"] - 1.5
    assert losses["loss/intra"] < losses["chance/loss"] - 1.5
    assert retrieval["retrieval/recall_at_1"] >= 10 * retrieval["retrieval/chance_at_1"]
    # On one street at low speed another frame's image serves nearly as well: reported, not judged.
    assert retrieval["retrieval/control_at_1"] is not None
