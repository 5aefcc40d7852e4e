"""What decides every byte of a synthetic data set."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from simipu.errors import UsageError

from .world import LONGEST_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from .sensors import Rig

_AnyRig = TypeVar("_AnyRig", bound="Rig")

MOST_SEED = 2**32 - 1
"""Keys of random numbers are words of 32 bits, and a larger seed would be two of them.

Equal words make equal numbers, and so do keys of up to four words that differ in zeros at their
ends. So all keys have three words (seed, scene, purpose) for what is drawn for a world, else five:
(seed, scene, frame, sensor, purpose), or with a purpose from 910 on for shapes that all worlds
share.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What to generate. Equal options give equal bytes.

    Attributes:
        layout: name of the on-disk format, a key of `layouts.LAYOUTS`.
        scenes: number of scenes, each in a world of its own.
        frames: frames of each scene; of nuScenes, keyframes.
        seed: another seed is another set of worlds; at most `MOST_SEED`.
        image_scale: factor of both sides of every image.
        beams: beams of the (first) LiDAR; None: as the real one.
        columns: firings of the LiDAR in one turn; None: as the real one.
        noise: whether the LiDAR has noise and dropouts.
        truth: whether exact truth is written beside the data.
        cameras: which cameras to write, by their names in the layout; None: the layout's default.
        sweeps: whether nuScenes' frames between the keyframes are written.

    Raises:
        UsageError: a value is out of range.
    """

    layout: str
    scenes: int
    frames: int
    seed: int
    image_scale: float = 1.0
    beams: int | None = None
    columns: int | None = None
    noise: bool = True
    truth: bool = True
    cameras: tuple[str, ...] | None = None
    sweeps: bool = True

    def __post_init__(self) -> None:
        _refuse_below("scenes", self.scenes, 1)
        _refuse_below("frames", self.frames, 1)
        _refuse_below("seed", self.seed, 0)
        if self.seed > MOST_SEED:
            raise UsageError(f"seed is {self.seed:,}", fix=f"It must be at most {MOST_SEED:,}.")
        _refuse_below("beams", self.beams, 2)
        _refuse_below("columns", self.columns, 8)
        if not (math.isfinite(self.image_scale) and 0.01 <= self.image_scale <= 4):
            raise UsageError(
                f"image_scale is {self.image_scale:g}", fix="Give a factor from 0.01 to 4."
            )
        if self.cameras is not None and len(set(self.cameras)) != max(len(self.cameras), 1):
            raise UsageError("cameras is empty or names one twice", fix="Name each camera once.")
        if not self.sweeps and self.layout != "nuscenes":
            raise UsageError(
                f"{self.layout} has no sweeps between keyframes that could be left out",
                fix="Leave out --no-sweeps: it is for --layout nuscenes.",
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        values = asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    def duration_s(self, spacing_s: float) -> float:
        """Return how long each scene lasts.

        Args:
            spacing_s: time from one of the layout's frames to the next.

        Raises:
            UsageError: no world is as long.
        """
        most = round(LONGEST_S / spacing_s)
        if self.frames > most:
            raise UsageError(
                f"{self.frames:,} --frames of {self.layout} are a scene of "
                f"{self.frames * spacing_s:,g} s, and none is longer than {LONGEST_S:g} s",
                fix=f"Give at most {most:,} --frames, and more --scenes instead.",
            )
        return self.frames * spacing_s

    def rig(self, make: Callable[..., _AnyRig]) -> _AnyRig:
        """Return a car of `rigs`, given the function that makes it, as the options want it."""
        return make(
            image_scale=self.image_scale,
            beams=self.beams,
            columns=self.columns,
            noise=self.noise,
        )

    def chosen_cameras(
        self, available: tuple[str, ...], default: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Return the cameras to write, in the layout's own order.

        Args:
            available: every camera that the layout can have, in order.
            default: the ones to write where none were chosen.

        Raises:
            UsageError: a chosen camera is none of the layout's.
        """
        chosen = default if self.cameras is None else self.cameras
        unknown = [name for name in chosen if name not in available]
        if unknown:
            raise UsageError(
                f"{self.layout} has no camera {unknown[0]!r}",
                fix=f"Choose from {', '.join(available)}.",
            )
        return tuple(name for name in available if name in chosen)


def _refuse_below(name: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise UsageError(f"{name} is {value}", fix=f"It must be at least {least}.")
