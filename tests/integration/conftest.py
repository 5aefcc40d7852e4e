"""What the integration tests of the store share."""

from pathlib import Path

import pytest

import kitti_tree
from folders import ONE_WORKER
from simipu.correspond.policy import Policy
from simipu.pipelines.convert import convert
from simipu.pipelines.correspond import correspond_store
from simipu.pipelines.sources.kitti_raw import KittiRaw


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
