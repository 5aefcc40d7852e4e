"""What counts as a correspondence: stored beside the result, so that a change can be noticed."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from simipu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

Occlusion = Literal["zbuffer", "none"]
EgoPoints = Literal["hide", "exclude", "keep"]
Projection = Literal["computed", "published"]
RollingShutter = Literal["directions", "pixels", "ignore"]
Margin = tuple[float, float, float, float]

# Raise it with every change of the algorithm that can change a result for the same policy.
ALGORITHM_VERSION = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """Which points of a sweep correspond to a pixel of an image.

    Attributes:
        min_depth_m: smallest depth along the optical axis; nearer points hit the casing of the
            sensors or the car itself.
        margin_px: widths of the borders inside the image, left, top, right and bottom, in which no
            point is kept; one number stands for all four.
        occlusion: "zbuffer" marks points behind a nearer surface as not visible; "none" marks
            every point visible.
        ego_points: what becomes of points that the recording vehicle's own body returned, which
            moves with the sensors: "hide" marks them as not visible, and lets them hide nothing;
            "exclude" leaves them out; "keep" treats them like any other. Nothing becomes of them
            where the source does not say how large the vehicle is.
        projection: "computed" from calibration and motion, for every camera that sees a point; or
            "published", as the data set itself has it: Waymo names whole pixels, and at most two
            cameras for a point.
        rolling_shutter: when the lines of an image that is read out line by line are exposed.
            "directions": evenly over the directions of the field of view, as in Waymo's own
            projections; "pixels": evenly over the columns (or rows) of pixels, as a sensor does;
            "ignore": all at once. See `simipu.geometry.shutter`.
    """

    min_depth_m: float = 1.0
    margin_px: Margin = (0.0, 0.0, 0.0, 0.0)
    occlusion: Occlusion = "zbuffer"
    ego_points: EgoPoints = "hide"
    projection: Projection = "computed"
    rolling_shutter: RollingShutter = "directions"

    def __post_init__(self) -> None:
        # JSON tells 1 from 1.0: with floats throughout, equal policies have equal hashes.
        object.__setattr__(self, "min_depth_m", _number("min_depth_m", self.min_depth_m))
        object.__setattr__(self, "margin_px", _margin(self.margin_px))
        if self.min_depth_m <= 0.0:
            raise UsageError(
                f"min_depth_m must be greater than 0, not {self.min_depth_m}",
                fix="Give the smallest depth in metres at which points are kept, e.g. 1.0.",
            )
        if min(self.margin_px) < 0.0:
            raise UsageError(
                f"margin_px must not be negative, but is {min(self.margin_px)}",
                fix="Give 0 to use the whole image, or the width of the border to leave out.",
            )
        for name, choices in (
            ("occlusion", Occlusion),
            ("ego_points", EgoPoints),
            ("projection", Projection),
            ("rolling_shutter", RollingShutter),
        ):
            if (value := getattr(self, name)) not in get_args(choices):
                raise UsageError(
                    f"{name} {value!r} is not known",
                    fix=f"Choose one of: {', '.join(get_args(choices))}.",
                )

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of the policy and of the version of the algorithm that applies it."""
        content = {"algorithm_version": ALGORITHM_VERSION, **self.to_dict()}
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the policy as JSON values."""
        return {**asdict(self), "margin_px": list(self.margin_px)}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Policy:
        """Return the policy that `to_dict` described.

        Raises:
            UsageError: an unknown key or a bad value; a missing key takes its default.
        """
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise UsageError(
                f"a correspondence policy has no field {', '.join(unknown)}",
                fix=f"Use only: {', '.join(known)}. A store written by a newer simipu needs that "
                "version, or its correspondences computed again.",
            )
        return cls(**values)  # type: ignore[arg-type]  # checked in __post_init__


def _margin(value: object) -> Margin:
    sides = value if isinstance(value, Sequence) and not isinstance(value, str) else [value] * 4
    if len(sides) != 4:
        raise UsageError(
            f"margin_px must be one number or four, not {value!r}",
            fix="Give the borders left, top, right and bottom, e.g. margin_px=(0, 0, 0, 20).",
        )
    left, top, right, bottom = (_number("margin_px", side) for side in sides)
    return left, top, right, bottom


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{name} must be a finite number, not {value!r}", fix=f"e.g. {name}=1.0")
    return float(value) + 0.0  # -0.0 becomes 0.0
