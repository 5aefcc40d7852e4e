"""KITTI raw's times, against NumPy's own parser of nanosecond dates."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simipu.errors import SourceError
from simipu.pipelines.sources.timestamps import parse_time_ns, read_times

NAME = Path("velodyne_points/timestamps.txt")


def oracle_ns(text: str) -> int:
    return int(np.datetime64(text.replace(" ", "T"), "ns").astype(np.int64))


def test_known_time_is_exact():
    # 2011-09-26 00:00 UTC is day 15243 after 1970-01-01.
    expected = ((15243 * 24 + 13) * 3600 + 2 * 60 + 25) * 10**9 + 964389445
    assert parse_time_ns("2011-09-26 13:02:25.964389445", 0, NAME) == expected


@given(
    time=st.datetimes(datetime(1970, 1, 1), datetime(2261, 1, 1)),
    nanoseconds=st.integers(0, 999_999_999),
)
def test_any_time_agrees_with_numpy(time, nanoseconds):
    text = f"{time:%Y-%m-%d %H:%M:%S}.{nanoseconds:09d}"
    assert parse_time_ns(text, 0, NAME) == oracle_ns(text)


def test_real_drive(sample_data):
    files = sorted(sample_data.glob("kitti_raw_drive0001_text/*/timestamps*.txt"))
    assert len(files) == 8
    for path in files:
        lines = read_times(path).lines
        assert len(lines) == 108
        times = [parse_time_ns(line, i, path) for i, line in enumerate(lines)]
        assert times == [oracle_ns(line) for line in path.read_text().split("\n")[:-1]]
        assert np.all(np.abs(np.diff(times) - 103e6) < 20e6)  # the scanner turns at 9.7 Hz


def test_second_line_of_a_real_drive(sample_data):
    path = sample_data / "kitti_raw_drive0001_text/velodyne_points/timestamps.txt"
    second = datetime(2011, 9, 26, 13, 2, 26, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    expected = second // timedelta(seconds=1) * 10**9 + 54_281_661
    assert parse_time_ns(read_times(path).line(1), 1, path) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2011-09-26T13:02:25.964389445",
        "2011-09-26 13:02:25.96438944",
        "2011-09-26 13:02:25",
        "2011-02-30 13:02:25.964389445",
        "2011-09-26 25:02:25.964389445",
        "2011-09-26 13:02:25.964389445 x",
        "1317042145.964389445",
        "٢٠١١-09-26 13:02:25.964389445",
    ],
)
def test_anything_else_is_refused_with_its_line(text):
    with pytest.raises(SourceError, match=r"(?s)timestamps\.txt: line 178 is not a time.*Unpack"):
        parse_time_ns(text, 177, NAME)


def test_absent_file_and_empty_line_have_no_time(tmp_path):
    path = tmp_path / "timestamps.txt"
    assert parse_time_ns(read_times(path).line(5), 5, path) is None
    path.write_text("2011-09-26 13:02:25.964389445\n\n2011-09-26 13:02:26.174598199\r\n")
    file = read_times(path)
    times = [parse_time_ns(file.line(i), i, path) for i in range(3)]
    assert times[1] is None
    assert times[2] - times[0] == 210_208_754


def test_too_few_lines(tmp_path):
    path = tmp_path / "timestamps.txt"
    path.write_text("2011-09-26 13:02:25.964389445\n")
    fault = r"(?s)timestamps\.txt: has 1 lines, too few for frame 1 \(line 2\).*remove this file"
    with pytest.raises(SourceError, match=fault):
        read_times(path).line(1)
