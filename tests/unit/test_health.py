"""Warnings, from runs that really have the fault, and from one that has none."""

import pytest
import torch

from fake_store import FakeStore
from simipu.data.dataset import PairDataset
from simipu.evaluate.retrieval import measure_retrieval
from simipu.train import health as health_module
from simipu.train import trainer as trainer_module
from simipu.train.health import Health
from simipu.train.trainer import Trainer
from small_runs import HELD_OUT, Clock, Listening, Oracle, make_trainer, one_thread, read_log

__all__ = ["one_thread"]  # a fixture that every test here uses


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A tenth of the time is spent waiting for the two images of a step, whatever the machine."""
    clock = Clock(monkeypatch)
    clock.tick(PairDataset, "__getitem__", 0.05)
    clock.tick(Trainer, "_train_step", 0.9)
    return clock


def warnings_of(trainer):
    listening = Listening()
    trainer.train(listening)
    return listening.warnings


@pytest.fixture
def impatient(monkeypatch):
    """A loss at chance is told of after the warm-up, which takes two steps of four."""
    monkeypatch.setattr(health_module, "PATIENCE_STEPS", 0)


def test_a_healthy_run_is_silent(tmp_path):
    store = FakeStore(frames=6, telling=True)
    settings = {"steps": 130, "batch_size": 4, "lr": 3e-3, "log": {"every": 20}}
    assert warnings_of(make_trainer(tmp_path, store=store, **settings)) == []
    last = read_log(tmp_path)[-1]
    assert last["loss/inter"] < 0.9 * last["chance/loss"]
    assert last["pairs/valid"] == 1


def test_a_loss_that_stays_at_chance(tmp_path, impatient):
    """Nothing is learned at a learning rate of next to nothing."""
    trainer = make_trainer(tmp_path, steps=4, lr=1e-12, log={"every": 1})
    (inter,) = (text for text in warnings_of(trainer) if "inter-modal" in text)
    assert "guessing gives 2.77" in inter  # two images of 8 pairs
    warned = [record["step"] for record in read_log(tmp_path) if "warning" in record]
    assert min(warned) == 3


def test_no_patience_is_needed_before(tmp_path):
    assert warnings_of(make_trainer(tmp_path, steps=4, lr=1e-12, log={"every": 1})) == []


def test_embeddings_that_collapse(tmp_path):
    """All pixels get the same embedding once the last norm gives out its offset alone."""
    trainer = make_trainer(tmp_path, lr=1e-12)
    last = trainer.method.g_image.layers[-1]
    with torch.no_grad():
        last.weight.fill_(0.01)
        last.bias.fill_(1.0)
    (text,) = warnings_of(trainer)
    assert "embeddings of the pixels have collapsed" in text
    record = read_log(tmp_path)[0]
    assert record["uniformity/pixels"] == pytest.approx(0, abs=0.01)
    assert record["uniformity/points"] < -1.5
    assert record["recall/pixel_to_point_at_1"] < 0.5


def test_a_network_that_waits_for_data(tmp_path, clock):
    clock.tick(PairDataset, "__getitem__", 0.3)
    texts = warnings_of(make_trainer(tmp_path))
    assert len(texts) == 1, "said once, although it goes on"
    assert "waiting for data: more --workers" in texts[0]
    assert all(
        record["data_wait"] == pytest.approx(0.7 / 1.6)
        for record in read_log(tmp_path)
        if "lr" in record
    )


def test_images_with_few_pairs(tmp_path):
    texts = warnings_of(make_trainer(tmp_path, store=FakeStore(frames=6, visible=0.01)))
    assert any("of the pairs asked for exist" in text for text in texts), texts
    assert 0 < read_log(tmp_path)[0]["pairs/valid"] < 0.5


def test_a_recall_that_needs_no_image(tmp_path, monkeypatch):
    """A network that finds every point, in a store of which all images are equal."""
    monkeypatch.setattr(
        trainer_module,
        "measure_retrieval",
        lambda _method, dataset, device: measure_retrieval(Oracle(), dataset, device),
    )
    texts = warnings_of(make_trainer(tmp_path, data=HELD_OUT, log={"eval_every": 3}))
    assert len([text for text in texts if "are left with another frame's image" in text]) == 1


def test_scenes_that_are_trained_on_and_measured_on(tmp_path):
    store = FakeStore(frames=6, scene_length=6)
    texts = warnings_of(make_trainer(tmp_path, store=store, data=HELD_OUT, steps=2))
    assert "as 's0', though in other frames" in texts[0]


def test_what_goes_and_comes_back_is_said_again():
    health = Health(warmup=0)
    bad = {"retrieval/recall_at_1": 0.5, "retrieval/control_at_1": 0.5}
    good = bad | {"retrieval/control_at_1": 0.1}
    chance = {"retrieval/chance_at_1": 0.01}
    said = [len(health.check(1, record | chance)) for record in (bad, bad, good, bad)]
    assert said == [1, 0, 0, 1]
    none = {"retrieval/control_at_1": None}
    assert health.check(2, bad | chance | none) == []
