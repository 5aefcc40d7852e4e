"""Scales of colours: what they map where, and which values they name."""

import numpy as np
import pytest
from PIL import Image

from simipu.viz.colors import DEPTH, NO_VALUE_COLOR, NOT_DARK, round_ticks, spread
from simipu.viz.marks import tone_down


def test_a_scale_reaches_from_dark_to_light_over_most_values():
    values = np.concatenate([np.linspace(0, 100, 99), [1e6]])
    scale = spread("height (m)", values)
    assert scale.low == pytest.approx(np.percentile(values, 2))
    assert scale.high < 101
    assert scale.colors([scale.low, scale.high]).tolist() == NOT_DARK[[0, -1]].tolist()
    assert scale.colors([-1e9, 1e9]).tolist() == NOT_DARK[[0, -1]].tolist()
    assert spread("", values, whole=True).high == 1e6


def test_low_values_stand_out_from_asphalt():
    asphalt = np.asarray(tone_down(Image.new("RGB", (1, 1), (70, 70, 72))))[0, 0]
    low = spread("", np.arange(10.0)).colors([-1.0])[0]
    lightness = np.stack([low, asphalt]) @ (0.2126, 0.7152, 0.0722)
    assert lightness[0] > lightness[1] + 20


def test_missing_values_are_grey():
    assert DEPTH.colors([np.nan]).tolist() == [list(NO_VALUE_COLOR)]
    scale = spread("", np.array([np.nan, 1.0, 3.0, np.inf]))
    assert 1.0 <= scale.low < scale.high <= 3.0


@pytest.mark.parametrize("values", [[], [7.0], [0.0, 0.0], [np.nan]])
def test_a_scale_of_one_value_or_none_can_be_drawn(values):
    scale = spread("", np.array(values))
    assert scale.low < scale.high
    assert scale.bar(5).shape == (5, 3)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-1.3, 1.4, [-1.0, -0.5, 0.0, 0.5, 1.0]),
        (3.0, 250.0, [50.0, 100.0, 150.0, 200.0, 250.0]),
    ],
)
def test_ticks_are_round(low, high, ticks):
    assert round_ticks(low, high) == pytest.approx(ticks)


@pytest.mark.parametrize("seed", range(20))
def test_ticks_are_few_and_within_the_ends(seed):
    rng = np.random.default_rng(seed)
    low = rng.normal() * 10 ** rng.uniform(-3, 3)
    high = low + 10 ** rng.uniform(-3, 4)
    ticks = np.array(round_ticks(low, high))
    assert 2 <= len(ticks) <= 6
    slack = 1e-5 * max(abs(low), abs(high))
    assert ticks.min() >= low - slack
    assert ticks.max() <= high + slack


def test_positions_in_a_logarithmic_bar_are_those_of_its_colours():
    bar = DEPTH.bar(1001)
    for tick in DEPTH.ticks:
        at = round(1000 * float(DEPTH.position(tick)))
        assert np.abs(bar[at].astype(int) - DEPTH.colors([tick])[0]).max() <= 1
