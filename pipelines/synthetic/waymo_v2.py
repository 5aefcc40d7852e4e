"""Version 2 of the Waymo Open Dataset: for each segment and component a Parquet file."""

from __future__ import annotations

import io
import os
import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from simipu.errors import UsageError

from .files import PARTIAL
from .waymo_tables import PER_SEGMENT, TABLES, rows
from .waymo_writer import WaymoWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .options import Options
    from .waymo_content import FrameContent
    from .waymo_segment import Segment

_ROW_GROUPS = 4
"""In the large tables; the published files have as many, of about 51 frames."""

_MAX_FRAMES_PER_GROUP = 16
"""A frame takes 60 MB in memory."""

_BROTLI_LEVEL = 3
"""Half the time of the default, level 8, for files a tenth larger."""


class WaymoV2Writer(WaymoWriter):
    """Writes ``<split>/<component>/<context>.parquet``.

    Raises:
        UsageError: pyarrow is not installed.
    """

    def __init__(self, root: Path, options: Options) -> None:
        super().__init__(root, options)
        _arrow()

    def _encode(self, content: FrameContent) -> bytes:
        """Return the tables of a frame, one Arrow stream after the other."""
        pa = _arrow()
        out = io.BytesIO()
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        for name, found in rows(content).items():
            table = pa.Table.from_pylist(found, schema=schema(name))
            with pa.ipc.new_stream(out, table.schema, options=options) as stream:
                stream.write_table(table)
        return out.getvalue()

    def _files(self, segment: Segment) -> Sequence[Path]:
        folder = self._root / segment.split
        return [folder / name / f"{segment.context}.parquet" for name in TABLES]

    def _assemble(self, segment: Segment, parts: Sequence[Path]) -> None:
        from pyarrow.parquet import ParquetWriter

        pa = _arrow()
        files = dict(zip(TABLES, self._files(segment), strict=True))
        partial = {name: path.with_name(f".{path.name}{PARTIAL}") for name, path in files.items()}
        frames = min(-(-len(parts) // _ROW_GROUPS), _MAX_FRAMES_PER_GROUP)
        with ExitStack() as stack:
            writers = {
                name: stack.enter_context(
                    ParquetWriter(
                        path, schema(name), compression="brotli", compression_level=_BROTLI_LEVEL
                    )
                )
                for name, path in partial.items()
            }
            for start in range(0, len(parts), frames):
                found = [_read(path) for path in parts[start : start + frames]]
                for name, writer in writers.items():
                    if name not in PER_SEGMENT:
                        writer.write_table(pa.concat_tables([tables[name] for tables in found]))
                    elif start == 0:
                        writer.write_table(found[0][name])
        for name, path in files.items():
            os.replace(partial[name], path)


def schema(table: str) -> Any:
    """Return the Arrow schema of a table, with the column ``index`` first."""
    pa = _arrow()
    columns = {"index": "string"} | TABLES[table]
    return pa.schema([(name, _type(kind)) for name, kind in columns.items()])


def _type(kind: str) -> Any:
    pa = _arrow()
    plain = {"float": pa.float32(), "double": pa.float64()}
    match = re.fullmatch(r"list<(\w+)>|(\w+)\[(\d+)\]", kind)
    if match is None:
        return plain.get(kind) or pa.type_for_alias(kind)
    value = pa.field("element", _type(match[1] or match[2]))
    return pa.list_(value, int(match[3])) if match[3] else pa.list_(value)


def _read(part: Path) -> dict[str, Any]:
    pa = _arrow()
    with part.open("rb") as file:
        return {name: pa.ipc.open_stream(file).read_all() for name in TABLES}


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError as error:
        raise UsageError(
            f"pyarrow cannot be imported ({error})", fix="pip install 'simipu[waymo]'"
        ) from None
    return pyarrow
