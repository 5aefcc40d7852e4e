"""Who is whose neighbour in a cloud, as index lists that also hold in a similar copy of it.

Rotation, mirroring and uniform scaling keep the order of distances: the graph of a cloud is that of
the transformed one too. Where it is made with radii, they grow with the scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Level(NamedTuple):
    """Centres among the points of the level below, the cloud's own for the first level.

    Attributes:
        centre: (B, M) int64 index of each centre.
        near: one or several (B, M, K) int64 lists of the neighbours of each centre.
    """

    centre: Tensor
    near: tuple[Tensor, ...]


class Graph(NamedTuple):
    """Neighbourhoods of a batch of clouds, from fine to coarse and back.

    Attributes:
        levels: from fine to coarse.
        up: from coarse to fine, for each level but the coarsest (B, M, K) int64: of which centres
            of the next coarser level a feature is interpolated.
    """

    levels: tuple[Level, ...]
    up: tuple[Tensor, ...] = ()

    @property
    def rows(self) -> Tensor:
        """The coarsest centres as rows of the cloud, (B, M) int64."""
        rows = self.levels[0].centre
        for level in self.levels[1:]:
            rows = rows.gather(1, level.centre)
        return rows
