"""Settings to start from, by data set: plain functions, to be called or copied.

The sizes of ``kitti``, ``nuscenes`` and ``waymo`` are those of one GPU. They are starting points
that follow the images' aspect and the sensors' density; none of them has been trained to the end.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from simipu.data.config import SampleConfig
from simipu.errors import UsageError
from simipu.train.config import (
    CheckpointConfig,
    DataConfig,
    LogConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
    SystemConfig,
    TrainConfig,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def debug() -> TrainConfig:
    """Does everything work? Twenty steps of a small network, half a minute on a CPU."""
    return TrainConfig(
        sample=SampleConfig(height=64, width=192, pairs=64, points=512),
        model=ModelConfig(image_backbone="resnet18"),
        optim=OptimConfig(batch_size=4),
        run=RunConfig(steps=20),
        checkpoint=CheckpointConfig(every=10),
        log=LogConfig(every=5, eval_every=10),
        system=SystemConfig(workers=0),
    )


def kitti() -> TrainConfig:
    """KITTI raw or object: wide images, 64 beams, one or two cameras."""
    return TrainConfig(
        sample=SampleConfig(height=352, width=1216, pairs=1024, points=8192, max_range_m=80.0),
        optim=OptimConfig(batch_size=8),
        run=RunConfig(epochs=100),
        checkpoint=CheckpointConfig(every=500),
        log=LogConfig(every=50, eval_every=500),
        system=SystemConfig(workers=8),
    )


def nuscenes() -> TrainConfig:
    """nuScenes: six cameras of 1600 x 900 px, 32 beams; two cameras of each frame in an epoch."""
    return TrainConfig(
        data=DataConfig(cameras_per_frame=2),
        sample=SampleConfig(height=448, width=800, pairs=512, points=2048, max_range_m=80.0),
        optim=OptimConfig(batch_size=16),
        run=RunConfig(epochs=50),
        checkpoint=CheckpointConfig(every=1000),
        log=LogConfig(every=50, eval_every=1000),
        system=SystemConfig(workers=12),
    )


def waymo() -> TrainConfig:
    """Waymo: five cameras of up to 1920 x 1280 px, 64 beams; one camera of each frame."""
    return TrainConfig(
        data=DataConfig(cameras_per_frame=1),
        sample=SampleConfig(height=640, width=960, pairs=1024, points=16384, max_range_m=75.0),
        optim=OptimConfig(batch_size=8),
        run=RunConfig(epochs=20),
        checkpoint=CheckpointConfig(every=1000),
        log=LogConfig(every=50, eval_every=1000),
        system=SystemConfig(workers=12),
    )


RECIPES: dict[str, Callable[[], TrainConfig]] = {
    recipe.__name__: recipe for recipe in (debug, kitti, nuscenes, waymo)
}


def find_recipe(name: str) -> TrainConfig:
    """The settings of a recipe."""
    if name not in RECIPES:
        near = get_close_matches(name, RECIPES, n=1)
        raise UsageError(
            f"there is no recipe {name!r}",
            fix=f"Did you mean {near[0]}?" if near else f"Choose from: {', '.join(RECIPES)}.",
        )
    return RECIPES[name]()
