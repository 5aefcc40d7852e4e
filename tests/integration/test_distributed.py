"""Two processes with gloo do what one process does with the joined batch."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import joined_batch
from simipu.train.checkpoint import list_checkpoints, load_checkpoint
from simipu.train.distributed import World

TESTS = Path(__file__).resolve().parents[1]
TRAIN = Path(sys.executable).with_name("simipu-train")
TINY = (
    "--image-backbone", "test_resnet", "--image-size", "32x64", "--pairs", "8", "--points", "24",
    "--batch-size", "4", "--device", "cpu", "--workers", "0", "--log-every", "1",
)  # fmt: skip


def start(command, processes=2):
    """``command`` in several processes, with what torchrun would tell them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    everywhere = os.environ | {
        "WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
    }  # fmt: skip
    return [
        subprocess.Popen(
            [str(part) for part in command],
            env=everywhere | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(processes)
    ]


def finish(processes, expected=0):
    """Their output, once they have ended."""
    outputs = [process.communicate(timeout=240) for process in processes]
    for process, (_, message) in zip(processes, outputs, strict=True):
        assert process.returncode == expected, message.decode()
    return [(out.decode(), message.decode()) for out, message in outputs]


def last_state(out):
    return load_checkpoint(list_checkpoints(out / "checkpoints")[-1])


@pytest.mark.slow
def test_gradients_statistics_and_losses_are_those_of_the_joined_batch(tmp_path):
    """With as many pairs in both processes, with fewer or none in one, and with none at all."""
    processes = start([sys.executable, joined_batch.__file__, tmp_path / "two.pt"])
    alone = joined_batch.compute_all(World())
    finish(processes)
    together = torch.load(tmp_path / "two.pt", weights_only=True)
    assert together.keys() == alone.keys()
    for case, expected in alone.items():
        found = together[case]
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            scale = max(float(value.abs().max()), 1e-3)
            bound = 1e-6 if "recall" in name else 1e-9  # recall is in single precision
            assert (found[name] - value).abs().max() <= bound * scale, (case, name)
        has_pairs = not case.endswith(", none")
        assert bool(expected["inter candidates"]) == has_pairs
        gradients = [value for name, value in expected.items() if name.startswith("grad")]
        assert any(gradient.any() for gradient in gradients) == has_pairs


@pytest.mark.slow
def test_two_processes_train_as_one_and_one_writes(raw_store, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    # Adam makes a full step of a gradient that is nothing but rounding: small steps.
    options = [*TINY, "--steps", "4", "--frames", "0:8", "--eval-frames", "8:11", "--lr", "1e-5"]
    processes = start([TRAIN, raw_store, "--out", two, *options])
    subprocess.run([TRAIN, raw_store, "--out", one, *options], check=True, capture_output=True)
    (out, _), (silence, nothing) = finish(processes)
    assert "4 steps done" in out
    assert silence == nothing == ""
    logs = []
    for folder in (one, two):
        assert sorted(path.name for path in folder.iterdir()) == [
            "checkpoints", "config.yaml", "log.jsonl", "provenance.json", "simipu-run",
            "tensorboard",
        ]  # fmt: skip
        records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        # A busy machine is told of.
        logs.append([record for record in records if "warning" not in record])
    assert json.loads((two / "provenance.json").read_text())["processes"] == 2
    for ours, theirs in zip(*logs, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ("loss/total", "recall/pixel_to_point_at_1", "pairs/told_apart", "lr"):
            if name in ours:
                assert ours[name] == pytest.approx(theirs[name], rel=1e-3), (name, logs)
    assert last_state(one)["step"] == last_state(two)["step"] == 4


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_at_the_same_step(raw_store, tmp_path):
    out = tmp_path / "run"
    processes = start([TRAIN, raw_store, "--out", out, *TINY, "--steps", "100000"])
    deadline = time.monotonic() + 120
    while not ((out / "log.jsonl").exists() and (out / "log.jsonl").read_text().count("\n") > 3):
        assert all(process.poll() is None for process in processes)
        assert time.monotonic() < deadline
        time.sleep(0.05)
    processes[1].send_signal(signal.SIGTERM)
    (_, message), (_, silence) = finish(processes, expected=3)
    assert "Run the same command with --resume to continue." in message
    assert silence == ""
    assert last_state(out)["step"] > 3
