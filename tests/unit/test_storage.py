"""Files of a store come into being whole, on the disk, or not at all."""

import hashlib
import os
from pathlib import Path

import pytest

from simipu.store import storage as storage_module
from simipu.store.storage import LocalStorage

CONTENT = {"a/c/0": b"first", "a/c/1": b"", "b/zarr.json": b"third", "top": b"fourth"}


def write_all(batch, content=CONTENT):
    for path, data in content.items():
        with batch.create(path) as file:
            file.write(data[:2], data[2:])
        assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_a_batch_is_in_place_when_it_has_ended(tmp_path):
    storage = LocalStorage(tmp_path / "store")
    with storage.batch() as batch:
        write_all(batch)
        assert storage.files() == []
    assert {path: storage.read(path) for path in storage.files()} == CONTENT
    assert not list((tmp_path / "store/.simipu/partial").iterdir())


@pytest.mark.parametrize("during", ["the batch", "a file"])
def test_a_batch_that_fails_leaves_nothing(tmp_path, during):
    storage = LocalStorage(tmp_path / "store")
    open_files = len(os.listdir("/proc/self/fd"))
    with pytest.raises(KeyError), storage.batch() as batch:  # noqa: PT012
        write_all(batch)
        if during == "the batch":
            raise KeyError
        with batch.create("another") as file:
            file.write(b"some")
            raise KeyError
    assert storage.files() == []
    assert not list((tmp_path / "store/.simipu/partial").iterdir())
    assert len(os.listdir("/proc/self/fd")) == open_files


def test_a_sync_that_fails_leaves_nothing_in_place(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError(5, "no disk")

    storage = LocalStorage(tmp_path / "store")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no disk"), storage.batch() as batch:
        write_all(batch)
    assert storage.files() == []
    assert not list((tmp_path / "store/.simipu/partial").iterdir())


def test_removed_files_are_gone_from_the_disk_and_absent_ones_do_not_matter(tmp_path, monkeypatch):
    storage = LocalStorage(tmp_path / "store")
    for path in ("a/1", "a/2", "b/1"):
        storage.write(path, b"some")
    synced = []
    monkeypatch.setattr(
        storage_module, "_sync_folder", lambda folder: synced.append((folder, storage.files()))
    )
    storage.remove(["a/1", "a/3", "b/1"])
    assert sorted(synced) == [(tmp_path / "store" / name, ["a/2"]) for name in ("a", "b")]


def test_many_files_are_settled_in_parts_without_the_one_being_written(tmp_path, monkeypatch):
    monkeypatch.setattr(storage_module, "_BATCH_FILES", 3)
    storage = LocalStorage(tmp_path)
    with storage.batch() as batch, batch.create("long") as long:
        long.write(b"begin")
        write_all(batch, {str(number): b"%d" % number for number in range(7)})
        assert storage.files() == [str(number) for number in range(6)]
        long.write(b" end")
    assert storage.files() == [*map(str, range(7)), "long"]
    assert storage.read("long") == b"begin end"


@pytest.mark.parametrize("use", ["batch", "create"])
def test_content_is_synced_before_a_file_has_its_name_and_the_name_after(
    tmp_path, monkeypatch, use
):
    """What a crash may leave: a name that is on the disk has its whole content."""
    events: list[tuple[str, int | Path]] = []
    fsync, replace, mkdir = os.fsync, Path.replace, Path.mkdir

    def note_sync(descriptor):
        events.append(("sync", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def note_name(partial, target):
        events.append(("name", target))
        return replace(partial, target)

    def note_folder(folder, **options):
        events.append(("name", folder))
        mkdir(folder, **options)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_name)
    monkeypatch.setattr(Path, "mkdir", note_folder)
    storage = LocalStorage(tmp_path / "store")
    if use == "batch":
        with storage.batch() as batch:
            write_all(batch)
    else:
        write_all(storage)
    names = [path for kind, path in events if kind == "name"]
    assert {storage.root, storage.root / "a/c", *(storage.root / name for name in CONTENT)} <= {
        *names
    }
    for path in names:
        named = events.index(("name", path))
        assert ("sync", path.parent.stat().st_ino) in events[named:]
        assert path.is_dir() or ("sync", path.stat().st_ino) in events[:named]


def test_a_write_that_the_system_cuts_short_is_continued(tmp_path, monkeypatch):
    cuts = iter([3, 4, 0, 8])
    monkeypatch.setattr(os, "writev", lambda fd, parts: os.write(fd, b"".join(parts)[: next(cuts)]))
    storage = LocalStorage(tmp_path)
    for path in "abcd":
        with storage.create(path) as file:
            file.write(b"1234", memoryview(b"5678"))
        assert storage.read(path) == b"12345678"
        assert file.sha256 == hashlib.sha256(b"12345678").hexdigest()
