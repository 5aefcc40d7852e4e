import os
import signal

import pytest
import timm
import torch
from torch import nn

from fake_store import FakeStore
from simipu.errors import IncompleteError, UsageError
from simipu.methods.build import build_method
from simipu.train import trainer as trainer_module
from simipu.train.checkpoint import list_checkpoints, load_checkpoint, write_state
from small_runs import (
    HELD_OUT,
    Listening,
    make_config,
    make_trainer,
    one_thread,
    read_log,
    same_state,
)

__all__ = ["one_thread"]  # a fixture that every test here uses


def build_with_dropout(model, **options):
    """A method that draws random numbers of PyTorch in every step."""
    method = build_method(model, **options)
    method.image_encoder.register_forward_hook(
        lambda module, _input, columns: nn.functional.dropout(columns, 0.5, module.training)
    )
    return method


@pytest.mark.parametrize(("stop_at", "preset"), [(3, "fixed"), (4, "fixed"), (3, "compat")])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    tmp_path, stop_at, preset, monkeypatch
):
    monkeypatch.setattr(trainer_module, "build_method", build_with_dropout)
    whole = make_trainer(tmp_path / "whole", preset=preset)
    whole.train(Listening())

    def interrupt(step, record):
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    broken = make_trainer(tmp_path / "broken", preset=preset)
    with pytest.raises(IncompleteError, match=r"stopped at step \d of 6\n.*--resume"):
        broken.train(Listening(interrupt))
    torch.manual_seed(99)
    resumed = make_trainer(tmp_path / "broken", resume=True, preset=preset)
    assert stop_at <= resumed.step < 6
    resumed.train(Listening())

    assert resumed.step == 6
    assert same_state(whole.method.state_dict(), resumed.method.state_dict())
    ours, theirs = (
        load_checkpoint(list_checkpoints(tmp_path / name / "checkpoints")[-1])
        for name in ("whole", "broken")
    )
    ours, theirs = (
        [state["optimizer"]] if preset == "fixed" else state["optimizer"].values()
        for state in (ours, theirs)
    )
    for our, their in zip(ours, theirs, strict=True):
        assert our["state"]
        for key, moments in our["state"].items():
            assert same_state(moments, their["state"][key])


def test_an_average_resumes_bit_for_bit(tmp_path):
    make_trainer(tmp_path / "whole", average=0.9).train(Listening())
    make_trainer(tmp_path / "broken", average=0.9).train(Listening())
    list_checkpoints(tmp_path / "broken" / "checkpoints")[-1].unlink()
    make_trainer(tmp_path / "broken", average=0.9, resume=True).train(Listening())
    ours, theirs = (
        load_checkpoint(list_checkpoints(tmp_path / name / "checkpoints")[-1])
        for name in ("whole", "broken")
    )
    assert same_state(ours["ema"], theirs["ema"])
    assert not same_state(ours["ema"], ours["method"])


def test_records_beyond_the_checkpoint_are_written_anew(tmp_path):
    make_trainer(tmp_path).train(Listening())
    list_checkpoints(tmp_path / "checkpoints")[-1].unlink()
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 7, "loss/to')  # cut off by a crash
    make_trainer(tmp_path, resume=True).train(Listening())
    assert [record["step"] for record in read_log(tmp_path) if "lr" in record] == [2, 4, 6]


def test_a_finished_run_stays_as_it_is(tmp_path):
    measured = {"data": HELD_OUT}
    make_trainer(tmp_path, **measured).train(Listening())
    before = {path: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}
    log = (tmp_path / "log.jsonl").read_text()
    trainer = make_trainer(tmp_path, resume=True, **measured)
    assert trainer.step == trainer.steps == 6
    trainer.train(Listening())
    assert before == {path: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}
    assert log == (tmp_path / "log.jsonl").read_text()


def test_retrieval_missed_by_an_interruption_is_made_up_for(tmp_path):
    make_trainer(tmp_path, data=HELD_OUT).train(Listening())
    lines = (tmp_path / "log.jsonl").read_text().splitlines(keepends=True)
    assert "retrieval/recall_at_1" in lines[-1]
    (tmp_path / "log.jsonl").write_text("".join(lines[:-1]))
    again = make_trainer(tmp_path, resume=True, data=HELD_OUT)
    again.train(Listening())
    assert (tmp_path / "log.jsonl").read_text().splitlines(keepends=True) == lines


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_without_a_checkpoint_is_begun_anew(tmp_path, resume):
    def crash(step, record):
        if step == 3:
            raise OSError("crash")

    settings = {"checkpoint": {"every": 6}, "log": {"every": 1}}
    with pytest.raises(OSError, match="crash"):
        make_trainer(tmp_path, **settings).train(Listening(crash))
    old = {path.name for path in (tmp_path / "tensorboard").iterdir()}
    (tmp_path / "tensorboard" / old.pop()).rename(tmp_path / "tensorboard" / "tfevents.old")
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
    (tmp_path / "checkpoints" / "best.pt").write_bytes(b"of the first attempt")
    make_trainer(tmp_path, resume=resume, **settings).train(Listening())
    steps = [record["step"] for record in read_log(tmp_path) if "lr" in record]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
    assert not (tmp_path / "tensorboard" / "tfevents.old").exists()
    assert not (tmp_path / "checkpoints" / "best.pt").exists()


def test_the_weights_that_a_run_began_with_are_not_needed_to_resume_it(tmp_path):
    file = tmp_path / "weights.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), file)
    model = {"image_backbone": "test_resnet", "image_weights": str(file)}
    make_trainer(tmp_path / "run", model=model).train(Listening())
    file.unlink()
    moved = model | {"image_weights": str(tmp_path / "elsewhere" / "weights.pth")}
    assert make_trainer(tmp_path / "run", resume=True, model=moved).step == 6
    with pytest.raises(UsageError, match=r"model\.image_weights: .*weights\.pth -> .*other\.pth"):
        make_trainer(tmp_path / "run", resume=True, model=model | {"image_weights": "other.pth"})


def test_a_run_of_a_time_when_switches_were_left_to_the_preset_goes_on(tmp_path):
    make_trainer(tmp_path).train(Listening())
    last = list_checkpoints(tmp_path / "checkpoints")[-1]
    state = load_checkpoint(last)
    assert state["config"]["model"]["strides"] == [8, 16, 32]
    old = make_config().to_dict()
    assert old["model"]["pairs"] is None
    write_state(last, state | {"config": old})
    again = make_trainer(tmp_path, resume=True)
    assert again.step == 6
    assert again.config.model.pairs == "rows"
    with pytest.raises(UsageError, match=r"model\.preset: fixed -> compat"):
        make_trainer(tmp_path, resume=True, preset="compat")


def test_resuming_with_other_settings_names_them(tmp_path):
    make_trainer(tmp_path).train(Listening())
    with pytest.raises(
        UsageError, match=r"optim\.lr: 0\.001 -> 0\.1; sample\.points: 48 -> 50\n.*config\.yaml"
    ):
        make_trainer(tmp_path, resume=True, lr=0.1, sample={"points": 50})
    with pytest.raises(UsageError, match="content of the stores"):
        make_trainer(tmp_path, resume=True, store=FakeStore(frames=6, fingerprint="beef"))
    # How a run is executed is no setting of the run.
    make_trainer(tmp_path, resume=True, log={"every": 1}, workers=1)
