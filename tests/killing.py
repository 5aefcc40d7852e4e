"""Runs of simipu-train that are ended by SIGKILL and resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from simipu.train.checkpoint import list_checkpoints, load_checkpoint

TRAIN = Path(sys.executable).with_name("simipu-train")


def train(store, out: Path, options, *, kills, delay_s: float = 0.0):
    """Train to the end, in spite of kills.

    Args:
        store: what to train on.
        out: the run folder.
        options: of simipu-train; checkpoints are written every second step.
        kills: numbers of records after which the process is killed, ascending.
        delay_s: time from the record to the kill.

    Returns:
        The last checkpoint.
    """
    command = [TRAIN, store, "--out", out, "--resume", "--log-every", 1, *options]
    command = [str(part) for part in (*command, "--set", "checkpoint.every=2")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
    log = out / "log.jsonl"
    for records in kills:
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 240
        while not (log.exists() and log.read_text().count("\n") >= records):
            assert process.poll() is None, process.communicate()[1].decode()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(delay_s)
        process.kill()
        process.communicate()
        assert process.returncode in (-signal.SIGKILL, 0)
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return load_checkpoint(list_checkpoints(out / "checkpoints")[-1])


def check_equal(ours, theirs) -> None:
    """Two checkpoints hold the same numbers, bit for bit."""
    assert ours["step"] == theirs["step"]
    for part in ("method", "ema"):
        for name, value in ours[part].items():
            assert torch.equal(value, theirs[part][name]), (part, name)
    for key, moments in ours["optimizer"]["state"].items():
        for name, value in moments.items():
            assert torch.equal(value, theirs["optimizer"]["state"][key][name]), (key, name)
