"""Variants of the method: two presets, and a switch for each difference between them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

from simipu.data.config import AUGMENTATIONS, PAIRS, PIXEL_MAPPINGS, VIEWS, SampleRules
from simipu.errors import UsageError
from simipu.models import POINT_ENCODERS

_CHOICES = {
    "pairs": PAIRS,
    "pixel_mapping": PIXEL_MAPPINGS,
    "coordinates": ("relative", "none", "absolute"),
    "inter_cloud": ("augmented", "clean"),
    "negatives": ("batch", "frame"),
    "augmentation": AUGMENTATIONS,
    "views": VIEWS,
    "padding": ("zeros", "reflect"),
    "optimizer": ("adamw", "hybrid"),
    "point_encoder": POINT_ENCODERS,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Switches:
    """What tells variants of the method apart; the defaults are the preset ``fixed``.

    docs/method.md says which fault of the released code each one mends.

    Attributes:
        pairs: "rows" knows a pair by the row of its point in the cloud; "assignment" lets the
            point encoder choose centres in both views and matches them by least distance.
        visible_only: points that the camera does not see are in no pair.
        pixel_mapping: "exact", or "released" for its wrong normaliser.
        trained_heads: g_point and the point encoder learn from the pixels; else g_point stays
            random and the pixels alone learn.
        symmetric: both losses ask in both directions, and L_intra trains through both views.
        coordinates: what the point encoder sees of them: "relative" to a neighbourhood's centre,
            "none", or "absolute", with which it learns to tell where in an image a point lies.
        mask_near_duplicates: pixels in one cell of the finest feature map, and points within one
            cube of 10 cm, are not each other's negatives.
        inter_cloud: view of the cloud that pixels are compared with.
        negatives: a pair is told from those of the "batch" or of its own "frame".
        augmentation, views: see `simipu.data.config.SampleRules`.
        padding: of the image encoder's convolutions, "zeros" or "reflect".
        strides: of the feature maps that make up a pixel's feature; None for those of 8, 16 and 32
            that the backbone has.
        optimizer: "adamw", or "hybrid" for AdamW on points, SGD on the rest, and an exponential
            schedule.
        point_encoder: one of `simipu.models.POINT_ENCODERS`.
    """

    pairs: str = "rows"
    visible_only: bool = True
    pixel_mapping: str = "exact"
    trained_heads: bool = True
    symmetric: bool = True
    coordinates: Literal["relative", "none", "absolute"] = "relative"
    mask_near_duplicates: bool = True
    inter_cloud: str = "augmented"
    negatives: str = "batch"
    augmentation: str = "crop"
    views: str = "resampled"
    padding: Literal["zeros", "reflect"] = "zeros"
    strides: tuple[int, ...] | None = None
    optimizer: str = "adamw"
    point_encoder: str = "pointnet2"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise UsageError(
                    f"model.{name} is {value!r}", fix=f"Choose from: {', '.join(choices)}."
                )
        if self.pairs == "assignment" and self.views == "resampled":
            raise UsageError(
                "views of different points have no pairs to be assigned",
                fix="Set model.views to shuffled, or model.pairs to rows.",
            )
        if self.views == "shared" and self.coordinates == "none":
            raise UsageError(
                "without coordinates two views of the same points are the same",
                fix="Set model.coordinates to relative, or model.views to resampled.",
            )
        if self.views == "shared" and (
            self.pairs == "assignment" or self.point_encoder == "sparse-unet"
        ):
            raise UsageError(
                "views can share their neighbourhoods only with pairs by rows and PointNet++",
                fix="Set model.views to shuffled or resampled.",
            )

    @property
    def sample_rules(self) -> SampleRules:
        """The part that the data depend on."""
        return SampleRules(**{part.name: getattr(self, part.name) for part in fields(SampleRules)})


PRESETS = {
    "fixed": Switches(),
    "compat": Switches(
        pairs="assignment",
        visible_only=False,
        pixel_mapping="released",
        trained_heads=False,
        symmetric=False,
        coordinates="none",
        mask_near_duplicates=False,
        inter_cloud="clean",
        augmentation="released",
        views="shuffled",
        strides=(32,),
        optimizer="hybrid",
        point_encoder="pointnet2-msg",
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """What is trained.

    Attributes:
        preset: "fixed", or "compat" for what the released code computes. Beside the switches, it
            decides the widths of the heads and the settings of batch norm.
        image_backbone: name of a timm backbone.
        image_weights: file of weights that the backbone begins with; None for random ones.

    All others are the fields of `Switches`; None leaves one to the preset.
    """

    preset: str = "fixed"
    image_backbone: str = "resnet50"
    image_weights: str | None = None
    pairs: str | None = None
    visible_only: bool | None = None
    pixel_mapping: str | None = None
    trained_heads: bool | None = None
    symmetric: bool | None = None
    coordinates: str | None = None
    mask_near_duplicates: bool | None = None
    inter_cloud: str | None = None
    negatives: str | None = None
    augmentation: str | None = None
    views: str | None = None
    padding: str | None = None
    strides: tuple[int, ...] | None = None
    optimizer: str | None = None
    point_encoder: str | None = None

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(
                f"model.preset is {self.preset!r}", fix=f"Choose from: {', '.join(PRESETS)}."
            )
        _ = self.switches  # refuses what cannot be

    @property
    def switches(self) -> Switches:
        """All switches, those of the preset where none is given."""
        given = {part.name: getattr(self, part.name) for part in fields(Switches)}
        return replace(
            PRESETS[self.preset],
            **{name: value for name, value in given.items() if value is not None},
        )

    def complete(self, strides: tuple[int, ...]) -> ModelConfig:
        """The same with a value for every switch, whatever becomes of the preset.

        Args:
            strides: those that the image encoder has where none are given.
        """
        switches = self.switches
        values = {part.name: getattr(switches, part.name) for part in fields(Switches)}
        return replace(self, **values | {"strides": switches.strides or strides})
