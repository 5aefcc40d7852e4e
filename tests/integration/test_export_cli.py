"""simipu-export on a run of simipu-train: what it writes is loaded as its card says."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from simipu.cli.export import main
from simipu.cli.train import main as train
from simipu.export.names import PREFIXES, TARGETS
from simipu.export.points import load_point_encoder
from simipu.export.run import WEIGHTS
from simipu.train.checkpoint import BEST, list_checkpoints, load_checkpoint

EXPORT = (sys.executable, "-c", "from simipu.cli.export import main; main()")


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def trained(raw_store, tmp_path_factory) -> Path:
    """Two steps on a store in a folder of its own."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(raw_store, folder / "raw.zarr")
    arguments = (
        folder / "raw.zarr", "--out", folder / "run", "--image-backbone", "resnet18",
        "--image-size", "32x64", "--pairs", 8, "--points", 24, "--batch-size", 3, "--steps", 2,
        "--frames", "0:8", "--eval-frames", "8:11", "--workers", 0, "--device", "cpu",
        "--set", "optim.average=0.5",
    )  # fmt: skip
    result = CliRunner().invoke(train, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return folder / "run"


def code_of(card: Path) -> str:
    return card.read_text().partition("```python\n")[2].partition("```")[0]


def last(trained: Path) -> Path:
    return list_checkpoints(trained / "checkpoints")[-1]


def image_state(checkpoint: Path, weights: str = "method") -> dict[str, torch.Tensor]:
    state = load_checkpoint(checkpoint)[weights]
    prefix = "image_encoder.backbone."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }


def test_help_shows_examples_and_the_choices_are_those_there_are():
    exit_code, text = run("--help")
    assert exit_code == 0
    assert "simipu-export runs/a --to torchvision --out resnet.safetensors" in text
    choices = {option.name: tuple(getattr(option.type, "choices", ())) for option in main.params}
    assert choices["target"] == TARGETS
    assert choices["prefix"] == PREFIXES
    assert choices["weights"] == WEIGHTS


@pytest.mark.parametrize("target", ["torchvision", "timm"])
def test_the_code_of_the_card_loads_the_weights(trained, tmp_path, monkeypatch, target):
    monkeypatch.chdir(tmp_path)
    exit_code, text = run(trained, "--to", target, "--out", "a.safetensors")
    assert exit_code == 0, text
    assert f"a.safetensors: resnet18 for {target}, 120 tensors" in text
    found: dict = {}
    exec(code_of(tmp_path / "a.safetensors.md"), found)
    loaded = found["model"].state_dict()
    for name, tensor in image_state(last(trained)).items():
        assert torch.equal(loaded[name], tensor)


def test_the_average_of_the_best_checkpoint_is_exported(trained, tmp_path):
    out = tmp_path / "a.safetensors"
    arguments = ("--to", "timm", "--out", out, "--checkpoint", "best", "--weights", "ema")
    exit_code, text = run(trained, *arguments)
    assert exit_code == 0, text
    loaded = load_file(out)
    expected = image_state(trained / "checkpoints" / BEST, "ema")
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)
    assert "with the moving average of the weights" in out.with_name(f"{out.name}.md").read_text()


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_the_config_of_the_card_names_file_and_prefix(
    trained, tmp_path, monkeypatch, prefix, ending
):
    monkeypatch.chdir(tmp_path)
    exit_code, text = run(trained, "--to", "mmdet", "--prefix", prefix, "--out", f"a{ending}")
    assert exit_code == 0, text
    found: dict = {}
    exec(code_of(tmp_path / f"a{ending}.md"), found)
    detector = found["model"]
    backbone = detector.pop(prefix)
    assert detector.pop("data_preprocessor") == {
        "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375],
        "bgr_to_rgb": True,
    }
    assert not detector
    assert backbone["type"] == ("ResNet" if prefix == "backbone" else "mmdet.ResNet")
    assert (backbone["depth"], backbone["style"]) == (18, "pytorch")
    assert backbone["norm_cfg"]["eps"] == 1e-5
    # As mmengine's Pretrained reads it.
    init = backbone["init_cfg"]
    content = torch.load(init["checkpoint"], weights_only=True)
    loaded = {
        name.removeprefix(init["prefix"] + "."): tensor
        for name, tensor in content.items()
        if name.startswith(init["prefix"] + ".")
    }
    expected = image_state(last(trained))
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)


def test_the_point_encoder_is_exported(trained, tmp_path):
    out = tmp_path / "points.safetensors"
    assert run(trained, "--to", "points", "--out", out)[0] == 0
    state = load_checkpoint(last(trained))["method"]
    for name, tensor in load_point_encoder(out).state_dict().items():
        assert torch.equal(tensor, state[f"point_encoder.{name}"])
    compile(code_of(tmp_path / "points.safetensors.md"), "card", "exec")


def test_the_card_says_what_the_weights_are_made_of(trained, tmp_path):
    assert run(trained, "--to", "timm", "--out", tmp_path / "a.safetensors")[0] == 0
    text = (tmp_path / "a.safetensors.md").read_text()
    for part in (
        "after 2 steps of the run `run`",
        "kitti-raw",
        "CC BY-NC-SA 3.0",
        "non-commercial purposes only",
        '| {"frames": "0:8"} |',
        "| control_at_1 |",
        '"image_backbone": "resnet18"',
        "Trained with python",
    ):
        assert part in text
    assert str(trained.parent) not in text  # no places of this machine


def test_two_processes_write_the_same_bytes(trained, tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    for folder in (first, second):
        folder.mkdir()
    assert run(trained, "--to", "torchvision", "--out", first / "a.safetensors")[0] == 0
    arguments = ["--to", "torchvision", "--out", second / "a.safetensors", "--json"]
    result = subprocess.run(
        [*EXPORT, trained, *arguments], check=True, capture_output=True, text=True, timeout=300
    )
    for name in ("a.safetensors", "a.safetensors.md"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    about = json.loads(result.stdout)
    assert about["file"] == str(second / "a.safetensors")
    assert about["bytes"] == (second / "a.safetensors").stat().st_size
    assert (about["target"], about["step"], about["tensors"]) == ("torchvision", 2, 120)
    assert about["warnings"] == []


def test_nothing_is_overwritten_unasked(trained, tmp_path):
    out = tmp_path / "a.safetensors"
    out.write_text("mine")
    exit_code, text = run(trained, "--to", "timm", "--out", out)
    assert exit_code == 2
    assert "exists already" in text
    assert out.read_text() == "mine"
    assert run(trained, "--to", "timm", "--out", out, "--overwrite")[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name, f"{out.name}.md"]


def test_a_store_that_is_gone_is_warned_of(trained, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    store = trained.parent / "raw.zarr"
    moved = store.with_name("moved.zarr")
    store.rename(moved)
    try:
        exit_code, text = run(copy, "--to", "timm", "--out", tmp_path / "a.safetensors")
    finally:
        moved.rename(store)
    assert exit_code == 0
    assert "Warning: The licence of the data is not known" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "detectron", "--out", "a.safetensors"), "'detectron' is not one of"),
        (("--to", "timm", "--out", "a.pth"), "not written as .pth"),
        (("--to", "timm", "--out", "missing/a.safetensors"), "no such folder"),
        (("--to", "timm", "--out", "a.safetensors", "--prefix", "backbone"), "no prefix"),
        (("--to", "timm", "--out", "a.safetensors", "--checkpoint", "7"), "no checkpoint '7'"),
    ],
)
def test_a_wrong_command_writes_nothing(trained, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    exit_code, text = run(trained, *arguments)
    assert exit_code == 2
    assert message in text
    assert not list(tmp_path.iterdir())


def test_what_is_no_run_is_refused(tmp_path):
    exit_code, text = run(tmp_path, "--to", "timm", "--out", tmp_path / "a.safetensors")
    assert exit_code == 2
    assert "not the folder of a run" in text
