"""What has to be known beside the numbers, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simipu.evaluate.control import near_duplicates
from simipu.evaluate.division import describe_frames
from simipu.evaluate.pixels import MAX_IMAGES
from simipu.evaluate.retrieval import MAX_IMAGES as MAX_ASKED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simipu.evaluate.division import Division
    from simipu.evaluate.pixels import Pictures
    from simipu.evaluate.retrieval import Retrieval


def describe_division(division: Division) -> Iterator[str]:
    """Which images are measured on, and which are fitted to."""
    measured, fitted = division.measured, division.fitted
    yield f"Measured on {len(measured)} images, of the frames {describe_frames(measured.frames)}."
    if len(measured) > MAX_IMAGES:
        yield (
            f"Of those, evenly spread: the probes {MAX_IMAGES}, retrieval "
            f"{min(len(measured), MAX_ASKED)}."
        )
    if fitted is None:
        return
    most = f"at most {MAX_IMAGES} of " if len(fitted) > MAX_IMAGES else ""
    yield (
        f"Probes are fitted to {most}{len(fitted)} images, of the frames "
        f"{describe_frames(fitted.frames)}: {division.how}."
    )
    if division.same_scenes:
        names = ", ".join(map(repr, division.same_scenes[:3]))
        yield (
            f"Scenes with frames on both sides: {len(division.same_scenes)}, as {names}. The same "
            "place may be on both, and what is measured is then partly memory."
        )


def warn_of_duplicates(test: Pictures, fit: Pictures | None) -> Iterator[str]:
    """Which pictures are nearly the same, as those of a car at a light."""
    for others, consequence in (
        (test, "they count several times and say the same"),
        (fit, "for them the probes know the answer"),
    ):
        if others is None:
            continue
        found = near_duplicates(test.images, others.images)
        if found:
            place, other = found[0]
            where = "also measured on" if others is test else "fitted to"
            yield (
                f"{len(found)} of {len(test)} measured images are nearly equal to one that is "
                f"{where}, as that of frame {test.frames[place]} to that of frame "
                f"{others.frames[other]}: {consequence}."
            )


def warn_of_controls(found: Retrieval) -> Iterator[str]:
    """What is wrong with the images that stood in."""
    if found.control_at_1 is None:
        yield "There is no control: no other frame has an image of the same camera."
    if found.same_scene:
        yield (
            f"{found.same_scene} of {found.images} control images are of the same scene, because "
            "there is no other: they share what is seen, and the control is too high."
        )
    if found.near_duplicates:
        yield (
            f"{found.near_duplicates} of {found.images} control images are nearly equal to the "
            "right ones: these are no controls."
        )
