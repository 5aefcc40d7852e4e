import json
import math
import os
import signal
import time
from contextlib import suppress

import pytest
import torch
from torch import nn

from fake_store import FakeStore
from simipu.data.dataset import PairDataset, SampleConfig
from simipu.errors import IncompleteError, SimipuError, StoreError, UsageError
from simipu.methods.simipu import SimIPU
from simipu.train import trainer as trainer_module
from simipu.train.checkpoint import KEPT, list_checkpoints, load_checkpoint, save_checkpoint
from simipu.train.config import TrainConfig, check_disjoint, parse_frames, parse_image_size
from simipu.train.console import describe_retrieval, describe_training
from simipu.train.optim import learning_rate, make_optimizer
from simipu.train.retrieval import measure_retrieval, partner_hits
from simipu.train.runlog import RunLog
from simipu.train.trainer import Trainer

SMALL = SampleConfig(height=32, width=64, pairs=8, points=48)


def make_config(**changes):
    settings = {
        "store": "fake.zarr",
        "image_backbone": "test_resnet",
        "sample": SMALL,
        "steps": 6,
        "batch_size": 2,
        "workers": 0,
        "device": "cpu",
        "log_every": 2,
        "checkpoint_every": 2,
    }
    return TrainConfig(**(settings | changes))


def make_trainer(run, *, resume=False, store=None, **changes):
    return Trainer(make_config(**changes), store or FakeStore(frames=6), run, resume=resume)


def read_log(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def same_state(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.values(), b.values(), strict=True))


def make_state(step):
    return {
        "step": step,
        "config": {},
        "store_fingerprint": "f00d",
        "method": {"weights": torch.full((2,), float(step))},
        "optimizer": {},
        "rng": torch.get_rng_state(),
    }


class WithDropout(SimIPU):
    """A method that draws random numbers of PyTorch in every step."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.image_encoder.register_forward_hook(
            lambda module, _input, columns: nn.functional.dropout(columns, 0.5, module.training)
        )


def test_a_run_leaves_settings_log_and_checkpoints(tmp_path):
    run = tmp_path / "runs" / "a"
    trainer = make_trainer(run, frames="0:4", eval_frames="4:6", eval_every=4)
    steps = []
    trainer.train(lambda step, record: steps.append((step, bool(record))))
    assert [step for step, _ in steps] == [0, 1, 2, 3, 4, 4, 5, 6, 6]

    saved = json.loads((run / "config.json").read_text())
    assert saved["config"]["sample"]["pairs"] == 8
    assert saved["store"]["fingerprint"] == "f00d"
    assert {"simipu", "torch", "timm", "numpy", "python"} == set(saved["versions"])
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


@pytest.mark.parametrize("stop_at", [3, 4])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path, stop_at, monkeypatch):
    monkeypatch.setattr(trainer_module, "SimIPU", WithDropout)
    whole = make_trainer(tmp_path / "whole")
    whole.train(lambda step, record: None)

    def interrupt(step, record):
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    broken = make_trainer(tmp_path / "broken")
    with pytest.raises(IncompleteError, match=r"stopped at step \d of 6\n.*--resume"):
        broken.train(interrupt)
    torch.manual_seed(99)
    resumed = make_trainer(tmp_path / "broken", resume=True)
    assert stop_at <= resumed.step < 6
    resumed.train(lambda step, record: None)

    assert resumed.step == 6
    assert same_state(whole.method.state_dict(), resumed.method.state_dict())
    ours, theirs = (
        load_checkpoint(list_checkpoints(tmp_path / name / "checkpoints")[-1])
        for name in ("whole", "broken")
    )
    for key, moments in ours["optimizer"]["state"].items():
        assert same_state(moments, theirs["optimizer"]["state"][key])


def test_the_seed_decides_everything(tmp_path):
    def weights(name, seed):
        trainer = make_trainer(tmp_path / name, steps=2, seed=seed)
        trainer.train(lambda step, record: None)
        return trainer.method.state_dict()

    first = weights("a", 5)
    torch.manual_seed(1)
    assert same_state(first, weights("b", 5))
    assert not same_state(first, weights("c", 6))


def test_records_beyond_the_checkpoint_are_written_anew(tmp_path):
    make_trainer(tmp_path).train(lambda step, record: None)
    list_checkpoints(tmp_path / "checkpoints")[-1].unlink()
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 7, "loss/to')  # cut off by a crash
    make_trainer(tmp_path, resume=True).train(lambda step, record: None)
    assert [record["step"] for record in read_log(tmp_path)] == [2, 4, 6]


def test_a_finished_run_stays_as_it_is(tmp_path):
    measured = {"frames": "0:4", "eval_frames": "4:6"}
    make_trainer(tmp_path, **measured).train(lambda step, record: None)
    before = {path: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}
    log = (tmp_path / "log.jsonl").read_text()
    trainer = make_trainer(tmp_path, resume=True, **measured)
    assert trainer.step == trainer.steps == 6
    trainer.train(lambda step, record: None)
    assert before == {path: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}
    assert log == (tmp_path / "log.jsonl").read_text()


def test_retrieval_missed_by_an_interruption_is_made_up_for(tmp_path):
    make_trainer(tmp_path, frames="0:4", eval_frames="4:6").train(lambda step, record: None)
    lines = (tmp_path / "log.jsonl").read_text().splitlines(keepends=True)
    assert "retrieval/recall_at_1" in lines[-1]
    (tmp_path / "log.jsonl").write_text("".join(lines[:-1]))
    again = make_trainer(tmp_path, resume=True, frames="0:4", eval_frames="4:6")
    again.train(lambda step, record: None)
    assert (tmp_path / "log.jsonl").read_text().splitlines(keepends=True) == lines


def test_a_store_without_a_visible_point_is_refused(tmp_path):
    trainer = make_trainer(tmp_path, store=FakeStore(frames=6, empty=tuple(range(6))))
    with pytest.raises(StoreError, match="up to step 2 has a visible point"):
        trainer.train(lambda step, record: None)


def test_epochs_count_whole_batches(tmp_path):
    assert make_trainer(tmp_path, steps=None, epochs=3, batch_size=4).steps == 3
    assert make_trainer(tmp_path, steps=None, epochs=3, batch_size=2).steps == 9


def test_a_used_run_folder_is_not_overwritten(tmp_path):
    make_trainer(tmp_path, steps=2).train(lambda step, record: None)
    with pytest.raises(UsageError, match=r"has checkpoints already\n.*--resume"):
        make_trainer(tmp_path)


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_without_a_checkpoint_is_begun_anew(tmp_path, resume):
    def crash(step, record):
        if step == 3:
            raise OSError("crash")

    settings = {"checkpoint_every": 6, "log_every": 1}
    with pytest.raises(OSError, match="crash"):
        make_trainer(tmp_path, **settings).train(crash)
    old = {path.name for path in (tmp_path / "tensorboard").iterdir()}
    (tmp_path / "tensorboard" / old.pop()).rename(tmp_path / "tensorboard" / "tfevents.old")
    make_trainer(tmp_path, resume=resume, **settings).train(lambda step, record: None)
    assert [record["step"] for record in read_log(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
    assert not (tmp_path / "tensorboard" / "tfevents.old").exists()


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
                second.train(lambda step, record: None)

    make_trainer(tmp_path).train(intrude)
    log = (tmp_path / "log.jsonl").read_text()
    with pytest.raises(UsageError, match=r"has trained in this folder since.*\n.*--resume"):
        late.train(lambda step, record: None)
    assert (tmp_path / "log.jsonl").read_text() == log


def test_resuming_with_other_settings_names_them(tmp_path):
    make_trainer(tmp_path).train(lambda step, record: None)
    with pytest.raises(UsageError, match=r"lr: 0\.001 -> 0\.1; sample\.points: 48 -> 50"):
        make_trainer(
            tmp_path,
            resume=True,
            lr=0.1,
            sample=SampleConfig(height=32, width=64, pairs=8, points=50),
        )
    with pytest.raises(UsageError, match="content of the store"):
        make_trainer(tmp_path, resume=True, store=FakeStore(frames=6, fingerprint="beef"))
    # How a run is executed is no setting of the run.
    make_trainer(tmp_path, resume=True, log_every=1, workers=1, store=FakeStore(frames=6))


def test_a_loss_that_is_not_finite_ends_the_run_without_a_checkpoint(tmp_path):
    trainer = make_trainer(tmp_path)
    with torch.no_grad():
        trainer.method.g_image.layers[0].weight.fill_(torch.nan)
    with pytest.raises(SimipuError, match=r"the loss of step 1 is nan.*\n.*another --out"):
        trainer.train(lambda step, record: None)
    assert not list_checkpoints(tmp_path / "checkpoints")


def test_an_infinite_gradient_never_reaches_the_weights(tmp_path):
    trainer = make_trainer(tmp_path, checkpoint_every=1)
    weight = trainer.method.g_image.layers[0].weight
    weight.register_hook(lambda grad: grad * math.inf if trainer.step == 2 else grad)
    with pytest.raises(SimipuError, match=r"the loss of step 3 is \d.* gradient (inf|nan)"):
        trainer.train(lambda step, record: None)
    assert weight.isfinite().all()
    last = load_checkpoint(list_checkpoints(tmp_path / "checkpoints")[-1])
    assert last["step"] == 2
    assert same_state(last["method"], trainer.method.state_dict() | buffers_of(last["method"]))


def buffers_of(state):
    """The statistics of batch norm: the forward pass has moved on, the weights have not."""
    return {name: value for name, value in state.items() if "running" in name or "num_" in name}


def test_what_the_optimiser_is_given(tmp_path):
    """Gradients of at most the norm asked for, and the learning rate of the step."""
    trainer = make_trainer(tmp_path, log_every=1, clip_norm=0.01)
    norms, rates = [], []

    def look(optimizer, _args, _kwargs):
        grads = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norms.append(torch.cat([grad.flatten() for grad in grads if grad is not None]).norm())
        rates.append([group["lr"] for group in optimizer.param_groups])

    trainer._optimizer.register_step_pre_hook(look)
    trainer.train(lambda step, record: None)
    assert [float(norm) for norm in norms] == pytest.approx([0.01] * 6, rel=1e-3)
    expected = [learning_rate(step, steps=6, peak=1e-3) for step in range(6)]
    assert len(set(expected)) > 3
    assert rates == [[rate, rate] for rate in expected]
    assert [record["lr"] for record in read_log(tmp_path)] == expected


def test_evaluation_does_not_count_as_training_time(tmp_path, monkeypatch):
    """A clock that only ticks where data are made, one second, and in evaluation, one hour."""
    now = 0.0

    def spend(function, seconds):
        def spending(*args, **kwargs):
            nonlocal now
            now += seconds
            return function(*args, **kwargs)

        return spending

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    monkeypatch.setattr(PairDataset, "__getitem__", spend(PairDataset.__getitem__, 1.0))
    monkeypatch.setattr(
        trainer_module, "measure_retrieval", spend(trainer_module.measure_retrieval, 3600.0)
    )
    real_step = Trainer._train_step
    monkeypatch.setattr(Trainer, "_train_step", spend(real_step, 2.0))
    trainer = make_trainer(
        tmp_path, frames="0:4", eval_frames="4:6", log_every=3, eval_every=2, batch_size=2
    )
    trainer.train(lambda step, record: None)
    records = [record for record in read_log(tmp_path) if "data_wait" in record]
    assert len(records) == 2
    for record in records:  # three steps of 2 + 2 s
        assert record["frames_per_s"] == pytest.approx(6 / 12)
        assert record["data_wait"] == pytest.approx(6 / 12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": None}, "either --steps or --epochs"),
        ({"epochs": 2}, "either --steps or --epochs"),
        ({"steps": 0}, "--steps is 0"),
        ({"batch_size": 0}, "--batch-size is 0"),
        ({"lr": math.nan}, "--lr is nan"),
        ({"lr": math.inf}, "--lr is inf"),
        ({"seed": -1}, "--seed is -1"),
        ({"seed": 2**63}, r"--seed is \d+\n.*at most 9223372036854775807"),
        ({"steps": 2**63}, r"--steps is \d+\n.*at most"),
        ({"batch_size": 1, "sample": SampleConfig(height=32, width=32)}, "larger --batch-size"),
        ({"workers": -1}, "--workers is -1"),
        ({"preset": "best"}, "Choose from: fixed"),
    ],
)
def test_bad_settings_say_how_to_mend_them(changes, message):
    with pytest.raises(UsageError, match=message):
        make_config(**changes)


def test_settings_that_do_not_fit_the_store(tmp_path):
    with pytest.raises(UsageError, match="has the frames 0:6"):
        make_trainer(tmp_path, frames="0:9")
    with pytest.raises(UsageError, match="overlap"):
        make_trainer(tmp_path, frames="0:4", eval_frames="3:6")
    with pytest.raises(UsageError, match="do not fill one batch of 8"):
        make_trainer(tmp_path, batch_size=8)
    for device in ("tpu9000", "mps", "meta", "cuda:99", "cuda:-1", "cuda:999999999999"):
        with pytest.raises(UsageError, match=rf"no device '{device}'"):
            make_trainer(tmp_path, device=device)
    with pytest.raises(StoreError, match="simipu-prep correspond"):
        make_trainer(tmp_path, store=FakeStore(correspondence_policy=None))


def test_ranges_of_frames():
    assert parse_frames("3:7", 10) == range(3, 7)
    assert parse_frames(":", 10) == range(10)
    assert parse_frames(":4", 10) == range(4)
    assert parse_frames("8:", 10) == range(8, 10)
    for text in ("", "4", "5:5", "7:3", "0:11", "-3:", "a:b", "1:2:3"):
        with pytest.raises(UsageError):
            parse_frames(text, 10)
    assert parse_image_size("96x320") == (96, 320)
    with pytest.raises(UsageError, match="height x width"):
        parse_image_size("96")
    check_disjoint(range(4), range(4, 6))


def test_checkpoints_are_whole_and_few(tmp_path):
    for step in range(1, 6):
        save_checkpoint(tmp_path, make_state(step))
    kept = list_checkpoints(tmp_path)
    assert [path.name for path in tmp_path.iterdir()].__len__() == KEPT == len(kept)
    assert load_checkpoint(kept[-1])["method"]["weights"].tolist() == [5, 5]


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = save_checkpoint(tmp_path, make_state(1))
    whole = path.read_bytes()
    weights = torch.ones(2).numpy().tobytes()
    assert whole.count(weights) == 1
    torch.save({"step": 1}, tmp_path / "less")
    for damaged in (
        b"",
        whole[:-20],
        whole.replace(weights, torch.tensor([1.0, 2.0]).numpy().tobytes()),
        (tmp_path / "less").read_bytes(),
    ):
        path.write_bytes(damaged)
        with pytest.raises(SimipuError, match=r"0001\.pt: .*not a whole checkpoint\n.*Delete it"):
            load_checkpoint(path)
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with suppress(SimipuError):  # an unused byte may change
            assert same_state(load_checkpoint(path)["method"], make_state(1)["method"])


def test_a_checkpoint_cannot_run_code(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "harmed"),))

    save_checkpoint(tmp_path, make_state(1) | {"rng": Harmful()})
    with pytest.raises(SimipuError, match="not a whole checkpoint"):
        load_checkpoint(list_checkpoints(tmp_path)[0])
    assert not (tmp_path / "harmed").exists()


def test_the_learning_rate_warms_up_and_decays():
    rates = [learning_rate(step, steps=1000, peak=1.0) for step in range(1000)]
    assert rates[0] == pytest.approx(1 / 50)
    assert max(rates) == rates[50] == pytest.approx(1)
    assert rates[525] == pytest.approx(0.5, abs=0.01)
    assert 0 < rates[-1] < 1e-4
    assert learning_rate(0, steps=1, peak=1.0) == 1
    assert learning_rate(4, steps=10, peak=1.0) == 1  # at most half of the run


def test_only_matrices_decay():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    decayed, free = make_optimizer(model, lr=1.0, weight_decay=0.1).param_groups
    assert decayed["weight_decay"] == 0.1
    assert [p.ndim for p in decayed["params"]] == [4, 2]
    assert free["weight_decay"] == 0
    assert [p.ndim for p in free["params"]] == [1] * 4


def test_ranks_by_hand():
    keys = torch.eye(8)
    queries = keys.clone()
    queries[1] = torch.tensor([0.9, 0.1, 0, 0, 0, 0, 0, 0])  # second
    queries[2] = torch.tensor([5.0, 4, 0.5, 3, 2, 1, 0, 0])  # sixth
    hits = partner_hits(queries, keys)
    assert hits[0].tolist() == [True, True]
    assert hits[1].tolist() == [False, True]
    assert hits[2].tolist() == [False, False]
    # All alike: nothing was found, whatever the order.
    assert not partner_hits(torch.ones(8, 4), torch.ones(8, 4)).any()


def test_retrieval_leaves_the_method_as_it_was():
    dataset = PairDataset(FakeStore(), range(4), SMALL, seed=0, augment=False)
    method = SimIPU("test_resnet", pairs=SMALL.pairs)
    modes = []
    method.g_image.register_forward_hook(lambda module, *_: modes.append(module.training))
    before = {name: value.clone() for name, value in method.state_dict().items()}
    measure_retrieval(method, dataset, torch.device("cpu"))
    assert set(modes) == {False}
    assert all(module.training for module in method.modules())
    assert same_state(before, method.state_dict())

    failing = PairDataset(FakeStore(encoded_size=(10, 10)), range(4), SMALL, seed=0, augment=False)
    with pytest.raises(StoreError, match="10 x 10"):
        measure_retrieval(method, failing, torch.device("cpu"))
    assert method.training
    method.eval()
    measure_retrieval(method, dataset, torch.device("cpu"))
    assert not method.training


class Oracle(nn.Module):
    """Embeds pixels by their colour and points by their coordinates, which agree in FakeStore."""

    def embed_pixels(self, images, uv):
        from simipu.data.photometric import IMAGENET_MEAN, IMAGENET_STD
        from simipu.models.image import sample_features

        size = (images.shape[2], images.shape[3])
        colours = sample_features(images, uv, size)
        colours = colours * torch.tensor(IMAGENET_STD) + torch.tensor(IMAGENET_MEAN)
        return self._on_a_sphere(colours[..., :2] * 255 / 2)

    def embed_points(self, cloud, *, queries):
        return self._on_a_sphere(cloud.xyz[:, :queries, :2])

    def _on_a_sphere(self, uv):
        return nn.functional.normalize(
            torch.cat([uv, torch.full_like(uv[..., :1], 60)], -1), dim=-1
        )


def test_retrieval_of_an_oracle_and_of_a_network_that_is_not_trained():
    store = FakeStore(frames=4, points=2000)
    config = SampleConfig(height=64, width=128, pairs=40, points=64)
    dataset = PairDataset(store, range(4), config, seed=0, augment=False)
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
            PairDataset(blank, range(4), config, seed=0, augment=False),
            torch.device("cpu"),
        )


def test_a_log_replaces_what_is_not_finite(tmp_path):
    with RunLog(tmp_path, step=0) as log:
        log.write(1, {"a": math.inf, "b": None, "c": 2.5})
    assert read_log(tmp_path) == [{"step": 1, "a": None, "b": None, "c": 2.5}]
