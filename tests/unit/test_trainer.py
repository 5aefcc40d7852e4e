import json
import math
import sys
from types import SimpleNamespace

import pytest

from fake_store import FakeStore
from simipu.errors import StoreError, UsageError
from simipu.train.checkpoint import list_checkpoints
from simipu.train.console import describe_retrieval, describe_training
from simipu.train.runlog import RunLog
from simipu.train.settings import build_config, read_config
from small_runs import HELD_OUT, Listening, make_trainer, one_thread, read_log

__all__ = ["one_thread"]  # a fixture that every test here uses


def test_a_run_leaves_settings_log_and_checkpoints(tmp_path):
    run = tmp_path / "runs" / "a"
    trainer = make_trainer(run, data=HELD_OUT, log={"every": 2, "eval_every": 4})
    listening = Listening()
    trainer.train(listening)
    assert [step for step, _ in listening.steps] == [0, 1, 2, 3, 4, 4, 5, 6, 6]

    assert build_config(read_config(run / "config.yaml")) == trainer.config
    met = json.loads((run / "provenance.json").read_text())
    assert [store["fingerprint"] for store in met["stores"]] == ["f00d", "f00d"]
    assert {"simipu", "torch", "timm", "numpy", "python"} == set(met["versions"])
    assert [path.name for path in list_checkpoints(run / "checkpoints")] == [
        f"step-{step:09d}.pt" for step in (2, 4, 6)
    ]
    records = read_log(run)
    retrievals = [record for record in records if "retrieval/recall_at_1" in record]
    assert [record["step"] for record in retrievals] == [0, 4, 6]
    assert retrievals[0]["retrieval/pixels"] == 16
    assert retrievals[0]["retrieval/chance_at_1"] == pytest.approx(1 / 8)
    assert describe_retrieval(retrievals[0])
    losses = [record for record in records if "loss/total" in record]
    assert [record["step"] for record in losses] == [2, 4, 6]
    assert losses[0]["chance/loss"] == pytest.approx(math.log(16))
    assert losses[0]["loss/total"] == pytest.approx(
        losses[0]["loss/intra"] + losses[0]["loss/inter"], rel=1e-5
    )
    assert 0 <= losses[0]["data_wait"] <= 1
    assert describe_training(losses[0])
    assert any((run / "tensorboard").iterdir())


def test_a_store_without_a_visible_point_is_refused(tmp_path):
    trainer = make_trainer(tmp_path, store=FakeStore(frames=6, empty=tuple(range(6))))
    with pytest.raises(StoreError, match="up to step 2 has a visible point"):
        trainer.train(Listening())


def test_a_used_run_folder_is_not_overwritten(tmp_path):
    make_trainer(tmp_path, steps=2).train(Listening())
    with pytest.raises(UsageError, match=r"has checkpoints already\n.*--resume"):
        make_trainer(tmp_path)


@pytest.mark.parametrize(
    ("content", "out", "message"),
    [
        ("notes.txt", ".", "neither empty nor that of a run"),
        ("config.json", ".", "neither empty nor that of a run"),
        ("zarr.json", ".", "this is a store"),
        ("zarr.json", "runs/a", "this is a store"),
        ("notes.txt", "notes.txt", "this is a file"),
        ("notes.txt", "notes.txt/a", "this is a file"),
    ],
)
def test_what_is_not_a_run_is_left_alone(tmp_path, content, out, message):
    (tmp_path / content).write_text("{}")
    with pytest.raises(UsageError, match=rf"{message}.*\n.*another --out"):
        make_trainer(tmp_path / out, image_backbone="not even looked at")
    assert [path.name for path in tmp_path.iterdir()] == [content]
    assert (tmp_path / content).read_text() == "{}"


def test_one_process_at_a_time_trains_in_a_folder(tmp_path):
    second = make_trainer(tmp_path)
    late = make_trainer(tmp_path)

    def intrude(step, record):
        if step == 1:
            with pytest.raises(UsageError, match="another process is training in this folder"):
                second.train(Listening())

    make_trainer(tmp_path).train(Listening(intrude))
    log = (tmp_path / "log.jsonl").read_text()
    with pytest.raises(UsageError, match=r"has trained in this folder since.*\n.*--resume"):
        late.train(Listening())
    assert (tmp_path / "log.jsonl").read_text() == log


def test_a_log_replaces_what_is_not_finite(tmp_path):
    with RunLog(tmp_path, step=0) as log:
        log.write(1, {"a": math.inf, "b": None, "c": 2.5})
    assert read_log(tmp_path) == [{"step": 1, "a": None, "b": None, "c": 2.5}]


def test_weights_and_biases_is_asked_for_and_stays_offline(tmp_path, monkeypatch):
    settings = {"log": {"every": 2, "wandb": "streets"}, "steps": 4}
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match="pip install wandb"):
        make_trainer(tmp_path, **settings).train(Listening())
    calls = []
    run = SimpleNamespace(
        log=lambda values, step: calls.append((step, "loss/total" in values)),
        finish=lambda exit_code: calls.append(exit_code),
    )

    def init(**how):
        calls.append((how["project"], how["mode"]))
        return run

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    make_trainer(tmp_path, **settings).train(Listening())
    assert calls == [("streets", "offline"), (2, True), (4, True), 0]
