"""Comparing what runs leave on the disk."""

import hashlib
from pathlib import Path

from simipu.pipelines.convert import Resources

ONE_WORKER = Resources(workers=1)


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder, hidden ones too, with its hash."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
