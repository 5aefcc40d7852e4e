"""What it takes to call a point hidden: least steps in nearness, and weights of the evidence."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """How one kind of point is judged. Steps are shares of the point's own nearness.

    Attributes:
        min_step: least step of what may cover a point at all, and so the largest of a sample that
            is level with it: above range noise, ripples of a surface and the slant of level ground.
        min_step_afar: the same where the nearer samples are in the outermost cells only: most of
            these are the next row of one surface seen at a slant, and to look at all of them would
            take most of the time.
        quadrant_step: step of the samples that count as evidence by their quadrant.
        weights: of the evidence; the first one of every point, then in the order of
            `simipu.correspond.occlusion.evidence`:

            * closeness, as it counts across, of the closest sample that is nearer by
              `quadrant_step`, in the upper left, upper right, lower left and lower right;
            * the same, as it counts up and down;
            * closeness, across, of the closest sample that is level with the point, by quadrant;
            * sums of closeness, across times up and down, over the nearer and the level samples;
            * closeness, across, of the closest nearer sample that did not come past the point, and
              of the closest that did; closeness times how far it came past;
            * the same, up and down;
            * the very closest of the nearer samples: 1 / (1 + its shift / `HALF_SHIFT`); how far;
            * logarithm of its shift to the right and down;
            * logarithm of the point's own shift to the right and down.
    """

    min_step: float
    min_step_afar: float
    quadrant_step: float
    weights: tuple[float, ...]


_BESIDE_WEIGHTS = (
    -1.09,
    -2.04, -1.36, 1.48, 1.23,
    2.10, 1.96, 0.03, 0.96,
    -2.20, -0.80, 1.05, 0.99,
    1.58, -1.52,
    -0.52, -2.12, 2.01,
    0.12, 2.57, 1.25,
    -1.19, -0.61,
    1.08, -0.48,
    -0.73, -0.15,
)  # fmt: skip

# Of the only LiDAR, among the cameras, as a roof has it. `tests/benchmarks/occlusion_fit.py`
# prints the weights.
BESIDE = Rule(
    min_step=0.07,
    min_step_afar=0.3,
    quadrant_step=0.15,
    weights=_BESIDE_WEIGHTS,
)

# Of the same LiDAR in a cloud of several, such as Waymo's with its 64 beams: more is found at the
# limit that suits it than at the one that has to suit 32 beams too.
AMONG = replace(BESIDE, weights=(-0.69, *_BESIDE_WEIGHTS[1:]))

APART_M = 1.0
"""A LiDAR that is farther from the camera than this stands apart."""

_APART_WEIGHTS = (
    9.29,
    1.37, 0.72, -0.09, -0.11,
    -0.49, 0.54, 0.34, 1.13,
    -0.21, 0.29, 0.54, 0.52,
    1.90, -3.92,
    -4.54, -7.20, 3.83,
    -1.99, 9.46, -6.43,
    -93.85, -1.15,
    -3.17, 3.99,
    1.08, -2.05,
)  # fmt: skip

# Of a LiDAR on a bumper or a door, metres from the camera. It sees under and behind things, and of
# what hides its points from the camera a good part is less than 7 % nearer; but what is that much
# nearer shifts by several samples, which ripples of a surface do not.
# `tests/benchmarks/waymo_occlusion_fit.py` prints the weights.
APART = Rule(
    min_step=0.02,
    min_step_afar=0.05,
    quadrant_step=0.05,
    weights=_APART_WEIGHTS,
)
