"""What the report warns of, and where it sends the reader."""

import numpy as np
import pytest

from simipu.viz.alignment.estimate import BAD, GOOD, UNSURE, Alignment, Rotation, Timing
from simipu.viz.report.gather import CameraNumbers, Numbers
from simipu.viz.report.warnings import FEW_PAIRS, MOST_OFFSET_MS, find_warnings, with_error

FRAMES = 3


class FakeStore:
    def __init__(self, *, policy="zbuffer", skipped=(), posed=True):
        self.correspondence_policy = policy
        self.attributes = {"skipped": skipped}
        self.poses = np.full((FRAMES, 4, 4), 1.0 if posed else np.nan)

    def __len__(self):
        return FRAMES

    def table(self, name):
        assert name == "frames/T_world_from_ego"
        return self.poses


def found(camera=None, alignment=None, **options):
    numbers = CameraNumbers(
        images=FRAMES,
        pairs=np.full(FRAMES, 5000),
        offsets_ms=np.zeros(FRAMES),
        mounted=True,
    )
    for name, value in (camera or {}).items():
        setattr(numbers, name, value)
    return find_warnings(FakeStore(**options), Numbers({"front": numbers}, [], alignment))


def alignment(rotation=GOOD, timing=GOOD, *, before=9.0):
    turned = Rotation(
        angles_deg=np.array([0.0, 0.5, 0.0]),
        sigma_deg=np.array([0.1, 0.02, np.inf]),
        shift_px=None,
        shift_sigma_px=None,
        edges=900,
        peak=9.0,
        gain=9.0,
        verdict=rotation,
    )
    late = Timing(sigmas=(before, 9.0), pairs=(8, 8), verdict=timing)
    return Alignment({"front": turned}, None, {"front": late}, FRAMES)


def test_a_sound_store_has_none():
    assert found(alignment=alignment()) == []


@pytest.mark.parametrize(
    ("camera", "level", "text", "section"),
    [
        (
            {"pairs": np.array([FEW_PAIRS, FEW_PAIRS - 1, 0])},
            "warning", "Few pairs: 2 images of front", "pairs",
        ),
        ({"mounted": False}, "note", "Missing calibration: where front sits", "overview"),
        ({"images": 2, "offsets_ms": np.zeros(2)}, "note", "1 frames have no image", "pairs"),
        (
            {"offsets_ms": np.array([0.0, -MOST_OFFSET_MS - 1, MOST_OFFSET_MS])},
            "warning", "1 images of front are over 75 ms off", "timing",
        ),
        ({"offsets_ms": np.zeros(2)}, "note", "Times are missing for front", "timing"),
    ],
)  # fmt: skip
def test_a_fault_of_a_camera_is_named(camera, level, text, section):
    (finding,) = found(camera)
    assert (finding.level, finding.section) == (level, section)
    assert text in finding.text


@pytest.mark.parametrize(
    ("options", "level", "text"),
    [
        ({"policy": None}, "warning", "simipu-prep correspond"),
        ({"skipped": ["a", "b"]}, "note", "2 frames were left out"),
        ({"posed": False}, "note", "Ego poses are missing"),
    ],
)
def test_a_fault_of_the_store_is_named(options, level, text):
    (finding,) = found(**options)
    assert finding.level == level
    assert text in finding.text


def test_misalignment_is_a_warning_and_doubt_a_note():
    (turned,) = found(alignment=alignment(rotation=BAD))
    assert turned.level == "warning"
    assert "front is rotated by about" in turned.text
    assert "+0.50 \N{PLUS-MINUS SIGN} 0.02\N{DEGREE SIGN}" in turned.text
    for before, beside in ((-9.0, "before"), (9.0, "after")):
        (late,) = found(alignment=alignment(timing=BAD, before=before))
        assert late.level == "warning"
        assert f"the image {beside} fits" in late.text
    doubts = found(alignment=alignment(rotation=UNSURE, timing=UNSURE))
    assert [doubt.level for doubt in doubts] == ["note", "note"]


def test_warnings_come_before_notes():
    levels = [each.level for each in found({"mounted": False, "pairs": np.zeros(FRAMES)})]
    assert levels == ["warning", "note"]


def test_a_standard_error_that_is_not_known_is_no_number():
    assert with_error(0.25, np.inf, 2) == "+0.25 \N{PLUS-MINUS SIGN} ?"
    assert with_error(-0.25, 0.031, 2) == "-0.25 \N{PLUS-MINUS SIGN} 0.03"
