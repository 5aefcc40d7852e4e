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
