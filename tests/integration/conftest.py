"""What the integration tests of the store share."""

import hashlib
from pathlib import Path

import kitti_tree
import pytest

from simipu.correspond.policy import Policy
from simipu.pipelines.convert import Resources, convert
from simipu.pipelines.correspond import correspond_store
from simipu.pipelines.sources.kitti_raw import KittiRaw

ONE_WORKER = Resources(workers=1)


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder, hidden ones too, with its hash."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="session")
def raw_root(tmp_path_factory) -> Path:
    return kitti_tree.write_raw_tree(
        tmp_path_factory.mktemp("kitti_raw"), missing_scans=[(kitti_tree.DRIVE_2, 2)]
    )


@pytest.fixture(scope="session")
def raw_store(raw_root, tmp_path_factory) -> Path:
    """A complete store of the small raw tree; tests that change it copy it first."""
    out = tmp_path_factory.mktemp("store") / "raw.zarr"
    convert(KittiRaw(raw_root), out, resources=ONE_WORKER)
    correspond_store(out, Policy(), resources=ONE_WORKER)
    return out
