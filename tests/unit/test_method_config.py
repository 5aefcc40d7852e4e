import dataclasses

import pytest
import torch

from simipu.data.config import SampleRules
from simipu.errors import UsageError
from simipu.methods.config import PRESETS, ModelConfig, Switches
from simipu.methods.pairs import number_cells, number_points, number_rows


def test_every_switch_can_be_set_and_is_left_to_the_preset_otherwise():
    names = {part.name for part in dataclasses.fields(Switches)}
    own = {"preset", "image_backbone", "image_weights"}
    assert {part.name for part in dataclasses.fields(ModelConfig)} == names | own
    for preset, switches in PRESETS.items():
        assert ModelConfig(preset=preset).switches == switches
    changed = ModelConfig(preset="compat", symmetric=True).switches
    assert changed == dataclasses.replace(PRESETS["compat"], symmetric=True)


def test_the_presets_differ_in_every_repair():
    fixed, compat = (dataclasses.asdict(PRESETS[name]) for name in ("fixed", "compat"))
    same = {name for name in fixed if fixed[name] == compat[name]}
    assert same == {"negatives", "padding"}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_complete_configuration_leaves_nothing_to_its_preset(preset, monkeypatch):
    given = ModelConfig(preset=preset, negatives="frame")
    complete = given.complete((4, 32))
    assert all(getattr(complete, part.name) is not None for part in dataclasses.fields(Switches))
    strides = given.switches.strides or (4, 32)
    expected = dataclasses.replace(given.switches, strides=strides)
    other = dataclasses.replace(PRESETS[preset], symmetric=preset == "compat", strides=(8,))
    monkeypatch.setitem(PRESETS, preset, other)
    assert complete.switches == expected


def test_the_data_are_drawn_by_the_same_switches():
    assert PRESETS["fixed"].sample_rules == SampleRules()
    assert PRESETS["compat"].sample_rules == SampleRules(
        augmentation="released",
        views="shuffled",
        pairs="assignment",
        visible_only=False,
        pixel_mapping="released",
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "broken"}, r"model\.preset is 'broken'\n.*fixed, compat"),
        ({"pairs": "nearest"}, r"model\.pairs is 'nearest'\n.*rows, assignment"),
        ({"point_encoder": "dgcnn"}, r"model\.point_encoder"),
        ({"pairs": "assignment"}, "no pairs to be assigned"),
        ({"views": "shared", "coordinates": "none"}, "are the same"),
        ({"views": "shared", "pairs": "assignment"}, "only with pairs by rows"),
        ({"views": "shared", "point_encoder": "sparse-unet"}, "only with pairs by rows"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        ModelConfig(**settings)


def test_numbers_are_equal_where_all_columns_are():
    generator = torch.Generator().manual_seed(0)
    columns = torch.randint(-3, 3, (4, 2000), generator=generator)
    numbers = number_rows(*columns)
    alike = numbers[:, None] == numbers
    expected = (columns[:, :, None] == columns[:, None]).all(dim=0)
    assert torch.equal(alike, expected)
    assert len(number_rows(torch.arange(100_000), torch.zeros(100_000, dtype=int)).unique()) == 1e5


def test_cells_and_cubes():
    frame = torch.tensor([7, 7, 7, 8])
    uv = torch.tensor([[-0.5, 0.0], [7.4, 7.4], [7.5, 0.0], [0.0, 0.0]])
    a, b, c, d = number_cells(frame, uv, 8).tolist()  # cells begin half a pixel before a centre
    assert a == b
    assert len({a, c, d}) == 3
    xyz = torch.tensor([[0.01, 0.01, -0.01], [0.09, 0.09, -0.09], [0.11, 0, -0.01], [0.01, 0, 0]])
    a, b, c, d = number_points(frame, xyz).tolist()
    assert a == b
    assert len({a, c, d}) == 3
