import pytest
import torch

from simipu.errors import UsageError
from simipu.models import pointnet2
from simipu.models.pointnet2 import (
    PointEncoder,
    coordinate_distances,
    farthest_points,
    gather,
    interpolate,
    nearest,
)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("given", [1, 5])
def test_farthest_points_against_the_definition(given):
    clouds = random(3, 40, 3)
    found = farthest_points(clouds, 15, given=given)
    for cloud, chosen in zip(clouds, found.tolist(), strict=True):
        expected = list(range(given))
        while len(expected) < 15:
            gaps = [min(float((p - cloud[i]).norm()) for i in expected) for p in cloud]
            expected.append(gaps.index(max(gaps)))
        assert chosen == expected


def test_a_similarity_transform_changes_neither_choice_nor_neighbours():
    cloud = random(1, 60, 3)
    turn = torch.linalg.qr(random(3, 3, seed=1)).Q
    moved = 1.2 * cloud @ turn.T
    assert torch.equal(farthest_points(cloud, 20), farthest_points(moved, 20))
    assert torch.equal(nearest(cloud, cloud, 5), nearest(moved, moved, 5))


def test_nearest_against_the_definition():
    centres, clouds = random(2, 7, 3, seed=1), random(2, 30, 3)
    allowed = random(2, 30, seed=2) > 0
    found = nearest(centres, clouds, 4, allowed=allowed)
    for b in range(2):
        for m in range(7):
            order = sorted(
                (i for i in range(30) if allowed[b, i]),
                key=lambda i: float((clouds[b, i] - centres[b, m]).norm()),
            )
            assert found[b, m].tolist() == order[:4]


def test_distances_by_coordinate_are_the_distances():
    """The GPU's way, also far from the origin, and however many are computed at once."""
    xyz = random(2, 40, 3) + 500
    expected = torch.cdist(xyz[:, :7].double(), xyz.double())
    torch.testing.assert_close(
        coordinate_distances(xyz[:, :7], xyz).double(), expected, atol=1e-3, rtol=1e-4
    )


def test_nearest_in_parts_is_nearest(monkeypatch):
    xyz = random(2, 40, 3)
    whole = nearest(xyz[:, :9], xyz, 5)
    monkeypatch.setattr(pointnet2, "_DISTANCES_AT_ONCE", 2 * 40 * 2)
    assert torch.equal(nearest(xyz[:, :9], xyz, 5), whole)


def test_nearest_far_from_the_origin():
    """Millimetres matter at 80 m too, where a matrix product would lose them."""
    cloud = torch.tensor([[[80.0, 60.0, 1.0]]]) + 1e-3 * torch.arange(20.0)[None, :, None]
    found = nearest(cloud, cloud, 2)
    assert found[0, :, 0].tolist() == list(range(20))


def test_too_few_neighbours_repeat_the_nearest():
    cloud = torch.tensor([[[0.0, 0, 0], [1.0, 0, 0], [5.0, 0, 0]]])
    allowed = torch.tensor([[True, True, False]])
    assert nearest(cloud[:, 2:], cloud, 3, allowed=allowed).tolist() == [[[1, 0, 1]]]
    assert nearest(cloud[:, :1], cloud, 5).tolist() == [[[0, 1, 2, 0, 0]]]


def test_interpolation_against_the_definition():
    sources, targets, features = random(2, 9, 3), random(2, 4, 3, seed=1), random(2, 9, 5, seed=2)
    found = interpolate(sources, features, targets)
    for b in range(2):
        for n in range(4):
            gaps = (sources[b] - targets[b, n]).norm(dim=1)
            near = gaps.argsort()[:3]
            weight = 1 / gaps[near]
            expected = (weight[:, None] * features[b, near]).sum(dim=0) / weight.sum()
            torch.testing.assert_close(found[b, n], expected)
    at_source = interpolate(sources, features, sources[:, :2])
    torch.testing.assert_close(at_source, features[:, :2], atol=1e-4, rtol=1e-4)


def test_gather_against_indexing():
    values = random(2, 6, 3)
    index = torch.tensor([[[0, 5], [2, 2]], [[1, 1], [3, 4]]])
    expected = torch.stack([values[b][index[b]] for b in range(2)])
    assert torch.equal(gather(values, index), expected)


def test_gradients_of_gather_and_interpolate():
    values = random(2, 6, 3).double().requires_grad_()
    index = torch.tensor([[[0, 5], [2, 2]], [[1, 1], [3, 4]]])
    assert torch.autograd.gradcheck(lambda v: gather(v, index), values)
    sources, targets = random(2, 6, 3, seed=1).double(), random(2, 4, 3, seed=2).double()
    assert torch.autograd.gradcheck(lambda v: interpolate(sources, v, targets), values)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return PointEncoder(centres=(24, 12, 6), widths=(8, 12, 16), neighbours=4)


def cloud_of(points, seed=0):
    return (
        10 * random(2, points, 3, seed=seed),
        random(2, points, 1, seed=seed + 1),
        torch.ones(2, points, dtype=torch.bool),
    )


def test_absolute_coordinates_cannot_be_seen(encoder):
    xyz, feature, distinct = cloud_of(64)
    encoder.eval()
    here = encoder(xyz, feature, distinct, 10)
    there = encoder(xyz + torch.tensor([40.0, -20.0, 3.0]), feature, distinct, 10)
    assert here.shape == (2, 10, encoder.channels)
    torch.testing.assert_close(here, there, atol=1e-3, rtol=1e-3)
    elsewhere = encoder(1.5 * xyz, feature, distinct, 10)
    assert (elsewhere - here).abs().max() > 0.01


def test_copies_that_fill_a_cloud_change_nothing(encoder):
    xyz, feature, distinct = cloud_of(40)
    encoder.eval()
    expected = encoder(xyz, feature, distinct, 10)
    filled = (torch.cat([item, item[:, :15]], dim=1) for item in (xyz, feature))
    marked = torch.cat([distinct, torch.zeros(2, 15, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(encoder(*filled, marked, 10), expected)


def test_a_cloud_may_have_fewer_points_than_centres(encoder):
    features = encoder(*cloud_of(11), 5)
    assert features.shape == (2, 5, encoder.channels)
    assert features.isfinite().all()


def test_a_cloud_of_one_place_is_finite_forth_and_back(encoder):
    features = encoder(torch.zeros(2, 30, 3), torch.zeros(2, 30, 1), torch.zeros(2, 30) > 0, 5)
    features.sum().backward()
    assert features.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())


def test_more_queries_than_centres_are_refused(encoder):
    with pytest.raises(UsageError, match="25 points are asked of an encoder with 24 centres"):
        encoder(*cloud_of(40), 25)
