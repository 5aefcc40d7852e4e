import copy
import math

import pytest
import torch
from torch import nn

from fake_store import FakeStore
from simipu.data.dataset import PairDataset
from simipu.data.loader import collate
from simipu.data.photometric import prepare_images
from simipu.errors import SimipuError
from simipu.train.checkpoint import list_checkpoints, load_checkpoint
from simipu.train.optim import cosine_rate, make_optimizer, warmup_steps
from simipu.train.transfer import to_device
from small_runs import (
    SMALL,
    Listening,
    buffers_of,
    make_trainer,
    one_thread,
    parameters,
    read_log,
    same_state,
    whole,
)

__all__ = ["one_thread"]  # a fixture that every test here uses


def test_the_seed_decides_everything(tmp_path):
    def weights(name, seed):
        trainer = make_trainer(tmp_path / name, steps=2, seed=seed)
        trainer.train(Listening())
        return trainer.method.state_dict()

    first = weights("a", 5)
    torch.manual_seed(1)
    assert same_state(first, weights("b", 5))
    assert not same_state(first, weights("c", 6))


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


def test_batches_on_their_way_to_a_device_come_in_order():
    dataset = PairDataset(whole(FakeStore()), SMALL, seed=0, augment=True)
    batches = [collate([dataset[0, index]]) for index in range(3)]
    found = list(to_device(batches, torch.device("cpu")))
    assert [int(batch.frame) for batch in found] == [0, 1, 2]
    assert collate([dataset[0, 0]] * 2).image.is_contiguous(memory_format=torch.channels_last)
