"""The rows of examples/ablation are what they are called."""

import dataclasses
import runpy
from pathlib import Path

import pytest

from simipu.methods.config import PRESETS
from simipu.train.config import TrainConfig
from simipu.train.settings import build_config, merge, parse_assignments

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "ablation" / "ablation.py"
ABLATION = runpy.run_path(str(SCRIPT), run_name="ablation")
ROWS = ABLATION["make_rows"]()


def config_of(row):
    settings = [*ABLATION["SETTINGS"].split(), *ROWS[row]]
    return build_config(merge(TrainConfig().to_dict(), parse_assignments(settings)))


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_possible_and_differs_from_its_preset(row):
    config = config_of(row)
    preset = "compat" if row.startswith("compat") else "fixed"
    base = config_of(preset)
    assert config.model.preset == preset
    if row != preset:
        assert (config.model.switches, config.sample) != (base.model.switches, base.sample)


def test_every_difference_of_the_presets_is_a_repair():
    names = {
        setting.split("=")[0]
        for mended, _ in ABLATION["REPAIRS"].values()
        for setting in mended.split()
    }
    fixed, compat = (dataclasses.asdict(PRESETS[name]) for name in ("fixed", "compat"))
    differing = {name for name in fixed if fixed[name] != compat[name]}
    assert names == differing - {"point_encoder"}  # too slow for every row; it has two of its own


def test_all_repairs_together_make_compat_fixed():
    switches = {}
    for mended, broken in ABLATION["REPAIRS"].values():
        for place, settings in ((0, mended), (1, broken)):
            assigned = parse_assignments(f"model.{setting}" for setting in settings.split())
            switches.setdefault(place, {}).update(assigned["model"])
    both = [
        build_config({"model": {"preset": preset, "point_encoder": "pointnet2"} | switches[place]})
        for place, preset in ((0, "compat"), (1, "fixed"))
    ]
    encoder = {"point_encoder": "pointnet2"}
    fixed = dataclasses.replace(PRESETS["fixed"], strides=(8, 16, 32))
    assert both[0].model.switches == fixed
    assert both[1].model.switches == dataclasses.replace(PRESETS["compat"], **encoder)


def test_a_folder_has_rows_of_one_kind_only(tmp_path):
    ABLATION["keep_settings"](tmp_path / "out", ["steps=2"])
    ABLATION["keep_settings"](tmp_path / "out", ["steps=2"])
    with pytest.raises(SystemExit, match=r"other settings, \['steps=2'\]: choose another folder"):
        ABLATION["keep_settings"](tmp_path / "out", ["steps=3"])
