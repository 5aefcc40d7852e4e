"""What a Waymo segment is called, when it begins, and where on earth it lies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from simipu.records import FloatArray

    from .options import Options

FRAME_US = 100_000
"""Time from one frame to the next."""

_PURPOSE = 900  # of the random numbers of this module
_SIXTY_FOURTH_US = 15_625  # float64 seconds since 1970 hold such a time without rounding


@dataclass(frozen=True)
class Segment:
    """One scene as a segment of the Waymo Open Dataset.

    Two clocks are in use: that of the `World`, in which the segment starts at 0 s, and the
    published one, seconds since 1970. A float64 resolves the latter to 0.24 microseconds, so
    every published time is rounded first, and what happens in the world happens at the rounded
    time.

    Attributes:
        seed, scene: of the world.
        frames: number of frames.
        split: "training" or "validation".
    """

    seed: int
    scene: int
    frames: int
    split: str

    @property
    def context(self) -> str:
        """The name: a long number, then start and end in seconds and milliseconds.

        The number is 1, the seed in twelve digits and the scene in six; real ones look random.
        """
        seconds, ms = divmod(self.frames * FRAME_US // 1000, 1000)
        return f"1{self.seed:012d}{self.scene:06d}_0_000_{seconds}_{ms:03d}"

    @property
    def duration_s(self) -> float:
        """Time from the start of the first frame to the end of the last."""
        return self.frames * FRAME_US * 1e-6

    @cached_property
    def start_us(self) -> int:
        """Published time of the world's 0 s, microseconds since 1970."""
        return self._random_numbers()[0]

    def timestamp_us(self, frame: int) -> int:
        """Return the published time at which a frame's TOP sweep starts."""
        return self.start_us + frame * FRAME_US

    def start_s(self, frame: int) -> float:
        """Return the world's time at which a frame's TOP sweep starts."""
        return frame * FRAME_US * 1e-6

    def published_s(self, t_s: float) -> float:
        """Return the published time, in seconds since 1970, next to a time of the world."""
        return self.start_us / 1_000_000 + t_s

    def world_s(self, published_s: float) -> float:
        """Return the time of the world at a published time; exact."""
        return published_s - self.start_us / 1_000_000

    @cached_property
    def T_published_from_world(self) -> FloatArray:
        """(4, 4) float64: the published world is turned about z and tens of kilometres away.

        That is how far the origin is in the real data set; there, float32 counts millimetres.
        """
        _, yaw, x, y, z = self._random_numbers()
        T = np.eye(4)
        T[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
        T[:3, 3] = x, y, z
        return T

    def _random_numbers(self) -> tuple[int, float, float, float, float]:
        rng = np.random.default_rng([self.seed, self.scene, 0, 0, _PURPOSE])
        # 2017-07 to 2019-02
        start_us = int(rng.integers(1_500_000_000 * 64, 1_550_000_000 * 64)) * _SIXTY_FOURTH_US
        yaw = float(rng.uniform(-np.pi, np.pi))
        x, y = rng.choice([-1.0, 1.0], 2) * rng.uniform(10_000.0, 40_000.0, 2)
        return start_us, yaw, float(x), float(y), float(rng.uniform(-150.0, 150.0))


def make_segments(options: Options) -> tuple[Segment, ...]:
    """Return all segments: the last quarter, of several at least one, is for validation."""
    validation = 0 if options.scenes == 1 else max(1, options.scenes // 4)
    return tuple(
        Segment(
            seed=options.seed,
            scene=scene,
            frames=options.frames,
            split="validation" if scene >= options.scenes - validation else "training",
        )
        for scene in range(options.scenes)
    )
