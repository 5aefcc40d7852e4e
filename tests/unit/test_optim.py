"""The released code's optimisers and schedule, step by step."""

import pytest
import torch
from torch import nn

from simipu.train.optim import HybridOptimizer, released_rate


class Method(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.point_encoder = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.image_encoder = nn.Linear(2, 4)
        self.g_image = nn.Linear(4, 4)
        self.g_intra = nn.Linear(4, 4)
        self.g_point = nn.Linear(4, 4).requires_grad_(False)


def adamw(weight, gradients, rates):
    """Decoupled weight decay (Loshchilov and Hutter), by its formula."""
    first = second = torch.zeros_like(weight)
    for step, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        first = 0.95 * first + 0.05 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        weight = weight * (1 - rate * 0.01)
        change = (first / (1 - 0.95**step)) / ((second / (1 - 0.99**step)).sqrt() + 1e-8)
        weight = weight - rate * change
    return weight


def sgd(weight, gradients, rates):
    """Momentum, and weight decay as a part of the gradient."""
    momentum = torch.zeros_like(weight)
    for gradient, rate in zip(gradients, rates, strict=True):
        momentum = 0.9 * momentum + (gradient + 1e-4 * weight)
        weight = weight - rate * momentum
    return weight


def test_points_go_by_adamw_and_all_else_by_sgd():
    method = Method().double()
    optimizer = HybridOptimizer(method, lr=1e-3)
    before = {name: p.detach().clone() for name, p in method.named_parameters()}
    gradients = {name: [] for name in before}
    shares = [released_rate(step, steps_per_epoch=2) for step in range(4)]
    assert shares == pytest.approx([1, 1, 0.99, 0.99])
    peaks = [group["lr"] for group in optimizer.param_groups]
    assert peaks == pytest.approx([1e-3, 0.03])
    for share in shares:
        optimizer.zero_grad()
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * share
        for name, parameter in method.named_parameters():
            if parameter.requires_grad:
                parameter.grad = torch.randn_like(parameter)
                gradients[name].append(parameter.grad.clone())
        optimizer.step()
    for name, parameter in method.named_parameters():
        if name.startswith("g_point"):
            assert torch.equal(parameter, before[name])
            continue
        rule, peak = (adamw, 1e-3) if name.startswith("point_encoder") else (sgd, 0.03)
        rates = [peak * share for share in shares]
        expected = rule(before[name], gradients[name], rates)
        torch.testing.assert_close(parameter.detach(), expected, msg=name)


def test_it_goes_on_where_it_was():
    methods = [Method(), Method()]
    whole, broken = (HybridOptimizer(method, lr=1e-2) for method in methods)

    def step(method, optimizer):
        optimizer.zero_grad()
        rows = method.g_image(method.image_encoder(torch.ones(2, 2)))
        loss = (rows + method.point_encoder(torch.eye(3)[:2])).square().mean()
        (loss + method.g_intra(rows).sum()).backward()
        optimizer.step()

    for _ in range(2):
        step(methods[0], whole)
        step(methods[1], broken)
    resumed = HybridOptimizer(methods[1], lr=1e-2)
    resumed.load_state_dict(broken.state_dict())
    step(methods[0], whole)
    step(methods[1], resumed)
    for ours, theirs in zip(methods[0].parameters(), methods[1].parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_hundred_epochs_leave_a_third():
    assert released_rate(100 * 116, steps_per_epoch=116) == pytest.approx(0.366, abs=1e-3)
