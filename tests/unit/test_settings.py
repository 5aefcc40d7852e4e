"""Settings from recipes, YAML and the command line."""

import dataclasses
import math

import pytest

from simipu.data.config import Selection
from simipu.errors import UsageError
from simipu.methods.config import PRESETS, Switches
from simipu.train.config import FREE_ON_RESUME, TrainConfig
from simipu.train.recipes import RECIPES, find_recipe
from simipu.train.settings import (
    build_config,
    changed_settings,
    differences,
    merge,
    parse_assignments,
    read_config,
    read_yaml,
    write_yaml,
)


@pytest.mark.parametrize("name", RECIPES)
def test_yaml_gives_back_what_was_written(name, tmp_path):
    config = build_config(
        merge(
            RECIPES[name]().to_dict(),
            {
                "data": {
                    "stores": [
                        {"path": "a b/ü: 1.zarr", "frames": "0:16", "splits": ["no", "1"]},
                        {"path": "~", "weight": 1e-5, "scenes": ["null", "0x1", "1e3"]},
                    ],
                    "policy": {"min_depth_m": 0.5, "margin_px": [1.0, 1.0, 0.0, 0.0]},
                },
                "optim": {"clip_norm": 1e300, "lr": 1e-07},
            },
        )
    )
    path = tmp_path / "config.yaml"
    path.write_text(write_yaml(config))
    assert build_config(read_config(path)) == config


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0:16", "0:16"),
        ("no", "no"),
        ("true", True),
        ("False", False),
        ("Null", None),
        ("010", 10.0),  # in 1.1 the number 8; no whole number is read from it
        ("1e-3", 0.001),
        ("-2", -2),
        (".5", 0.5),
        ("1.", 1.0),
        (".inf", math.inf),
        ("0o17", "0o17"),
        ("2026-01-01", "2026-01-01"),
        ("~", None),
        ("", None),
        ("[{path: a, frames: 1:2}]", [{"path": "a", "frames": "1:2"}]),
    ],
)
def test_plain_values_of_yaml_1_2(text, value):
    found = read_yaml(text, where="here")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text", ["a: [", "a: 1\na: 2", "!!python/object/apply:os.getcwd []", "{[1]: 2}", "a: &x *x"]
)
def test_what_is_no_yaml_is_refused(text):
    with pytest.raises(UsageError, match=r"here: this is not YAML: "):
        read_yaml(text, where="here")


def test_assignments_are_typed_by_their_field():
    given = parse_assignments(
        ["optim.lr=1", "run.steps = 5", "log.wandb=7a", "data.stores=[{path: a, frames: 0:16}]"]
    )
    config = build_config(given)
    assert type(config.optim.lr) is float
    assert config.run.steps == 5
    assert config.log.wandb == "7a"
    assert config.data.stores == (Selection(path="a", frames="0:16"),)
    for bad in ("optim.lr", "lr=1", "=1"):
        with pytest.raises(UsageError, match=r"--set section\.name=value"):
            parse_assignments([bad])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optim": {"lrr": 1}}, r"no setting optim\.lrr\n.*mean optim\.lr\?"),
        ({"optim": {"steps": 1}}, r"no setting optim\.steps\n.*mean run\.steps\?"),
        ({"optin": {}}, r"no setting optin\n.*mean optim\?"),
        ({"steps": 3}, r"no setting steps\n.*mean run\.steps\?"),
        ({"quux": 3}, r"no setting quux\n.*There are: data, sample"),
        ({"run": {"steps": "ten"}}, r"run\.steps is 'ten', not a whole number"),
        ({"run": {"steps": 1.0}}, r"run\.steps is 1\.0, not a whole number"),
        ({"run": {"steps": True}}, r"run\.steps is True, not a whole number"),
        ({"optim": {"lr": "fast"}}, r"optim\.lr is 'fast', not a number"),
        ({"system": {"compile": 1}}, r"system\.compile is 1, not true or false"),
        ({"model": {"image_backbone": 50}}, r"image_backbone is 50, not text"),
        ({"model": {"image_backbone": None}}, r"image_backbone is None, not text"),
        ({"run": 3}, r"run is 3\n.*Give settings: steps, epochs, seed"),
        ({"data": {"stores": "a.zarr"}}, r"data\.stores is 'a\.zarr', not a list"),
        ({"data": {"stores": ["a.zarr"]}}, r"data\.stores\[0\] is 'a\.zarr'\n.*path, weight"),
        ({"data": {"stores": [{"paht": "a"}]}}, r"data\.stores\[0\]\.paht\n.*path"),
        ({"data": {"stores": [{"weight": 2.0}]}}, r"data\.stores\[0\]: .*'path'"),
        ({"data": {"stores": [{"path": "a", "scenes": [1]}]}}, r"scenes\[0\] is 1, not text"),
        ({"data": {"policy": 3}}, r"data\.policy is 3, not settings by name"),
    ],
)
def test_what_is_wrong_is_named(settings, message):
    with pytest.raises(UsageError, match=message):
        build_config(settings)


def test_a_file_that_holds_no_settings(tmp_path):
    path = tmp_path / "config.yaml"
    with pytest.raises(UsageError, match=r"cannot be read"):
        read_config(path)
    path.write_text("- 1")
    with pytest.raises(UsageError, match=r"these are no settings"):
        read_config(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"cannot be read"):
        read_config(path)
    path.write_text("# nothing but defaults\n")
    assert build_config(read_config(path)) == TrainConfig()


def test_steps_stand_for_epochs():
    base = {"run": {"steps": None, "epochs": 100, "seed": 3}}
    assert merge(base, {"run": {"steps": 5}})["run"] == {"steps": 5, "epochs": None, "seed": 3}
    assert merge(base, {"run": {"seed": 5}})["run"] == {"steps": None, "epochs": 100, "seed": 5}
    assert base == {"run": {"steps": None, "epochs": 100, "seed": 3}}
    with pytest.raises(UsageError, match="either --steps or --epochs"):
        build_config(merge(base, {"run": {"steps": 5, "epochs": 1}}))


def test_a_preset_gives_all_switches_that_are_not_set_beside_or_after_it():
    base = build_config({}).complete((8, 16)).to_dict()
    model = build_config(merge(base, {"model": {"preset": "compat", "negatives": "frame"}})).model
    assert model.switches == dataclasses.replace(PRESETS["compat"], negatives="frame")
    kept = build_config(merge(base, {"model": {"symmetric": False}})).model
    assert kept.switches == Switches(symmetric=False, strides=(8, 16))


def test_what_was_once_left_to_the_preset_is_no_change():
    left = build_config({"model": {"image_backbone": "resnet18"}})
    complete = left.complete((8, 16, 32))
    for ours, begun in ((left, complete), (complete, left), (left, left), (complete, complete)):
        assert changed_settings(ours, begun.to_dict()) == []
    other = dataclasses.replace(left, model=dataclasses.replace(left.model, symmetric=False))
    for ours in (left, complete):
        assert changed_settings(ours, other.to_dict()) == ["model.symmetric: False -> True"]
    strides = build_config({"model": {"image_backbone": "resnet18", "strides": [32]}})
    assert changed_settings(complete, strides.to_dict())
    unknown = {"optim": {"learning_rate": 1.0}}
    assert changed_settings(left, unknown) == ["there is no setting optim.learning_rate"]


def test_recipes_are_found_by_name():
    assert find_recipe("kitti").sample.width == 1216
    with pytest.raises(UsageError, match=r"no recipe 'nuscense'\n.*mean nuscenes\?"):
        find_recipe("nuscense")
    with pytest.raises(UsageError, match=r"Choose from: debug, kitti, nuscenes, waymo"):
        find_recipe("xyz")


def test_differences_leave_out_what_may_differ():
    ours = build_config({"data": {"stores": [{"path": "a"}]}}).to_dict()
    free = {"system": {"workers": 9}, "checkpoint": {"every": 1}, "log": {"every": 1}}
    assert set(free) == set(FREE_ON_RESUME)
    theirs = build_config({"data": {"stores": [{"path": "elsewhere"}]}, **free}).to_dict()
    assert differences(ours, theirs) == []
    other = {"data": {"stores": [{"path": "a", "weight": 2.0}]}, "run": {"seed": 1}}
    theirs = build_config(other).to_dict()
    assert differences(ours, theirs) == ["data.stores.0.weight: 2.0 -> 1.0", "run.seed: 1 -> 0"]
    theirs = build_config({"data": {"stores": [{"path": "a"}, {"path": "b"}]}}).to_dict()
    assert "data.stores.1.weight: 1.0 -> None" in differences(ours, theirs)
