import math

import pytest
import torch
from torch.nn import functional as F

from simipu.losses.infonce import info_nce


def naive(a, b, valid, temperature):
    """Both directions, one logarithm at a time."""
    rows = [i for i in range(len(a)) if valid[i]]
    total, hits = 0.0, 0
    for x, y in ((a, b), (b, a)):
        for i in rows:
            similarity = {k: float(x[i] @ y[k]) / temperature for k in rows}
            total -= math.log(
                math.exp(similarity[i]) / sum(math.exp(value) for value in similarity.values())
            )
            hits += max(similarity, key=similarity.get) == i
    return total / (2 * len(rows)), hits / (2 * len(rows))


def unit_vectors(rows, size, seed):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, size, generator=generator, dtype=torch.float64), dim=1)


@pytest.mark.parametrize("rows", [1, 2, 7, 20])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("share", [1.0, 0.6])
def test_agrees_with_a_double_loop(rows, temperature, share):
    a, b = unit_vectors(rows, 5, 0), unit_vectors(rows, 5, 1)
    b = F.normalize(a + b, dim=1)  # so that some partners are found
    valid = torch.arange(rows) < max(1, round(share * rows))
    valid = valid[torch.randperm(rows, generator=torch.Generator().manual_seed(2))]
    loss, recall = naive(a, b, valid, temperature)
    found = info_nce(a, b, valid, temperature=temperature)
    assert found.loss.item() == pytest.approx(loss, rel=1e-10)
    assert found.recall_at_1.item() == pytest.approx(recall, abs=1e-6)
    assert found.candidates == int(valid.sum())


def test_closed_forms():
    same = torch.ones(8, 4, dtype=torch.float64) / 2
    assert info_nce(same, same, temperature=0.07).loss.item() == pytest.approx(math.log(8))
    # Orthogonal keys, each equal to its query: exp(1/t) against M - 1 times exp(0).
    eye = torch.eye(8, dtype=torch.float64)
    expected = math.log(1 + 7 * math.exp(-1 / 0.5))
    perfect = info_nce(eye, eye, temperature=0.5)
    assert perfect.loss.item() == pytest.approx(expected)
    assert perfect.recall_at_1 == 1
    # Partners opposite, all others orthogonal.
    worst = info_nce(eye, -eye, temperature=0.5)
    assert worst.loss.item() == pytest.approx(math.log(math.exp(-2) + 7) + 2)
    assert worst.recall_at_1 == 0


def test_random_vectors_are_at_chance():
    a, b = unit_vectors(512, 4096, 0), unit_vectors(512, 4096, 1)
    assert info_nce(a, b, temperature=0.07).loss.item() == pytest.approx(math.log(512), abs=0.1)


def test_rows_that_are_not_valid_have_no_influence_and_no_gradient():
    a, b = unit_vectors(6, 4, 0), unit_vectors(6, 4, 1)
    valid = torch.tensor([True, False, True, True, False, True])
    expected = info_nce(a[valid], b[valid], temperature=0.07).loss
    a[~valid] = torch.nan
    a.requires_grad_()
    loss = info_nce(a, b, valid, temperature=0.07).loss
    assert torch.equal(loss, expected)
    loss.backward()
    assert not a.grad[~valid].any()
    assert a.grad[valid].abs().sum() > 0


def test_nothing_valid_is_a_loss_of_zero():
    a = unit_vectors(3, 4, 0).requires_grad_()
    found = info_nce(a, a, torch.zeros(3, dtype=torch.bool), temperature=0.07)
    found.loss.backward()
    assert found.loss == 0
    assert found.candidates == 0
    assert not a.grad.any()


def test_gradients():
    a = unit_vectors(5, 4, 0).requires_grad_()
    b = unit_vectors(5, 4, 1).requires_grad_()
    valid = torch.tensor([True, True, False, True, True])
    assert torch.autograd.gradcheck(
        lambda x, y: info_nce(x, y, valid, temperature=0.2).loss, (a, b)
    )


def test_autocast_does_not_round_the_logits():
    a, b = unit_vectors(64, 128, 0).float(), unit_vectors(64, 128, 1).float()
    expected = info_nce(a, b, temperature=0.07).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(info_nce(a, b, temperature=0.07).loss, expected)
