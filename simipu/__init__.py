"""Spatial-aware image pre-training from camera and LiDAR.

    import simipu

    store = simipu.open_store("data.zarr")
    frame = store[12]
    frame.points.xyz, frame.cameras["image_02"].image()

Importing this package is cheap: NumPy, Zarr and PyTorch are loaded by the parts that need them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simipu.store.reader import Store, open_store

__version__ = "0.1.0"
__all__ = ["Store", "__version__", "open_store"]


def __getattr__(name: str) -> object:
    if name in ("Store", "open_store"):
        from simipu.store import reader

        return getattr(reader, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
