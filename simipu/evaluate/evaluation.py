"""All measurements of some encoders on one store, beside their baselines."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from simipu.data.dataset import PairDataset
from simipu.errors import UsageError
from simipu.evaluate.depth_probe import draw_subsets, probe_depth, probe_position
from simipu.evaluate.division import describe_frames
from simipu.evaluate.notes import describe_division, warn_of_controls, warn_of_duplicates
from simipu.evaluate.pixels import MAX_IMAGES, draw_pixels, read_pictures
from simipu.evaluate.point_probe import probe_coordinates, probe_points, read_surfaces
from simipu.evaluate.retrieval import AT, measure_retrieval
from simipu.evaluate.summary import Measurement, Row, summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import nn

    from simipu.data.config import SampleConfig
    from simipu.data.selection import Images
    from simipu.evaluate.depth_probe import DepthProbe
    from simipu.evaluate.division import Division
    from simipu.evaluate.pixels import Pictures
    from simipu.evaluate.retrieval import Retrieval
    from simipu.models.image import ImageEncoder

PROBES = ("retrieval", "depth", "points")

RANDOM, GUESS = "random weights", "guess"
POSITION, COORDINATES = "position only", "coordinates only"
RESERVED = (RANDOM, GUESS, POSITION, COORDINATES)
"""Names that the tables have for what is not given."""

_NEEDED = {"retrieval": "method", "depth": "image", "points": "points"}
_STAGE = "measurements"


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What is measured; for a part that it does not have, nothing is.

    Attributes:
        name: for the tables.
        method: both encoders with their heads: see `simipu.evaluate.retrieval.Embedding`.
        image: an image encoder.
        points: a point encoder, called as ``points(xyz, feature, distinct, queries)``.
    """

    name: str
    method: Any = None
    image: ImageEncoder | None = None
    points: nn.Module | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """The result.

    Attributes:
        rows: numbers over all seeds.
        notes: sentences that belong beside every number.
        about: of what, as plain values.
    """

    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    about: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Measures encoders beside one with random weights, and beside what needs no encoder.

    Attributes:
        subjects: what is measured.
        random: makes one with random weights, by PyTorch's generator.
        division: the images.
        sample: sizes of images and clouds.
        device: where to compute.
        stages: probe the features of each stride alone as well.
        advance: told a stage's name, how much more of it is done, and its total; the first time
            with nothing done.
    """

    subjects: Sequence[Subject]
    random: Callable[[], Subject]
    division: Division
    sample: SampleConfig
    device: torch.device
    stages: bool = False
    advance: Callable[[str, int, int], None] = lambda *_: None

    def evaluate(self, probes: Sequence[str], *, seeds: int) -> Evaluation:
        """Measure once for each of the seeds 0, 1, ...

        A seed decides which pixels, points and images to fit to are taken, and the random weights.

        Args:
            probes: some of `PROBES`.
            seeds: how many.

        Raises:
            UsageError: a probe needs frames to be fitted to and there are none, or no subject has
                the encoder that it is for.
            StoreError: the data are damaged, or no point is visible in the selected frames.
        """
        self._check(probes)
        division = self.division
        test = self._read("measured images", division.measured)
        fit = None if division.fitted is None else self._read("other images", division.fitted)
        notes = [*describe_division(division), *warn_of_duplicates(test, fit)]
        found: list[Measurement] = []
        chosen = [probe for probe in PROBES if probe in probes]
        self.advance(_STAGE, 0, seeds * len(chosen) * (len(self.subjects) + 1))
        for probe in chosen:
            for seed in range(seeds):
                if probe == "retrieval":
                    found += self._retrieve(seed, notes)
                elif probe == "depth" and fit is not None:
                    found += self._probe_depth(seed, test, fit)
                elif division.fitted is not None:
                    found += self._probe_points(seed, division.fitted)
        return Evaluation(
            rows=tuple(summarise(found)),
            notes=tuple(dict.fromkeys(notes)),
            about=self._about(seeds),
        )

    @property
    def possible(self) -> tuple[str, ...]:
        """The probes that some subject has the encoder for."""
        return tuple(
            probe
            for probe in PROBES
            if any(getattr(subject, _NEEDED[probe]) is not None for subject in self.subjects)
        )

    def _retrieve(self, seed: int, notes: list[str]) -> Iterator[Measurement]:
        dataset = PairDataset([self.division.measured], self.sample, seed=seed, augment=False)
        found = None
        for subject in self._everyone(seed):
            if subject.method is not None:
                found = measure_retrieval(subject.method.to(self.device), dataset, self.device)
                yield from _of_retrieval(subject.name, found)
        if found is not None:  # what is asked is the same for all
            guess = {f"recall_at_{k}": getattr(found, f"chance_at_{k}") for k in AT}
            yield Measurement(probe="retrieval", subject=GUESS, setting="chance", values=guess)
            notes += warn_of_controls(found)

    def _probe_depth(self, seed: int, test: Pictures, fit: Pictures) -> Iterator[Measurement]:
        fit_pixels, test_pixels = draw_pixels(fit, seed=seed), draw_pixels(test, seed=seed)
        subsets = draw_subsets(len(fit), seed=seed)
        for subject in self._everyone(seed):
            if subject.image is not None:
                results = probe_depth(
                    subject.image,
                    fit_pixels,
                    test_pixels,
                    subsets,
                    device=self.device,
                    stages=self.stages,
                )
                yield from _of_depth(subject.name, results)
        yield from _of_depth(POSITION, probe_position(fit_pixels, test_pixels, subsets))

    def _probe_points(self, seed: int, fitted: Images) -> Iterator[Measurement]:
        fit = read_surfaces(fitted, self.sample, seed=seed)
        test = read_surfaces(self.division.measured, self.sample, seed=seed)
        found = [
            (subject.name, probe_points(subject.points, fit, test, device=self.device))
            for subject in self._everyone(seed)
            if subject.points is not None
        ]
        setting = f"fitted to {len(fit.valid)} clouds"
        for name, errors in (*found, (COORDINATES, probe_coordinates(fit, test))):
            yield Measurement(
                probe="points", subject=name, setting=setting, values=errors._asdict()
            )

    def _everyone(self, seed: int) -> Iterator[Subject]:
        for subject in self.subjects:
            yield subject
            self.advance(_STAGE, 1, 0)
        torch.manual_seed(seed)
        yield self.random()
        self.advance(_STAGE, 1, 0)

    def _read(self, stage: str, images: Images) -> Pictures:
        self.advance(stage, 0, min(len(images), MAX_IMAGES))
        size = (self.sample.height, self.sample.width)
        return read_pictures(images, size, lambda: self.advance(stage, 1, 0))

    def _check(self, probes: Sequence[str]) -> None:
        for probe in probes:
            if probe not in self.possible:
                raise UsageError(
                    f"nothing that is given can be measured by {probe}",
                    fix="Exported weights have one encoder only: choose its --probe, depth for "
                    "images, points for points; or give a run folder.",
                )
        if self.division.fitted is None and set(probes) - {"retrieval"}:
            raise UsageError(
                "no frames are left that a probe could be fitted to",
                where=self.division.measured.store.path,
                fix="Measure on fewer frames, or use --probe retrieval.",
            )

    def _about(self, seeds: int) -> dict[str, Any]:
        measured, fitted = self.division.measured, self.division.fitted
        return {
            "store": measured.store.path.name,
            "fingerprint": measured.store.fingerprint,
            "measured": {
                "images": len(measured),
                "frames": describe_frames(measured.frames),
            },
            "fitted": fitted
            and {
                "images": len(fitted),
                "frames": describe_frames(fitted.frames),
                "how": self.division.how,
            },
            "sample": asdict(self.sample),
            "seeds": seeds,
        }


def _of_retrieval(name: str, found: Retrieval) -> Iterator[Measurement]:
    """With the right image, with another one, their difference and ratio; both ways."""
    for way, prefix in (("pixel to point", ""), ("point to pixel", "reverse_")):
        recall = [getattr(found, f"{prefix or 'recall_'}at_{k}") for k in AT]
        control = [getattr(found, f"{prefix}control_at_{k}") for k in AT]
        pairs = list(zip(recall, control, strict=True))
        for setting, values in (
            ("right image", recall),
            ("another image", control),
            ("difference", [None if c is None else r - c for r, c in pairs]),
            ("ratio", [r / c if c else None for r, c in pairs]),
        ):
            yield Measurement(
                probe="retrieval",
                subject=name,
                setting=f"{way}, {setting}",
                values={f"recall_at_{k}": v for k, v in zip(AT, values, strict=True)},
            )


def _of_depth(name: str, results: Sequence[DepthProbe]) -> Iterator[Measurement]:
    for result in results:
        images = f"{result.images} image{'s' if result.images > 1 else ''}"
        yield Measurement(
            probe="depth",
            subject=name,
            setting=f"{result.features}, fitted to {images}",
            values=result.errors._asdict(),
        )
