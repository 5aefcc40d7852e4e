"""The folder that a world is written to: what may be there, and which units are done.

``truth/world.json`` says with which options a data set was, or is being, generated. Until it is
complete, ``.simipu/synthetic`` has an empty file for each unit that is done.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from simipu.errors import UsageError

from .files import write_file
from .layouts import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from .generate import Unit
    from .options import Options

MARKER = "truth/world.json"
VERSION = 2
"""Counts changes of what is written with equal options."""

_WORK = ".simipu"  # the folder of `simipu.store.lock` too, which removes it when it is empty
_DONE = f"{_WORK}/synthetic"
_FORMAT = "simipu synthetic world"
_ANOTHER = "Give another --out, or add --overwrite to replace it."


def refuse_foreign(root: Path) -> None:
    """Refuse to write where something else is.

    Raises:
        UsageError: ``root`` is a file, or a folder with content that was not generated.
    """
    fix = "Give another --out, or move it away yourself."
    if root.exists() and not root.is_dir():
        raise UsageError("exists and is not a folder", where=root, fix=fix)
    if not root.exists() or (root / MARKER).exists():
        return
    names = sorted(path.name for path in root.iterdir() if path.name != _WORK)
    if names == ["truth"] and not [*(root / "truth").glob("[!.]*")]:
        return  # a run was killed while it wrote the marker
    if names:
        raise UsageError(
            f"holds something else ({names[0]}) and no {MARKER}, so it was not generated",
            where=root,
            fix=fix,
        )


def begin(root: Path, options: Options, *, overwrite: bool) -> bool:
    """Make the folder ready; call it while holding it for writing.

    Returns:
        Whether there is anything to do.

    Raises:
        UsageError: another data set was generated, or begun, here, and is not to be overwritten.
    """
    made = _read_marker(root)
    if made is not None:
        other = _differing(made, _describe(options))
        if made.get("complete") is True and not other and not overwrite:
            _remove_marks(root)
            return False
        if made.get("complete") is not True and not other:
            return True
        if not overwrite:
            raise UsageError(
                f"a data set with other options ({', '.join(other)}) was generated here",
                where=root,
                fix=_ANOTHER,
            )
        _clear(root, made)
    else:  # marks may have outlived what they were made for: the marker is not hidden, they are
        _remove_marks(root)
    write_file(root / MARKER, _as_json(_describe(options), complete=False))
    return True


def end(root: Path, options: Options) -> None:
    """Say that the data set is complete."""
    write_file(root / MARKER, _as_json(_describe(options), complete=True))
    _remove_marks(root)


def pending(root: Path, units: Sequence[Unit]) -> list[Unit]:
    """Return the units that are not done."""
    return [unit for unit in units if not _mark(root, unit).exists()]


def count_done(root: Path) -> int:
    """Return the number of units that are done."""
    return sum(len(names) for _, _, names in os.walk(root / _DONE))


def mark_done(root: Path, unit: Unit) -> None:
    """Remember that all files of a unit are written."""
    mark = _mark(root, unit)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def _mark(root: Path, unit: Unit) -> Path:
    return root / _DONE / f"{unit.scene:04d}" / f"{unit.frame:06d}"


def _remove_marks(root: Path) -> None:
    shutil.rmtree(root / _DONE, ignore_errors=True)


def _describe(options: Options) -> dict[str, Any]:
    return {"format": _FORMAT, "version": VERSION, **options.as_dict()}


def _as_json(description: Mapping[str, Any], *, complete: bool) -> str:
    return json.dumps({**description, "complete": complete}, indent=1) + "\n"


def _read_marker(root: Path) -> dict[str, Any] | None:
    path = root / MARKER
    try:
        made = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        made = None
    if not isinstance(made, dict) or made.get("format") != _FORMAT:
        raise UsageError(
            "is damaged, so it is not known what was generated here",
            where=path,
            fix="Give another --out, or remove the folder yourself.",
        )
    return made


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    names = {*one, *other} - {"complete"}
    return sorted(name for name in names if one.get(name) != other.get(name))


def _clear(root: Path, made: Mapping[str, Any]) -> None:
    """Remove what was generated, and nothing else.

    The order matters where this is killed: with the marks gone and the marker incomplete, a run
    with the old options would write all of it again.
    """
    write_file(root / MARKER, _as_json(made, complete=False))
    _remove_marks(root)
    layout = LAYOUTS.get(str(made.get("layout")))
    for path in _matching(root, layout.entries if layout else ()):
        _remove(path)
    for path in (root / "truth").iterdir():
        if path != root / MARKER:
            _remove(path)


def _matching(root: Path, patterns: Iterable[str]) -> list[Path]:
    return sorted({path for pattern in patterns for path in root.glob(pattern)})


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            path.unlink()
