"""The parts of the probes, each against something written otherwise."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import exact_store
from exact_store import ExactStore
from simipu.data.config import SampleConfig, Selection
from simipu.data.sample import Cloud
from simipu.data.selection import select_images
from simipu.errors import SimipuError
from simipu.evaluate.calibrate import calibrate
from simipu.evaluate.depth_probe import depth_errors, draw_subsets
from simipu.evaluate.normals import uprightness
from simipu.evaluate.pixels import CELL_PX, PIXELS, Pictures, draw_pixels
from simipu.evaluate.point_probe import (
    Surfaces,
    probe_coordinates,
    probe_points,
    read_surfaces,
    slope_errors,
)
from simipu.evaluate.ridge import STRENGTHS, fit_ridge, polynomial

CPU = torch.device("cpu")


@pytest.mark.parametrize("shape", [(200, 7), (12, 30)])
def test_ridge_is_least_squares_with_rows_for_the_penalty(shape):
    """Against NumPy's lstsq: a penalty is as if there were more rows, that ask for zero."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape) * rng.uniform(0.1, 50, shape[1]) + 3
    y = x[:, 0] * 0.3 + rng.normal(size=len(x))
    found = fit_ridge(torch.from_numpy(x), torch.from_numpy(y), torch.arange(len(x)) // 3)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    rows = np.concatenate([z, np.sqrt(len(x) * found.strength) * np.eye(shape[1])])
    weight = np.linalg.lstsq(rows, np.concatenate([y - y.mean(), np.zeros(shape[1])]), rcond=None)[
        0
    ]
    np.testing.assert_allclose(found.weight, weight, rtol=1e-6, atol=1e-9)
    new = rng.normal(size=(5, shape[1]))
    predicted = (new - x.mean(axis=0)) / x.std(axis=0) @ weight + y.mean()
    np.testing.assert_allclose(found.predict(torch.from_numpy(new)), predicted, rtol=1e-6)


def test_the_strength_is_that_which_predicts_other_images_best():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(8), 10)
    # Ten equal rows of every image: left out one by one they would be known by heart, and the
    # weakest penalty the best.
    x = np.repeat(rng.normal(size=(8, 6)), 10, axis=0)
    noise = np.repeat(rng.normal(size=8), 10)
    found = fit_ridge(*map(torch.from_numpy, (x, noise, groups)))
    errors = []
    z, y = (x - x.mean(0)) / x.std(0), noise - noise.mean()
    for strength in STRENGTHS:
        error = 0.0
        for fold in range(4):
            out = groups // 2 == fold
            a, b = z[~out], y[~out]
            weight = np.linalg.solve(a.T @ a + len(a) * strength * np.eye(6), a.T @ b)
            error += ((z[out] @ weight - y[out]) ** 2).sum()
        errors.append(error)
    assert found.strength == STRENGTHS[int(np.argmin(errors))] == max(STRENGTHS)
    exact = fit_ridge(torch.from_numpy(x), torch.from_numpy(x[:, 0]), torch.from_numpy(groups))
    assert exact.strength < max(STRENGTHS)


def test_a_constant_feature_has_no_weight():
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    x[:, 1] = 1e4
    found = fit_ridge(x, x[:, 0], torch.arange(50))
    assert found.weight[1] == 0
    moved = x.clone()
    moved[:, 1] = -7
    assert torch.equal(found.predict(moved), found.predict(x))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_features_that_are_not_finite_are_an_error(value):
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    x[7, 1] = value
    with pytest.raises(SimipuError, match="features of an encoder are not finite"):
        fit_ridge(x, torch.arange(50.0), torch.arange(50))


def test_polynomials_have_all_monomials():
    x = torch.rand(6, 4, 3, dtype=torch.float64)
    found = polynomial(x, 3)
    powers = [p for p in itertools.product(range(4), repeat=3) if 0 < sum(p) <= 3]
    expected = torch.stack([x.pow(torch.tensor(p)).prod(dim=-1) for p in powers], dim=-1)
    assert found.shape == (6, 4, 19)
    torch.testing.assert_close(found.sort(dim=-1).values, expected.sort(dim=-1).values)


def test_errors_of_depth_by_hand():
    found = depth_errors(torch.tensor([10.0, 20, 30, 50]), torch.tensor([10.0, 25, 20, 40]))
    assert found.abs_rel == pytest.approx((0 + 0.2 + 0.5 + 0.25) / 4)
    assert found.rmse_m == pytest.approx(((0 + 25 + 100 + 100) / 4) ** 0.5)
    assert found.delta_1 == 0.25  # 25 / 20 and 50 / 40 are not below 1.25


def test_subsets_grow():
    one, few, whole = draw_subsets(50, seed=0)
    assert (len(one), len(few)) == (1, 5)
    assert set(one) < set(few) < set(whole) == set(range(50))
    assert [len(part) for part in draw_subsets(4, seed=0)] == [1, 4]
    assert not np.array_equal(draw_subsets(50, seed=1)[1], few)


def test_pixels_lie_in_cells_of_their_own():
    rng = np.random.default_rng(0)
    uv = rng.uniform(-0.5, [63.5, 31.5], (5000, 2)).astype(np.float32)
    pictures = Pictures(
        torch.zeros(2, 3, 32, 64, dtype=torch.uint8),
        (3, 4),
        (uv, uv[:3]),
        (uv[:, 0], uv[:3, 0]),
    )
    drawn = draw_pixels(pictures, seed=0)
    assert drawn.valid.sum(dim=1).tolist() == [min(PIXELS, 8 * 16), 3]
    own = drawn.uv[0][drawn.valid[0]]
    assert len(torch.unique((own + 0.5).div(CELL_PX).floor(), dim=0)) == len(own)
    assert torch.equal(drawn.depth_m[drawn.valid], drawn.uv[..., 0][drawn.valid])
    assert not torch.equal(draw_pixels(pictures, seed=1).uv, drawn.uv)


def test_calibrated_batch_norms_have_the_statistics_of_what_they_see():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5))
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    parts = [torch.randn(16, 4) * 9 + 2 for _ in range(3)]
    ready = calibrate(network, lambda net: [net(part) for part in parts])
    seen = [network[0](part).double() for part in parts]
    mean = torch.stack([part.mean(dim=0) for part in seen]).mean(dim=0)
    variance = torch.stack([part.var(dim=0) for part in seen]).mean(dim=0)
    torch.testing.assert_close(ready[1].running_mean.double(), mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ready[1].running_var.double(), variance, rtol=1e-6, atol=0)
    assert not any(module.training for module in ready.modules())
    assert ready[1].momentum == network[1].momentum == 0.1
    assert network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("tilt_deg", [0, 20, 60, 90])
def test_the_slope_of_a_plane(tilt_deg):
    rng = np.random.default_rng(tilt_deg)
    a, b = rng.uniform(-3, 3, (2, 2000))
    tilt = np.radians(tilt_deg)
    plane = np.stack([a * np.cos(tilt), b, a * np.sin(tilt)], axis=1)
    plane += np.array([20, -4, 1])
    plane += rng.normal(scale=0.002, size=plane.shape)
    values, known = uprightness(plane.astype(np.float32), plane[:100].astype(np.float32))
    assert known.mean() > 0.9
    np.testing.assert_allclose(values[known], abs(np.cos(tilt)), atol=0.03)


def test_the_slope_of_a_line_and_of_lonely_points_is_not_known():
    line = np.zeros((200, 3), dtype=np.float32)
    line[:, 0] = np.linspace(0, 5, 200)
    assert not uprightness(line, line[:50])[1].any()
    sparse = np.random.default_rng(0).uniform(-90, 90, (300, 3)).astype(np.float32)
    assert not uprightness(sparse, sparse[:50])[1].any()
    assert not uprightness(sparse[:5], sparse[:5])[1].any()


def test_surfaces_are_those_of_the_points_of_the_pairs():
    sample = SampleConfig(height=32, width=64, pairs=40, points=80, cell_px=4)
    images = select_images(ExactStore(frames=3), Selection(path="", frames="1:3"))
    found = read_surfaces(images, sample, seed=0)
    assert found.valid.shape == (2, 40)
    assert 10 < found.valid.sum() < 80
    assert found.uprightness[found.valid].min() < 0.99  # at the edges of blocks
    for row, frame in enumerate((1, 2)):
        whole = exact_store.wall(frame).reshape(-1, 3)
        for place in torch.nonzero(found.valid[row])[:, 0].tolist():
            point = found.cloud.xyz[row, place].numpy()
            near = whole[np.argsort(np.linalg.norm(whole - point, axis=1))[:24]]
            normal = np.linalg.svd(near - near.mean(axis=0))[2][2]
            assert found.uprightness[row, place] == pytest.approx(abs(normal[2]), abs=1e-3)


class Knowing(nn.Module):
    """The third coordinate is the answer."""

    def forward(self, xyz, feature, distinct, queries):
        return torch.stack([xyz[:, :queries, 2], feature[:, :queries, 0]], dim=-1)


class Ignorant(nn.Module):
    def forward(self, xyz, feature, distinct, queries):
        return feature[:, :queries]


def surfaces(seed):
    generator = torch.Generator().manual_seed(seed)
    answer = torch.rand(10, 40, generator=generator)
    place = torch.rand(10, 60, 2, generator=generator) * 50
    z = torch.cat([answer, torch.zeros(10, 20)], dim=1)[..., None]
    noise = torch.randn(10, 60, 1, generator=generator)
    cloud = Cloud(torch.cat([place, z], dim=-1), noise, torch.ones(10, 60, dtype=torch.bool))
    valid = torch.rand(10, 40, generator=generator) < 0.8
    return Surfaces(cloud, torch.where(valid, answer, 0), valid)


def test_the_slope_is_read_off_who_knows_it():
    fit, test = surfaces(0), surfaces(1)
    knowing = probe_points(Knowing(), fit, test, device=CPU)
    assert knowing.r2 > 0.999
    assert knowing.error_deg < 0.5
    assert probe_points(Ignorant(), fit, test, device=CPU).r2 == pytest.approx(0, abs=0.05)
    assert probe_coordinates(fit, test).r2 > 0.9  # here the answer is a coordinate


def test_errors_of_slopes_by_hand():
    true = torch.tensor([1.0, 0.0, 0.5], dtype=torch.float64)
    assert slope_errors(true, true) == (pytest.approx(0), pytest.approx(1))
    found = slope_errors(torch.tensor([2.0, -1, 1], dtype=torch.float64), true)
    assert found.error_deg == pytest.approx(60 / 3)  # the first two are cut to what there is
    assert found.r2 == pytest.approx(1 - 0.25 / 0.5)
    assert slope_errors(torch.full_like(true, 0.5), true).r2 == pytest.approx(0)
    assert slope_errors(true[:1], true[:1]).r2 is None  # of what does not vary
