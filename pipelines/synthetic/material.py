"""What the surfaces are made of: how they look, and how they answer a laser."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from .surface import Float32Array, IntArray


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """One row of the table.

    Attributes:
        name: also the name of its texture.
        reflectivity: share of the laser's light that comes back from a surface facing it, [0, 1].
        spread: standard deviation of the reflectivity from place to place.
        dropout: share of a laser's pulses that are lost on it, [0, 1].
        specular: how much sky it mirrors to a camera, [0, 1].
        tinted: share of the reflectivity that follows the brightness of the surface's tint.
    """

    name: str
    reflectivity: float
    spread: float = 0.03
    dropout: float = 0.0
    specular: float = 0.0
    tinted: float = 0.0


MATERIALS: tuple[Material, ...] = (
    Material(name="asphalt", reflectivity=0.13, spread=0.025, dropout=0.01),
    Material(name="asphalt_old", reflectivity=0.18, spread=0.035, dropout=0.01),
    Material(name="paint", reflectivity=0.65, spread=0.12),
    Material(name="kerb", reflectivity=0.35, spread=0.05),
    Material(name="paving", reflectivity=0.30, spread=0.05),
    Material(name="grass", reflectivity=0.38, spread=0.08, dropout=0.02),
    Material(name="soil", reflectivity=0.22, spread=0.05),
    Material(name="brick", reflectivity=0.32, spread=0.06),
    Material(name="plaster", reflectivity=0.55, spread=0.05, tinted=0.6),
    Material(name="concrete", reflectivity=0.40, spread=0.05),
    Material(name="stone", reflectivity=0.33, spread=0.07),
    Material(name="roof_tile", reflectivity=0.25, spread=0.05),
    Material(name="roof_flat", reflectivity=0.20, spread=0.04),
    Material(name="window", reflectivity=0.12, spread=0.08, dropout=0.45, specular=0.35),
    Material(name="door", reflectivity=0.35, spread=0.05, tinted=0.5),
    Material(name="shop", reflectivity=0.15, spread=0.08, dropout=0.40, specular=0.25),
    Material(name="sign", reflectivity=0.85, spread=0.10),
    Material(name="board", reflectivity=0.50, spread=0.10),
    Material(name="metal", reflectivity=0.40, spread=0.05, specular=0.10, tinted=0.5),
    Material(
        name="car_paint", reflectivity=0.30, spread=0.04, dropout=0.10, specular=0.22, tinted=0.6
    ),
    Material(name="car_glass", reflectivity=0.06, spread=0.02, dropout=0.60, specular=0.40),
    Material(name="tyre", reflectivity=0.06, spread=0.02, dropout=0.05),
    Material(name="trim", reflectivity=0.08, spread=0.02, dropout=0.05, specular=0.05),
    Material(name="headlight", reflectivity=0.55, spread=0.15, specular=0.30),
    Material(name="taillight", reflectivity=0.70, spread=0.15, specular=0.20),
    Material(name="plate", reflectivity=0.95, spread=0.03),
    Material(name="bark", reflectivity=0.28, spread=0.06),
    Material(name="foliage", reflectivity=0.42, spread=0.10, dropout=0.08),
    Material(name="hedge", reflectivity=0.40, spread=0.10, dropout=0.06),
    Material(name="wood", reflectivity=0.38, spread=0.06, tinted=0.4),
    Material(name="cloth", reflectivity=0.35, spread=0.08, tinted=0.6),
    Material(name="skin", reflectivity=0.45, spread=0.03),
    Material(name="lamp", reflectivity=0.50, spread=0.05, specular=0.10),
)

NUMBER: dict[str, int] = {material.name: number for number, material in enumerate(MATERIALS)}
"""Number of each material, by its name."""

DROPOUT: Float32Array = np.array([m.dropout for m in MATERIALS], dtype=np.float32)
SPECULAR: Float32Array = np.array([m.specular for m in MATERIALS], dtype=np.float32)
_BASE = np.array([m.reflectivity for m in MATERIALS], dtype=np.float32)
_SPREAD = np.array([m.spread for m in MATERIALS], dtype=np.float32)
_TINTED = np.array([m.tinted for m in MATERIALS], dtype=np.float32)
for _table in (DROPOUT, SPECULAR, _BASE, _SPREAD, _TINTED):
    _table.setflags(write=False)

_SPECKLE_PX = 256
_SPECKLE_M = 0.06
_RNG = np.random.default_rng([0, 0, 0, 0, 912])
_SPECKLE = _RNG.standard_normal(_SPECKLE_PX**2).astype(np.float32)
_SPECKLE.clip(-2.0, 2.0, out=_SPECKLE).setflags(write=False)


def reflectivity(
    material: IntArray, uv: Float32Array, tint: Float32Array | None = None
) -> Float32Array:
    """Return how strongly spots of surfaces answer a laser that looks straight at them.

    Args:
        material: (N,) number in `MATERIALS`.
        uv: (N, 2) place in the texture, metres; the answer varies from place to place by it.
        tint: (N, 3) colour factor; pale paint answers more than dark. None counts as mid-grey.

    Returns:
        (N,) float32 in [0, 1].
    """
    cell: npt.NDArray[np.int64] = np.floor(uv * np.float32(1.0 / _SPECKLE_M)).astype(np.int64)
    speckle = _SPECKLE[(cell[:, 1] & 255) * _SPECKLE_PX + (cell[:, 0] & 255)]
    value = _BASE[material] + _SPREAD[material] * speckle
    if tint is not None:
        brightness = tint.mean(axis=1, dtype=np.float32)
        value *= 1.0 + _TINTED[material] * (2.0 * brightness - 1.0)
    limited: Float32Array = np.clip(value, 0.0, 1.0, dtype=np.float32)
    return limited
