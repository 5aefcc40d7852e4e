import math

import pytest

from fake_store import FakeStore
from simipu.data.config import parse_frames, parse_image_size
from simipu.errors import StoreError, UsageError
from small_runs import make_config, make_trainer, one_thread

__all__ = ["one_thread"]  # a fixture that every test here uses


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run": {"steps": 2, "epochs": 2}}, "either --steps or --epochs"),
        ({"steps": 0}, r"run\.steps is 0"),
        ({"batch_size": 0}, r"optim\.batch_size is 0"),
        ({"accumulate": 0}, r"optim\.accumulate is 0"),
        ({"lr": math.nan}, r"optim\.lr is nan"),
        ({"lr": math.inf}, r"optim\.lr is inf"),
        ({"average": 1.0}, r"optim\.average is 1.0\n.*below 1"),
        ({"seed": -1}, r"run\.seed is -1"),
        ({"seed": 2**63}, r"run\.seed is \d+\n.*at most 9223372036854775807"),
        ({"steps": 2**63}, r"run\.steps is \d+\n.*at most"),
        ({"batch_size": 1, "sample": {"height": 32, "width": 32}}, "larger --batch-size"),
        ({"batch_size": 2, "accumulate": 2, "sample": {"width": 32}}, "larger --batch-size"),
        ({"workers": -1}, r"system\.workers is -1"),
        ({"preset": "best"}, "Choose from: fixed"),
        ({"optim": {"precision": "float16"}}, "Choose from: auto, float32, bfloat16"),
        ({"checkpoint": {"best": "loss"}}, "Choose from: recall_at_1"),
        ({"checkpoint": {"keep": 0}}, r"checkpoint\.keep is 0"),
    ],
)
def test_bad_settings_say_how_to_mend_them(changes, message):
    with pytest.raises(UsageError, match=message):
        make_config(**changes)


def test_settings_that_do_not_fit_the_store(tmp_path):
    def data(trained, measured):
        return {
            "stores": [{"path": "fake.zarr", "frames": trained}],
            "held_out": [{"path": "fake.zarr", "frames": measured}],
        }

    with pytest.raises(UsageError, match="has the frames 0:6"):
        make_trainer(tmp_path, data=data("0:9", ":"))
    with pytest.raises(UsageError, match="overlap"):
        make_trainer(tmp_path, data=data("0:4", "3:6"))
    with pytest.raises(UsageError, match="no store to train on"):
        make_trainer(tmp_path, data={"stores": []})
    with pytest.raises(UsageError, match="either --steps or --epochs"):
        make_trainer(tmp_path, steps=None)
    with pytest.raises(UsageError, match="do not fill one batch of 8"):
        make_trainer(tmp_path, batch_size=8)
    for device in ("tpu9000", "mps", "meta", "cuda:99", "cuda:-1", "cuda:999999999999"):
        with pytest.raises(UsageError, match=rf"no device '{device}'"):
            make_trainer(tmp_path, device=device)
    with pytest.raises(StoreError, match="simipu-prep correspond"):
        make_trainer(tmp_path, store=FakeStore(correspondence_policy=None))


def test_ranges_of_frames():
    assert parse_frames("3:7", 10) == range(3, 7)
    assert parse_frames(":", 10) == range(10)
    assert parse_frames(":4", 10) == range(4)
    assert parse_frames("8:", 10) == range(8, 10)
    for text in ("", "4", "5:5", "7:3", "0:11", "-3:", "a:b", "1:2:3"):
        with pytest.raises(UsageError):
            parse_frames(text, 10)
    assert parse_image_size("96x320") == (96, 320)
    with pytest.raises(UsageError, match="height x width"):
        parse_image_size("96")


def test_epochs_count_whole_batches(tmp_path):
    assert make_trainer(tmp_path, steps=None, epochs=3, batch_size=4).steps == 3
    assert make_trainer(tmp_path, steps=None, epochs=3, batch_size=2).steps == 9
