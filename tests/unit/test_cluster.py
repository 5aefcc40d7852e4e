"""What a worker of a running scheduler does with a task."""

import pickle

import pytest

from simipu.errors import UsageError
from simipu.pipelines import cluster

ADDRESS = "tcp://head:8786"


def call(versions, task):
    return cluster._call(ADDRESS, versions, pickle.dumps(len), task)


def test_a_task_is_done_by_a_worker_of_the_same_versions():
    assert call(cluster._versions(), pickle.dumps("four")) == 4


def test_a_worker_that_joins_late_is_asked_its_versions_before_anything_is_unpickled():
    other = cluster._versions() | {"numpy": "0.1"}
    with pytest.raises(UsageError, match=r"a worker has .*, this process has .*'0\.1'") as told:
        call(other, b"not a pickle")
    assert told.value.where == ADDRESS


@pytest.mark.parametrize("module", ["no_such_module", "simipu.errors"])
def test_what_a_worker_cannot_import_is_told(module):
    task = f"c{module}\nAbsent\n.".encode()  # how pickle names a class
    with pytest.raises(UsageError, match="a worker cannot import the reader") as told:
        call(cluster._versions(), task)
    assert told.value.where == ADDRESS
    assert told.value.exit_code == 2
