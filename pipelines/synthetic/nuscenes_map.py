"""The map of a scene: nuScenes' "semantic prior", white where one may drive or walk."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from .material import NUMBER
from .rowwise import transformed

if TYPE_CHECKING:
    from simipu.records import FloatArray

    from .surface import Surface

_PER_M = 10.0
"""Pixels per metre, fixed by the format: global (0, 0) is the lower left corner."""
_WAYS = tuple(NUMBER[name] for name in ("asphalt", "asphalt_old", "paint", "kerb", "paving"))


def mask_png(static: Surface, T_global_from_world: FloatArray) -> bytes:
    """Return an 8-bit PNG, 255 on carriageways and pavements and 0 elsewhere."""
    ways = static.triangles[np.isin(static.material, _WAYS)]
    xyz = transformed(T_global_from_world, static.vertices[np.unique(ways)])
    width, height = (math.ceil(edge * _PER_M) + 1 for edge in xyz[:, :2].max(axis=0))
    xy = transformed(T_global_from_world, static.vertices)[:, :2] * (_PER_M, -_PER_M)
    xy += (0.0, height)
    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    for corners in xy[ways].reshape(-1, 6).tolist():
        draw.polygon(corners, fill=255)
    encoded = io.BytesIO()
    image.save(encoded, format="PNG", compress_level=1)
    return encoded.getvalue()
