"""What the rows of nuScenes' tables must be made of, as far as a conversion reads them.

Format: https://www.nuscenes.org/nuscenes#data-format.
"""

from __future__ import annotations

import math
from sys import intern
from typing import TYPE_CHECKING, Any

from simipu.errors import SourceError

from .nuscenes_rows import UNPACK_TABLES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .nuscenes_rows import Row

LIDAR = "LIDAR_TOP"
_UNIT_TOLERANCE = 1e-3
_MOST = 2**53  # microseconds that are nanoseconds in an int64


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("is no text")
    if "\0" in value:
        raise ValueError("has a NUL character")
    if not value.isascii():
        value.encode()  # JSON can spell half a character
    return value


def _token(value: Any) -> str:
    return intern(_text(value))  # each occurs in many rows


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("is no whole number")
    if abs(value) > _MOST:
        raise ValueError("is out of range")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("is neither true nor false")
    return value


def _numbers(value: Any, count: int) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != count:
        raise TypeError(f"is no list of {count} numbers")
    for number in value:
        if not isinstance(number, float | int) or isinstance(number, bool):
            raise TypeError(f"is no list of {count} numbers")
        if not -_MOST <= number <= _MOST:
            raise ValueError("has a number that is not finite")
    return tuple(map(float, value))


def _translation(value: Any) -> tuple[float, ...]:
    return _numbers(value, 3)


def _rotation(value: Any) -> tuple[float, ...]:
    quaternion = _numbers(value, 4)
    if abs(math.hypot(*quaternion) - 1.0) > _UNIT_TOLERANCE:
        raise ValueError(f"is no rotation: the quaternion's length is {math.hypot(*quaternion):g}")
    return quaternion


def _intrinsic(value: Any) -> tuple[float, ...]:
    """Return the nine numbers of a pinhole matrix, or none of a sensor that is no camera."""
    if value == []:
        return ()
    if not isinstance(value, list) or len(value) != 3:
        raise TypeError("is no list of 3 rows")
    K = tuple(number for row in value for number in _numbers(row, 3))
    if K[0] <= 0.0 or K[4] <= 0.0 or K[3] != 0.0 or K[6:] != (0.0, 0.0, 1.0):
        raise ValueError("is no pinhole matrix")
    return K


FIELDS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "sensor": {"token": _token, "channel": _token, "modality": _token},
    "calibrated_sensor": {
        "token": _token,
        "sensor_token": _token,
        "translation": _translation,
        "rotation": _rotation,
        "camera_intrinsic": _intrinsic,
    },
    "ego_pose": {"token": _token, "rotation": _rotation, "translation": _translation},
    "log": {
        "token": _token,
        "logfile": _text,
        "vehicle": _text,
        "date_captured": _text,
        "location": _text,
    },
    "scene": {
        "token": _token,
        "log_token": _token,
        "name": _text,
        "description": _text,
        "nbr_samples": _integer,
        "first_sample_token": _token,
        "last_sample_token": _token,
    },
    "sample": {
        "token": _token,
        "scene_token": _token,
        "timestamp": _integer,
        "prev": _token,
        "next": _token,
    },
    "sample_data": {
        "token": _token,
        "sample_token": _token,
        "ego_pose_token": _token,
        "calibrated_sensor_token": _token,
        "timestamp": _integer,
        "is_key_frame": _flag,
        "filename": _text,
        "width": _integer,
        "height": _integer,
        "prev": _token,
        "next": _token,
    },
}
"""Table -> field -> what checks a value and returns it, as small as it can be."""


def faulty_row(path: Path, number: int, row: Row) -> SourceError:
    """Describe what is wrong with a row of a table, "<table>.json"."""
    what = "is damaged"
    for field, check in FIELDS[path.stem].items():
        if field not in row:
            what = f"has no {field}"
            break
        try:
            check(row[field])
        except (TypeError, ValueError) as error:
            what = f"is damaged: its {field}, {str(row[field])[:60]!r}, {error}"
            break
    token = str(row.get("token", ""))[:32]
    return SourceError(f"row {number} ({token}) {what}", where=path, fix=UNPACK_TABLES)
