"""Who may write, while a writer, its workers, or those of a killed writer are at work."""

import pytest

from simipu.errors import IncompleteError, UsageError
from simipu.store import lock


@pytest.fixture(autouse=True)
def short_wait(monkeypatch):
    monkeypatch.setattr(lock, "WAIT_FOR_WORKERS_S", 0.2)


def test_one_writer_at_a_time_and_nothing_left(tmp_path):
    root = tmp_path / "s"
    with lock.writing(root) as run:
        with pytest.raises(UsageError, match="another process is writing"), lock.writing(root):
            pass
        with lock.working(root, run), lock.working(root, run):
            pass
    assert not root.exists()


def test_work_in_progress_stays(tmp_path):
    with lock.writing(tmp_path / "s"):
        (tmp_path / "s" / ".simipu" / "identity.json").write_text("{}")
    names = [path.name for path in (tmp_path / "s" / ".simipu").iterdir()]
    assert names == ["identity.json"]


def test_a_writer_waits_for_workers_that_outlive_their_run_however_often_it_tries(tmp_path):
    root = tmp_path / "s"
    with lock.writing(root) as run:
        worker = lock.working(root, run)
        worker.__enter__()
    for _ in range(3):
        with pytest.raises(UsageError, match="workers of an earlier run"), lock.writing(root):
            pass
    worker.__exit__(None, None, None)
    with lock.writing(root):
        pass


def test_a_worker_of_an_ended_run_gives_up(tmp_path):
    root = tmp_path / "s"
    with lock.writing(root) as ended:
        pass
    with pytest.raises(IncompleteError, match="has ended"), lock.working(root, ended):
        pass
    with lock.writing(root) as run:
        with pytest.raises(IncompleteError, match="has ended"), lock.working(root, ended):
            pass
        with lock.working(root, run):
            pass


def test_partial_files_of_a_killed_run_are_removed(tmp_path):
    partial = tmp_path / "s" / ".simipu" / "partial"
    partial.mkdir(parents=True)
    (partial / "half").write_bytes(b"half")
    with lock.writing(tmp_path / "s"):
        assert not partial.exists()
