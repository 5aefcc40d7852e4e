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
from simipu.methods.build import build_method
from simipu.methods.config import ModelConfig
from simipu.methods.pairs import pair_by_row

CONFIG = SampleConfig(height=64, width=96, pairs=24, points=128)


def make_batch(store, *, size=4):
    images = select_images(store, Selection(path="", frames=f":{size}"))
    dataset = PairDataset([images], CONFIG, seed=0, augment=True)
    batch = default_collate([dataset[0, index] for index in range(size)])
    return prepare_images(batch.image, batch.jitter), batch


@pytest.fixture
def method():
    torch.manual_seed(0)
    return build_method(ModelConfig(image_backbone="test_resnet"), pairs=CONFIG.pairs)


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


def test_near_duplicates_are_not_each_other_s_negatives(method):
    images, batch = make_batch(FakeStore(points=2000))
    inside = int(batch.valid.sum())
    losses = method(images, batch)
    assert losses.inter.candidates == inside
    cells = [
        (frame, *((uv + 0.5) / 8).floor().tolist())
        for frame, uvs, valid in zip(batch.frame.tolist(), batch.uv, batch.valid, strict=True)
        for uv in uvs[valid]
    ]
    choices = [1 + sum(other != cell for other in cells) for cell in cells]
    assert len(set(cells)) < len(cells)
    expected = sum(map(math.log, choices)) / len(choices)
    assert losses.inter.chance.item() == pytest.approx(expected, rel=1e-6)


def test_points_cannot_tell_where_they_are(method):
    """The guard against the shortcut: what pixels are compared with knows no position."""
    switches = method.switches
    assert (switches.coordinates, switches.inter_cloud) == ("relative", "augmented")
    _, batch = make_batch(FakeStore(points=2000))
    method.eval()
    cloud = batch.augmented
    elsewhere = cloud._replace(xyz=cloud.xyz + torch.tensor([8.0, -4.0, 2.0]))
    here, there = (method.embed_points(each, queries=24) for each in (cloud, elsewhere))
    torch.testing.assert_close(here, there, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "switches",
    [
        {"views": "shared"},
        {"views": "shared", "point_encoder": "pointnet2-msg"},
        {"views": "shared", "symmetric": False},
        {"views": "shuffled", "pairs": "assignment"},
        {"negatives": "frame"},
        {"inter_cloud": "clean"},
        {"augmentation": "whole"},
        {"pixel_mapping": "released"},
        {"visible_only": False},
        {"strides": (16, 32), "padding": "reflect"},
    ],
    ids=str,
)
def test_every_switch_makes_a_step(switches):
    torch.manual_seed(0)
    model = ModelConfig(image_backbone="test_resnet", **switches)
    method = build_method(model, pairs=CONFIG.pairs)
    parts = [select_images(FakeStore(), Selection(path=""))]
    rules = model.switches.sample_rules
    dataset = PairDataset(parts, CONFIG, seed=0, augment=True, rules=rules)
    batch = default_collate([dataset[0, index] for index in range(4)])
    losses = method(prepare_images(batch.image, batch.jitter, batch.size), batch)
    losses.total.backward()
    assert losses.total.isfinite()
    for name, parameter in method.named_parameters():
        assert parameter.grad is not None, name


@pytest.mark.parametrize("encoder", ["pointnet2", "pointnet2-msg"])
def test_shared_views_are_encoded_along_the_clean_one_s_neighbourhoods(encoder):
    """Where nothing but a rotation happens, both views have the same features without offsets."""
    model = ModelConfig(image_backbone="test_resnet", views="shared", point_encoder=encoder)
    method = build_method(model, pairs=CONFIG.pairs)
    rules = model.switches.sample_rules
    parts = [select_images(FakeStore(), Selection(path=""))]
    dataset = PairDataset(parts, CONFIG, seed=0, augment=True, rules=rules)
    batch = default_collate([dataset[0, index] for index in range(2)])
    assert torch.equal(batch.clean.feature, batch.augmented.feature)
    same = batch._replace(augmented=batch.clean)
    pairs = pair_by_row(method.point_encoder, same, views="shared", joined=True)
    torch.testing.assert_close(pairs.f, pairs.h)
    # A wider scale changes the neighbours of radii, but not those that are shared.
    wide = batch.clean._replace(xyz=batch.clean.xyz * 1.2)
    pairs = pair_by_row(
        method.point_encoder, batch._replace(augmented=wide), views="shared", joined=True
    )
    assert not torch.allclose(pairs.f, pairs.h)
    _, graph = method.point_encoder.sample(*batch.clean, CONFIG.pairs)
    expected = method.point_encoder.encode(graph, wide.xyz, wide.feature)
    torch.testing.assert_close(pairs.h, expected)
