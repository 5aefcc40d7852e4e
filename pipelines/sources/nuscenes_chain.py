"""Rows of nuScenes that name the ones before and after them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from simipu.errors import SourceError

from .nuscenes_rows import UNPACK_TABLES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .nuscenes_rows import Row


def in_order(rows: Sequence[Row], path: Path, what: str) -> list[Row]:
    """Follow ``next`` through all rows from the only one without ``prev``.

    Args:
        rows: of one scene, and of one sensor.
        path: their table, for the error.
        what: whose rows they are, likewise.

    Returns:
        The same rows; their times never decrease.

    Raises:
        SourceError: the chain is broken.
    """
    if not rows:
        return []
    by_token = {row["token"]: row for row in rows}
    first = [row for row in rows if not row["prev"]]
    if len(first) != 1:
        raise _broken(f"{len(first)} of its {len(rows)} rows are the first of a chain", path, what)
    chain = [first[0]]
    # A row is not entered twice, because its prev is one row only.
    while token := chain[-1]["next"]:
        following = by_token.get(token)
        if following is None:
            raise _broken(
                f"the next of row {chain[-1]['token']}, {token!r}, is no row of it", path, what
            )
        if following["prev"] != chain[-1]["token"]:
            raise _broken(
                f"row {token} is the next of row {chain[-1]['token']}, but its prev is "
                f"{following['prev']!r}",
                path,
                what,
            )
        chain.append(following)
    if len(chain) != len(rows):
        raise _broken(f"it passes by {len(rows) - len(chain)} of {len(rows)} rows", path, what)
    for before, after in pairwise(chain):
        if after["timestamp"] < before["timestamp"]:
            raise _broken(
                f"row {after['token']} is earlier than its prev, row {before['token']}", path, what
            )
    return chain


def _broken(fault: str, path: Path, what: str) -> SourceError:
    return SourceError(f"the chain of {what} is broken: {fault}", where=path, fix=UNPACK_TABLES)
