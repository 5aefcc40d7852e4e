"""Worker processes of the generator: what they do, how they fail, that none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simipu.errors import IncompleteError
from simipu.pipelines.synthetic import workers


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_task_is_done_once(tmp_path, count):
    folders = [tmp_path / str(n) for n in range(4)]
    workers.run(Path.mkdir, folders, workers=count)  # fails where the folder is there
    assert all(folder.is_dir() for folder in folders)


def test_nothing_to_do():
    workers.run(Path.mkdir, [], workers=2)


def test_what_a_task_raises_comes_back(tmp_path):
    with pytest.raises(FileExistsError):
        workers.run(Path.mkdir, [tmp_path, tmp_path], workers=2)


def test_a_lost_process_says_how_to_go_on():
    with pytest.raises(IncompleteError, match="same command again"):
        workers.run(os._exit, [1, 1], workers=2)


def session(number):
    """Processes of a session that still run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
            if os.getsid(int(entry.name)) == number and state != "Z":
                found.append(int(entry.name))
        except (OSError, IndexError):
            continue
    return found


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_killed_parent_takes_its_processes_along(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import time\n"
        "from simipu.pipelines.synthetic import workers\n"
        "if __name__ == '__main__':\n"
        "    workers.run(time.sleep, [600.0, 600.0], workers=2)\n"
    )
    parent = subprocess.Popen([sys.executable, script], start_new_session=True)
    try:
        wait_until(lambda: len(session(parent.pid)) >= 3)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait(timeout=60)
        wait_until(lambda: not session(parent.pid))
    finally:
        for left in session(parent.pid):
            os.kill(left, signal.SIGKILL)
