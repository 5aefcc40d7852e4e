"""Our shard files against the Zarr libraries, and the faults that reading must notice."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simipu.errors import StoreError
from simipu.store import schema
from simipu.store.commit import canonical_json
from simipu.store.schema import ArraySpec
from simipu.store.shards import ShardedArray, ShardWriter, write_array
from simipu.store.storage import LocalStorage

DTYPES = ["|b1", "|u1", "<u2", "<u4", "<i4", "<i8", "<f4", "<f8"]


def spec_of(dtype="<f4", row_shape=(), *, compressed=True):
    return ArraySpec(
        path="a/x",
        dtype=dtype,
        row_shape=row_shape,
        chunk_rows=4,
        shard_rows=12,
        compressed=compressed,
    )


def random_rows(spec, count, seed=0):
    data = np.random.default_rng(seed).bytes(count * spec.row_bytes)
    rows = np.frombuffer(data, "|u1" if spec.dtype == "|b1" else spec.dtype)
    rows = rows & 1 if spec.dtype == "|b1" else rows
    return rows.astype(spec.dtype).reshape(count, *spec.row_shape)


def write_metadata(root: Path, spec: ArraySpec, rows: int) -> None:
    (root / spec.path).mkdir(parents=True, exist_ok=True)
    document = canonical_json(schema.array_document(spec, rows))
    (root / spec.path / "zarr.json").write_bytes(document)


def read_with_zarr(path: Path):
    import zarr

    return zarr.open_array(path, mode="r")[...]


def read_with_zarrs(path: Path):
    import zarr

    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return zarr.open_array(path, mode="r")[...]


def read_with_tensorstore(path: Path):
    import tensorstore

    kvstore = {"driver": "file", "path": str(path)}
    return (
        tensorstore.open({"driver": "zarr3", "kvstore": kvstore}, read=True)
        .result()[...]
        .read()
        .result()
    )


@pytest.mark.parametrize("read", [read_with_zarr, read_with_zarrs, read_with_tensorstore])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row_shape", [(), (2, 3)])
@pytest.mark.parametrize("compressed", [True, False])
def test_other_libraries_read_what_we_write(tmp_path, read, dtype, row_shape, compressed):
    spec = spec_of(dtype, row_shape, compressed=compressed)
    rows = random_rows(spec, 30)
    write_array(LocalStorage(tmp_path), spec, rows)
    write_metadata(tmp_path, spec, 30)
    found = np.asarray(read(tmp_path / spec.path))
    assert found.dtype == rows.dtype
    assert found.tobytes() == rows.tobytes()


def test_rows_that_no_task_filled_read_as_zeros_elsewhere(tmp_path):
    spec = spec_of("<u4")
    storage = LocalStorage(tmp_path)
    for start, count in ((0, 5), (24, 13)):
        with ShardWriter(storage, spec, range(start, start + 24)) as writer:
            writer.append(np.arange(start, start + count, dtype="<u4"))
    write_metadata(tmp_path, spec, 48)
    expected = np.zeros(48, "<u4")
    expected[:5] = np.arange(5)
    expected[24:37] = np.arange(24, 37)
    for read in (read_with_zarr, read_with_zarrs, read_with_tensorstore):
        np.testing.assert_array_equal(read(tmp_path / spec.path), expected)


def test_we_read_what_zarr_writes(tmp_path):
    import zarr

    spec = spec_of("<f8", (3,))
    rows = random_rows(spec, 31)
    write_metadata(tmp_path, spec, 31)
    zarr.open_array(tmp_path / spec.path, mode="r+")[...] = rows
    found = ShardedArray(LocalStorage(tmp_path), spec, 31).read(0, 31)
    assert found.tobytes() == rows.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(st.integers(0, 30), min_size=1, max_size=6),
    compressed=st.booleans(),
    data=st.data(),
)
def test_any_rows_appended_in_any_parts_are_read_back(tmp_path_factory, parts, compressed, data):
    root = tmp_path_factory.mktemp("store")
    spec = spec_of("<f4", (2,), compressed=compressed)
    count = sum(parts)
    rows = random_rows(spec, count)
    storage = LocalStorage(root)
    with ShardWriter(storage, spec, range(count)) as writer:
        for part in np.split(rows, np.cumsum(parts)[:-1]):
            writer.append(part)
    start = data.draw(st.integers(0, count))
    stop = data.draw(st.integers(start, count))
    array = ShardedArray(storage, spec, count)
    assert array.read(start, stop).tobytes() == rows[start:stop].tobytes()
    assert sorted(file.path for file in writer.files) == [
        name for name in storage.files() if not name.endswith("zarr.json")
    ]


def test_the_bytes_do_not_depend_on_how_rows_were_appended(tmp_path):
    spec = spec_of("<f4")
    rows = random_rows(spec, 29)
    whole = write_array(LocalStorage(tmp_path / "whole"), spec, rows)
    with ShardWriter(LocalStorage(tmp_path / "parts"), spec, range(29)) as writer:
        for row in rows:
            writer.append(row[None])
    assert writer.files == whole


def test_negative_zero_and_nan_payload_survive(tmp_path):
    spec = spec_of("<f4")
    rows = np.array([0x80000000, 0x7FC01234, 0x00000001, 0] * 4, "<u4").view("<f4")
    write_array(LocalStorage(tmp_path), spec, rows)
    assert ShardedArray(LocalStorage(tmp_path), spec, 16).read(0, 16).tobytes() == rows.tobytes()


@pytest.mark.parametrize("compressed", [True, False])
def test_any_flipped_byte_is_noticed_when_it_is_read(tmp_path, compressed):
    spec = spec_of("<u2", compressed=compressed)
    storage = LocalStorage(tmp_path)
    rows = random_rows(spec, 12)
    (file,) = write_array(storage, spec, rows)
    path = tmp_path / file.path
    original = path.read_bytes()
    for position in range(len(original)):
        damaged = bytearray(original)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"CRC-32C"):
            ShardedArray(LocalStorage(tmp_path), spec, 12).read(0, 12)


def test_a_truncated_or_missing_shard_is_named(tmp_path):
    spec = spec_of()
    (file,) = write_array(LocalStorage(tmp_path), spec, random_rows(spec, 12))
    path = tmp_path / file.path
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(StoreError, match=file.path):
        ShardedArray(LocalStorage(tmp_path), spec, 12).read(0, 3)
    path.unlink()
    with pytest.raises(StoreError, match=file.path):
        ShardedArray(LocalStorage(tmp_path), spec, 12).read(0, 3)


def test_more_rows_than_allotted_are_refused(tmp_path):
    spec = spec_of()
    with (
        pytest.raises(StoreError, match="more rows than were planned"),
        ShardWriter(LocalStorage(tmp_path), spec, range(12, 24)) as writer,
    ):
        writer.append(random_rows(spec, 13))
    assert LocalStorage(tmp_path).files() == []


def test_a_write_that_fails_leaves_no_file(tmp_path):
    spec = spec_of()

    def append_bad_rows():
        with ShardWriter(LocalStorage(tmp_path), spec, range(24)) as writer:
            writer.append(random_rows(spec, 6))
            writer.append(np.zeros(1, "<f8"))

    with pytest.raises(ValueError, match="float64"):
        append_bad_rows()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_document_survives_json(tmp_path):
    for spec in (
        *schema.frame_arrays(3),
        *schema.point_arrays({"x": "<f4"}),
        schema.IMAGE_DATA,
    ):
        document = json.loads(canonical_json(schema.array_document(spec, 7)))
        assert schema.parse_array_document(spec.path, document) == (spec, 7)
        document["codecs"][0]["configuration"]["index_location"] = "start"
        with pytest.raises(ValueError, match="differ"):
            schema.parse_array_document(spec.path, document)


def test_text_rows_are_utf8():
    texts = ["", "Straße", "a/b"]
    rows = schema.encode_text(texts)
    assert rows.shape == (3, 7)
    assert schema.decode_text(rows) == texts
    assert schema.encode_text(["", ""]).shape == (2, 1)
    joined = schema.join_text([rows, schema.encode_text(["a"]), schema.encode_text([])])
    assert schema.decode_text(joined) == [*texts, "a"]


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("chunk_rows", [2, 8])
def test_a_chunk_of_another_size_is_damage(tmp_path, compressed, chunk_rows):
    """Blosc would leave what is missing as it was in memory, or make room for what is too much."""
    written = spec_of(compressed=compressed)
    write_array(LocalStorage(tmp_path), written, random_rows(written, 12))
    listed = dataclasses.replace(written, chunk_rows=chunk_rows, shard_rows=3 * chunk_rows)
    array = ShardedArray(LocalStorage(tmp_path), listed, 3 * chunk_rows)
    for end in (chunk_rows, chunk_rows - 1):
        with pytest.raises(StoreError, match="inner chunk 0 does not hold as much as it must"):
            array.read(0, end)
