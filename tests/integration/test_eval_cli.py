"""simipu-eval on a run of simipu-train, and on what simipu-export wrote."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from simipu.cli._encoders import load_encoders, make_random, refuse_other_inputs
from simipu.cli.eval import main
from simipu.cli.export import main as export
from simipu.cli.train import main as train
from simipu.data.config import SampleConfig
from simipu.errors import UsageError
from simipu.export.points import INPUTS
from simipu.export.run import WEIGHTS

QUICK = ("--seeds", 1, "--device", "cpu")


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def trained(raw_store, tmp_path_factory) -> Path:
    """Two steps on two of three drives."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(raw_store, folder / "raw.zarr")
    arguments = (
        folder / "raw.zarr", "--out", folder / "run", "--image-backbone", "resnet18",
        "--image-size", "32x64", "--pairs", 8, "--points", 24, "--batch-size", 3, "--steps", 2,
        "--frames", "0:8", "--workers", 0, "--device", "cpu", "--set", "optim.average=0.5",
    )  # fmt: skip
    result = CliRunner().invoke(train, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return folder


def test_help_shows_examples_and_the_choices_are_those_there_are():
    exit_code, text, _ = run("--help")
    assert exit_code == 0
    assert "simipu-eval runs/a raw.zarr --frames 16:20" in text
    choices = {option.name: tuple(getattr(option.type, "choices", ())) for option in main.params}
    assert choices["weights"] == WEIGHTS
    assert choices["probes"] == ("retrieval", "depth", "points", "all")


def test_a_run_is_measured_twice_with_the_same_result(trained):
    arguments = (
        trained / "run", trained / "raw.zarr", "--frames", "8:11", "--probe", "retrieval",
        "--probe", "depth", "--stages", "--json", "--seeds", 2, "--device", "cpu",
    )  # fmt: skip
    exit_code, text, errors = run(*arguments)
    assert exit_code == 0, errors
    assert "measurements" in errors  # the progress bar
    found = json.loads(text)
    assert (found["measured"]["frames"], found["fitted"]["frames"]) == ("8:11", "0:8")
    assert found["fitted"]["how"] == "other scenes"
    subjects = {row["subject"] for row in found["results"]}
    assert subjects == {"run", "random weights", "position only", "guess"}
    for row in found["results"]:
        for metric in row["metrics"].values():
            assert len(metric["values"]) == 2 or "ratio" in row["setting"]
    settings = {row["setting"] for row in found["results"] if row["probe"] == "depth"}
    assert {f"stride {s}, fitted to {found['fitted']['images']} images" for s in (8, 16, 32)} < (
        settings
    )
    assert run(*arguments)[1] == text


def test_frames_that_were_trained_on_are_refused(trained):
    arguments = (trained / "run", trained / "raw.zarr", "--probe", "depth", *QUICK)
    exit_code, _, errors = run(*arguments, "--frames", "6:10")
    assert exit_code == 2
    assert "2 of the frames to measure on were trained on by run: 6:8" in errors
    assert "8:11" in errors
    exit_code, text, errors = run(*arguments, "--frames", "6:10", "--allow-training-frames")
    assert exit_code == 0, errors
    assert "AbsRel" in text
    # A copy elsewhere is the same store.
    shutil.copytree(trained / "raw.zarr", trained / "moved.zarr")
    assert run(trained / "run", trained / "moved.zarr", "--frames", "6:10")[0] == 2


@pytest.mark.parametrize("target", ["timm", "mmdet"])
def test_exported_weights_have_the_numbers_of_their_run(trained, tmp_path, target):
    file = tmp_path / "image.safetensors"
    result = CliRunner().invoke(export, [str(trained / "run"), "--to", target, "--out", str(file)])
    assert result.exit_code == 0, result.output
    pair = (
        (trained / "run", f"same={file}") if target == "timm" else (file, f"run={trained / 'run'}")
    )
    exit_code, text, errors = run(
        pair[0], trained / "raw.zarr", "--also", pair[1], "--frames", "8:11", "--probe", "depth",
        "--image-size", "32x64", "--image-backbone", "resnet18", "--json", *QUICK,
    )  # fmt: skip
    assert exit_code == 0, errors
    rows = json.loads(text)["results"]
    by_subject = {
        subject: {row["setting"]: row["metrics"] for row in rows if row["subject"] == subject}
        for subject in ("run", "same", file.name, "random weights")
    }
    own = by_subject["same" if target == "timm" else file.name]
    assert own == by_subject["run"] != by_subject["random weights"]


def test_a_file_of_another_network_stands_beside_a_run(trained, tmp_path):
    file = tmp_path / "other.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), file)
    common = (trained / "raw.zarr", "--frames", "8:11", "--json", *QUICK)
    # The run's networks have room for fewer pairs than is usual.
    for first, second, probe in (("run", "file", "depth"), ("file", "run", "retrieval")):
        paths = {"run": trained / "run", "file": file}
        exit_code, text, errors = run(
            paths[first], *common, "--also", f"second={paths[second]}", "--probe", probe,
            "--image-backbone", "test_resnet", "--image-size", "32x64",
        )  # fmt: skip
        assert exit_code == 0, errors
        found = json.loads(text)
        assert found["sample"]["pairs"] == 8
        assert "second" in {row["subject"] for row in found["results"]}
    exit_code, _, errors = run(trained / "run", *common, "--also", f"second={file}")
    assert exit_code == 1
    assert "these are no weights of 'resnet18'" in errors


def test_the_average_and_the_form_are_chosen(trained):
    arguments = (trained / "run", trained / "raw.zarr", "--frames", "8:11", *QUICK)
    arguments += ("--probe", "retrieval", "--markdown")
    exit_code, ours, errors = run(*arguments)
    assert exit_code == 0, errors
    assert "| encoder | setting | R@1 % | R@5 % | R@10 % |" in ours
    exit_code, average, _ = run(*arguments, "--weights", "ema")
    assert exit_code == 0
    assert "Measured on" in average
    assert run(*arguments, "--checkpoint", 1)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--scenes", "nowhere"), "there is no scene 'nowhere'"),
        (("--frames", "0:99"), "go beyond the end"),
        (("--frames", "8:11", "--also", "name"), "a name is missing"),
        (("--frames", "8:11", "--also", "name="), "a name is missing"),
        (("--frames", "8:11", "--also", "run=/nowhere"), "the tables have this name already"),
        (("--frames", "8:11", "--also", "guess=/nowhere"), "the tables have this name already"),
        (("--frames", "8:11", "--also", "a=/nowhere"), "not the folder of a run"),
        (("--frames", "8:11", "--fit-frames", "7:9"), "both measured on and fitted to"),
        (("--frames", "8:11", "--image-size", "30x64"), "not a multiple of 32"),
    ],
)
def test_wrong_commands_are_explained(trained, arguments, text):
    exit_code, _, errors = run(trained / "run", trained / "raw.zarr", *arguments)
    assert exit_code == 2
    assert text in errors


def test_a_file_needs_the_name_of_its_network(trained, tmp_path):
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"no weights")
    exit_code, _, errors = run(file, trained / "raw.zarr")
    assert exit_code == 2
    assert "--image-backbone" in errors
    exit_code, _, errors = run(file, trained / "raw.zarr", "--image-backbone", "resnet18")
    assert exit_code == 1
    assert "weights.safetensors: the weights cannot be read" in errors


def test_an_exported_point_encoder_is_that_of_its_run(trained):
    file = trained / "points.safetensors"
    result = CliRunner().invoke(
        export, [str(trained / "run"), "--to", "points", "--out", str(file)]
    )
    assert result.exit_code == 0, result.output
    loaded, run_s = (
        load_encoders(path, "it", "last", "model", None) for path in (file, trained / "run")
    )
    assert (loaded.subject.image, loaded.subject.method) == (None, None)
    assert loaded.sample.pairs == 24  # of the run's 8 pairs: its first level has so many centres
    for name in INPUTS:
        assert getattr(loaded.sample, name) == getattr(run_s.sample, name)
    assert loaded.sample.points != SampleConfig().points
    cloud = (torch.randn(1, 40, 3), torch.randn(1, 40, 1), torch.ones(1, 40, dtype=torch.bool))
    features = [each.subject.points(*cloud, 8) for each in (loaded, run_s)]
    assert torch.equal(*features)
    refuse_other_inputs([loaded, run_s])
    subject = replace(run_s.subject, name="other")
    other = replace(run_s, subject=subject, sample=replace(run_s.sample, intensity=False))
    with pytest.raises(
        UsageError, match=r"different sample\.intensity: it True, other False\n.*one by"
    ):
        refuse_other_inputs([loaded, other])
    random = make_random(loaded)().points
    assert random(*cloud, 8).shape == features[0].shape
    assert not torch.equal(random(*cloud, 8), features[0])
