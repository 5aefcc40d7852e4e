import copy
import dataclasses
import json
import math
import os
import signal
import sys
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fake_store import FakeStore
from simipu.data.config import SampleConfig, Selection, parse_frames, parse_image_size
from simipu.data.dataset import PairDataset
from simipu.data.loader import collate
from simipu.data.photometric import prepare_images
from simipu.data.selection import select_images
from simipu.errors import IncompleteError, SimipuError, StoreError, UsageError
from simipu.evaluate.retrieval import measure_retrieval
from simipu.methods.build import build_method
from simipu.methods.config import ModelConfig
from simipu.train import trainer as trainer_module
from simipu.train.checkpoint import BEST, list_checkpoints, load_checkpoint, save_checkpoint
from simipu.train.console import describe_retrieval, describe_training
from simipu.train.optim import cosine_rate, make_optimizer, warmup_steps
from simipu.train.runlog import RunLog
from simipu.train.settings import build_config, merge, read_config
from simipu.train.trainer import Trainer
from simipu.train.transfer import to_device

SMALL = SampleConfig(height=32, width=64, pairs=8, points=48)
BASE = {
    "data": {"stores": [{"path": "fake.zarr"}]},
    "sample": {"height": 32, "width": 64, "pairs": 8, "points": 48},
    "model": {"image_backbone": "test_resnet"},
    "optim": {"batch_size": 2},
    "run": {"steps": 6},
    "checkpoint": {"every": 2},
    "log": {"every": 2},
    "system": {"workers": 0, "device": "cpu"},
}
SECTION_OF = {
    **dict.fromkeys(("steps", "epochs", "seed"), "run"),
    **dict.fromkeys(("batch_size", "accumulate", "lr", "clip_norm", "average"), "optim"),
    **dict.fromkeys(("preset", "image_backbone"), "model"),
    **dict.fromkeys(("workers", "device"), "system"),
    "eval_every": "log",
}
HELD_OUT = {
    "stores": [{"path": "fake.zarr", "frames": "0:4"}],
    "held_out": [{"path": "fake.zarr", "frames": "4:6"}],
}


@pytest.fixture(autouse=True)
def one_thread():
    """Beside other work OpenMP's threads spend most of the time waiting for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_config(**settings):
    """`BASE` with sections and single settings changed."""
    sections = {}
    for name, value in settings.items():
        if name in SECTION_OF:
            sections.setdefault(SECTION_OF[name], {})[name] = value
        else:
            sections[name] = value
    return build_config(merge(BASE, sections))


def make_trainer(run, *, resume=False, store=None, world=None, **settings):
    stores = {"fake.zarr": store or FakeStore(frames=6)}
    return Trainer(make_config(**settings), stores, run, resume=resume, world=world)


class Listening:
    """Does something at every step, and keeps what it is told."""

    def __init__(self, action=lambda step, record: None):
        self.action = action
        self.steps = []
        self.warnings = []

    def update(self, step, record):
        self.steps.append((step, bool(record)))
        self.action(step, record)

    def warn(self, step, warning):
        self.warnings.append(warning)


def whole(store, stop=4):
    return [select_images(store, Selection(path="", frames=f":{stop}"))]


def read_log(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def same_state(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.values(), b.values(), strict=True))


def make_state(step):
    return {
        "step": step,
        "config": {},
        "fingerprints": ["f00d"],
        "method": {"weights": torch.full((2,), float(step))},
        "optimizer": {},
        "ema": None,
    }


def build_with_dropout(model, *, pairs):
    """A method that draws random numbers of PyTorch in every step."""
    method = build_method(model, pairs=pairs)
    method.image_encoder.register_forward_hook(
        lambda module, _input, columns: nn.functional.dropout(columns, 0.5, module.training)
    )
    return method


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


def test_the_hybrid_optimizer_has_its_own_schedule_and_no_bound(tmp_path):
    trainer = make_trainer(tmp_path / "run", preset="compat", clip_norm=1e-9, log={"every": 1})
    before = {name: value.clone() for name, value in trainer.method.state_dict().items()}
    trainer.train(Listening())
    rates = [record["lr"] for record in read_log(tmp_path / "run") if "lr" in record]
    assert rates == pytest.approx([1e-3 * 0.99 ** (step // 3) for step in range(6)])
    after = trainer.method.state_dict()
    assert torch.equal(after["g_point.layers.0.weight"], before["g_point.layers.0.weight"])
    # Bound to 1e-9, a gradient would move nothing, and weight decay but 2e-5 of a weight.
    for name in ("g_image.layers.0.weight", "g_intra.layers.0.weight"):
        assert (after[name] - before[name]).norm() > 1e-3 * before[name].norm(), name


def test_the_seed_decides_everything(tmp_path):
    def weights(name, seed):
        trainer = make_trainer(tmp_path / name, steps=2, seed=seed)
        trainer.train(Listening())
        return trainer.method.state_dict()

    first = weights("a", 5)
    torch.manual_seed(1)
    assert same_state(first, weights("b", 5))
    assert not same_state(first, weights("c", 6))


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


def test_a_store_without_a_visible_point_is_refused(tmp_path):
    trainer = make_trainer(tmp_path, store=FakeStore(frames=6, empty=tuple(range(6))))
    with pytest.raises(StoreError, match="up to step 2 has a visible point"):
        trainer.train(Listening())


def test_epochs_count_whole_batches(tmp_path):
    assert make_trainer(tmp_path, steps=None, epochs=3, batch_size=4).steps == 3
    assert make_trainer(tmp_path, steps=None, epochs=3, batch_size=2).steps == 9


def test_a_used_run_folder_is_not_overwritten(tmp_path):
    make_trainer(tmp_path, steps=2).train(Listening())
    with pytest.raises(UsageError, match=r"has checkpoints already\n.*--resume"):
        make_trainer(tmp_path)


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
    make_trainer(tmp_path, resume=resume, **settings).train(Listening())
    steps = [record["step"] for record in read_log(tmp_path) if "lr" in record]
    assert steps == [1, 2, 3, 4, 5, 6]
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
                second.train(Listening())

    make_trainer(tmp_path).train(Listening(intrude))
    log = (tmp_path / "log.jsonl").read_text()
    with pytest.raises(UsageError, match=r"has trained in this folder since.*\n.*--resume"):
        late.train(Listening())
    assert (tmp_path / "log.jsonl").read_text() == log


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


def test_a_loss_that_is_not_finite_ends_the_run_without_a_checkpoint(tmp_path):
    trainer = make_trainer(tmp_path)
    with torch.no_grad():
        trainer.method.g_image.layers[0].weight.fill_(torch.nan)
    with pytest.raises(SimipuError, match=r"the loss of step 1 is nan.*\n.*another --out"):
        trainer.train(Listening())
    assert not list_checkpoints(tmp_path / "checkpoints")


def test_an_infinite_gradient_never_reaches_the_weights(tmp_path):
    trainer = make_trainer(tmp_path, checkpoint={"every": 1})
    weight = trainer.method.g_image.layers[0].weight
    weight.register_hook(lambda grad: grad * math.inf if trainer.step == 2 else grad)
    with pytest.raises(SimipuError, match=r"the loss of step 3 is \d.* gradient (inf|nan)"):
        trainer.train(Listening())
    assert weight.isfinite().all()
    last = load_checkpoint(list_checkpoints(tmp_path / "checkpoints")[-1])
    assert last["step"] == 2
    assert same_state(last["method"], trainer.method.state_dict() | buffers_of(last["method"]))


def buffers_of(state):
    """The statistics of batch norm: the forward pass has moved on, the weights have not."""
    return {name: value for name, value in state.items() if "running" in name or "num_" in name}


def test_what_the_optimiser_is_given(tmp_path):
    """Gradients of at most the norm asked for, and the learning rate of the step."""
    trainer = make_trainer(tmp_path, log={"every": 1}, clip_norm=0.01)
    norms, rates = [], []

    def look(optimizer, _args, _kwargs):
        grads = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norms.append(torch.cat([grad.flatten() for grad in grads if grad is not None]).norm())
        rates.append([group["lr"] for group in optimizer.param_groups])

    trainer._optimizer.register_step_pre_hook(look)
    trainer.train(Listening())
    assert [float(norm) for norm in norms] == pytest.approx([0.01] * 6, rel=1e-3)
    expected = [1e-3 * cosine_rate(step, steps=6, warmup=3) for step in range(6)]
    assert len(set(expected)) > 3
    assert rates == [[rate, rate] for rate in expected]
    assert [record["lr"] for record in read_log(tmp_path) if "lr" in record] == expected


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
    trainer = make_trainer(tmp_path, data=HELD_OUT, log={"every": 3, "eval_every": 2}, batch_size=2)
    trainer.train(Listening())
    records = [record for record in read_log(tmp_path) if "data_wait" in record]
    assert len(records) == 2
    for record in records:  # three steps of 2 + 2 s
        assert record["frames_per_s"] == pytest.approx(6 / 12)
        assert record["data_wait"] == pytest.approx(6 / 12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run": {"steps": 2, "epochs": 2}}, "either --steps or --epochs"),
        ({"steps": 0}, r"run\.steps is 0"),
        ({"batch_size": 0}, r"optim\.batch_size is 0"),
        ({"accumulate": 0}, r"optim\.accumulate is 0"),
        ({"lr": math.nan}, r"optim\.lr is nan"),
        ({"lr": math.inf}, r"optim\.lr is inf"),
        ({"average": 1.0}, r"optim\.average is 1.0\n.*below 1"),
        ({"seed": -1}, r"run\.seed is -1"),
        ({"seed": 2**63}, r"run\.seed is \d+\n.*at most 9223372036854775807"),
        ({"steps": 2**63}, r"run\.steps is \d+\n.*at most"),
        ({"batch_size": 1, "sample": {"height": 32, "width": 32}}, "larger --batch-size"),
        ({"batch_size": 2, "accumulate": 2, "sample": {"width": 32}}, "larger --batch-size"),
        ({"workers": -1}, r"system\.workers is -1"),
        ({"preset": "best"}, "Choose from: fixed"),
        ({"optim": {"precision": "float16"}}, "Choose from: auto, float32, bfloat16"),
        ({"checkpoint": {"best": "loss"}}, "Choose from: recall_at_1"),
        ({"checkpoint": {"keep": 0}}, r"checkpoint\.keep is 0"),
    ],
)
def test_bad_settings_say_how_to_mend_them(changes, message):
    with pytest.raises(UsageError, match=message):
        make_config(**changes)


def test_settings_that_do_not_fit_the_store(tmp_path):
    def data(trained, measured):
        return {
            "stores": [{"path": "fake.zarr", "frames": trained}],
            "held_out": [{"path": "fake.zarr", "frames": measured}],
        }

    with pytest.raises(UsageError, match="has the frames 0:6"):
        make_trainer(tmp_path, data=data("0:9", ":"))
    with pytest.raises(UsageError, match="overlap"):
        make_trainer(tmp_path, data=data("0:4", "3:6"))
    with pytest.raises(UsageError, match="no store to train on"):
        make_trainer(tmp_path, data={"stores": []})
    with pytest.raises(UsageError, match="either --steps or --epochs"):
        make_trainer(tmp_path, steps=None)
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


def test_checkpoints_are_whole_and_few(tmp_path):
    for step in range(1, 6):
        save_checkpoint(tmp_path, make_state(step), keep=3)
    kept = list_checkpoints(tmp_path)
    assert [path.name for path in tmp_path.iterdir()].__len__() == 3 == len(kept)
    assert load_checkpoint(kept[-1])["method"]["weights"].tolist() == [5, 5]


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = save_checkpoint(tmp_path, make_state(1), keep=3)
    whole = path.read_bytes()
    weights = torch.ones(2).numpy().tobytes()
    assert whole.count(weights) == 1
    for damaged in (
        b"",
        whole[:-20],
        whole.replace(weights, torch.tensor([1.0, 2.0]).numpy().tobytes()),
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

    save_checkpoint(tmp_path, make_state(1) | {"ema": Harmful()}, keep=3)
    with pytest.raises(SimipuError, match="not a whole checkpoint"):
        load_checkpoint(list_checkpoints(tmp_path)[0])
    assert not (tmp_path / "harmed").exists()


def test_the_learning_rate_warms_up_and_decays():
    assert warmup_steps(1000, 0.05) == 50
    rates = [cosine_rate(step, steps=1000, warmup=50) for step in range(1000)]
    assert rates[0] == pytest.approx(1 / 50)
    assert max(rates) == rates[50] == pytest.approx(1)
    assert rates[525] == pytest.approx(0.5, abs=0.01)
    assert 0 < rates[-1] < 1e-4
    assert cosine_rate(0, steps=1, warmup=warmup_steps(1, 0.05)) == 1
    assert warmup_steps(10, 0.05) == 5  # at most half of the run
    assert warmup_steps(100, 0.05) == 20


def test_only_matrices_decay():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    decayed, free = make_optimizer(model, lr=1.0, weight_decay=0.1).param_groups
    assert decayed["weight_decay"] == 0.1
    assert [p.ndim for p in decayed["params"]] == [4, 2]
    assert free["weight_decay"] == 0
    assert [p.ndim for p in free["params"]] == [1] * 4


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


def test_a_log_replaces_what_is_not_finite(tmp_path):
    with RunLog(tmp_path, step=0) as log:
        log.write(1, {"a": math.inf, "b": None, "c": 2.5})
    assert read_log(tmp_path) == [{"step": 1, "a": None, "b": None, "c": 2.5}]


def parameters(method):
    return dict(method.named_parameters())


def test_the_average_follows_the_weights(tmp_path):
    """Against the recurrence, written out; the numbers of batch norm are the last ones."""
    trainer = make_trainer(tmp_path, average=0.5, checkpoint={"every": 1, "keep": 9})
    start = {name: value.clone() for name, value in parameters(trainer.method).items()}
    trainer.train(Listening())
    states = [load_checkpoint(path) for path in list_checkpoints(tmp_path / "checkpoints")]
    average = start
    for step, state in enumerate(states):
        decay = min(0.5, (1 + step) / (10 + step))
        average = {
            name: decay * value + (1 - decay) * state["method"][name]
            for name, value in average.items()
        }
        for name, value in average.items():
            torch.testing.assert_close(state["ema"][name], value, msg=name)
        for name, value in buffers_of(state["method"]).items():
            assert torch.equal(state["ema"][name], value)


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


def test_as_many_checkpoints_as_asked_for_are_kept(tmp_path):
    make_trainer(tmp_path, checkpoint={"every": 1, "keep": 2}).train(Listening())
    names = [path.name for path in list_checkpoints(tmp_path / "checkpoints")]
    assert names == ["step-000000005.pt", "step-000000006.pt"]


def test_the_gradient_of_a_step_is_the_mean_over_its_parts(tmp_path):
    """Two halves of a batch, against each of them computed by itself."""
    trainer = make_trainer(tmp_path, batch_size=4, accumulate=2, steps=1, clip_norm=1e9)
    twin = copy.deepcopy(trainer.method)
    halves = list(trainer._load())
    assert [len(half.image) for half in halves] == [2, 2]
    expected = []
    for half in halves:
        twin.zero_grad()
        twin(prepare_images(half.image, half.jitter), half).total.backward()
        expected.append({name: p.grad for name, p in parameters(twin).items()})
    found = {}
    trainer._optimizer.register_step_pre_hook(
        lambda *_: found.update({n: p.grad.clone() for n, p in parameters(trainer.method).items()})
    )
    trainer.train(Listening())
    for name, gradient in found.items():
        mean = (expected[0][name] + expected[1][name]) / 2
        assert (gradient - mean).norm() <= 1e-4 * mean.norm() + 1e-6, name
    (record,) = (record for record in read_log(tmp_path) if "lr" in record)
    assert record["pairs/told_apart"] == 16  # those of half a batch
    assert record["pairs/valid"] == 1


def test_gradient_norms_of_the_parts_add_up(tmp_path):
    make_trainer(tmp_path, steps=2).train(Listening())
    (record,) = (record for record in read_log(tmp_path) if "lr" in record)
    parts = [
        record[f"grad_norm/{name}"]
        for name in ("image_encoder", "point_encoder", "g_intra", "g_point", "g_image")
    ]
    assert all(part > 0 for part in parts)
    assert math.hypot(*parts) == pytest.approx(record["grad_norm/total"], rel=1e-5)
    assert 0.05 < record["peak_memory_gib"] < 100


def test_checkpoints_of_other_versions_are_told_from_damaged_ones(tmp_path):
    path = tmp_path / "step-000000001.pt"
    torch.save({"step": 1, "weights": {}}, path)
    with pytest.raises(SimipuError, match=r"of another version of simipu\n.*provenance\.json"):
        load_checkpoint(path)


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


def test_batches_on_their_way_to_a_device_come_in_order():
    dataset = PairDataset(whole(FakeStore()), SMALL, seed=0, augment=True)
    batches = [collate([dataset[0, index]]) for index in range(3)]
    found = list(to_device(batches, torch.device("cpu")))
    assert [int(batch.frame) for batch in found] == [0, 1, 2]
    assert collate([dataset[0, 0]] * 2).image.is_contiguous(memory_format=torch.channels_last)
