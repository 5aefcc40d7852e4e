import pytest
import torch

from simipu.errors import UsageError
from simipu.models.layers import edges, gather, interpolate
from simipu.models.pointnet2 import PointEncoder
from simipu.models.sampling import nearest


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_interpolation_against_the_definition():
    sources, targets, features = random(2, 9, 3), random(2, 4, 3, seed=1), random(2, 9, 5, seed=2)
    found = interpolate(sources, features, targets, nearest(targets, sources, 3))
    for b in range(2):
        for n in range(4):
            gaps = (sources[b] - targets[b, n]).norm(dim=1)
            near = gaps.argsort()[:3]
            weight = 1 / gaps[near]
            expected = (weight[:, None] * features[b, near]).sum(dim=0) / weight.sum()
            torch.testing.assert_close(found[b, n], expected)
    near = nearest(sources[:, :2], sources, 3)
    at_source = interpolate(sources, features, sources[:, :2], near)
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
    near = nearest(targets, sources, 3)
    assert torch.autograd.gradcheck(lambda v: interpolate(sources, v, targets, near), values)


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


def test_absolute_coordinates_are_seen_where_they_are_asked_for():
    torch.manual_seed(0)
    encoder = PointEncoder(
        centres=(24, 12, 6), widths=(8, 12, 16), neighbours=4, coordinates="absolute"
    ).eval()
    xyz, feature, distinct = cloud_of(64)
    moved = encoder(xyz + torch.tensor([4.0, -2.0, 3.0]), feature, distinct, 10)
    assert (moved - encoder(xyz, feature, distinct, 10)).abs().max() > 0.01


def test_edges_by_hand():
    xyz = torch.tensor([[[1.0, 2, 3], [1, 5, 7]]])
    feature = torch.tensor([[[10.0], [20.0]]])
    near = torch.tensor([[[1, 0]]])

    def seen(coordinates):
        return edges(xyz, feature, xyz[:, :1], near, coordinates)[0, 0].tolist()

    assert seen("none") == [[20], [10]]
    assert seen("relative") == [[0, 3, 4, 5, 20], [0, 0, 0, 0, 10]]
    assert seen("absolute") == [[1, 5, 7, 20], [1, 2, 3, 10]]


def similar(xyz):
    """A copy turned, mirrored, scaled and moved."""
    turn = torch.linalg.qr(random(3, 3, seed=7)).Q
    turn[:, 0] *= -turn.det().sign()
    return 0.8 * xyz @ turn.T + torch.tensor([5.0, -3.0, 1.0])


def test_a_graph_is_that_of_a_similar_copy(encoder):
    encoder.eval()
    xyz, feature, distinct = cloud_of(64)
    here, graph = encoder.sample(xyz, feature, distinct, 10)
    assert torch.equal(here, encoder(xyz, feature, distinct, 10))
    assert torch.equal(here, encoder.encode(graph, xyz, feature))
    copy = similar(xyz)
    there = encoder.encode(graph, copy, feature)
    torch.testing.assert_close(there, encoder(copy, feature, distinct, 10), atol=1e-5, rtol=1e-4)


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
