import pytest
import torch

from simipu.errors import UsageError
from simipu.models.layers import gather
from simipu.models.pointnet2_msg import PointNet2MSG, Stage

SMALL = (
    Stage((0.5, 1.0), (3, 5), ((4, 6), (6, 8)), 10),
    Stage((1.0, 2.0), (3, 4), ((8, 8), (8, 12)), 12),
    Stage((2.0, 4.0), (4, 4), ((8, 12), (12, 16)), 20),
)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small(coordinates="none", **options):
    torch.manual_seed(0)
    options = {"centres": (32, (12, 12), (6, 8)), "ffps_rows": 6} | options
    return PointNet2MSG(stages=SMALL, coordinates=coordinates, **options).double()


def clouds_of(points, seed=0):
    return (
        random(2, points, 3, seed=seed).double(),
        random(2, points, 1, seed=seed + 1).double(),
        torch.ones(2, points, dtype=torch.bool),
    )


# The slow, separate reading of the specification: one cloud and one neighbourhood after the other.


def slow_farthest(squared, count):
    chosen = [0]
    while len(chosen) < count:
        chosen.append(squared[chosen].amin(dim=0).argmax().item())
    return chosen


def squared_distances(rows):
    return (rows[:, None] - rows[None]).square().sum(dim=-1)


def slow_choice(stage, xyz, feature):
    joined = torch.cat([xyz, feature], dim=1).detach()
    by_distance = squared_distances(xyz)
    by_features = squared_distances(joined)
    if stage == 0:
        return slow_farthest(by_distance, 32)
    if stage == 1:
        return slow_farthest(by_features, 12) + slow_farthest(by_distance, 12)
    rest = slow_farthest(by_distance[6:, 6:], 8)
    return slow_farthest(by_features[:6, :6], 6) + [6 + index for index in rest]


def slow_ball(xyz, centre, inner, outer, count):
    squared = (xyz - centre).square().sum(dim=1).tolist()
    hits = [i for i, s in enumerate(squared) if s == 0 or inner**2 <= s < outer**2]
    return (hits + [hits[0]] * count)[:count]


def slow_layers(rows, mlp, eps):
    """Linear, batch norm over all rows, ReLU, as often as there are such layers."""
    weights = list(mlp.parameters())
    for weight, scale, shift in zip(weights[::3], weights[1::3], weights[2::3], strict=True):
        rows = rows @ weight.T
        variance = rows.var(dim=0, unbiased=False)
        rows = (rows - rows.mean(dim=0)) / (variance + eps).sqrt() * scale + shift
        rows = rows.clamp(min=0)
    return rows


def slow_told(xyz, feature, centre, near, coordinates):
    offset = xyz[near] - centre
    told = {
        "none": [],
        "relative": [offset, offset.norm(dim=1, keepdim=True)],
        "absolute": [xyz[near]],
    }[coordinates]
    return torch.cat([*told, feature[near]], dim=1)


def slow_encode(encoder, xyz, feature, coordinates):
    xyz, feature = list(xyz), list(feature)
    rows = [list(range(len(cloud))) for cloud in xyz]
    for stage, (about, abstract) in enumerate(zip(SMALL, encoder.abstractions, strict=True)):
        chosen = [slow_choice(stage, *cloud) for cloud in zip(xyz, feature, strict=True)]
        pooled = []
        for j, count in enumerate(about.neighbours):
            inner, outer = (0.0, *about.radii_m)[j : j + 2]
            told = [
                slow_told(x, f, x[c], slow_ball(x, x[c], inner, outer, count), coordinates)
                for x, f, centres in zip(xyz, feature, chosen, strict=True)
                for c in centres
            ]
            encoded = slow_layers(torch.cat(told), abstract.annuli[j], 1e-3)
            pooled.append(torch.stack([part.amax(dim=0) for part in encoded.split(count)]))
        joined = slow_layers(torch.cat(pooled, dim=1), abstract.aggregate, 1e-5)
        feature = list(joined.split(len(chosen[0])))
        xyz = [x[centres] for x, centres in zip(xyz, chosen, strict=True)]
        rows = [[r[c] for c in centres] for r, centres in zip(rows, chosen, strict=True)]
    return torch.stack(feature), rows


@pytest.mark.parametrize("coordinates", ["none", "relative", "absolute"])
def test_the_encoder_against_a_slow_reading_of_the_specification(coordinates):
    encoder = small(coordinates)
    xyz, feature, distinct = clouds_of(48)
    found, graph = encoder.sample(xyz, feature, distinct)
    expected, rows = slow_encode(encoder, xyz, feature, coordinates)
    assert graph.rows.tolist() == rows
    assert found.shape == (2, 14, 20)
    torch.testing.assert_close(found, expected)
    parameters = list(encoder.parameters())
    towards = torch.randn_like(found)
    torch.testing.assert_close(
        torch.autograd.grad((found * towards).sum(), parameters),
        torch.autograd.grad((expected * towards).sum(), parameters),
    )


def test_by_default_it_is_the_released_one():
    """Its 1.78 million parameters, with the biases that batch norm makes idle."""
    encoder = PointNet2MSG()
    weights = sum(parameter.numel() for parameter in encoder.parameters())
    biases = sum(m.out_features for m in encoder.modules() if isinstance(m, torch.nn.Linear))
    assert weights + biases == 1_778_432
    assert encoder.channels == 1024
    norms = [m for m in encoder.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    assert [norm.eps for norm in norms].count(1e-3) == 27
    assert all(norm.momentum == 0.1 for norm in norms)


def test_without_coordinates_only_the_neighbours_matter():
    encoder = small().eval()
    xyz, feature, distinct = clouds_of(48)
    here, graph = encoder.sample(xyz, feature, distinct)
    assert torch.equal(encoder.encode(graph, 1.3 * xyz + 4, feature), here)


def test_a_similar_copy_has_the_same_graph_and_relative_coordinates_of_its_own():
    encoder = small("relative").eval()
    xyz, feature, distinct = clouds_of(48)
    here, graph = encoder.sample(xyz, feature, distinct)
    torch.testing.assert_close(encoder.encode(graph, xyz, feature), here)
    torch.testing.assert_close(encoder.encode(graph, xyz + 7, feature), here)
    turned = xyz @ torch.linalg.qr(random(3, 3, seed=5)).Q.double().T
    there = encoder.encode(graph, turned, feature)
    assert (there - here).abs().max() > 1e-3
    # The first stage chooses by distance alone: there the copy's own graph is the same.
    own = encoder.sample(turned, feature, distinct)[1]
    assert torch.equal(own.levels[0].centre, graph.levels[0].centre)
    assert all(map(torch.equal, own.levels[0].near, graph.levels[0].near))


@pytest.mark.parametrize("queries", [1, 7, 12])
def test_queried_points_are_the_last_centres(queries):
    encoder = small().eval()
    xyz, feature, distinct = clouds_of(48)
    found, graph = encoder.sample(xyz, feature, distinct, queries)
    assert torch.equal(found, encoder(xyz, feature, distinct, queries))
    assert graph.rows.tolist() == 2 * [list(range(queries))]
    assert found.shape == (2, queries, 20)
    # In every stage they are among the points that are grouped.
    centre = gather(gather(xyz, graph.levels[0].centre), graph.levels[1].centre)
    assert torch.equal(centre[:, :queries], xyz[:, :queries])


def test_copies_that_fill_a_cloud_change_nothing():
    encoder = small().eval()
    xyz, feature, distinct = clouds_of(40)
    expected = encoder(xyz, feature, distinct, 10)
    filled = (torch.cat([item, item[:, :15]], dim=1) for item in (xyz, feature))
    marked = torch.cat([distinct, torch.zeros(2, 15, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(encoder(*filled, marked, 10), expected)


def test_no_distance_matrix_enters_the_graph_of_gradients():
    """F-FPS and ball query are choices: gradients go through features alone."""
    encoder = small("relative")
    xyz, feature, distinct = clouds_of(48)
    _, graph = encoder.sample(xyz, feature.requires_grad_(), distinct)
    lists = [(level.centre, *level.near) for level in graph.levels]
    assert not any(index.requires_grad for level in lists for index in level)


def test_gradients_of_the_encoder():
    encoder = small("relative")
    xyz, feature, distinct = clouds_of(48)
    graph = encoder.sample(xyz, feature, distinct, 5)[1]
    assert torch.autograd.gradcheck(
        lambda f: encoder.encode(graph, xyz, f), feature.requires_grad_(), fast_mode=True
    )


def test_few_points_are_finite_forth_and_back():
    encoder = small()
    features = encoder(*clouds_of(9), 5)
    features.sum().backward()
    assert features.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="13 points are asked of an encoder with 12 centres"):
        small()(*clouds_of(48), 13)
    with pytest.raises(UsageError, match="a cloud of 3 points leaves D-FPS nothing beyond the 6"):
        small().sample(*clouds_of(3))
