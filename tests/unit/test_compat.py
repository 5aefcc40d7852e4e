"""Preset ``compat`` against a slow reading of what the released code computes, in float64.

The reading knows the networks, but neither how pairs are found nor how pixels are sampled, heads
and losses computed, or where gradients stop: all that is written here once more, row by row. The
point encoder has a slow version of its own in tests/unit/test_pointnet2_msg.py.
"""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

import simipu.data.dataset as dataset_module
from fake_store import FakeStore
from joined_batch import everything_in_double, in_double
from simipu.data.config import SampleConfig, Selection
from simipu.data.dataset import PairDataset
from simipu.data.loader import collate
from simipu.data.photometric import prepare_images
from simipu.data.released import random_similarity_ahead
from simipu.data.sample import Sample
from simipu.data.selection import select_images
from simipu.methods.build import build_method
from simipu.methods.config import ModelConfig
from simipu.methods.pairs import assign, pair_by_assignment
from simipu.methods.pixels import sample_as_released
from simipu.models.layers import gather

CONFIG = SampleConfig(height=64, width=128, pairs=8, points=128)
STRIDE = 32
TEMPERATURE = 0.07


def make(**switches):
    """The method, three images of different sizes, and their samples."""
    torch.manual_seed(0)
    model = ModelConfig(preset="compat", image_backbone="test_resnet", **switches)
    parts = [select_images(FakeStore(frames=3, points=900), Selection(path=""))]
    rules = model.switches.sample_rules
    dataset = PairDataset(parts, CONFIG, seed=0, augment=True, rules=rules)
    batch = collate([dataset[0, index] for index in range(3)])
    assert len(batch.size.unique(dim=0)) == 3
    images = prepare_images(batch.image, batch.jitter, batch.size)
    return build_method(model, pairs=CONFIG.pairs), images, batch


def undo(transform, point):
    """The operations backwards: mirror, 1/a, -c, turn back, +c (in y the centre is 0)."""
    x, y, z = point
    angle = -transform.yaw_rad if transform.mirror_y else transform.yaw_rad
    if transform.mirror_y:
        y = -y
    x, y, z = x / transform.scale - 35.2, y / transform.scale, z / transform.scale + 1
    cos, sin = math.cos(-angle), math.sin(-angle)
    return [x * cos - y * sin + 35.2, x * sin + y * cos, z - 1]


def slow_pairs(clean, augmented, transform):
    """The partner of each centre of one frame, at the least sum of distances."""
    back = [undo(transform, point) for point in augmented.tolist()]
    cost = [[math.dist(p, q) for q in back] for p in clean.tolist()]
    return linear_sum_assignment(np.array(cost))[1]


def slow_pixel(features, xy, padded_size):
    """One image's features at one place, (C,): the sum of the four cells around it."""
    _, height, width = features.shape
    # Corners aligned: 0 is the first cell's centre and the padded size is the last one's.
    column = xy[0] / padded_size[1] * (width - 1)
    row = xy[1] / padded_size[0] * (height - 1)
    total = torch.zeros_like(features[:, 0, 0])
    for i, j in itertools.product((0, 1), (0, 1)):
        r, c = math.floor(row) + i, math.floor(column) + j
        if 0 <= r < height and 0 <= c < width:  # zeros beyond
            share = (1 - abs(row - r)) * (1 - abs(column - c))
            total = total + share * features[:, r, c]
    return total


def slow_head(head, rows):
    """Linear and batch norm, thrice, with ReLU between; then unit length."""
    for place, linear in enumerate(m for m in head.layers if isinstance(m, torch.nn.Linear)):
        norm = [m for m in head.layers if isinstance(m, torch.nn.BatchNorm1d)][place]
        rows = rows @ linear.weight.T
        mean = rows.mean(dim=0)
        variance = ((rows - mean) ** 2).mean(dim=0)
        rows = (rows - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias
        if place < 2:
            rows = rows.relu()
    return torch.stack([row / (row * row).sum().sqrt() for row in rows])


def slow_loss(queries, keys):
    """One direction, towards targets without gradient."""
    keys = keys.detach()
    total = 0.0
    for i, query in enumerate(queries):
        logits = torch.stack([(query * key).sum() / TEMPERATURE for key in keys])
        total = total - (logits[i] - logits.exp().sum().log())
    return total / len(queries)


def slow_losses(method, images, batch, transforms):
    count = CONFIG.pairs
    f, graph = method.point_encoder.sample(*batch.clean, None)
    rows = graph.rows
    h, graph = method.point_encoder.sample(*batch.augmented, None)
    p, q = gather(batch.clean.xyz, rows), gather(batch.augmented.xyz, graph.rows)
    features = method.image_encoder.maps(images)[-1]
    fs, hs, pixels = [], [], []
    for b, transform in enumerate(transforms):
        partner = slow_pairs(p[b], q[b], transform)
        padded = [math.ceil(side / STRIDE) * STRIDE for side in batch.size[b].tolist()]
        for i in range(count):
            fs.append(f[b, i])
            hs.append(h[b, partner[i]])
            pixels.append(slow_pixel(features[b], batch.uv[b, rows[b, i]].tolist(), padded))
    f, h, pixels = map(torch.stack, (fs, hs, pixels))
    intra = slow_loss(slow_head(method.g_intra, f), slow_head(method.g_intra, h))
    inter = slow_loss(slow_head(method.g_image, pixels), slow_head(method.g_point, f))
    return intra, inter


def trained_by(method, loss):
    """The parts of the method that a loss sends gradients to."""
    named = [(n.split(".")[0], p) for n, p in method.named_parameters() if p.requires_grad]
    gradients = torch.autograd.grad(
        loss, [p for _, p in named], retain_graph=True, allow_unused=True
    )
    return {name for (name, _), grad in zip(named, gradients, strict=True) if grad is not None}


def test_losses_and_gradients_are_those_of_the_slow_reading(monkeypatch):
    transforms = []

    def remember(rng, *, mirror_y):
        transforms.append(random_similarity_ahead(rng, mirror_y=mirror_y))
        return transforms[-1]

    monkeypatch.setattr(dataset_module, "random_similarity_ahead", remember)
    method, images, batch = make()
    images, batch = images.double(), Sample(*(in_double(item) for item in batch))
    method = method.double()
    twin = copy.deepcopy(method)
    with everything_in_double():
        losses = method(images, batch)
        losses.total.backward()
    intra, inter = slow_losses(twin, images, batch, transforms)
    (intra + inter).backward()
    assert losses.intra.loss.item() == pytest.approx(intra.item(), rel=1e-8)
    assert losses.inter.loss.item() == pytest.approx(inter.item(), rel=1e-8)
    assert losses.intra.candidates == losses.inter.candidates == 3 * CONFIG.pairs
    for (name, ours), theirs in zip(method.named_parameters(), twin.parameters(), strict=True):
        if name.startswith("g_point."):
            assert ours.grad is None, name
            assert theirs.grad is None, name
        else:
            assert theirs.grad is not None, name
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-10, msg=name)


@pytest.mark.parametrize(
    ("switches", "intra", "inter"),
    [
        # As released, the two share no parameter: the point encoder learns nothing from images.
        ({}, "point_encoder g_intra", "image_encoder g_image"),
        ({"trained_heads": True}, "point_encoder g_intra",
         "image_encoder g_image point_encoder g_point"),
        ({"symmetric": True}, "point_encoder g_intra", "image_encoder g_image"),
        ({"pairs": "rows"}, "point_encoder g_intra", "image_encoder g_image"),
        ({"inter_cloud": "augmented"}, "point_encoder g_intra", "image_encoder g_image"),
    ],
)  # fmt: skip
def test_each_loss_trains_what_it_should(switches, intra, inter):
    method, images, batch = make(**switches)
    losses = method(images, batch)
    assert trained_by(method, losses.intra.loss) == set(intra.split())
    assert trained_by(method, losses.inter.loss) == set(inter.split())


@pytest.mark.parametrize("symmetric", [False, True])
def test_gradients_flow_through_the_augmented_view_only_if_symmetric(symmetric):
    method, images, batch = make(symmetric=symmetric)
    seen = []
    sample = method.point_encoder.sample

    def watch(*arguments):
        features, graph = sample(*arguments)
        seen.append(features.requires_grad)
        return features, graph

    method.point_encoder.sample = watch
    method(images, batch)
    assert seen == [True, symmetric]


def test_a_pixel_of_a_smaller_image_is_sampled_too_far_to_the_right():
    """The fault itself, by hand: 64 px wide in a batch of 128 px, stride 32."""
    ramp = torch.arange(4.0).expand(1, 1, 2, 4)  # the value is the column
    size = torch.tensor([[64, 64]])
    uv = torch.tensor([[[0.0, 0.0], [32.0, 0.0], [64.0, 0.0], [66.0, 0.0]]])
    found = sample_as_released(ramp, uv, size)[0, :, 0]
    # Right would be the columns -0.5 (the border, 0), 0.5, 1.5 and 1.56.
    torch.testing.assert_close(found[:3], torch.tensor([0.0, 1.5, 3.0]))
    assert 2.5 < found[3] < 3  # beyond the last cell's centre zeros begin


def test_assignment_is_the_best_of_all_permutations():
    generator = torch.Generator().manual_seed(0)
    p, q = torch.rand(2, 4, 6, 3, generator=generator)
    found = assign(p, q)
    for b in range(4):
        best = min(
            itertools.permutations(range(6)),
            key=lambda order: sum(math.dist(p[b, i], q[b, j]) for i, j in enumerate(order)),
        )
        assert found[b].tolist() == list(best)


def test_on_the_same_points_assignment_finds_the_rows():
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(2, 64, 3, generator=generator)
    order = torch.stack([torch.randperm(64, generator=generator) for _ in range(2)])
    q = gather(p, order) + 1e-6
    assert torch.equal(gather(q, assign(p, q)).round(decimals=3), p.round(decimals=3))


def test_half_precision_matches_the_same_points():
    _, _, batch = make()

    def coordinates(xyz, feature, distinct, queries):
        return xyz[:, :queries]

    def partners():
        return pair_by_assignment(coordinates, batch, count=64, with_gradients=False).h

    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = partners()
    assert torch.equal(found, partners())


@pytest.mark.parametrize("encoder", ["pointnet2", "sparse-unet"])
def test_other_point_encoders_get_centres_that_are_far_from_each_other(encoder):
    if encoder == "sparse-unet":
        pytest.importorskip("spconv", reason="spconv is not installed")
    method, images, batch = make(point_encoder=encoder, coordinates="relative")
    losses = method(images, batch)
    losses.total.backward()
    assert losses.intra.candidates == 3 * CONFIG.pairs
    assert losses.total.isfinite()


def test_batch_norm_and_heads_are_the_released_ones():
    method, _, _ = make()
    for module in method.image_encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert (module.eps, module.momentum) == (1e-3, 0.01)
    for head, width in (("g_intra", 1024), ("g_point", 1024), ("g_image", 512)):
        linear = [m for m in getattr(method, head).layers if isinstance(m, torch.nn.Linear)]
        expected = [method.image_encoder.channels] * 3 if head == "g_image" else [width] * 3
        assert [m.in_features for m in linear] == expected
        assert linear[-1].out_features == 128
