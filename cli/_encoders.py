"""Encoders to be measured: of a run folder, or of a file of weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from simipu.data.config import SampleConfig
from simipu.errors import UsageError
from simipu.evaluate.evaluation import RANDOM, Subject
from simipu.export.points import (
    INPUTS,
    is_point_encoder,
    load_point_encoder,
    read_inputs,
    settings_of,
)
from simipu.export.run import read_run
from simipu.methods.build import build_method
from simipu.models.image import ImageEncoder
from simipu.models.pointnet2 import PointEncoder
from simipu.train.settings import build_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from simipu.methods.config import ModelConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoders:
    """What was loaded.

    Attributes:
        subject: the encoders.
        backbone: timm's name of the image encoder; None of a file without one.
        sample: sizes that it was trained with; of a file the defaults, as far as it does not know.
        trained: fingerprint and selection of each store that it was trained on.
        model: settings of the networks; None of a file.
    """

    subject: Subject
    sample: SampleConfig
    backbone: str | None = None
    trained: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    model: ModelConfig | None = None


def load_encoders(
    path: Path, name: str, checkpoint: str, weights: str, backbone: str | None
) -> Encoders:
    """Load a run folder, a file of an image encoder's weights, or an exported point encoder.

    Nothing in it is run.

    Args:
        path: of the folder or file.
        name: for the tables.
        checkpoint: of a folder: "last", "best", or a number of steps.
        weights: of a folder: "model" or "ema".
        backbone: timm's name of a file's network.

    Raises:
        UsageError: there is no such folder, file, checkpoint or network, or no ``backbone``.
        SimipuError: what is there is damaged, or does not fit.
    """
    if path.is_file():
        if is_point_encoder(path):
            points = load_point_encoder(path)
            sample = build_config({"sample": {**read_inputs(path), "pairs": 2}}).sample
            # It has room for so many points of pairs.
            pairs = min(SampleConfig().pairs, points.centres[0], sample.points)
            sample = replace(sample, pairs=pairs)
            return Encoders(subject=Subject(name=name, points=points), sample=sample)
        if backbone is None:
            raise UsageError(
                "a file of weights does not say which network they are of",
                where=path,
                fix="Name it as timm does: --image-backbone resnet50.",
            )
        encoder = ImageEncoder(backbone, weights=path).eval()
        return Encoders(
            subject=Subject(name=name, image=encoder), backbone=backbone, sample=SampleConfig()
        )
    run = read_run(path, checkpoint=checkpoint, weights=weights)
    method = run.method
    config = build_config(dict(run.settings))
    return Encoders(
        subject=Subject(
            name=name, method=method, image=method.image_encoder, points=method.point_encoder
        ),
        backbone=run.backbone,
        sample=config.sample,
        trained=tuple((data.fingerprint, data.selection) for data in run.data),
        model=config.model,
    )


def refuse_other_inputs(loaded: Sequence[Encoders]) -> None:
    """All are shown the same points: what one was not trained on would be measured unfairly.

    Raises:
        UsageError: point encoders were trained with and without intensities, or at other ranges.
    """
    encoders = [one for one in loaded if one.subject.points is not None]
    for name in INPUTS[1:]:
        values = {one.subject.name: getattr(one.sample, name) for one in encoders}
        if len(set(values.values())) > 1:
            found = ", ".join(f"{subject} {value}" for subject, value in values.items())
            raise UsageError(
                f"the point encoders were trained with different sample.{name}: {found}",
                fix="Measure them one by one.",
            )


def make_random(like: Encoders) -> Callable[[], Subject]:
    """The networks of ``like`` with random weights."""

    def make() -> Subject:
        if isinstance(like.subject.points, PointEncoder) and like.model is None:
            points = PointEncoder(**settings_of(like.subject.points)).eval()
            return Subject(name=RANDOM, points=points)
        if like.model is None:
            assert like.backbone is not None
            return Subject(name=RANDOM, image=ImageEncoder(like.backbone).eval())
        method = build_method(like.model, pairs=like.sample.pairs).eval()
        return Subject(
            name=RANDOM, method=method, image=method.image_encoder, points=method.point_encoder
        )

    return make
