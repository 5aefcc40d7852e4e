import os
from contextlib import suppress

import pytest
import torch

from simipu.errors import SimipuError
from simipu.train.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint
from small_runs import Listening, make_trainer, one_thread, same_state

__all__ = ["one_thread"]  # a fixture that every test here uses


def make_state(step):
    return {
        "step": step,
        "config": {},
        "fingerprints": ["f00d"],
        "method": {"weights": torch.full((2,), float(step))},
        "optimizer": {},
        "ema": None,
    }


def test_checkpoints_are_whole_and_few(tmp_path):
    for step in range(1, 6):
        save_checkpoint(tmp_path, make_state(step), keep=3)
    kept = list_checkpoints(tmp_path)
    assert [path.name for path in tmp_path.iterdir()].__len__() == 3 == len(kept)
    assert load_checkpoint(kept[-1])["method"]["weights"].tolist() == [5, 5]


def test_as_many_checkpoints_as_asked_for_are_kept(tmp_path):
    make_trainer(tmp_path, checkpoint={"every": 1, "keep": 2}).train(Listening())
    names = [path.name for path in list_checkpoints(tmp_path / "checkpoints")]
    assert names == ["step-000000005.pt", "step-000000006.pt"]


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = save_checkpoint(tmp_path, make_state(1), keep=3)
    whole = path.read_bytes()
    weights = torch.ones(2).numpy().tobytes()
    assert whole.count(weights) == 1
    for damaged in (
        b"",
        whole[:-20],
        whole.replace(weights, torch.tensor([1.0, 2.0]).numpy().tobytes()),
    ):
        path.write_bytes(damaged)
        with pytest.raises(SimipuError, match=r"0001\.pt: .*not a whole checkpoint\n.*Delete it"):
            load_checkpoint(path)
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with suppress(SimipuError):  # an unused byte may change
            assert same_state(load_checkpoint(path)["method"], make_state(1)["method"])


def test_checkpoints_of_other_versions_are_told_from_damaged_ones(tmp_path):
    path = tmp_path / "step-000000001.pt"
    torch.save({"step": 1, "weights": {}}, path)
    with pytest.raises(SimipuError, match=r"of another version of simipu\n.*provenance\.json"):
        load_checkpoint(path)


def test_a_checkpoint_cannot_run_code(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "harmed"),))

    save_checkpoint(tmp_path, make_state(1) | {"ema": Harmful()}, keep=3)
    with pytest.raises(SimipuError, match="not a whole checkpoint"):
        load_checkpoint(list_checkpoints(tmp_path)[0])
    assert not (tmp_path / "harmed").exists()
