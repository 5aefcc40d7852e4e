"""Which options of simipu-viz belong together: one that would do nothing is refused."""

from __future__ import annotations

import re
from typing import Any

import click
from click.core import ParameterSource

from simipu.errors import UsageError

_BITMAPS = (".png", ".jpg", ".jpeg")
_SUFFIXES = (*_BITMAPS, ".svg", ".pdf")
_PICTURE = {"out", "frame", "camera", "color", "no_hidden"}
_LEARNED = {"out", "frame", "camera", "run", "checkpoint", "weights"}
_TAKES = {
    "--report": {"report"},
    "--open3d": {"open3d", "frame"},
    "the viewer": {"frame", "host", "port"},
    "--features": {*_LEARNED, "features"},
    "--query": {*_LEARNED, "query"},
    "--query-point": {*_LEARNED, "query_point"},
    "--birdseye": {*_PICTURE, "birdseye"},
    "--camera all": _PICTURE,
    "a picture for print": _PICTURE,
    "an overlay": {*_PICTURE, "scale"},
}


def check_options(ctx: click.Context) -> None:
    """Refuse options that do not go together, and endings of files that cannot be written.

    Raises:
        UsageError: naming what does not fit.
    """
    values = ctx.params
    given = [
        name
        for name in values
        if name != "store" and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    kind = _kind(values)
    takes = _TAKES[kind]
    for name in given:
        if name in takes:
            continue
        fix = f"Here one can give: {', '.join(sorted(map(_flag, takes)))}."
        if name in ("run", "checkpoint", "weights") and "out" in takes:
            fix = "Say what is to be drawn: --query U,V, --query-point ROW or --features."
        elif kind == "the viewer":
            fix = "Name a picture with --out FILE; without it the viewer is opened."
        raise UsageError(f"it does nothing for {kind}", where=_flag(name), fix=fix)
    if kind not in ("--report", "--open3d", "the viewer"):
        _check_picture(kind, values)


def _kind(values: dict[str, Any]) -> str:
    if values["report"] is not None:
        return "--report"
    if values["open3d"]:
        return "--open3d"
    if values["out"] is None:
        return "the viewer"
    for name in ("features", "query", "query_point", "birdseye"):
        if values[name] not in (None, False):
            return _flag(name)
    if values["camera"] == "all":
        return "--camera all"
    return "an overlay" if values["out"].suffix.lower() in _BITMAPS else "a picture for print"


def _check_picture(kind: str, values: dict[str, Any]) -> None:
    out = values["out"]
    if out.suffix.lower() not in _SUFFIXES:
        raise UsageError(
            "pictures are written as PNG or JPEG, SVG or PDF",
            where=f"--out {out}",
            fix=f"Let the name end in {', '.join(_SUFFIXES)}.",
        )
    if "run" in _TAKES[kind]:
        if values["run"] is None:
            raise UsageError(
                "whose features are meant", where=kind, fix="Name a run folder with --run."
            )
        if values["camera"] == "all":
            raise UsageError(
                f"{kind} is of one camera", where="--camera all", fix="Name a camera, or none."
            )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def parse_query(
    _ctx: click.Context, _param: click.Parameter, text: str | None
) -> tuple[float, float] | None:
    """A pixel "U,V"."""
    if text is None:
        return None
    number = r"\s*(\d+(?:\.\d+)?)\s*"
    match = re.fullmatch(f"{number},{number}", text)
    if not match:
        raise click.BadParameter(f'{text!r} is no pixel; write it as "500,200".')
    return float(match[1]), float(match[2])
