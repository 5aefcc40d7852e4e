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
