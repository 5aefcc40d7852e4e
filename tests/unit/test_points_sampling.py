import pytest
import torch

from simipu.models import sampling
from simipu.models.sampling import (
    coordinate_distances,
    distances,
    farthest_points,
    in_annuli,
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
    monkeypatch.setattr(sampling, "_DISTANCES_AT_ONCE", 2 * 40 * 2)
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


@pytest.mark.parametrize("given", [1, 4])
def test_farthest_points_in_features_against_all_distances(given):
    points = random(2, 30, 9)
    squared = (points[:, :, None] - points[:, None]).square().sum(dim=-1)
    found = farthest_points(points, 12, given=given)
    for matrix, chosen in zip(squared, found.tolist(), strict=True):
        expected = list(range(given))
        while len(expected) < 12:
            expected.append(matrix[expected].amin(dim=0).argmax().item())
        assert chosen == expected


def test_of_equally_far_points_the_first_is_chosen():
    corners = torch.tensor([[0.0, 0, 0], [1, 1, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])[None]
    assert farthest_points(corners, 5).tolist() == [[0, 1, 2, 3, 0]]


def test_many_given_points_are_looked_at_in_parts(monkeypatch):
    points = random(2, 40, 5)
    whole = farthest_points(points, 20, given=11)
    monkeypatch.setattr(sampling, "_DISTANCES_AT_ONCE", 2 * 40 * 3)
    assert torch.equal(farthest_points(points, 20, given=11), whole)


def slow_annuli(centre, cloud, radii, counts, allowed):
    """The released ball query, point by point, in squared distances."""
    found = []
    for inner, outer, count in zip([0, *radii], radii, counts, strict=False):
        lists = []
        for c in centre.tolist():
            hits = []
            for index, p in enumerate(cloud.tolist()):
                squared = sum((a - b) ** 2 for a, b in zip(c, p, strict=True))
                if allowed[index] and (squared == 0 or inner**2 <= squared < outer**2):
                    hits.append(index)
            lists.append((hits[:count] + [hits[0]] * count)[:count] if hits else [0] * count)
        found.append(lists)
    return found


def check_annuli(centres, clouds, radii, counts, allowed):
    found = in_annuli(centres, clouds, radii, counts, allowed=allowed)
    for b in range(len(clouds)):
        expected = slow_annuli(centres[b], clouds[b], radii, counts, allowed[b].tolist())
        assert [scale[b].tolist() for scale in found] == expected
    return found


def test_annuli_against_the_definition():
    clouds = random(2, 60, 3)
    allowed = random(2, 60, seed=2) > -0.8
    found = check_annuli(clouds[:, :9], clouds, (0.7, 1.1, 2.0), (3, 4, 20), allowed)
    assert [scale.shape for scale in found] == [(2, 9, 3), (2, 9, 4), (2, 9, 20)]


def test_a_point_on_the_border_belongs_to_the_outer_annulus():
    grid = torch.cartesian_prod(*3 * [torch.arange(4.0)])[None]
    check_annuli(grid[:, 20:24], grid, (1.0, 2.0, 3.0), (4, 4, 64), torch.ones(1, 64) > 0)


def test_copies_are_in_no_annulus_and_a_centre_in_all_of_them():
    cloud = torch.tensor([[[5.0, 0, 0], [0, 0, 0], [0.5, 0, 0], [0, 0, 0]]])
    found = in_annuli(cloud[:, 1:2], cloud, (1.0, 4.0), (3, 3))
    assert [scale[0, 0].tolist() for scale in found] == [[1, 2, 3], [1, 3, 1]]
    distinct = torch.tensor([[True, True, True, False]])
    found = in_annuli(cloud[:, 3:], cloud, (1.0, 4.0), (3, 3), allowed=distinct)
    assert [scale[0, 0].tolist() for scale in found] == [[1, 2, 1], [1, 1, 1]]


def test_an_empty_annulus_holds_point_zero():
    cloud = torch.tensor([[[9.0, 0, 0], [7.0, 0, 0]]])
    assert in_annuli(torch.zeros(1, 1, 3), cloud, (1.0,), (2,))[0].tolist() == [[[0, 0]]]


def test_annuli_in_parts_are_annuli(monkeypatch):
    clouds = random(2, 50, 3)
    whole = in_annuli(clouds[:, :11], clouds, (0.5, 1.5), (4, 8))
    monkeypatch.setattr(sampling, "_DISTANCES_AT_ONCE", 2 * 50 * 3)
    parts = in_annuli(clouds[:, :11], clouds, (0.5, 1.5), (4, 8))
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


def test_annuli_grow_with_a_similar_copy():
    cloud = random(1, 80, 3)
    mirrored_turn = torch.linalg.qr(random(3, 3, seed=1)).Q
    mirrored_turn[:, 0] *= -mirrored_turn.det().sign()
    copy = 1.2 * cloud @ mirrored_turn.T + 3
    here = in_annuli(cloud, cloud, (0.5, 1.0), (5, 9))
    there = in_annuli(copy, copy, (0.6, 1.2), (5, 9))
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))


def test_distances_of_features_are_the_distances():
    features = random(2, 20, 7)
    expected = (features[:, :3, None] - features[:, None]).norm(dim=-1)
    torch.testing.assert_close(distances(features[:, :3], features), expected)
