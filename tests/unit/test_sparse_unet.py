import builtins
import importlib.util

import pytest
import torch
from torch.nn import functional as F

from simipu.errors import UsageError
from simipu.models.sparse_unet import SparseUNet, load_spconv
from simipu.models.voxels import (
    find_voxels,
    interpolate_voxels,
    mean_in_voxels,
    offsets_in_voxels,
)

needs_spconv = pytest.mark.skipif(
    importlib.util.find_spec("spconv") is None, reason="spconv is not installed"
)


def clouds(points=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    xyz = 4 * torch.rand(2, points, 3, generator=generator) - 2
    feature = torch.randn(2, points, 1, generator=generator)
    return xyz, feature, torch.ones(2, points, dtype=torch.bool)


def test_voxels_against_a_dictionary():
    xyz, feature, distinct = clouds()
    distinct[:, 50:] = False
    voxels = find_voxels(xyz, 0.7)
    held = {}
    for b in range(2):
        lowest = (xyz / 0.7).floor().amin(dim=(0, 1))
        for p, cell in enumerate((xyz[b] / 0.7).floor() - lowest):
            held.setdefault((b, *cell.int().tolist()), []).append((b, p))
    assert voxels.cell.tolist() == [list(cell) for cell in sorted(held)]
    assert voxels.cell.is_contiguous()  # spconv reads memory as it lies
    means = mean_in_voxels(feature, voxels, distinct)
    for row, cell in enumerate(sorted(held)):
        assert all(voxels.voxel[b, p] == row for b, p in held[cell])
        counted = [feature[b, p] for b, p in held[cell] if p < 50]
        expected = torch.stack(counted).mean(dim=0) if counted else torch.zeros(1)
        torch.testing.assert_close(means[row], expected)


def test_offsets_are_from_the_centre_of_the_voxel():
    xyz = torch.tensor([[[0.0, 0.9, 2.25], [1.99, 0.0, 0.0]]])
    found = offsets_in_voxels(find_voxels(xyz, 1.0))
    expected = torch.tensor([[[-0.5, 0.4, -0.25], [0.49, -0.5, -0.5]]])
    torch.testing.assert_close(found, expected)


def test_interpolation_is_exact_for_a_linear_field_in_a_full_grid():
    centres = torch.cartesian_prod(*3 * [torch.arange(4.0)]) + 0.5
    inner = 0.5 + 3 * torch.rand(20, 3, generator=torch.Generator().manual_seed(0))
    voxels = find_voxels(torch.cat([inner, centres])[None], 1.0)
    field = (voxels.cell[:, 1:] + 0.5) @ torch.tensor([[1.0], [10.0], [100.0]])
    found = interpolate_voxels(field, voxels, 20)
    expected = inner @ torch.tensor([[1.0], [10.0], [100.0]])
    torch.testing.assert_close(found[0], expected)


def test_interpolation_against_the_definition():
    xyz, _, _ = clouds()
    voxels = find_voxels(xyz, 0.7)
    features = torch.randn(len(voxels.cell), 5, generator=torch.Generator().manual_seed(1))
    found = interpolate_voxels(features, voxels, 30)
    for b in range(2):
        mine = voxels.cell[:, 0] == b
        for p in range(30):
            gap = (voxels.cell[mine, 1:] + 0.5 - voxels.position[b, p]).abs()
            weight = (1 - gap).clamp(min=0).prod(dim=1)
            expected = weight @ features[mine] / weight.sum()
            torch.testing.assert_close(found[b, p], expected, atol=1e-5, rtol=1e-4)


def test_gradients_of_voxels():
    xyz, feature, distinct = clouds(12)
    voxels = find_voxels(xyz.double(), 1.5)
    values = feature.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: mean_in_voxels(v, voxels, distinct), values)
    features = torch.randn(len(voxels.cell), 2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda f: interpolate_voxels(f, voxels, 5), features)


@pytest.mark.parametrize("far", [1e9, float("nan"), float("inf")])
def test_a_point_that_is_too_far_is_refused(far):
    xyz, _, _ = clouds()
    xyz[0, 3] = far
    with pytest.raises(UsageError, match=r"too many to be numbered\n.*far away"):
        find_voxels(xyz, 0.25)


def occupied(shape=(4, 6, 4), channels=4):
    """Cells of two sparse clouds, their features, and the same as a dense grid."""
    generator = torch.Generator().manual_seed(0)
    cell = (torch.rand(2, *shape, generator=generator) < 0.4).nonzero()
    features = torch.randn(len(cell), channels, generator=generator, requires_grad=True)
    b, x, y, z = cell.T
    dense = torch.zeros(2, *shape, channels).index_put((b, x, y, z), features)
    return cell, features, dense.permute(0, 4, 1, 2, 3)


@needs_spconv
def test_sparse_convolutions_against_dense_ones():
    """There, to half the resolution, and back; results and gradients."""
    torch.manual_seed(0)
    network = SparseUNet(widths=(4, 6), channels=8)
    same, halve, double = (
        block.convolution for block in (network.merge[0], network.down[0][0], network.up[0])
    )
    cell, features, dense = occupied(channels=8)
    for block in (network.merge[0], network.down[0][0], network.up[0]):
        block.norm = torch.nn.Identity()
    x = load_spconv().SparseConvTensor(features, cell.int().contiguous(), [4, 6, 4], 2)
    x = network.merge[0](x)
    coarse = network.down[0][0](x)
    back = network.up[0](coarse)
    b, i, j, k = cell.T
    mask = torch.zeros(2, 1, 4, 6, 4)
    mask[b, 0, i, j, k] = 1
    expected = F.conv3d(dense, same.weight.permute(0, 4, 1, 2, 3), padding=1).relu() * mask
    expected_coarse = F.conv3d(expected, halve.weight.permute(0, 4, 1, 2, 3), stride=2).relu()
    weight = double.weight.permute(4, 0, 1, 2, 3)
    expected_back = F.conv_transpose3d(expected_coarse, weight, stride=2).relu()
    torch.testing.assert_close(x.features, expected[b, :, i, j, k])
    at = coarse.indices.long().T
    torch.testing.assert_close(coarse.features, expected_coarse[at[0], :, at[1], at[2], at[3]])
    assert expected_coarse.count_nonzero() == coarse.features.count_nonzero()
    torch.testing.assert_close(back.features, expected_back[b, :, i, j, k])
    assert torch.equal(back.indices, cell.int())
    towards = torch.randn(len(cell), 4)
    wanted = [features, same.weight, halve.weight, double.weight]
    torch.testing.assert_close(
        torch.autograd.grad((back.features * towards).sum(), wanted),
        torch.autograd.grad((expected_back[b, :, i, j, k] * towards).sum(), wanted),
    )


@needs_spconv
class TestUNet:
    @pytest.fixture
    def encoder(self):
        torch.manual_seed(0)
        return SparseUNet(size_m=0.5, widths=(4, 6, 8), channels=10)

    def test_features_of_the_queried_points(self, encoder):
        found = encoder(*clouds(), 7)
        assert found.shape == (2, 7, 10)
        found.square().sum().backward()
        assert all(parameter.grad is not None for parameter in encoder.parameters())

    def test_whole_voxels_away_nothing_changes_but_with_absolute_coordinates(self, encoder):
        xyz, feature, distinct = clouds()
        moved = xyz + torch.tensor([16.0, -8.0, 4.0])
        encoder.eval()
        here = encoder(xyz, feature, distinct, 7)
        torch.testing.assert_close(encoder(moved, feature, distinct, 7), here, atol=1e-4, rtol=1e-3)
        absolute = SparseUNet(size_m=0.5, widths=(4, 6), channels=10, coordinates="absolute").eval()
        difference = absolute(xyz, feature, distinct, 7) - absolute(moved, feature, distinct, 7)
        assert difference.abs().max() > 1e-3

    def test_other_clouds_in_the_batch_change_nothing(self, encoder):
        xyz, feature, distinct = clouds()
        encoder.eval()
        alone = encoder(xyz[:1], feature[:1], distinct[:1], 7)
        for away in ([0.0, 0.0, 0.0], [-0.5, -1.5, 3.7], [20.0, 0.5, -1.0]):
            beside = torch.cat([xyz[:1], xyz[1:] + torch.tensor(away)])
            torch.testing.assert_close(encoder(beside, feature, distinct, 7)[:1], alone)

    def test_copies_that_fill_a_cloud_change_nothing(self, encoder):
        xyz, feature, distinct = clouds()
        encoder.eval()
        filled = (torch.cat([item, item[:, :9]], dim=1) for item in (xyz, feature))
        marked = torch.cat([distinct, torch.zeros(2, 9, dtype=torch.bool)], dim=1)
        torch.testing.assert_close(encoder(*filled, marked, 7), encoder(xyz, feature, distinct, 7))

    @pytest.mark.parametrize("voxels", [1, 3, 5, 7])
    def test_no_voxel_is_lost_in_a_grid_of_any_size(self, encoder, voxels):
        """Each voxel is told of the coarser ones; and a cloud may be flat."""
        xyz = torch.zeros(1, voxels, 3)
        xyz[0, :, 0] = 0.5 * torch.arange(voxels) + 0.25
        seen = []
        encoder.down[-1].register_forward_hook(lambda *call: seen.append(call[-1]))
        found = encoder.eval()(xyz, torch.ones(1, voxels, 1), torch.ones(1, voxels) > 0, voxels)
        assert found.isfinite().all()
        assert sorted(seen[0].indices[:, 1].tolist()) == list(range(-(-voxels // 4)))

    def test_autocast_leaves_it_in_float32(self, encoder):
        encoder.eval()
        expected = encoder(*clouds(), 7)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(encoder(*clouds(), 7), expected)


def test_without_spconv_the_error_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *args):
        if name.startswith("spconv"):
            raise ImportError("No module named 'spconv'")
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"needs spconv.*\n.*pip install 'simipu\[sparse\]'"):
        SparseUNet()
