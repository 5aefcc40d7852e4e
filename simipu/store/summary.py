"""What is in a store, for a person or a program to read."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from simipu.store import schema
from simipu.store.commit import listed_files, read_root
from simipu.store.reader import Store
from simipu.store.storage import LocalStorage

if TYPE_CHECKING:
    from pathlib import Path

_SKIPPED_SHOWN = 10


def summarise(path: Path) -> dict[str, Any]:
    """The store's content as JSON values.

    Raises:
        IncompleteError: the conversion has not ended.
        StoreError: there is no store.
    """
    store = Store(path)
    attributes = store.attributes
    storage = LocalStorage(path)
    files = listed_files(storage, read_root(storage))
    valid = store.table("camera/valid").sum(axis=0).tolist()
    return {
        "path": str(path),
        "format_version": attributes["format_version"],
        "converter": attributes["converter"],
        "source": attributes["source"],
        "fingerprint": store.fingerprint,
        "counts": attributes["counts"],
        "cameras": dict(zip(store.cameras, valid, strict=True)),
        "point_columns": store.point_columns,
        "has": {
            "ego poses": _share(store, "frames/T_world_from_ego"),
            "timestamps": _share(store, "frames/timestamp_ns"),
        },
        "scenes": [
            {"name": scene.name, "split": scene.split, "frames": len(scene)}
            for scene in store.scenes
        ],
        "correspondence": attributes["correspondence"],
        "skipped": attributes["skipped"],
        "files": len(files),
        "bytes": sum(file.size for file in files),
        "point_bytes": sum(file.size for file in files if file.path.startswith("lidar/points/")),
        "unfinished_work": (path / schema.STAGING).is_dir(),
    }


def _share(store: Store, table: str) -> float:
    """Share of the frames for which a table has a value."""
    rows = store.table(table)
    if rows.dtype.kind == "f":
        return float((~np.isnan(rows)).all(axis=tuple(range(1, rows.ndim))).mean())
    return float((rows != schema.MISSING_TIME_NS).mean())


def describe(summary: dict[str, Any]) -> str:
    """The summary as text."""
    counts, source = summary["counts"], summary["source"]
    splits = sorted({scene["split"] for scene in summary["scenes"]} - {""})
    lines = [
        f"{summary['path']}: {source['name']}, format {summary['format_version']}, "
        f"written by simipu {summary['converter']['simipu']}",
        f"  licence         {source['licence']}",
        f"  frames          {counts['frames']:,} in {counts['scenes']:,} scenes"
        + (f" (splits: {', '.join(splits)})" if splits else ""),
        "  cameras         "
        + ", ".join(f"{name} ({images:,})" for name, images in summary["cameras"].items()),
        f"  points          {counts['points']:,} with {', '.join(summary['point_columns'])}",
        *(f"  {name:<15} {_amount(share)}" for name, share in summary["has"].items()),
        f"  size            {_size(summary['bytes'])} in {summary['files']:,} files "
        f"(images {_size(counts['image_bytes'])}, points {_size(summary['point_bytes'])})",
        f"  correspondences {_describe_correspondence(summary['correspondence'])}",
        f"  fingerprint     {summary['fingerprint'][:16]}",
    ]
    lines += [
        textwrap.fill(note, 100, initial_indent=f"  {'note':<16}", subsequent_indent=" " * 18)
        for note in source["notes"]
    ]
    if summary["skipped"]:
        lines.append(
            f"  left out        {len(summary['skipped']):,} frames (once they are mended, convert "
            "again with --overwrite)"
        )
        lines += [
            f"    {entry['frame_id']}: {entry['reason']} ({entry['path']})"
            for entry in summary["skipped"][:_SKIPPED_SHOWN]
        ]
        if len(summary["skipped"]) > _SKIPPED_SHOWN:
            lines.append("    ... (all of them with --json)")
    if summary["unfinished_work"]:
        lines.append("  unfinished      a command is at work here, or was stopped; run it again")
    return "\n".join(lines)


def _describe_correspondence(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return "none (`simipu-prep correspond` computes them)"
    policy = ", ".join(f"{name} {value}" for name, value in entry["policy"].items())
    share = entry["visible"] / max(entry["pairs"], 1)
    return f"{entry['pairs']:,}, {share:.1%} visible ({policy})"


def _amount(share: float) -> str:
    return {0.0: "none", 1.0: "all"}.get(share, f"{share:.1%} of the frames")


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
