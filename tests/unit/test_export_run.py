"""Reading a run folder: what is there, what is not, and what must not be trusted."""

import os
import pickle
import shutil

import pytest
import torch

from run_folder import make_run
from simipu.errors import SimipuError, UsageError
from simipu.export.run import WEIGHTS, read_run
from simipu.train.checkpoint import BEST, list_checkpoints, load_checkpoint, write_state
from simipu.train.runfolder import MARK


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "a")


@pytest.fixture(scope="module")
def trained_run(run):
    return read_run(run, checkpoint="last", weights="model")


def test_a_run_is_read(run, trained_run):
    assert (trained_run.step, trained_run.backbone, trained_run.name) == (4, "resnet18", "a")
    assert trained_run.metrics["retrieval/recall_at_1"] == 0.25
    assert trained_run.versions == {"torch": "2.0"}
    assert not trained_run.method.training
    expected = load_checkpoint(list_checkpoints(run / "checkpoints")[-1])["method"]
    for name, tensor in trained_run.method.state_dict().items():
        assert torch.equal(tensor, expected[name])
    earlier = read_run(run, checkpoint="2", weights="model")
    assert (earlier.step, earlier.metrics["step"]) == (2, 0)
    assert trained_run.doubts == ("gone.zarr is small",)
    assert trained_run.settings["data"]["stores"][0]["path"] == "gone.zarr"


def test_weights_that_a_run_began_with_are_named_without_their_folder(tmp_path, run):
    folder = shutil.copytree(run, tmp_path / "b")
    last = list_checkpoints(folder / "checkpoints")[-1]
    state = load_checkpoint(last)
    state["config"]["model"]["image_weights"] = str(tmp_path / "imagenet.pth")
    write_state(last, state)
    trained = read_run(folder, checkpoint="last", weights="model")
    assert trained.settings["model"]["image_weights"] == "imagenet.pth"


def test_the_best_checkpoint_and_the_average_are_read_on_request(tmp_path):
    run = make_run(tmp_path / "b", ema=True)
    with pytest.raises(UsageError, match=r"no checkpoint 'best'"):
        read_run(run, checkpoint="best", weights="ema")
    (run / "checkpoints" / "step-000000002.pt").rename(run / "checkpoints" / BEST)
    plain, average = (read_run(run, checkpoint="best", weights=name) for name in WEIGHTS)
    assert (plain.step, average.step) == (2, 2)
    assert (plain.metrics_of, average.weights) == ("ema", "ema")
    name = "image_encoder.backbone.conv1.weight"
    state = [one.method.state_dict()[name] for one in (plain, average)]
    assert torch.equal(state[0] + 1, state[1])


def test_without_its_store_the_licence_is_not_known(trained_run):
    (data,) = trained_run.data
    assert (data.fingerprint, data.licence) == ("f00d", None)
    assert data.selection == {"frames": ":8"}
    (warning,) = trained_run.warnings
    assert "licence of the data is not known: gone.zarr" in warning


def test_no_run_and_no_checkpoint_are_told_apart(tmp_path):
    with pytest.raises(UsageError, match="not the folder of a run"):
        read_run(tmp_path / "missing", checkpoint="last", weights="model")
    with pytest.raises(UsageError, match="not the folder of a run"):
        read_run(tmp_path, checkpoint="last", weights="model")
    (tmp_path / MARK).touch()
    with pytest.raises(UsageError, match="no checkpoint yet"):
        read_run(tmp_path, checkpoint="last", weights="model")


@pytest.mark.parametrize("wanted", ["3", "-4", "newest", "../../a"])
def test_a_missing_checkpoint_is_answered_with_those_there_are(run, wanted):
    with pytest.raises(UsageError, match=r"(?s)no checkpoint.*2, 4, last"):
        read_run(run, checkpoint=wanted, weights="model")


def test_an_average_that_was_not_kept_is_not_made_up(run):
    with pytest.raises(UsageError, match=r"(?s)no moving average.*optim\.average"):
        read_run(run, checkpoint="last", weights="ema")


def set_nan(state):
    state["method"]["image_encoder.backbone.conv1.weight"][0] = torch.nan


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (set_nan, "not finite"),
        (lambda state: state["method"].popitem(), "does not fit this version"),
        (lambda state: state["config"].update(more=1), "does not fit.*no setting more"),
        (lambda state: state["config"]["model"].update(image_backbone="hf-hub:a/b"), "'hf-hub"),
        (lambda state: state["config"]["model"].update(image_backbone=[1]), "does not fit"),
        (lambda state: state.update(config=None), "does not fit"),
        (lambda state: state.update(method=3), "does not fit"),
        (lambda state: state.update(fingerprints=[]), "does not fit"),
        (lambda state: state.pop("ema"), "another version"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_is_refused(tmp_path, damage, message):
    run = make_run(tmp_path / "b", damage=damage, steps=(1,))
    with pytest.raises(SimipuError, match=message):
        read_run(run, checkpoint="last", weights="model")


class Payload:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


def test_a_checkpoint_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path / "b", steps=())
    torch.save({"method": Payload()}, run / "checkpoints" / "step-000000001.pt")
    with pytest.raises(SimipuError, match="not a whole checkpoint"):
        read_run(run, checkpoint="last", weights="model")
    assert not (tmp_path / "executed").exists()
    pickle.loads(pickle.dumps(Payload()))  # it would have left its trace
    assert (tmp_path / "executed").exists()
