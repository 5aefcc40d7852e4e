"""The ground as one mesh without holes: carriageway with its markings, kerbs, pavements, plots."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from .material import NUMBER
from .shapes import quads
from .terrain import KERB_WIDTH_M, REACH_M

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from .surface import Float32Array, FloatArray, Surface
    from .terrain import Road

CELL_M = 1.5
"""Length of the mesh's cells along the street; all that is painted on it is a multiple."""
_PLOT_LINES_M = (1.5, 3.0, 4.5, 6.0, 8.0, 11.0, 15.0, 20.0, 27.0, 40.0, 50.0, 62.0)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Patch:
    """A rectangle of street coordinates with a ground of its own; the last one painted shows."""

    s: tuple[float, float]
    d: tuple[float, float]
    material: str
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    road_only: bool = False  # whether it ends at the kerbs


def snap(s: float) -> float:
    """Return the nearest line of the mesh across the street."""
    return round(s / CELL_M) * CELL_M


def ground(
    road: Road, patches: Sequence[Patch], lines_m: Sequence[float], *, pavement: Patch, plots: Patch
) -> Surface:
    """Return the mesh of the ground.

    Args:
        road: its shape.
        patches: what is painted on the default ground, in this order.
        lines_m: values of d at which the mesh must have lines, on the carriageway.
        pavement: gives the pavements' material and tint.
        plots: gives the plots' material and tint.
    """
    first, last = (round(s / CELL_M) for s in road.s_range)
    s = CELL_M * np.arange(first, last + 1)
    carriageway = _between(-road.right.kerb_m, road.left.kerb_m, lines_m)
    strips = [(carriageway, road.base(s[:, None], carriageway[None, :]))]
    for sign, side in ((1.0, road.left), (-1.0, road.right)):
        out = [side.kerb_m, side.kerb_m + KERB_WIDTH_M, side.plots_m]
        out += [side.plots_m + line for line in _PLOT_LINES_M]
        d = sign * np.array([*out, REACH_M])
        face = sign * np.full(2, side.kerb_m)
        kerb = road.kerb_height(s, sign)
        low = road.base(s, face[:1])
        strips.append((face, np.stack([low, low + kerb], axis=1)))
        strips.append((d, road.base(s[:, None], d[None, :]) + kerb[:, None]))
    materials, tints, corners, charts = [], [], [], []
    for d, z in strips:
        grid = np.concatenate([road.xy(s[:, None], d[None, :]), z[..., None]], axis=-1)
        rise = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(z[0]) * (np.diff(d) == 0.0)))])
        chart = np.stack(np.broadcast_arrays(s[:, None], (d + rise)[None, :]), axis=-1)
        corners.append(_cells(grid))
        charts.append(_cells(chart))
        mid_s, mid_d = np.meshgrid(s[:-1] + CELL_M / 2, (d[:-1] + d[1:]) / 2, indexing="ij")
        number, tint = _painted(road, mid_s.ravel(), mid_d.ravel(), patches, pavement, plots)
        if d[0] == d[-1]:
            number[:] = NUMBER["kerb"]
            tint[:] = 1.0
        materials.append(number)
        tints.append(tint)
    surface = quads(np.concatenate(corners), 0, np.concatenate(tints), np.concatenate(charts))
    surface.material[:] = np.repeat(np.concatenate(materials), 2)
    return surface


def _painted(
    road: Road,
    s: FloatArray,
    d: FloatArray,
    patches: Sequence[Patch],
    pavement: Patch,
    plots: Patch,
) -> tuple[npt.NDArray[np.uint8], Float32Array]:
    number = np.full(len(s), NUMBER["asphalt"], dtype=np.uint8)
    tint = np.ones((len(s), 3), dtype=np.float32)
    on_road = (d > -road.right.kerb_m) & (d < road.left.kerb_m)
    for sign, side in ((1.0, road.left), (-1.0, road.right)):
        out = sign * d
        for edge, ground_kind in ((side.kerb_m + KERB_WIDTH_M, pavement), (side.plots_m, plots)):
            number[out > edge] = NUMBER[ground_kind.material]
            tint[out > edge] = ground_kind.tint
        number[(out > side.kerb_m) & (out < side.kerb_m + KERB_WIDTH_M)] = NUMBER["kerb"]
        tint[(out > side.kerb_m) & (out < side.kerb_m + KERB_WIDTH_M)] = 1.0
    for patch in patches:
        inside = (s > patch.s[0]) & (s < patch.s[1]) & (d > patch.d[0]) & (d < patch.d[1])
        if patch.road_only:
            inside &= on_road
        number[inside] = NUMBER[patch.material]
        tint[inside] = patch.tint
    return number, tint


def _cells(grid: FloatArray) -> FloatArray:
    corners = [grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]]
    cells: FloatArray = np.stack(corners, axis=2).reshape(-1, 4, grid.shape[-1])
    return cells


def _between(low: float, high: float, lines_m: Sequence[float]) -> FloatArray:
    """Both ends, the lines between them in order, and none closer than 2 cm to its neighbour."""
    ordered = np.unique(np.round([line for line in lines_m if low + 0.02 < line < high - 0.02], 3))
    apart = np.concatenate([[True], np.diff(ordered) > 0.02])[: len(ordered)]
    return np.concatenate([[low], ordered[apart], [high]])
