"""A conversion that is stopped, loses work or meets a second one, and then goes on."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import kitti_tree
import simipu
from folders import ONE_WORKER, contents
from simipu.correspond.policy import Policy
from simipu.errors import IncompleteError, StoreError, UsageError
from simipu.pipelines import correspond as correspond_module
from simipu.pipelines.convert import convert
from simipu.pipelines.correspond import correspond_store
from simipu.pipelines.sources.kitti_raw import KittiRaw
from simipu.store import schema
from simipu.store.verify import verify

PREP = Path(sys.executable).with_name("simipu-prep")
SMALL_TASK = 3000  # about two frames of the small tree


class Interrupted(KittiRaw):
    """Reads as many frames as it is told to, then raises."""

    def __init__(self, root, frames, error):
        super().__init__(root)
        self.left = frames
        self.error = error

    def read(self, ref):
        if self.left == 0:
            raise self.error
        self.left -= 1
        return super().read(ref)


@pytest.mark.parametrize("frames", [0, 1, 5, 10])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyboardInterrupt(), r"stopped: \d+ of 11 frames"),
        (OSError(28, "No space left on device"), r"no space is left.*\d+ of 11 frames"),
    ],
)
def test_stopped_anywhere_and_run_again_it_ends_the_same(
    raw_root, tmp_path, frames, error, message
):
    convert(KittiRaw(raw_root), tmp_path / "a", resources=ONE_WORKER, task_bytes=SMALL_TASK)
    with pytest.raises(IncompleteError, match=message) as caught:
        convert(
            Interrupted(raw_root, frames, error),
            tmp_path / "b",
            resources=ONE_WORKER,
            task_bytes=SMALL_TASK,
        )
    assert "same command again" in str(caught.value)
    with pytest.raises(IncompleteError, match="has not ended"):
        simipu.open_store(tmp_path / "b")
    convert(KittiRaw(raw_root), tmp_path / "b", resources=ONE_WORKER, task_bytes=SMALL_TASK)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_blocks_that_are_done_are_not_done_again(raw_root, tmp_path):
    source = Interrupted(raw_root, 10, KeyboardInterrupt())
    with pytest.raises(IncompleteError):
        convert(source, tmp_path / "s", resources=ONE_WORKER, task_bytes=SMALL_TASK)
    rest = Interrupted(raw_root, 3, AssertionError("read again"))
    convert(rest, tmp_path / "s", resources=ONE_WORKER, task_bytes=SMALL_TASK)
    assert verify(tmp_path / "s") == []


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_stopped_correspondences_go_on(raw_root, raw_store, tmp_path, monkeypatch, allowed):
    out = tmp_path / "s"
    convert(KittiRaw(raw_root), out, resources=ONE_WORKER)
    before = contents(out)
    compute = correspond_module.frame_correspondences
    calls = []

    def interrupted(frame, policy):
        if len(calls) == allowed:
            raise KeyboardInterrupt
        calls.append(frame)
        return compute(frame, policy)

    monkeypatch.setattr(correspond_module, "frame_correspondences", interrupted)
    with pytest.raises(IncompleteError):
        correspond_store(out, Policy(), resources=ONE_WORKER)
    kept = {path: digest for path, digest in contents(out).items() if path in before}
    assert kept == before
    assert simipu.open_store(out).correspondence_policy is None
    monkeypatch.undo()
    correspond_store(out, Policy(), resources=ONE_WORKER)
    assert contents(out) == contents(raw_store)


def test_another_command_on_an_unfinished_store_is_refused_by_name(raw_root, tmp_path):
    source = Interrupted(raw_root, 5, KeyboardInterrupt())
    with pytest.raises(IncompleteError):
        convert(source, tmp_path / "s", resources=ONE_WORKER, task_bytes=SMALL_TASK)
    with pytest.raises(UsageError, match="another limit"):
        convert(
            KittiRaw(raw_root), tmp_path / "s", resources=ONE_WORKER, limit=2, task_bytes=SMALL_TASK
        )


def test_overwrite_replaces_a_store_and_resumes_itself(raw_root, raw_store, tmp_path):
    out = tmp_path / "s"
    convert(KittiRaw(raw_root), out, resources=ONE_WORKER, limit=2)
    source = Interrupted(raw_root, 8, KeyboardInterrupt())
    with pytest.raises(IncompleteError):
        convert(source, out, resources=ONE_WORKER, overwrite=True, task_bytes=SMALL_TASK)
    rest = Interrupted(raw_root, 5, AssertionError("read again"))
    convert(rest, out, resources=ONE_WORKER, overwrite=True, task_bytes=SMALL_TASK)
    convert(KittiRaw(raw_root), tmp_path / "t", resources=ONE_WORKER, task_bytes=SMALL_TASK)
    assert contents(out) == contents(tmp_path / "t")


@pytest.mark.parametrize("begun", ["a store", "another conversion"])
@pytest.mark.parametrize("removed", range(3))
def test_stopped_while_it_clears_the_old_store_overwrite_goes_on(
    raw_root, tmp_path, monkeypatch, begun, removed
):
    out = tmp_path / "s"
    if begun == "a store":
        convert(KittiRaw(raw_root), out, resources=ONE_WORKER, limit=2)
    else:
        source = Interrupted(raw_root, 3, KeyboardInterrupt())
        with pytest.raises(IncompleteError):
            convert(source, out, resources=ONE_WORKER, limit=5, task_bytes=SMALL_TASK)
    rmtree, left = shutil.rmtree, [removed]

    def interrupted(path, *arguments, **named):
        if Path(path).name in ("convert", "camera", "frames", "lidar", "scenes"):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
        rmtree(path, *arguments, **named)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(IncompleteError, match="same command again"):
        convert(KittiRaw(raw_root), out, resources=ONE_WORKER, overwrite=True)
    monkeypatch.undo()
    with pytest.raises(IncompleteError, match="has not ended"):
        simipu.open_store(out)
    with pytest.raises(UsageError, match="another limit was begun here"):
        convert(KittiRaw(raw_root), out, resources=ONE_WORKER, limit=1)
    convert(KittiRaw(raw_root), out, resources=ONE_WORKER, overwrite=True)
    convert(KittiRaw(raw_root), tmp_path / "t", resources=ONE_WORKER)
    assert contents(out) == contents(tmp_path / "t")


def run_prep(root: Path, out: Path, workers: int) -> subprocess.Popen:
    command = [PREP, "kitti-raw", "--root", root, "--out", out, "--task-mib", "1"]
    return subprocess.Popen(
        [*command, "--workers", str(workers)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.mark.slow
def test_killed_at_twenty_random_moments_and_run_again_it_is_byte_identical(tmp_path):
    root = kitti_tree.write_raw_tree(
        tmp_path / "raw", drives={kitti_tree.DRIVE_1: 14, kitti_tree.DRIVE_3: 6}, points=30_000
    )
    begin = time.monotonic()
    assert run_prep(root, tmp_path / "whole", 1).wait() == 0
    duration = time.monotonic() - begin
    expected = contents(tmp_path / "whole")
    rng = random.Random(5)
    unfinished = 0
    for attempt in range(20):
        out = tmp_path / f"killed{attempt}"
        workers = 2 if attempt % 5 == 4 else 1
        process = run_prep(root, out, workers)
        if attempt % 2:  # early in the work, however busy the machine is
            while not (out / ".simipu").exists() and process.poll() is None:
                time.sleep(0.005)
            time.sleep(rng.uniform(0.0, 0.1))
        else:
            time.sleep(rng.uniform(0.1, 1.0) * duration * (2 if workers == 2 else 1))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        unfinished += not (out / "zarr.json").exists()
        assert run_prep(root, out, 1).wait() == 0
        assert contents(out) == expected, attempt
    assert unfinished > 3, "the kills came too late to mean anything"


def test_a_second_writer_is_refused_and_harms_nothing(raw_root, raw_store, tmp_path):
    class Second(KittiRaw):
        """Tries to convert to the same place in the middle of a conversion."""

        def read(self, ref):
            with pytest.raises(UsageError, match="another process is writing"):
                convert(KittiRaw(raw_root), tmp_path / "s", resources=ONE_WORKER)
            return super().read(ref)

    convert(Second(raw_root), tmp_path / "s", resources=ONE_WORKER)
    correspond_store(tmp_path / "s", Policy(), resources=ONE_WORKER)
    assert contents(tmp_path / "s") == contents(raw_store)


def test_a_shard_lost_before_the_end_is_noticed(raw_root, tmp_path):
    class Losing(KittiRaw):
        def read(self, ref):
            if ref.id.endswith("drive_0027_sync/0000000002"):
                (tmp_path / "s" / "lidar" / "points" / "x" / "c" / "0").unlink()
            return super().read(ref)

    with pytest.raises(StoreError, match="lidar/points/x/c/0"):
        convert(Losing(raw_root), tmp_path / "s", resources=ONE_WORKER)
    assert not (tmp_path / "s" / "zarr.json").exists()


@pytest.mark.parametrize("content", [None, b"", b"PK"])
def test_lost_work_is_noticed_and_done_again(raw_root, tmp_path, content, monkeypatch):
    arguments = {"resources": ONE_WORKER, "task_bytes": SMALL_TASK}
    convert(KittiRaw(raw_root), tmp_path / "a", **arguments)
    monkeypatch.setattr("simipu.pipelines.convert.finalise", interrupt)
    with pytest.raises(IncompleteError):
        convert(KittiRaw(raw_root), tmp_path / "b", **arguments)
    monkeypatch.undo()
    victim = sorted(tmp_path.glob("b/.simipu/convert/*.npz"))[2]

    class Losing(KittiRaw):
        def scan(self):
            victim.unlink() if content is None else victim.write_bytes(content)
            return super().scan()

    convert(Losing(raw_root), tmp_path / "b", **arguments)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_converting_again_keeps_begun_correspondences(raw_root, raw_store, tmp_path, monkeypatch):
    out = tmp_path / "s"
    monkeypatch.setattr(correspond_module, "plan_tasks", small_tasks)
    convert(KittiRaw(raw_root), out, resources=ONE_WORKER)
    compute = correspond_module.frame_correspondences
    calls = []

    def interrupted(frame, policy):
        if len(calls) == 4:
            raise KeyboardInterrupt
        calls.append(frame.index)
        return compute(frame, policy)

    monkeypatch.setattr(correspond_module, "frame_correspondences", interrupted)
    with pytest.raises(IncompleteError, match="4 of 11 frames"):
        correspond_store(out, Policy(), resources=ONE_WORKER)
    assert verify(out) == []
    convert(KittiRaw(raw_root), out, resources=ONE_WORKER)
    calls.clear()
    monkeypatch.setattr(
        correspond_module,
        "frame_correspondences",
        lambda f, p: calls.append(f.index) or compute(f, p),
    )
    correspond_store(out, Policy(), resources=ONE_WORKER)
    assert calls == list(range(4, 11))
    assert not (out / ".simipu").exists()


def small_tasks(store):
    """As the real one, with two frames a task."""
    rows = schema.PAIRS_PER_SHARD
    tasks = [
        correspond_module.CorrespondTask(
            name=str(index),
            frames=range(2 * index, min(2 * index + 2, len(store))),
            rows=range(index * rows, (index + 1) * rows),
        )
        for index in range(-(-len(store) // 2))
    ]
    return tasks, len(tasks) * rows


def test_work_of_a_store_converted_anew_is_not_taken_up(raw_root, raw_store, tmp_path, monkeypatch):
    out = tmp_path / "s"
    convert(KittiRaw(raw_root), out, resources=ONE_WORKER)
    monkeypatch.setattr(correspond_module, "_finalise", interrupt)
    with pytest.raises(IncompleteError):
        correspond_store(out, Policy(), resources=ONE_WORKER)
    monkeypatch.undo()
    convert(KittiRaw(raw_root), out, resources=ONE_WORKER, overwrite=True)
    correspond_store(out, Policy(), resources=ONE_WORKER)
    assert contents(out) == contents(raw_store)


def interrupt(*_):
    raise KeyboardInterrupt


def test_a_full_disk_at_the_very_end_can_be_continued(raw_root, raw_store, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("simipu.pipelines.convert.finalise", full)
    with pytest.raises(IncompleteError, match="11 of 11 frames are done"):
        convert(KittiRaw(raw_root), tmp_path / "s", resources=ONE_WORKER)
    monkeypatch.undo()
    convert(KittiRaw(raw_root), tmp_path / "s", resources=ONE_WORKER)
    correspond_store(tmp_path / "s", Policy(), resources=ONE_WORKER)
    assert contents(tmp_path / "s") == contents(raw_store)
