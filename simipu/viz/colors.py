"""Colours that mean quantities, the same in every picture.

A depth has the same colour everywhere, so pictures of different frames and data sets can be laid
side by side. All scales are told apart by colour-blind eyes and in grey print.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

ByteArray = npt.NDArray[np.uint8]

# Nine samples of viridis (van der Walt and Smith, CC0): lightness grows evenly along it, so the
# order of values survives colour blindness and grey print.
VIRIDIS = np.array(
    [
        (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141),
        (39, 173, 129), (92, 200, 99), (170, 220, 50), (253, 231, 37),
    ]
)  # fmt: skip
NOT_DARK = VIRIDIS[2:]
"""Without the end that is lost on dark asphalt, where low points and faint ones are."""
# Okabe and Ito's palette without black and the yellow that white paper swallows.
CAMERA_COLORS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (213, 94, 0), (0, 114, 178), (204, 121, 167),
)  # fmt: skip
NO_VALUE_COLOR = (150, 150, 150)
HIDDEN_COLOR = (255, 60, 170)

DEPTH_RANGE_M = (4.0, 80.0)
OUTLIERS_PERCENT = 2.0
MAX_TICKS = 6


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scale:
    """How a quantity becomes a colour.

    Attributes:
        label: what it is, with its unit.
        low, high: the values at its ends; those beyond get the colour of the end.
        ticks: values to be named beside it.
        anchors: (k, 3) colours at even steps from ``low`` to ``high``.
        logarithmic: equal ratios are equal steps of colour; else equal differences.
    """

    label: str
    low: float
    high: float
    ticks: tuple[float, ...]
    anchors: npt.NDArray[np.int_]
    logarithmic: bool = False

    def position(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Where values lie between the ends: 0 at ``low``, 1 at ``high``."""
        value = np.asarray(values, dtype=np.float64)
        low, high = self.low, self.high
        if self.logarithmic:
            with np.errstate(divide="ignore"):
                value, low, high = np.log(value), np.log(low), np.log(high)
        return (value - low) / (high - low)

    def colors(self, values: npt.ArrayLike) -> ByteArray:
        """Map (M,) values to (M, 3) uint8 RGB; `NO_VALUE_COLOR` for NaN."""
        position = self.position(values)
        steps = np.linspace(0.0, 1.0, len(self.anchors))
        channels = [np.interp(position, steps, channel) for channel in self.anchors.T]
        missing = np.isnan(position)[..., None]
        colors = np.where(missing, NO_VALUE_COLOR, np.stack(channels, axis=-1))
        return colors.round().astype(np.uint8)

    def bar(self, length: int) -> ByteArray:
        """The colours, (length, 3), at even steps from ``low`` to ``high``."""
        even = np.geomspace if self.logarithmic else np.linspace
        return self.colors(even(self.low, self.high, length))


def distance_scale(label: str) -> Scale:
    """The scale of all distances from a sensor: near is light, far is dark."""
    low, high = DEPTH_RANGE_M
    return Scale(
        label=label,
        low=low,
        high=high,
        ticks=(5, 10, 20, 40, 80),
        anchors=VIRIDIS[::-1],
        logarithmic=True,
    )


DEPTH = distance_scale("depth (m)")


def depth_colors(depth_m: npt.ArrayLike) -> ByteArray:
    """Map depths to colours, evenly in the logarithm of the depth over ``DEPTH_RANGE_M``.

    Args:
        depth_m: (M,) depths in metres, positive; those out of range get the colour of its end.

    Returns:
        (M, 3) uint8 RGB.
    """
    return DEPTH.colors(depth_m)


def spread(label: str, values: npt.NDArray[Any], *, whole: bool = False) -> Scale:
    """A scale from dark to light over given values.

    Args:
        label: what they are, with their unit.
        values: those that the scale is made for; NaN and infinity are passed over.
        whole: reach over all of them; else `OUTLIERS_PERCENT` at either end are left out.
    """
    finite = values[np.isfinite(values)]
    low, high = 0.0, 1.0
    if len(finite):
        out = 0.0 if whole else OUTLIERS_PERCENT
        low, high = np.percentile(finite, (out, 100.0 - out)).tolist()
        if high - low <= 1e-9 * max(abs(low), abs(high), 1.0):  # one value alone
            low, high = low - 0.5, high + 0.5
    return Scale(label=label, low=low, high=high, ticks=round_ticks(low, high), anchors=NOT_DARK)


def round_ticks(low: float, high: float) -> tuple[float, ...]:
    """Multiples of 1, 2 or 5 times a power of ten from ``low`` to ``high``, `MAX_TICKS` at most."""
    power = 10.0 ** np.floor(np.log10((high - low) / MAX_TICKS))
    steps = (factor * power for factor in (1, 2, 5, 10, 20))
    step = next(each for each in steps if _count(low, high, each) <= MAX_TICKS)
    first = int(np.ceil(low / step - 1e-9))
    return tuple(float(f"{step * i:.6g}") for i in range(first, first + _count(low, high, step)))


def _count(low: float, high: float, step: float) -> int:
    return int(np.floor(high / step + 1e-9) - np.ceil(low / step - 1e-9)) + 1


def camera_color(names: Sequence[str], name: str) -> tuple[int, int, int]:
    """The colour of one of a store's cameras; with many they repeat."""
    return CAMERA_COLORS[names.index(name) % len(CAMERA_COLORS)]
