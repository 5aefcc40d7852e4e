"""What a person reads of a run."""

from simipu.train.console import describe_change


def measurement(step, recall, control):
    return {
        "step": step,
        "retrieval/recall_at_1": recall,
        "retrieval/control_at_1": control,
        "retrieval/chance_at_1": 1 / 128,
    }


def test_the_change_compares_the_first_measurement_with_the_last():
    records = [
        measurement(0, 0.01, 0.02),
        {"step": 10, "loss/total": 3.0},
        measurement(50, 0.2, 0.1),
        measurement(100, 0.432, 0.123),
    ]
    title, header, own, other = describe_change(records).splitlines()
    assert "not trained on" in title
    assert header.split() == ["before", "after", "chance"]
    assert own.split()[-3:] == ["1.0%", "43.2%", "0.8%"]
    assert "another frame" in other
    assert other.split()[-3:] == ["2.0%", "12.3%", "0.8%"]
    assert len(header) == len(own) == len(other)


def test_the_change_leaves_out_a_control_that_does_not_exist():
    text = describe_change([measurement(0, 0.01, None), measurement(9, 0.4, None)])
    assert "another frame" not in text
    assert "40.0%" in text


def test_no_change_without_two_measurements():
    assert describe_change([]) is None
    assert describe_change([{"step": 1, "loss/total": 3.0}, measurement(9, 0.4, 0.1)]) is None
