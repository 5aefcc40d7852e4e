"""What a source says of its data set, checked before anything relies on it.

Every function raises a `SourceError` that names the field, and what to do about it. The texts speak
to whoever writes a source: see ``docs/adding-a-dataset.md``.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from simipu.correspond.policy import Policy
from simipu.errors import SourceError, UsageError
from simipu.records import FrameRef, Scan, Scene, Skipped, SourceInfo
from simipu.store import schema

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_POINTS = 2**32  # a correspondence names its point by a uint32
_MAX_IMAGE_BYTES = 2**40


def fault(field: str, what: str, fix: str) -> SourceError:
    """Describe what is wrong with a field of a record."""
    return SourceError(f"{field} {what}", fix=fix)


def check_info(info: object) -> None:
    """Check what a source says of its whole data set.

    Raises:
        SourceError: a field of it cannot go into a store.
    """
    if not isinstance(info, SourceInfo):
        raise _wrong_type("info", info, SourceInfo)
    for field in ("name", "licence"):
        check_text(f"info.{field}", getattr(info, field), empty=False)
    for field in ("cameras", "frame_attributes"):
        names = getattr(info, field)
        _check_tuple(f"info.{field}", names, str)
        for name in names:
            check_name(f"info.{field}", name)
        check_unique(f"info.{field}", names)
    for name in info.point_columns:
        check_name("info.point_columns", name)
    if [info.point_columns.get(axis) for axis in "xyz"] != ["<f4"] * 3:
        raise fault(
            "info.point_columns",
            f"must have x, y and z of dtype '<f4', not {dict(info.point_columns)}",
            "Give the position in metres as float32, whatever the files have.",
        )
    try:
        schema.point_arrays(info.point_columns)
    except ValueError as error:
        raise fault(
            "info.point_columns",
            f"cannot be stored ({error})",
            "Use little-endian NumPy dtypes such as '<f4', '<u2', '|u1'.",
        ) from None
    suffix = info.point_suffix
    if not isinstance(suffix, str) or not suffix.startswith(".") or "/" in suffix:
        raise fault("info.point_suffix", f"is {suffix!r}", "Give a file name ending, e.g. '.bin'.")
    _check_tuple("info.notes", info.notes, str)
    for note in info.notes:
        check_text("info.notes", note)
    check_json("info.options", dict(info.options))
    try:
        Policy.from_dict(info.policy)
    except UsageError as error:
        raise fault("info.policy", f"is refused: {error.what}", error.fix or "") from None
    for camera, number in info.projection_cameras.items():
        if camera not in info.cameras or type(number) is not int:
            raise fault(
                "info.projection_cameras",
                f"says {number!r} of {camera!r}",
                "It gives cameras of info.cameras a number as an int.",
            )
    if info.ego_box_m is not None:
        _check_box(info.ego_box_m)
    for laser, origin in info.lidar_origins_m.items():
        _check_origin(laser, origin)
    if info.lidar_origins_m and "laser" not in info.point_columns:
        raise fault(
            "info.lidar_origins_m",
            "needs the point column 'laser', which is not there",
            "Give each point the number of its laser, or leave lidar_origins_m out.",
        )


def check_scan(scan: object) -> None:
    """Check what a source found on disk.

    Raises:
        SourceError: names are not unique, a bound is no number, a key is not made of JSON values.
    """
    if not isinstance(scan, Scan):
        raise _wrong_type("scan()", scan, Scan)
    _check_tuple("scan().scenes", scan.scenes, Scene)
    _check_tuple("scan().skipped", scan.skipped, Skipped)
    check_unique("the names of the scenes", (scene.name for scene in scan.scenes))
    for scene in scan.scenes:
        where = f"scene {scene.name!r}:"
        check_text(f"{where} its name", scene.name, empty=False)
        check_text(f"{where} split", scene.split)
        for name, text in scene.attributes.items():
            check_name(f"{where} attributes", name)
            check_text(f"{where} attributes[{name!r}]", text)
        _check_tuple(f"{where} frames", scene.frames, FrameRef)
        if not scene.frames:
            raise fault(where, "has no frames", "Leave scenes without any frame out.")
        for ref in scene.frames:
            _check_ref(ref)
    check_unique("the ids of the frames", (ref.id for s in scan.scenes for ref in s.frames))
    for entry in scan.skipped:
        for field in ("frame_id", "path", "reason"):
            check_text(f"skipped frame {entry.frame_id!r}: {field}", getattr(entry, field))


def check_text(field: str, text: object, *, empty: bool = True) -> None:
    """Check a text that the store keeps as UTF-8, padded with zero bytes."""
    if not isinstance(text, str):
        raise _wrong_type(field, text, str)
    if not (text or empty):
        raise fault(field, "is empty", "Give it a text.")
    if "\0" in text or not _is_unicode(text):
        raise fault(field, f"is no plain text: {text[:40]!r}", "Leave out what is not Unicode.")


def check_name(field: str, name: object) -> None:
    """Check a name that becomes part of a path in the store, or of a file's name."""
    check_text(field, name, empty=False)
    assert isinstance(name, str)
    if name.startswith((".", "__")) or not name.isprintable() or set(name) & set("/\\"):
        raise fault(
            field,
            f"has the name {name!r}, which cannot be a file's",
            "Use letters, digits and underscores.",
        )


def check_unique(field: str, names: Iterable[str]) -> None:
    """Check that no name is there twice."""
    name, count = next(iter(Counter(names).most_common(1)), ("", 1))
    if count > 1:
        raise fault(field, f"must be unique, but {count} are {name!r}", "Tell them apart.")


def check_json(field: str, value: object) -> None:
    """Check that a value is the same after having been written as JSON."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise fault(
            field,
            f"is not made of JSON values ({error})",
            "Use int(), float(), str() and .tolist() on what NumPy and pathlib give.",
        ) from None


def is_whole(value: object) -> bool:
    """Tell whether a value is an integer, of Python or NumPy."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _check_ref(ref: FrameRef) -> None:
    where = f"frame {ref.id!r}:"
    check_text(f"{where} its id", ref.id, empty=False)
    for field, limit in (("max_points", _MAX_POINTS), ("max_image_bytes", _MAX_IMAGE_BYTES)):
        value = getattr(ref, field)
        # Not NumPy's integers: plan and digest are JSON.
        if type(value) is not int or not 0 <= value < limit:
            raise fault(
                f"{where} {field}",
                f"is {value!r}",
                "Give a bound as an int, found from the sizes of the files.",
            )
    if ref.source_bytes is not None and (type(ref.source_bytes) is not int or ref.source_bytes < 0):
        raise fault(f"{where} source_bytes", f"is {ref.source_bytes!r}", "Give an int, or None.")
    if not isinstance(ref.key, tuple):
        raise _wrong_type(f"{where} key", ref.key, tuple)
    check_json(f"{where} key", ref.key)


def _check_box(box: object) -> None:
    try:
        x0, y0, z0, x1, y1, z1 = (float(side) for side in box)  # type: ignore[attr-defined]
        good = x0 < x1 and y0 < y1 and z0 < z1 and math.isfinite(sum((x0, y0, z0, x1, y1, z1)))
    except (TypeError, ValueError):
        good = False
    if not good:
        raise fault(
            "info.ego_box_m",
            f"is {box!r}",
            "Give x_min, y_min, z_min, x_max, y_max, z_max in metres in the ego frame, or None.",
        )


def _check_origin(laser: object, origin: object) -> None:
    try:
        x, y, z = (float(part) for part in origin)  # type: ignore[attr-defined]
        good = type(laser) is int and math.isfinite(sum((x, y, z)))
    except (TypeError, ValueError):
        good = False
    if not good:
        raise fault(
            "info.lidar_origins_m",
            f"says {origin!r} of laser {laser!r}",
            "It gives lasers, by their number as an int, x, y, z in metres in the lidar frame.",
        )


def _check_tuple(field: str, values: object, kind: type) -> None:
    if not isinstance(values, tuple):
        raise _wrong_type(field, values, tuple)
    for value in values:
        if not isinstance(value, kind):
            raise _wrong_type(f"an entry of {field}", value, kind)


def _wrong_type(field: str, value: object, expected: type) -> SourceError:
    module = "" if expected.__module__ == "builtins" else f"{expected.__module__}."
    return fault(
        field,
        f"is a {type(value).__name__}, not a {expected.__name__}",
        f"Give a {module}{expected.__name__}.",
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, as os.listdir makes them
        return False
    return True
