"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

PROJECT_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The folder of real samples; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("SIMIPU_SAMPLE_DATA", PROJECT_ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real samples not found at {folder} (set SIMIPU_SAMPLE_DATA)")
    return folder
