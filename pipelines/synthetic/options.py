"""What decides every byte of a synthetic data set."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from simipu.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What to generate. Equal options give equal bytes.

    Attributes:
        layout: name of the on-disk format, a key of `layouts.LAYOUTS`.
        scenes: number of scenes, each in a world of its own.
        frames: frames of each scene; of nuScenes, keyframes.
        seed: another seed is another set of worlds.
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
        _refuse_below("beams", self.beams, 2)
        _refuse_below("columns", self.columns, 8)
        if not (math.isfinite(self.image_scale) and 0.01 <= self.image_scale <= 4):
            raise UsageError(
                f"image_scale is {self.image_scale:g}", fix="Give a factor from 0.01 to 4."
            )
        if self.cameras is not None and len(set(self.cameras)) != max(len(self.cameras), 1):
            raise UsageError("cameras is empty or names one twice", fix="Name each camera once.")

    def as_dict(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        values = asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

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
