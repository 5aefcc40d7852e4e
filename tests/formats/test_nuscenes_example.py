"""The example that joins nuScenes' annotations to a store."""

import subprocess
import sys
from pathlib import Path

import pytest

from simipu.correspond.policy import Policy
from simipu.pipelines.convert import Resources, convert
from simipu.pipelines.correspond import correspond_store
from simipu.pipelines.sources.nuscenes import NuScenes
from simipu.pipelines.synthetic.generate import generate
from simipu.pipelines.synthetic.options import Options
from synthetic_nuscenes import SMALL

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(root: Path, out: Path) -> list[list[str]]:
    """The words of each line that the example prints."""
    source = NuScenes(root)
    convert(source, out, resources=Resources(workers=1))
    policy = Policy.from_dict(source.info.policy)
    correspond_store(out, policy, resources=Resources(workers=1))
    script = EXAMPLES / "nuscenes_annotations/nuscenes_annotations.py"
    result = subprocess.run(
        [sys.executable, script, out, root], capture_output=True, text=True, check=True
    )
    return [line.split() for line in result.stdout.splitlines()]


def test_on_a_synthetic_world(tmp_path):
    options = Options(scenes=1, frames=2, noise=False, sweeps=False, truth=False, **SMALL)
    generate(tmp_path / "world", options)
    header, *rows, total = run(tmp_path / "world", tmp_path / "n.zarr")
    assert header == ["category", "boxes", "annotated", "points", "seen"]
    found = {row[0]: [int(value) for value in row[1:]] for row in rows}
    assert total[-2:] == ["2", "frames"]
    assert sum(row[0] for row in found.values()) == int(total[0]) > 5
    for _, annotated, points, seen in found.values():
        assert 0 < seen <= points
        # What moves within a sweep sticks out of its box, and the road below may be in it.
        assert points == pytest.approx(annotated, rel=0.2)


def test_on_the_real_keyframe(sample_data, tmp_path):
    *_, total = run(sample_data / "nuscenes", tmp_path / "n.zarr")
    assert " ".join(total) == "0 boxes in 1 frames"  # the sample has no annotations
