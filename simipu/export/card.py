"""The model card: what a file of weights is, and what it was made of."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from simipu.export.loading import loading_code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simipu.export.names import Export
    from simipu.export.run import Data, TrainedRun

_TITLES = {
    "torchvision": "image encoder {model}, for torchvision",
    "timm": "image encoder {model}, for timm",
    "mmdet": "image encoder {model}, for mmdetection",
    "points": "point encoder",
}

_WEIGHTS = {"model": "the weights", "ema": "the moving average of the weights"}


def describe(
    trained: TrainedRun,
    export: Export,
    about: Mapping[str, Any],
    *,
    file: str,
    sha256: str,
    warnings: Sequence[str],
) -> str:
    """The card as Markdown; it has no time stamp and no place on a disk.

    Args:
        trained: the run.
        export: what the file holds.
        about: its metadata.
        file: its name.
        sha256: of its content.
        warnings: sentences that a reader should not miss.
    """
    parts = [
        f"# {file}: {_TITLES[export.target].format(model=export.model)}",
        "Pre-trained without labels by simipu on camera images and LiDAR points, "
        f"{_start(trained)}: {_WEIGHTS[trained.weights]} after {trained.step} steps of the run "
        f"`{trained.name}`.\n\nSHA-256 `{sha256}`",
        *(f"**Warning.** {warning}" for warning in warnings),
        f"## How to load it\n\n```python\n{loading_code(export, about, file=file)}```",
        *_conditions(export, about),
        _data(trained.data),
        _metrics(trained),
        f"## Settings\n\n```json\n{json.dumps(trained.settings, indent=1, sort_keys=True)}\n```",
        _versions(trained),
    ]
    return "\n\n".join(parts) + "\n"


def _start(trained: TrainedRun) -> str:
    weights = trained.settings["model"].get("image_weights")
    if weights is None:
        return "from a random start"
    return f"the image encoder from the weights of `{weights}`, whose licence holds as well"


def _conditions(export: Export, about: Mapping[str, Any]) -> list[str]:
    """What must be equal in the target for the features to be equal."""
    found = []
    if image := about.get("image"):
        scaled = [[round(255 * value, 3) for value in image[name]] for name in ("mean", "std")]
        found.append(
            f"**Images**: channels in the order RGB, values from 0 to 1, less the mean "
            f"{image['mean']}, divided by the standard deviation {image['std']}; for values "
            f"from 0 to 255, {scaled[0]} and {scaled[1]}."
        )
    if export.batch_norm:
        listed = "; ".join(f"eps {n.eps:g}, momentum {n.momentum}" for n in export.batch_norm)
        found.append(f"**Batch norm**: {listed}. Running statistics are those of the pre-training.")
    if export.absent:
        names = ", ".join(f"`{name}`" for name in export.absent)
        found.append(
            f"**Not in the file**, because it was not trained: {names}. The target makes it at "
            "random."
        )
    return found


def _data(data: Sequence[Data]) -> str:
    rows = [
        f"| {one.source or 'not known'} | {one.licence or 'not known'} | {_count(one.images)} "
        f"| {_count(one.frames)} | {_count(one.scenes)} "
        f"| {json.dumps(one.selection) if one.selection else 'all'} | `{one.fingerprint}` |"
        for one in data
    ]
    titles = "| data set | licence | images | frames | scenes | selection | store's fingerprint |"
    table = "\n".join((titles, "|---" * 7 + "|", *rows))
    return f"## Data\n\n{table}\n\n{_licence({one.licence for one in data})}"


def _licence(licences: set[str | None]) -> str:
    text = (
        "simipu's licence (Apache-2.0) is that of its code. It gives no right to these weights: "
        "they were computed from the data above"
    )
    if None in licences:
        return f"{text}, whose licence could not be found out. Do so before you use or share them."
    if any(_is_non_commercial(licence or "") for licence in licences):
        return (
            f"{text}, part or all of which may be used for **non-commercial purposes only**. "
            "Whether that binds weights is not settled everywhere. Unless the owner of the data "
            "tells you otherwise, take it that it does: no commercial use; name the data when you "
            "share the weights; and share them under the same terms where the licence says so."
        )
    return f"{text}. Read what its licence says before you use or share them."


def _is_non_commercial(licence: str) -> bool:
    words = licence.lower().replace("-", " ").split()
    return "nc" in words or "noncommercial" in words or "non commercial" in " ".join(words)


def _metrics(trained: TrainedRun) -> str:
    parts = ["## What was measured"]
    if trained.metrics:
        rows = [
            f"| {name.removeprefix('retrieval/')} | {'-' if value is None else f'{value:.4g}'} |"
            for name, value in trained.metrics.items()
            if name.startswith("retrieval/")
        ]
        parts += [
            f"After step {trained.metrics['step']}, with {_WEIGHTS[trained.metrics_of]}, on frames "
            "that were not trained on: does a pixel find its LiDAR point among those of its image? "
            "`control` is the same with another frame's image in its place: so much is matched "
            "without looking at the right image.",
            "\n".join(("| retrieval | |", "|---|---|", *rows)),
        ]
    else:
        parts.append("Nothing: the run kept no frames apart to measure retrieval on.")
    parts += [f"The training warned: {text}" for text in trained.doubts]
    parts.append("How well a detector or a depth network learns from these weights is not known.")
    return "\n\n".join(parts)


def _versions(trained: TrainedRun) -> str:
    trained_with = ", ".join(f"{name} {number}" for name, number in trained.versions.items())
    return (
        f"## Versions\n\nTrained with {trained_with or 'versions not known'}; "
        f"exported with simipu {version('simipu')}."
    )


def _count(number: int | None) -> str:
    return "not known" if number is None else f"{number:,}"
