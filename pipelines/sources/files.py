"""Reading files of unknown condition: every fault becomes a ``SourceError`` that names the file."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simipu.errors import SimipuError, SourceError
from simipu.records import Skipped

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LFS_PREFIX = b"version https://git-lfs.github.com/spec/"
LFS_MAX_BYTES = 1024
UNPACK_AGAIN = "Unpack the official archive that holds this file again."
DOWNLOAD_AGAIN = "Download this file again, and compare its size with the original's."


def read_bytes(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        SourceError: the file is missing, empty, or a Git LFS pointer.
        SimipuError: it cannot be read now. Not a fault of the data: it must stop a conversion, not
            make it leave the frame out.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        what = "the file is missing"
        if path.is_symlink():
            what = f"the file is a link to {path.readlink()}, which does not exist"
        raise SourceError(what, where=path, fix=UNPACK_AGAIN) from None
    except OSError as error:
        raise SimipuError(
            f"the file cannot be read: {error.strerror}",
            where=path,
            fix="Check the permissions of the file and its folders, and the disk.",
        ) from None
    if not data:
        raise SourceError("the file is empty", where=path, fix=UNPACK_AGAIN)
    if data.startswith(LFS_PREFIX):
        raise SourceError(
            "is a Git LFS pointer, not the file itself",
            where=path,
            fix="Run `git lfs pull` in the repository that this file comes from.",
        )
    return data


def refuse_useless(path: Path) -> None:
    """Raise the errors of `read_bytes` without reading a large file.

    Raises:
        SourceError: the file is missing, empty, or a Git LFS pointer.
        SimipuError: it cannot be read now.
    """
    try:
        is_small = path.stat().st_size < LFS_MAX_BYTES
    except OSError:
        is_small = True
    if is_small:
        read_bytes(path)


def unreadable(path: Path, error: OSError) -> SimipuError:
    """Describe a failure to read: a fault of the data only where the file is missing."""
    if isinstance(error, FileNotFoundError):
        return SourceError("the file is missing", where=path, fix=DOWNLOAD_AGAIN)
    return SimipuError(
        f"the file cannot be read: {error.strerror}",
        where=path,
        fix="Check the permissions of the file and its folders, and the disk.",
    )


def digest(*paths: Path) -> str:
    """Tell one state of small files from another; same errors as `read_bytes`."""
    state = hashlib.sha256()
    for path in paths:
        state.update(read_bytes(path))
    return state.hexdigest()[:16]


def read_text(path: Path) -> str:
    """Read an ASCII text file; same errors as `read_bytes`, and for bytes that are not ASCII."""
    data = read_bytes(path)
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SourceError(
            f"is not plain text: byte 0x{data[error.start]:02x} in line {line}",
            where=path,
            fix=f"The file is damaged. {UNPACK_AGAIN}",
        ) from None


@dataclass(frozen=True, slots=True)
class NumberedFiles:
    """The numbered files of one folder, listed but not opened.

    Attributes:
        folder: the folder.
        suffix: ending of the files' names.
        sizes: stem -> size in bytes, ascending; -1 where the size cannot be found out, for
            example of a broken link.
    """

    folder: Path
    suffix: str
    sizes: Mapping[str, int]

    def path(self, stem: str) -> Path:
        """Return the path of a file, whether it is listed or not."""
        return self.folder / f"{stem}{self.suffix}"

    def check(self, stem: str) -> None:
        """Find, from its size alone, that a listed file cannot be whole.

        Only a file small enough to be a Git LFS pointer is opened.

        Raises:
            SourceError: the file is inaccessible, empty, or a Git LFS pointer.
        """
        if self.sizes[stem] < LFS_MAX_BYTES:
            read_bytes(self.path(stem))


def list_numbered(folder: Path, suffix: str, digits: int) -> NumberedFiles:
    """List the files of a folder whose stem is a number of so many digits.

    Files with any other name are left out, such as the ``._000000.png`` that macOS leaves behind.
    A folder that does not exist has no files.

    Raises:
        SourceError: the folder cannot be listed.
    """
    length = digits + len(suffix)
    try:
        with os.scandir(folder) as entries:
            sizes = {
                entry.name[:digits]: _size(entry)
                for entry in entries
                if len(entry.name) == length
                and entry.name.endswith(suffix)
                and is_number(entry.name[:digits])
            }
    except FileNotFoundError:
        sizes = {}
    except OSError as error:
        raise _unlistable(folder, error) from error
    return NumberedFiles(folder, suffix, dict(sorted(sizes.items())))


def list_folders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted; hidden ones are left out."""
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir())
    except OSError as error:
        raise _unlistable(folder, error) from error


def skipped_frame(frame_id: str, fault: SourceError, *, expected: bool = False) -> Skipped:
    """Describe a frame that is left out because of a fault."""
    reason = fault.what if fault.fix is None else f"{fault.what}. {fault.fix}"
    return Skipped(frame_id=frame_id, path=fault.where or "", reason=reason, expected=expected)


def is_number(text: str) -> bool:
    """Tell whether a file's stem consists of the digits 0 to 9 only."""
    return text.isascii() and text.isdigit()


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:
        return -1


def _unlistable(folder: Path, error: OSError) -> SourceError:
    return SourceError(
        f"the folder cannot be listed: {error.strerror}",
        where=folder,
        fix="Check that it is a folder, and its permissions.",
    )
