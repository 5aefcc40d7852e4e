"""The loss curve of the recipe ``debug`` on a small synthetic world, step by step.

The world is drawn here, from nothing but a seed. What changes the curve is a change of the method,
of the data's order or of a random choice: the commit that does so says why, and prints a new curve
with `python tests/integration/test_golden.py`.

Between processors the last digits of a convolution differ, and the steps multiply that: with one
and two threads, with and without oneDNN, the curves differed by up to 0.02 % in the first five
steps, 0.3 % in the next two, and 3 % later. The first steps tell of a change, the later ones that
it learns.
"""

import dataclasses
import tempfile
from pathlib import Path

import pytest
import torch

from fake_store import FakeStore
from simipu.data.config import Selection
from simipu.train.config import DataConfig, LogConfig
from simipu.train.recipes import debug
from simipu.train.runlog import read_log
from simipu.train.trainer import Trainer

CURVE = (
    12.9484, 12.9495, 12.9617, 12.6207, 12.4286, 11.4911, 12.1120, 11.4459, 11.2197, 10.3725,
    11.1215, 12.0202, 9.9449, 10.2894, 10.4175, 10.5005, 10.1412, 10.3117, 10.1211, 9.8747,
)  # fmt: skip
TOLERANCE = (*[1e-3] * 5, *[1e-2] * 2, *[6e-2] * 13)


class Silent:
    def update(self, step, record): ...
    def warn(self, step, warning): ...


def run_curve(run: Path) -> list[float]:
    store = FakeStore(frames=8, points=3000, telling=True, sizes={"left": (100, 126)})
    config = dataclasses.replace(
        debug(),
        data=DataConfig(stores=(Selection(path="fake.zarr"),)),
        log=LogConfig(every=1),
    )
    Trainer(config, {"fake.zarr": store}, run, resume=False).train(Silent())
    return [record["loss/total"] for record in read_log(run) if "loss/total" in record]


@pytest.mark.slow
def test_the_loss_curve_is_the_golden_one(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        curve = run_curve(tmp_path)
    finally:
        torch.set_num_threads(threads)
    assert len(curve) == len(CURVE)
    for step, (loss, golden, tolerance) in enumerate(zip(curve, CURVE, TOLERANCE, strict=True), 1):
        assert loss == pytest.approx(golden, rel=tolerance), f"step {step}: {curve}"


if __name__ == "__main__":
    for threads in (1, 2):
        for onednn in (True, False):
            torch.set_num_threads(threads)
            torch.backends.mkldnn.enabled = onednn
            with tempfile.TemporaryDirectory() as folder:
                curve = run_curve(Path(folder))
            print(threads, onednn, ", ".join(f"{loss:.4f}" for loss in curve))
