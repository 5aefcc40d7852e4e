"""What a reader of the report should look into, worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simipu.viz.alignment.estimate import BAD, UNSURE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simipu.store.reader import Store
    from simipu.viz.alignment.estimate import Rotation
    from simipu.viz.report.gather import CameraNumbers, Numbers

FEW_PAIRS = 100
MOST_OFFSET_MS = 75.0


class Finding(NamedTuple):
    """One finding: ``level`` is "warning", or "note" where something is merely not known."""

    level: str
    text: str
    section: str


def find_warnings(store: Store, numbers: Numbers) -> list[Finding]:
    """Collect the findings, warnings before notes."""
    found = [*_of_store(store), *_of_alignment(numbers)]
    for name, camera in numbers.cameras.items():
        found += _of_camera(store, name, camera)
    return sorted(found, key=lambda finding: finding.level != "warning")


def _of_store(store: Store) -> Iterator[Finding]:
    if store.correspondence_policy is None:
        text = "The store has no correspondences; run simipu-prep correspond."
        yield Finding("warning", text, "pairs")
    skipped = len(store.attributes["skipped"])
    if skipped:
        yield Finding("note", f"{skipped:,} frames were left out by the conversion.", "overview")
    if np.isnan(store.table("frames/T_world_from_ego")).any():
        yield Finding("note", "Ego poses are missing for some or all frames.", "overview")


def _of_alignment(numbers: Numbers) -> Iterator[Finding]:
    if numbers.alignment is None:
        return
    unsure = []
    rotations = dict(numbers.alignment.cameras)
    if numbers.alignment.lidar is not None:
        rotations["the LiDAR against all cameras"] = numbers.alignment.lidar
    for name, rotation in rotations.items():
        if rotation.verdict == BAD:
            text = f"Misaligned: {name} is rotated by about {describe(rotation)} (x, y, z)."
            yield Finding("warning", text, "alignment")
        elif rotation.verdict == UNSURE:
            unsure.append(name)
    untimed = []
    for name, timing in numbers.alignment.timing.items():
        if timing.verdict == BAD:
            before, _ = timing.sigmas
            beside = "before" if before is not None and before < 0 else "after"
            text = f"Out of time: the image {beside} fits the cloud better than {name}'s own."
            yield Finding("warning", text, "alignment")
        elif timing.verdict == UNSURE:
            untimed.append(name)
    for names, what in ((unsure, "rotation"), (untimed, "time shift")):
        if names:
            text = f"Not enough evidence to judge the {what} of {', '.join(names)}."
            yield Finding("note", text, "alignment")
    if not rotations:
        text = "Alignment cannot be judged: no scan lines were found in the clouds."
        yield Finding("note", text, "alignment")


def describe(rotation: Rotation) -> str:
    """The angles with their standard errors, in degrees."""
    return ", ".join(
        with_error(angle, sigma, 2) + "\N{DEGREE SIGN}"
        for angle, sigma in zip(rotation.angles_deg, rotation.sigma_deg, strict=True)
    )


def with_error(value: float, sigma: float, digits: int) -> str:
    """A value with its standard error; a question mark where too few frames tell none."""
    error = f"{sigma:.{digits}f}" if np.isfinite(sigma) else "?"
    return f"{value:+.{digits}f} \N{PLUS-MINUS SIGN} {error}"


def _of_camera(store: Store, name: str, camera: CameraNumbers) -> Iterator[Finding]:
    few = int((camera.pairs < FEW_PAIRS).sum())
    if few:
        text = f"Few pairs: {few:,} images of {name} have fewer than {FEW_PAIRS}."
        yield Finding("warning", text, "pairs")
    if camera.images < len(store):
        missing = len(store) - camera.images
        yield Finding("note", f"{missing:,} frames have no image of {name}.", "pairs")
    if not camera.mounted:
        text = f"Missing calibration: where {name} sits on the vehicle."
        yield Finding("note", text, "overview")
    late = int((np.abs(camera.offsets_ms) > MOST_OFFSET_MS).sum())
    if late:
        text = f"Timing: {late:,} images of {name} are over {MOST_OFFSET_MS:g} ms off their cloud."
        yield Finding("warning", text, "timing")
    if len(camera.offsets_ms) < camera.images:
        yield Finding("note", f"Times are missing for {name} or its clouds.", "timing")
