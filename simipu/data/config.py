"""What is taken of a store, and how large a sample is: settings without anything heavy to load."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from simipu.errors import UsageError

IMAGE_STRIDE = 32  # of the coarsest feature map of the usual backbones


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Some of the images of a store: those that meet all conditions.

    Attributes:
        path: of the store.
        weight: how often an image is seen in an epoch. Of a fraction, as many images are drawn
            anew for each epoch.
        scenes: names of scenes; empty for all.
        splits: names of splits; empty for all.
        frames: "start:stop" in the store; either side may be empty.
        cameras: names of cameras; empty for all.
    """

    path: str
    weight: float = 1.0
    scenes: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    frames: str = ":"
    cameras: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise UsageError(
                f"the weight of {self.path} is {self.weight}",
                fix="Give a positive number: 2 shows every image twice an epoch.",
            )
        _match_frames(self.frames)


AUGMENTATIONS = ("crop", "whole", "released")
VIEWS = ("resampled", "shared", "shuffled")
PAIRS = ("rows", "assignment")
PIXEL_MAPPINGS = ("exact", "released")


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleRules:
    """How a sample is drawn: the part of a method's variant that the data depend on.

    Attributes:
        augmentation: "crop" shows a random window of the image at a fixed size, perhaps mirrored,
            with its colours jittered, and a cloud that is mirrored, rotated and scaled about its
            origin and has some noise; "whole" differs in that the window is the largest, and never
            mirrored. "released" is that of the released code: the whole image at a random size,
            image and cloud mirrored together, a rotation about a place ahead, and no jitter, noise,
            or points outside of a box.
        views: the points of both views of the cloud, beside those of the pairs: "resampled" for
            different ones, "shared" for the same in the same order, "shuffled" for the same, each
            view in an order of its own.
        pairs: "rows" chooses points, and puts them first in both views; "assignment" leaves it to
            the method to find pairs.
        visible_only: points that something hides from the camera are in no pair. Points beside the
            window never are; the released augmentation has them only by rounding, and keeps them
            where this is False.
        pixel_mapping: "exact", or "released" for pixel coordinates that take no account of where a
            pixel's centre is.
    """

    augmentation: str = "crop"
    views: str = "resampled"
    pairs: str = "rows"
    visible_only: bool = True
    pixel_mapping: str = "exact"


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleConfig:
    """Sizes of a sample.

    Attributes:
        height, width: of the image that the network sees, in pixels; multiples of 32. The released
            augmentation draws sizes about them, from half to nearly double.
        pairs: pixel-point pairs per image.
        cell_px: of each square of this many pixels at most one pair is taken; 1 hardly excludes
            any.
        points: points in each view of the cloud, those of the pairs among them.
        min_range_m, max_range_m: distance from the lidar of the points that take part; None for
            no limit.
        intensity: the points' intensity is their feature; without it that is zero.
    """

    height: int = 96
    width: int = 320
    pairs: int = 128
    cell_px: int = 6
    points: int = 2048
    min_range_m: float = 0.0
    max_range_m: float | None = None
    intensity: bool = True

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            value = getattr(self, name)
            if value <= 0 or value % IMAGE_STRIDE:
                below = max(1, value // IMAGE_STRIDE) * IMAGE_STRIDE
                raise UsageError(
                    f"the image {name} is {value} px, not a multiple of {IMAGE_STRIDE}",
                    fix=f"Take {below} or {below + IMAGE_STRIDE}.",
                )
        if self.pairs < 2:
            raise UsageError(
                f"{self.pairs} pairs per image leave nothing to tell apart", fix="Take 2 or more."
            )
        if self.cell_px < 1:
            raise UsageError(f"a cell of {self.cell_px} px is none", fix="Take 1 or more.")
        if self.points < self.pairs:
            raise UsageError(
                f"{self.points} points cannot hold the points of {self.pairs} pairs",
                fix="Take more points or fewer pairs.",
            )
        nearest, farthest = self.min_range_m, self.max_range_m
        if not 0 <= nearest < (math.inf if farthest is None else farthest):
            raise UsageError(
                f"no point is {nearest} to {farthest} m away",
                fix="Let sample.min_range_m be 0 or more, and sample.max_range_m larger, or null.",
            )


def parse_frames(text: str, total: int) -> range:
    """Frame indices of "start:stop" in a store of ``total`` frames; either side may be empty.

    Raises:
        UsageError: the text is no such range, or selects nothing, or goes beyond the last frame.
    """
    match = _match_frames(text)
    start = int(match[1] or 0)
    stop = int(match[2] or total)
    if start >= stop or stop > total:
        raise UsageError(
            f"frames {text} select nothing or go beyond the end",
            fix=f"The store has the frames 0:{total}.",
        )
    return range(start, stop)


def parse_image_size(text: str) -> tuple[int, int]:
    """Height and width of "HxW"."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match:
        raise UsageError(f"{text!r} is no image size", fix='Write height x width, as "96x320".')
    return int(match[1]), int(match[2])


def _match_frames(text: str) -> re.Match[str]:
    match = re.fullmatch(r"(\d*):(\d*)", text)
    if not match:
        raise UsageError(
            f"{text!r} is no range of frames", fix='Write it as "0:16", ":16" or "16:".'
        )
    return match
