import dataclasses
import os
import signal

import pytest
import torch

from fake_store import FakeStore
from simipu.data.config import SampleConfig
from simipu.data.dataset import PairDataset
from simipu.errors import IncompleteError, StoreError
from simipu.evaluate.retrieval import measure_retrieval
from simipu.methods.build import build_method
from simipu.methods.config import ModelConfig
from simipu.train import trainer as trainer_module
from simipu.train.checkpoint import BEST, list_checkpoints, load_checkpoint
from simipu.train.trainer import Trainer
from small_runs import (
    HELD_OUT,
    SMALL,
    Clock,
    Listening,
    Oracle,
    make_trainer,
    one_thread,
    read_log,
    same_state,
    whole,
)

__all__ = ["one_thread"]  # a fixture that every test here uses


def test_evaluation_does_not_count_as_training_time(tmp_path, monkeypatch):
    clock = Clock(monkeypatch)
    clock.tick(PairDataset, "__getitem__", 1.0)
    clock.tick(Trainer, "_train_step", 2.0)
    clock.tick(trainer_module, "measure_retrieval", 3600.0)
    trainer = make_trainer(tmp_path, data=HELD_OUT, log={"every": 3, "eval_every": 2}, batch_size=2)
    trainer.train(Listening())
    records = [record for record in read_log(tmp_path) if "data_wait" in record]
    assert len(records) == 2
    for record in records:  # three steps of 2 + 2 s
        assert record["frames_per_s"] == pytest.approx(6 / 12)
        assert record["data_wait"] == pytest.approx(6 / 12)


def test_retrieval_leaves_the_method_as_it_was():
    dataset = PairDataset(whole(FakeStore()), SMALL, seed=0, augment=False)
    method = build_method(ModelConfig(image_backbone="test_resnet"), pairs=SMALL.pairs)
    modes = []
    method.g_image.register_forward_hook(lambda module, *_: modes.append(module.training))
    before = {name: value.clone() for name, value in method.state_dict().items()}
    measure_retrieval(method, dataset, torch.device("cpu"))
    assert set(modes) == {False}
    assert all(module.training for module in method.modules())
    assert same_state(before, method.state_dict())

    failing = PairDataset(whole(FakeStore(encoded_size=(10, 10))), SMALL, seed=0, augment=False)
    with pytest.raises(StoreError, match="10 x 10"):
        measure_retrieval(method, failing, torch.device("cpu"))
    assert method.training
    method.eval()
    measure_retrieval(method, dataset, torch.device("cpu"))
    assert not method.training


def test_retrieval_of_an_oracle_and_of_a_network_that_is_not_trained():
    store = FakeStore(frames=4, points=2000)
    config = SampleConfig(height=64, width=128, pairs=40, points=64)
    dataset = PairDataset(whole(store), config, seed=0, augment=False)
    found = measure_retrieval(Oracle(), dataset, torch.device("cpu"))
    assert found.recall_at_1 > 0.95
    assert found.recall_at_5 == 1
    # All images of the fake store are equal: the control must find as much.
    assert found.control_at_1 == found.recall_at_1
    assert found.pixels == 160
    assert found.chance_at_1 == pytest.approx(1 / 40)

    blank = FakeStore(frames=4, points=2000, empty=(0, 1, 2, 3))
    with pytest.raises(StoreError, match="visible point"):
        measure_retrieval(
            Oracle(),
            PairDataset(whole(blank), config, seed=0, augment=False),
            torch.device("cpu"),
        )


def test_retrieval_is_measured_of_the_average(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        trainer_module,
        "measure_retrieval",
        lambda method, *rest: asked.append(method) or measure_retrieval(method, *rest),
    )
    trainer = make_trainer(tmp_path, average=0.5, data=HELD_OUT, log={"eval_every": 3})
    trainer.train(Listening())
    assert asked == [trainer._average.method] * 3
    assert not trainer._average.method.training
    assert trainer.method.training


def test_the_best_weights_are_kept(tmp_path, monkeypatch):
    """By what is measured, not by time; also where the run was interrupted meanwhile."""
    recalls = iter([0.1, 0.4, 0.3, 0.4, 0.5, 0.2])

    def measure(*arguments):
        return dataclasses.replace(measure_retrieval(*arguments), recall_at_1=next(recalls))

    monkeypatch.setattr(trainer_module, "measure_retrieval", measure)
    settings = {"data": HELD_OUT, "log": {"eval_every": 1}, "steps": 5}
    best = tmp_path / "checkpoints" / BEST

    def stop(step, record):
        if step == 3 and not record:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(IncompleteError):
        make_trainer(tmp_path, **settings).train(Listening(stop))
    assert load_checkpoint(best)["step"] == 1
    make_trainer(tmp_path, resume=True, **settings).train(Listening())
    assert load_checkpoint(best)["step"] == 4
    assert BEST not in {path.name for path in list_checkpoints(tmp_path / "checkpoints")}
