import os
import struct

import pytest

from simipu.errors import SimipuError, SourceError
from simipu.pipelines.sources.tfrecord import Record, index_records, read_record
from synthetic_waymo import crc32c

PAYLOADS = [b"first", b"", bytes(range(256)) * 40]


def masked_crc(data):
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32)


def record(payload):
    length = struct.pack("<Q", len(payload))
    return length + masked_crc(length) + payload + masked_crc(payload)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(b"".join(map(record, PAYLOADS)))
    return path


def faulty(path, change):
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def test_the_tests_own_checksum_is_right():
    assert crc32c(b"123456789") == 0xE3069283


def test_records_are_found_and_read(path):
    found = index_records(path)
    assert found == [Record(0, 0, 5), Record(1, 21, 0), Record(2, 37, 10240)]
    assert [read_record(path, one) for one in found] == PAYLOADS
    assert found[-1].end == path.stat().st_size


def test_payloads_are_not_read_to_find_the_records(path):
    before = index_records(path)
    faulty(path, lambda data: data.__setitem__(slice(49, 49 + 10240), bytes(10240)))
    assert index_records(path) == before
    with pytest.raises(SourceError, match=r"record 2 at byte 37 is damaged: the CRC of its data"):
        read_record(path, before[2])


@pytest.mark.parametrize("bit", range(8))
@pytest.mark.parametrize("byte", [12, 16, 17, 20])
def test_a_flipped_bit_in_the_data_or_its_crc_is_found(path, byte, bit):
    first = index_records(path)[0]
    faulty(path, lambda data: data.__setitem__(byte, data[byte] ^ 1 << bit))
    with pytest.raises(SourceError, match=r"a\.tfrecord: record 0 at byte 0 is damaged") as caught:
        read_record(path, first)
    assert "Download" in caught.value.fix


@pytest.mark.parametrize("byte", [21, 28, 29, 32])
def test_a_flipped_bit_in_a_later_header_is_found(path, byte):
    faulty(path, lambda data: data.__setitem__(byte, data[byte] ^ 1))
    with pytest.raises(SourceError, match="record 1 at byte 21 is damaged: the CRC of its length"):
        index_records(path)


@pytest.mark.parametrize("kept", [22, 32, 36, 38, 48, 49, 1000, 37 + 12 + 10240 + 3])
def test_a_truncated_file_is_found(path, kept):
    os.truncate(path, kept)
    number, start = (1, 21) if kept < 37 else (2, 37)
    with pytest.raises(SourceError, match=f"record {number} at byte {start} is truncated"):
        index_records(path)


def test_a_file_that_is_truncated_after_it_was_indexed_is_found(path):
    found = index_records(path)
    os.truncate(path, 1000)
    with pytest.raises(SourceError, match=r"record 2 .* is truncated: .* ends at 1,000"):
        read_record(path, found[2])


def test_a_file_that_was_replaced_after_it_was_indexed_is_found(path):
    found = index_records(path)
    path.write_bytes(record(b"another") * 3)
    with pytest.raises(SourceError, match="record 0 at byte 0 has another length than before"):
        read_record(path, found[0])
    with pytest.raises(SourceError, match="record 1 at byte 21"):
        read_record(path, found[1])


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (b"PAR1" + bytes(5000), "is not a TFRecord file"),
        (b"\x89PNG\r\n", "record 0 at byte 0 is truncated: 6 of the 12 bytes of its header"),
        (b"\x1f\x8b\x08" + bytes(100), "is compressed with gzip"),
    ],
)
def test_other_files_are_refused(path, content, what):
    path.write_bytes(content)
    with pytest.raises(SourceError, match=rf"a\.tfrecord: {what}"):
        index_records(path)


def test_a_missing_file_is_refused(tmp_path):
    for read in (index_records, lambda path: read_record(path, Record(0, 0, 1))):
        with pytest.raises(SourceError, match="the file is missing"):
            read(tmp_path / "none.tfrecord")


def test_a_folder_is_no_fault_of_the_data(tmp_path):
    with pytest.raises(SimipuError, match="cannot be read") as caught:
        index_records(tmp_path)
    assert not isinstance(caught.value, SourceError)
