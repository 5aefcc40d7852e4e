import numpy as np
import pytest

from simipu.geometry.roots import find_roots


def solve(functions, low, high, tolerance=1e-12):
    calls = np.zeros(len(functions), dtype=int)

    def values(x, part):
        calls[part] += 1
        return np.array([functions[k](t) for k, t in zip(part, x, strict=True)])

    ends = tuple(
        np.array([f(np.float64(x)) for f in functions], dtype=np.float64) for x in (low, high)
    )
    return find_roots(values, (low, high), ends, tolerance=tolerance), calls


def test_roots_are_found_at_the_ends_and_between():
    functions = [lambda t: 2 - t, lambda t: 1 - t, lambda t: -np.sinh(t - 1.4)]
    root, calls = solve(functions, 1.0, 2.0)
    np.testing.assert_allclose(root, [2.0, 1.0, 1.4], atol=1e-11)
    assert calls[:2].tolist() == [0, 0]
    assert 0 < calls[2] < 8


@pytest.mark.parametrize(
    "function",
    [
        lambda t: -((t - 0.77) ** 9),
        lambda t: np.exp(-40 * t) - 1e-9,
        lambda t: 1e-6 - 1e-7 * t if t < 0.999 else 1e-6 - 1e-7 * t - 1e3 * (t - 0.999),
        lambda t: np.cos(3.0 * t),
        lambda t: np.cos(14.0 * t) + 1e-3,  # five roots
        lambda t: -np.arctan(1e8 * (t - 0.123)),
        lambda t: 0.1 - np.sqrt(t),
    ],
)
def test_hard_continuous_functions_are_solved(function):
    root, calls = solve([function], 0.0, 1.0)
    assert abs(function(root[0])) <= 1e-12
    assert 0 <= root[0] <= 1
    assert calls[0] <= 60


def test_a_jump_is_no_root():
    root, _ = solve([lambda t: 1.0 if t < 0.3 else -1.0, lambda t: 0.5 - t], 0.0, 1.0)
    assert np.isnan(root[0])
    assert root[1] == pytest.approx(0.5)


def test_no_functions_are_no_roots():
    root, _ = solve([], 0.0, 1.0)
    assert root.shape == (0,)
