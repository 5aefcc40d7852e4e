"""From nothing to weights and a picture, in Python: the same steps as `make demo`."""

import argparse
import sys
from pathlib import Path

import simipu
from simipu.correspond.policy import Policy
from simipu.data.config import SampleConfig, Selection
from simipu.pipelines.convert import Resources, convert
from simipu.pipelines.correspond import correspond_store
from simipu.pipelines.sources.kitti_object import KittiObject
from simipu.pipelines.synthetic.generate import generate
from simipu.pipelines.synthetic.options import Options
from simipu.train.config import (
    DataConfig,
    LogConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
    TrainConfig,
)
from simipu.train.console import Console, describe_change
from simipu.train.runlog import read_log
from simipu.train.trainer import Trainer
from simipu.viz.overlay import draw_overlay


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for everything that is made")
    parser.add_argument("--scenes", type=int, default=6)
    parser.add_argument("--frames", type=int, default=16, help="frames of each scene")
    parser.add_argument("--image-scale", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=150)
    arguments = parser.parse_args()
    world, store_path = arguments.out / "kitti", arguments.out / "kitti.zarr"

    # 1. A world in KITTI's layout. With data of your own this step is not needed.
    options = Options(
        layout="kitti",
        scenes=arguments.scenes,
        frames=arguments.frames,
        seed=0,
        image_scale=arguments.image_scale,
    )
    generate(world, options, workers=2)

    # 2. A store, and which point lies at which pixel.
    convert(KittiObject(world), store_path, resources=Resources())
    correspond_store(store_path, Policy(), resources=Resources())
    store = simipu.open_store(store_path)
    print(store)

    # 3. Weights. The last scenes are measured on, before and after, and not trained on.
    first_held_out = len(store) - max(1, arguments.scenes // 3) * arguments.frames
    config = TrainConfig(
        data=DataConfig(
            stores=(Selection(path=str(store_path), frames=f":{first_held_out}"),),
            held_out=(Selection(path=str(store_path), frames=f"{first_held_out}:"),),
        ),
        sample=SampleConfig(height=96, width=320, points=1024),
        model=ModelConfig(image_backbone="resnet18"),
        optim=OptimConfig(batch_size=4, lr=0.002),
        run=RunConfig(steps=arguments.steps),
        log=LogConfig(eval_every=75),
    )
    trainer = Trainer(config, {str(store_path): store}, arguments.out / "run", resume=True)
    with Console(sys.stderr, step=trainer.step, steps=trainer.steps) as console:
        trainer.train(console)
    print(describe_change(read_log(trainer.run)))

    # 4. A picture of what the training learned from.
    frame = store[first_held_out]
    picture = draw_overlay(frame.cameras["image_2"], frame, dataset="KITTI, synthetic")
    picture.save(arguments.out / "overlay.png")
    print(f"Everything is in {arguments.out}: look at overlay.png")


if __name__ == "__main__":  # worker processes import this file
    main()
