"""The examples run."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_read_a_store(raw_store):
    script = EXAMPLES / "read_a_store" / "read_a_store.py"
    result = subprocess.run(
        [sys.executable, script, raw_store], capture_output=True, text=True, check=True
    )
    assert result.stdout.count("points in the image") == 44


def test_quickstart(tmp_path):
    script = EXAMPLES / "quickstart" / "quickstart.py"
    sizes = ["--scenes", "3", "--frames", "2", "--image-scale", "0.3", "--steps", "2"]
    result = subprocess.run(
        [sys.executable, script, tmp_path / "made", *sizes], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "before   after  chance" in result.stdout
    assert (tmp_path / "made" / "overlay.png").stat().st_size > 10_000
