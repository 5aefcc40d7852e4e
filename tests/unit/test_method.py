import copy
import math

import pytest
import torch
from torch import nn
from torch.utils.data import default_collate

from fake_store import FakeStore
from simipu.data.config import SampleConfig, Selection
from simipu.data.dataset import PairDataset
from simipu.data.photometric import prepare_images
from simipu.data.selection import select_images
from simipu.methods.simipu import SimIPU

CONFIG = SampleConfig(height=64, width=96, pairs=24, points=128)


def make_batch(store, *, size=4):
    images = select_images(store, Selection(path="", frames=f":{size}"))
    dataset = PairDataset([images], CONFIG, seed=0, augment=True)
    batch = default_collate([dataset[0, index] for index in range(size)])
    return prepare_images(batch.image, batch.jitter), batch


@pytest.fixture
def method():
    torch.manual_seed(0)
    return SimIPU("test_resnet", pairs=CONFIG.pairs)


def test_every_parameter_has_a_gradient_after_one_step(method):
    optimizer = torch.optim.SGD(method.parameters(), lr=0.01)
    method(*make_batch(FakeStore())).total.backward()
    for name, parameter in method.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    optimizer.step()
    optimizer.zero_grad()
    method(*make_batch(FakeStore())).total.backward()
    # In the first step it may be zero: timm begins with residual branches switched off.
    for name, parameter in method.named_parameters():
        assert parameter.grad.any(), name


def test_each_loss_trains_what_it_should(method):
    """Intra: point encoder and its head; inter: both encoders and theirs."""
    losses = method(*make_batch(FakeStore()))
    trained = {}
    for name, loss in (("intra", losses.intra.loss), ("inter", losses.inter.loss)):
        gradients = torch.autograd.grad(
            loss, list(method.parameters()), retain_graph=True, allow_unused=True
        )
        names = [name.split(".")[0] for name, _ in method.named_parameters()]
        trained[name] = {n for n, g in zip(names, gradients, strict=True) if g is not None}
    assert trained["intra"] == {"point_encoder", "g_intra"}
    assert trained["inter"] == {"point_encoder", "image_encoder", "g_image", "g_point"}


def test_one_batch_can_be_learned(method):
    images, batch = make_batch(FakeStore())
    optimizer = torch.optim.AdamW(method.parameters(), lr=2e-3)
    for _ in range(40):
        losses = method(images, batch)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
    assert losses.intra.loss < 0.5  # chance is ln 96
    assert losses.inter.loss < 0.5


def test_losses_begin_near_chance(method):
    images, batch = make_batch(FakeStore(points=2000))
    losses = method(images, batch)
    pairs = int(batch.valid.sum())
    assert losses.inter.candidates == losses.intra.candidates == pairs
    # Random unit vectors of 128 numbers: the logits deviate by 1 / (0.07 * sqrt(128)) = 1.3,
    # which adds half its square to the logarithm of the sum.
    assert losses.inter.loss.item() == pytest.approx(math.log(pairs), abs=1.3)
    # Features of random networks are alike, and so are embeddings, which adds to the deviation.
    assert losses.intra.loss.item() == pytest.approx(math.log(pairs), abs=2)
    assert torch.equal(losses.total, losses.intra.loss + losses.inter.loss)


def test_rows_that_are_no_pairs_enter_neither_losses_nor_statistics(method):
    images, batch = make_batch(FakeStore(points=30))
    assert 4 < batch.valid.sum() < batch.valid.numel()
    twin = copy.deepcopy(method)
    uv = torch.where(batch.valid[..., None], batch.uv, torch.full_like(batch.uv, 20.0))
    ours, theirs = method(images, batch), twin(images, batch._replace(uv=uv))
    assert torch.equal(ours.total, theirs.total)
    for (name, a), b in zip(method.named_buffers(), twin.buffers(), strict=True):
        assert torch.equal(a, b), name
    seen = []
    for head in (method.g_intra, method.g_point, method.g_image):
        head.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    method(images, batch)
    assert seen == [int(batch.valid.sum())] * 4


def test_one_image_without_pairs_does_no_harm(method):
    losses = method(*make_batch(FakeStore(empty=(1,))))
    losses.total.backward()
    assert losses.inter.candidates > 0
    assert all(parameter.grad.isfinite().all() for parameter in method.parameters())


def test_a_batch_without_pairs_is_a_step_without_gradient(method):
    losses = method(*make_batch(FakeStore(empty=(0, 1, 2, 3))))
    losses.total.backward()
    assert losses.total == 0
    assert losses.inter.candidates == 0
    assert not any(parameter.grad.any() for parameter in method.parameters())


def test_half_precision_gives_nearly_the_same_losses(method):
    """What a GPU runs, as far as a CPU can show."""
    images, batch = make_batch(FakeStore())
    expected = method(images, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = method(images, batch)
    found.total.backward()
    assert found.total.dtype == torch.float32
    assert found.inter.loss.item() == pytest.approx(expected.inter.loss.item(), rel=0.05)
    assert found.intra.loss.item() == pytest.approx(expected.intra.loss.item(), rel=0.05)
    assert all(parameter.grad.isfinite().all() for parameter in method.parameters())


def test_embeddings_are_those_of_the_losses(method):
    images, batch = make_batch(FakeStore(points=2000))
    method.eval()
    pixels = method.embed_pixels(images, batch.uv)
    points = method.embed_points(batch.augmented, queries=CONFIG.pairs)
    assert pixels.shape == points.shape == (4, CONFIG.pairs, 128)
    ones = torch.ones(4, CONFIG.pairs)
    torch.testing.assert_close(pixels.norm(dim=-1), ones)
    torch.testing.assert_close(points.norm(dim=-1), ones)
    logits = pixels[batch.valid] @ points[batch.valid].T / 0.07
    target = torch.arange(len(logits))
    cross_entropy = nn.functional.cross_entropy
    expected = (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2
    torch.testing.assert_close(method(images, batch).inter.loss, expected, atol=1e-3, rtol=1e-3)
