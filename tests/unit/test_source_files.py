"""Listing and reading files of unknown condition."""

import os
from pathlib import Path

import pytest

from simipu.errors import SimipuError, SourceError
from simipu.pipelines.sources.files import NumberedFiles, list_numbered, read_bytes, read_text

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 886551\n"
)


def test_numbered_files_in_order_with_their_sizes(tmp_path):
    for name, size in {"000010.bin": 3, "000002.bin": 0, "000007.bin": 5}.items():
        (tmp_path / name).write_bytes(bytes(size))
    for name in ["._000002.bin", "000003.png", "3.bin", "00000a.bin", "000004.bin.part"]:
        (tmp_path / name).write_bytes(b"x")
    assert list(list_numbered(tmp_path, ".bin", 6).sizes.items()) == [
        ("000002", 0),
        ("000007", 5),
        ("000010", 3),
    ]


def test_links_are_followed_and_broken_ones_are_listed(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"1234")
    (tmp_path / "000000.bin").symlink_to("elsewhere")
    (tmp_path / "000001.bin").symlink_to("nowhere")
    files = list_numbered(tmp_path, ".bin", 6)
    assert files.sizes == {"000000": 4, "000001": -1}
    with pytest.raises(SourceError, match=r"(?s)000001\.bin: .*link to nowhere, which does not"):
        files.check("000001")


def test_absent_folder_has_no_files_but_a_file_is_no_folder(tmp_path):
    assert list_numbered(tmp_path / "velodyne", ".bin", 6).sizes == {}
    (tmp_path / "calib").write_text("x")
    with pytest.raises(SourceError, match=r"(?s)calib: the folder cannot be listed.*Check"):
        list_numbered(tmp_path / "calib", ".txt", 6)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "the file is missing.*Unpack"),
        (b"", "the file is empty.*Unpack"),
        (POINTER, "Git LFS pointer.*git lfs pull"),
    ],
)
def test_faults_of_a_file(tmp_path, content, fault):
    path: Path = tmp_path / "000002.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=rf"(?s)000002\.png: .*{fault}"):
        read_bytes(path)
    with pytest.raises(SourceError, match=rf"(?s)000002\.png: .*{fault}"):
        NumberedFiles(tmp_path, ".png", {"000002": len(content or b"")}).check("000002")


def test_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(SimipuError, match=r"(?s)cannot be read: Is a directory.*permissions"):
        read_bytes(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_denied(tmp_path):
    path = tmp_path / "000002.png"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(SimipuError, match=r"(?s)cannot be read: Permission denied.*permissions"):
        read_bytes(path)


def test_text_that_is_not_ascii_names_the_line(tmp_path):
    path = tmp_path / "000002.txt"
    path.write_bytes(b"P0: 1\nP1: \xff\xfe\n")
    with pytest.raises(SourceError, match=r"(?s)000002\.txt: .*byte 0xff in line 2.*Unpack"):
        read_text(path)
