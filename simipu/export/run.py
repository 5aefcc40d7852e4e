"""What an export needs of a run folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm

from simipu.data.config import Selection
from simipu.data.selection import select_images
from simipu.errors import SimipuError, UsageError
from simipu.methods.build import build_method
from simipu.store.reader import open_store
from simipu.train.checkpoint import BEST, list_checkpoints, load_checkpoint
from simipu.train.runfolder import MARK, PROVENANCE
from simipu.train.runlog import read_log
from simipu.train.settings import build_config

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from simipu.methods.simipu import SimIPU
    from simipu.train.config import TrainConfig

WEIGHTS = ("model", "ema")


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """A store that was trained on.

    Attributes:
        fingerprint: of the store's content.
        selection: what was taken of it: the settings that are not their default.
        source, licence: the data set and its licence; None where the store could not be read.
        images, frames, scenes: numbers of those selected; None likewise.
    """

    fingerprint: str
    selection: Mapping[str, object]
    source: str | None = None
    licence: str | None = None
    images: int | None = None
    frames: int | None = None
    scenes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedRun:
    """A checkpoint of a run, and what is known of how it came about.

    Attributes:
        name: of the run folder.
        method: both encoders with the weights of the checkpoint, on the CPU, in evaluation mode.
        backbone: timm's name of the image encoder.
        step: finished steps of the checkpoint.
        weights: one of `WEIGHTS`.
        data: the stores.
        settings: the run's configuration, without the places of its files.
        versions: of the packages that it was trained with.
        metrics: the last retrieval up to ``step``, by name, "step" included; empty without one.
        metrics_of: one of `WEIGHTS`: which of them were measured.
        doubts: what the training warned of up to ``step``.
        warnings: sentences on what could not be found out, or is wrong.
    """

    name: str
    method: SimIPU
    backbone: str
    step: int
    weights: str
    data: tuple[Data, ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    metrics: Mapping[str, Any]
    metrics_of: str
    doubts: tuple[str, ...]
    warnings: tuple[str, ...]


def read_run(run: Path, *, checkpoint: str, weights: str) -> TrainedRun:
    """Read a checkpoint of a run; no code that it may contain is run.

    Args:
        run: the run folder.
        checkpoint: "last", "best", or a number of steps.
        weights: "model", or "ema" for their moving average.

    Raises:
        UsageError: ``run`` is no run folder, or has no such checkpoint or weights.
        SimipuError: the checkpoint is damaged.
    """
    path = _choose_checkpoint(run, checkpoint)
    state = load_checkpoint(path)
    chosen = state["method"] if weights == "model" else state["ema"]
    if chosen is None:
        raise UsageError(
            "the checkpoint has no moving average of the weights",
            where=path,
            fix="Leave --weights ema out, or train with --set optim.average=0.999.",
        )
    try:
        config = build_config(state["config"])
        method = _rebuild(config, chosen)
        stores = config.data.stores
        pairs = tuple(zip(stores, state["fingerprints"][: len(stores)], strict=True))
    except (UsageError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = error.what if isinstance(error, UsageError) else error
        raise SimipuError(
            f"the checkpoint does not fit this version of simipu: {reason}",
            where=path,
            fix=f"Export with the version in the run folder's {PROVENANCE}.",
        ) from error
    if not all(tensor.isfinite().all() for tensor in method.state_dict().values()):
        raise SimipuError(
            "the weights are not finite: the training diverged",
            where=path,
            fix="Choose an earlier one with --checkpoint, or train anew with a lower --lr.",
        )
    data = [_read_data(selection, fingerprint) for selection, fingerprint in pairs]
    warnings = [warning for _, warning in data if warning]
    records = [record for record in read_log(run) if (record.get("step") or 0) <= state["step"]]
    measured = [record for record in records if "retrieval/recall_at_1" in record]
    return TrainedRun(
        name=run.resolve().name,
        method=method,
        backbone=config.model.image_backbone,
        step=state["step"],
        weights=weights,
        data=tuple(found for found, _ in data),
        settings=_without_places(config),
        versions=_read_versions(run),
        metrics=measured[-1] if measured else {},
        metrics_of="model" if state["ema"] is None else "ema",
        doubts=_doubts(records, config),
        warnings=tuple(warnings),
    )


def _choose_checkpoint(run: Path, wanted: str) -> Path:
    if not (run / MARK).is_file():
        raise UsageError(
            "this is not the folder of a run",
            where=run,
            fix="Give what was the --out of simipu-train.",
        )
    folder = run / "checkpoints"
    steps = {str(int(path.stem.removeprefix("step-"))): path for path in list_checkpoints(folder)}
    found = dict(steps)
    if steps:
        found["last"] = list(steps.values())[-1]
    if (folder / BEST).is_file():
        found["best"] = folder / BEST
    if not found:
        raise UsageError(
            "the run has no checkpoint yet",
            where=run,
            fix="Let simipu-train write one: Ctrl-C does so, too.",
        )
    if wanted not in found:
        raise UsageError(
            f"the run has no checkpoint {wanted!r}",
            where=run,
            fix=f"Choose --checkpoint from: {', '.join(found)}.",
        )
    return found[wanted]


def _rebuild(config: TrainConfig, weights: dict[str, Any]) -> SimIPU:
    """The networks that the run trained."""
    backbone = config.model.image_backbone
    # The file is untrusted, and timm would look up some names in the network.
    if not timm.is_model(backbone):
        raise ValueError(f"timm has no backbone {backbone!r}")
    method = build_method(config.model, pairs=config.sample.pairs)
    method.load_state_dict(weights)
    return method.eval()


def _read_data(selection: Selection, fingerprint: str) -> tuple[Data, str | None]:
    """What was taken of a store, and what could not be found out about it."""
    default = asdict(Selection(path=selection.path))
    given = {name: value for name, value in asdict(selection).items() if value != default[name]}
    path = Path(selection.path)
    try:
        store = open_store(path)
        if store.fingerprint != fingerprint:
            raise SimipuError("its content is not what was trained on", where=path)
        images = select_images(store, selection)
    except SimipuError as error:
        warning = (
            f"The licence of the data is not known: {path.name}: {error.what}. "
            "Export again where that store is."
        )
        return Data(fingerprint=fingerprint, selection=given), warning
    frames = set(images.frames.tolist())
    source = store.attributes["source"]
    known = Data(
        fingerprint=fingerprint,
        selection=given,
        source=source["name"],
        licence=source["licence"],
        images=len(images),
        frames=len(frames),
        scenes=sum(
            any(frame in frames for frame in range(scene.start, scene.stop))
            for scene in store.scenes
        ),
    )
    return known, None


def _doubts(records: Iterable[Mapping[str, Any]], config: TrainConfig) -> tuple[str, ...]:
    texts = [str(record["warning"]) for record in records if "warning" in record]
    for selection in (*config.data.stores, *config.data.held_out):
        texts = [text.replace(selection.path, Path(selection.path).name) for text in texts]
    return tuple(dict.fromkeys(texts))


def _without_places(config: TrainConfig) -> dict[str, Any]:
    settings = config.to_dict()
    for selection in (*settings["data"]["stores"], *settings["data"]["held_out"]):
        selection["path"] = Path(selection["path"]).name
    if weights := settings["model"]["image_weights"]:
        settings["model"]["image_weights"] = Path(weights).name
    return settings


def _read_versions(run: Path) -> dict[str, str]:
    try:
        versions: dict[str, str] = json.loads((run / PROVENANCE).read_text())["versions"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return versions
