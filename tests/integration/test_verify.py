"""`verify` names every file that is not what was committed."""

import json
import random
import shutil

import pytest

import simipu
from folders import contents
from simipu.errors import IncompleteError, StoreError
from simipu.store.commit import canonical_json, commit, read_root, root_digest
from simipu.store.shards import WrittenFile
from simipu.store.storage import LocalStorage
from simipu.store.verify import verify


@pytest.fixture
def copy(raw_store, tmp_path):
    return shutil.copytree(raw_store, tmp_path / "copy.zarr")


def named(faults):
    return {fault.path for fault in faults}


def test_a_whole_store_has_no_faults(raw_store):
    seen = []
    assert verify(raw_store, progress=lambda size, total: seen.append((size, total))) == []
    assert sum(size for size, _ in seen) == seen[0][1]


def test_any_flipped_byte_in_any_file_is_found_and_named(copy):
    rng = random.Random(1)
    for name in contents(copy):
        path = copy / name
        original = path.read_bytes()
        positions = {0, len(original) - 1, *(rng.randrange(len(original)) for _ in range(2))}
        for position in positions:
            damaged = bytearray(original)
            damaged[position] ^= 1 << rng.randrange(8)
            path.write_bytes(damaged)
            assert named(verify(copy)) == {name}, (name, position)
        path.write_bytes(original)
    assert verify(copy) == []


def test_every_byte_of_the_root_and_of_the_manifest_counts(copy):
    (manifest,) = copy.glob("manifest-*.json")
    for path in (copy / "zarr.json", manifest):
        original = path.read_bytes()
        for position in range(0, len(original), 97):
            for value in (original[position] ^ 0x20, 0x20, 0x0A):
                if value == original[position]:
                    continue
                damaged = bytearray(original)
                damaged[position] = value
                path.write_bytes(damaged)
                assert named(verify(copy)) == {path.name}, (path.name, position, value)
        path.write_bytes(original)


def test_any_deleted_file_is_found_and_named(copy):
    for name in contents(copy):
        path = copy / name
        original = path.read_bytes()
        path.unlink()
        faults = verify(copy)
        assert named(faults) == {name}
        assert "missing" in faults[0].what
        path.write_bytes(original)


def test_a_file_too_short_and_a_foreign_file_are_named(copy):
    path = next(copy.glob("camera/data/c/*"))
    path.write_bytes(path.read_bytes()[:-1])
    (copy / "lidar" / "points" / "x" / "c" / "9").write_bytes(b"foreign")
    assert named(verify(copy)) == {path.relative_to(copy).as_posix(), "lidar/points/x/c/9"}


def test_a_manifest_that_leaves_the_store_is_refused(copy, tmp_path):
    (tmp_path / "secret").write_bytes(b"x")
    storage = LocalStorage(copy)
    root = read_root(storage)
    commit(storage, root.attributes, list(root.arrays.values()), [WrittenFile("../secret", 1, "")])
    assert "leaves the store" in {fault.path: fault.what for fault in verify(copy)}["../secret"]


def rewrite_root(store, change):
    """Change the root document as somebody with a text editor and a calculator would."""
    document = json.loads((store / "zarr.json").read_bytes())
    change(document["attributes"]["simipu"])
    document["attributes"]["simipu"]["root_sha256"] = root_digest(document)
    (store / "zarr.json").write_bytes(canonical_json(document))


def test_a_root_that_names_a_manifest_elsewhere_is_refused(copy, tmp_path):
    (tmp_path / "secret").write_bytes(b"x")
    rewrite_root(copy, lambda own: own["manifest"].update(path="../secret"))
    (fault,) = verify(copy)
    assert "was changed" in fault.what


def test_a_changed_root_is_not_opened(copy):
    root = copy / "zarr.json"
    root.write_bytes(root.read_bytes().replace(b'"frames": 11', b'"frames": 10'))
    with pytest.raises(StoreError, match=r"zarr\.json: was changed"):
        simipu.open_store(copy)


def test_work_in_progress_is_no_fault(copy):
    (copy / ".simipu").mkdir()
    half = copy / "correspondence" / "0123456789abcdef" / "u" / "c" / "0"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    assert verify(copy) == []
    (copy / "lidar" / "count" / "c" / "7").write_bytes(b"foreign")
    assert named(verify(copy)) == {"lidar/count/c/7"}


def test_a_newer_major_version_is_refused_with_the_way_out(copy):
    document = json.loads((copy / "zarr.json").read_bytes())
    document["attributes"]["simipu"]["format_version"] = "2.0"
    (copy / "zarr.json").write_bytes(canonical_json(document))
    with pytest.raises(StoreError, match=r"format 2\.0.*\n.*pip install -U simipu"):
        simipu.open_store(copy)


def test_a_newer_minor_version_is_read(copy):
    document = json.loads((copy / "zarr.json").read_bytes())
    document["attributes"]["simipu"]["format_version"] = "1.9"
    document["attributes"]["simipu"]["root_sha256"] = root_digest(document)
    (copy / "zarr.json").write_bytes(canonical_json(document))
    assert len(simipu.open_store(copy)) == 11


def test_an_unfinished_or_absent_store_says_so(tmp_path):
    (tmp_path / "s" / ".simipu").mkdir(parents=True)
    with pytest.raises(IncompleteError, match="same `simipu-prep` command"):
        verify(tmp_path / "s")
    with pytest.raises(StoreError, match="there is no such store"):
        verify(tmp_path / "absent")
