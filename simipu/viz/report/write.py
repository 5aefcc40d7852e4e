"""One self-contained page about a whole store, to be opened in any browser, offline."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from simipu.errors import UsageError
from simipu.viz.report.gather import gather
from simipu.viz.report.page import draw_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from simipu.store.reader import Store


def write_report(
    store: Store,
    path: Path,
    *,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> None:
    """Write an HTML page: what is in a store, how it looks, and what seems wrong with it.

    Expensive parts use frames spread over the store; the page says how many.

    Args:
        store: the store.
        path: the file to write; an existing one is replaced when the page is complete.
        progress: wraps the indices of the frames that are read.

    Raises:
        UsageError: the folder of ``path`` does not exist.
        StoreError: the store is damaged.
    """
    if not path.parent.is_dir():
        raise UsageError("there is no such folder", where=path.parent, fix="Make it first.")
    page = draw_page(store, gather(store, progress=progress))
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(page, encoding="utf-8")
    os.replace(partial, path)
