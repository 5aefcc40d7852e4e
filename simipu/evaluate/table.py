"""Results as text, Markdown and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simipu.evaluate.evaluation import Evaluation
    from simipu.evaluate.summary import Row, Spread


class _Column(NamedTuple):
    title: str
    factor: float
    digits: int


COLUMNS = {
    "recall_at_1": _Column("R@1 %", 100, 1),
    "recall_at_5": _Column("R@5 %", 100, 1),
    "recall_at_10": _Column("R@10 %", 100, 1),
    "abs_rel": _Column("AbsRel", 1, 3),
    "rmse_m": _Column("RMSE m", 1, 2),
    "delta_1": _Column("δ<1.25 %", 100, 1),
    "error_deg": _Column("error °", 1, 1),
    "r2": _Column("R²", 1, 3),
}

TITLES = {
    "retrieval": "Retrieval among the visible pairs of an image, and its control",
    "depth": "Depth read off frozen image features by a linear map",
    "points": "Slope of the surface read off frozen point features by a linear map",
}


def as_text(evaluation: Evaluation) -> str:
    """For a terminal."""
    parts = []
    for probe, rows in _by_probe(evaluation.rows):
        cells = _cells(rows)
        widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]
        lines = [
            "  ".join(
                cell.ljust(width) if place < 2 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]
        parts.append("\n".join((TITLES[probe], "", *lines)))
    return "\n\n".join((*parts, "\n".join(evaluation.notes)))


def as_markdown(evaluation: Evaluation) -> str:
    """For a document."""
    parts = []
    for probe, rows in _by_probe(evaluation.rows):
        head, *body = _cells(rows)
        lines = [head, ["---", "---", *["---:"] * (len(head) - 2)], *body]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"**{TITLES[probe]}**\n\n{table}")
    notes = "\n".join(f"* {note}" for note in evaluation.notes)
    return "\n\n".join((*parts, notes))


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Plain values, with those of each seed."""
    return {
        **evaluation.about,
        "notes": list(evaluation.notes),
        "results": [
            {
                "probe": row.probe,
                "subject": row.subject,
                "setting": row.setting,
                "metrics": {
                    name: {"mean": s.mean, "deviation": s.deviation, "values": list(s.values)}
                    for name, s in row.metrics.items()
                },
            }
            for row in evaluation.rows
        ],
    }


def _by_probe(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    probes = dict.fromkeys(row.probe for row in rows)
    return [(probe, [row for row in rows if row.probe == probe]) for probe in probes]


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    head = ["encoder", "setting", *(COLUMNS[name].title for name in names)]
    body = [[row.subject, row.setting, *(_number(row, name) for name in names)] for row in rows]
    return [head, *body]


def _number(row: Row, name: str) -> str:
    if name not in row.metrics:
        return "-"
    column = COLUMNS[name]
    if row.setting.endswith("ratio"):  # of two shares: no share itself
        column = _Column(column.title, 1, 2)
    spread: Spread = row.metrics[name]
    if spread.mean is None:
        return "-"
    text = f"{column.factor * spread.mean:z.{column.digits}f}"  # no -0.0
    if spread.deviation is not None:
        text += f" ± {column.factor * spread.deviation:.{column.digits}f}"
    return text
