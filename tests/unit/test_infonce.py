import math

import pytest
import torch
from torch.nn import functional as F

from simipu.losses.infonce import info_nce


def naive(a, b, temperature):
    """Both directions, one logarithm at a time: the loss, and recall at 1 and 5 of each."""
    rows = range(len(a))
    total, hits = 0.0, []
    for x, y in ((a, b), (b, a)):
        ranks = []
        for i in rows:
            similarity = {k: float(x[i] @ y[k]) / temperature for k in rows}
            total -= math.log(
                math.exp(similarity[i]) / sum(math.exp(value) for value in similarity.values())
            )
            ranks.append(sorted(similarity, key=similarity.get, reverse=True).index(i))
        hits.append([sum(rank < limit for rank in ranks) / len(rows) for limit in (1, 5)])
    return total / (2 * len(rows)), torch.tensor(hits, dtype=torch.float64)


def unit_vectors(rows, size, seed):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, size, generator=generator, dtype=torch.float64), dim=1)


@pytest.mark.parametrize("rows", [1, 2, 7, 20])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_agrees_with_a_double_loop(rows, temperature):
    a, b = unit_vectors(rows, 5, 0), unit_vectors(rows, 5, 1)
    b = F.normalize(a + b, dim=1)  # so that some partners are found
    loss, recall = naive(a, b, temperature)
    found = info_nce(a, b, temperature=temperature)
    assert found.loss.item() == pytest.approx(loss, rel=1e-10)
    torch.testing.assert_close(
        torch.stack([found.recall_at_1, found.recall_at_5], dim=1).double(), recall
    )
    assert found.alignment.item() == pytest.approx(float((a - b).square().sum()) / rows)
    assert found.candidates == rows


def slow_masked(a, b, temperature, place, frame, *, symmetric):
    """One row and one exponential at a time; also the mean logarithm of the number of choices."""
    total, chance = 0.0, 0.0
    directions = ((a, b), (b, a)) if symmetric else ((a, b),)
    for x, y in directions:
        for i in range(len(a)):
            choices = [
                k
                for k in range(len(a))
                if k == i or (place[k] != place[i] and frame[k] == frame[i])
            ]
            scores = [math.exp(float(x[i] @ y[k]) / temperature) for k in choices]
            total -= math.log(scores[choices.index(i)] / sum(scores))
            chance += math.log(len(choices))
    count = len(directions) * len(a)
    return total / count, chance / count


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("kinds", ["place", "frame", "place frame", ""])
def test_excluded_rows_are_no_negatives(kinds, symmetric):
    a, b = unit_vectors(12, 5, 0), unit_vectors(12, 5, 1)
    numbers = {
        "place": torch.tensor([0, 1, 2, 0, 4, 5, 6, 7, 0, 9, 9, 11]),
        "frame": torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3]),
    }
    given = {name: numbers[name] for name in kinds.split()}
    place = given.get("place", torch.arange(12)).tolist()
    frame = given.get("frame", torch.zeros(12)).tolist()
    expected, chance = slow_masked(a, b, 0.3, place, frame, symmetric=symmetric)
    found = info_nce(a, b, temperature=0.3, symmetric=symmetric, **given)
    assert found.loss.item() == pytest.approx(expected, rel=1e-10)
    assert found.chance.item() == pytest.approx(chance, rel=1e-6)
    assert found.candidates == 12


def test_a_near_duplicate_is_no_miss():
    eye = torch.eye(4, dtype=torch.float64)
    keys = eye[[0, 0, 2, 3]]  # the second key looks like the first one's
    place = torch.tensor([5, 5, 6, 7])
    found = info_nce(eye[[0, 0, 2, 3]], keys, temperature=0.1)
    assert found.recall_at_1.tolist() == [0.5, 0.5]
    found = info_nce(eye[[0, 0, 2, 3]], keys, temperature=0.1, place=place)
    assert found.recall_at_1.tolist() == [1, 1]


@pytest.mark.parametrize("symmetric", [True, False])
def test_gradients_where_rows_are_excluded(symmetric):
    a = unit_vectors(5, 4, 0).requires_grad_()
    b = unit_vectors(5, 4, 1).requires_grad_()
    place, frame = torch.tensor([1, 1, 2, 3, 4]), torch.tensor([0, 0, 0, 0, 9])

    def loss(x, y):
        found = info_nce(x, y, temperature=0.2, symmetric=symmetric, place=place, frame=frame)
        return found.loss

    assert torch.autograd.gradcheck(loss, (a, b))


def test_closed_forms():
    same = torch.ones(8, 4, dtype=torch.float64) / 2
    assert info_nce(same, same, temperature=0.07).loss.item() == pytest.approx(math.log(8))
    # Orthogonal keys, each equal to its query: exp(1/t) against M - 1 times exp(0).
    eye = torch.eye(8, dtype=torch.float64)
    expected = math.log(1 + 7 * math.exp(-1 / 0.5))
    perfect = info_nce(eye, eye, temperature=0.5)
    assert perfect.loss.item() == pytest.approx(expected)
    assert perfect.recall_at_1.tolist() == [1, 1]
    assert perfect.alignment == 0
    # Orthogonal unit vectors are sqrt(2) apart.
    assert perfect.uniformity.tolist() == pytest.approx([-4, -4])
    # All alike: a tie is no find, and nothing is spread out.
    collapsed = info_nce(same, same, temperature=0.07)
    assert collapsed.recall_at_1.tolist() == collapsed.recall_at_5.tolist() == [0, 0]
    assert collapsed.uniformity.tolist() == pytest.approx([0, 0])
    # Partners opposite, all others orthogonal.
    worst = info_nce(eye, -eye, temperature=0.5)
    assert worst.loss.item() == pytest.approx(math.log(math.exp(-2) + 7) + 2)
    assert worst.recall_at_5.tolist() == [0, 0]
    assert worst.alignment == 4


def test_random_vectors_are_at_chance():
    a, b = unit_vectors(512, 4096, 0), unit_vectors(512, 4096, 1)
    assert info_nce(a, b, temperature=0.07).loss.item() == pytest.approx(math.log(512), abs=0.1)


def test_no_rows_are_a_loss_of_zero():
    a = unit_vectors(3, 4, 0)[:0].requires_grad_()
    found = info_nce(a, a, temperature=0.07)
    found.loss.backward()
    assert found.loss == 0
    assert found.candidates == 0


def test_gradients():
    a = unit_vectors(5, 4, 0).requires_grad_()
    b = unit_vectors(5, 4, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: info_nce(x, y, temperature=0.2).loss, (a, b))


def test_autocast_does_not_round_the_logits():
    a, b = unit_vectors(64, 128, 0).float(), unit_vectors(64, 128, 1).float()
    expected = info_nce(a, b, temperature=0.07).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(info_nce(a, b, temperature=0.07).loss, expected)
