"""What simipu-viz draws of a run's features."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from simipu.cli._viz_pictures import choose_camera, dataset_name

if TYPE_CHECKING:
    from pathlib import Path

    from simipu.store.views import FrameView


def draw_features(
    frame: FrameView,
    out: Path,
    *,
    run: Path,
    camera: str | None,
    checkpoint: str,
    weights: str,
    query: tuple[float, float] | None,
    query_point: int | None,
    **_: Any,
) -> str:
    """Draw what a run says of an image's pixels and points; return the picture's size in words."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in simipu-train
    from simipu.data.config import SampleConfig
    from simipu.export.run import read_run
    from simipu.methods.config import ModelConfig
    from simipu.viz import encoders, features
    from simipu.viz import feature_figures as figures
    from simipu.viz.figure import save

    view = choose_camera(frame, camera)
    trained = read_run(run, checkpoint=checkpoint, weights=weights)
    sample = SampleConfig(**trained.settings["sample"])
    image = features.gather_points(frame, view, sample, include=query_point)
    step = f"step {trained.step:,} of {trained.name}"
    head = f"{dataset_name(frame)}   frame {frame.index}   {frame.id}   {view.name}   {step}"

    if query is None and query_point is None:
        untrained = encoders.untrained(ModelConfig(**trained.settings["model"]), image, sample)
        named = [
            (name, features.compute_features(encoders.unprojected(method), image, sample))
            for name, method in ((step, trained.method), ("random weights", untrained))
        ]
        return save(figures.draw_principal(image, named, head=head), out)

    if query is not None:
        image.check_pixel(*query)
    place = None if query_point is None else image.find_row(query_point)
    projected = encoders.projected(trained.method)
    found = features.compute_features(projected, image, sample, query=query)
    if query is not None:
        asked = figures.pixel_query(image, found, query)
    elif place is not None:
        asked = figures.point_query(image, found, place)
    return save(figures.draw_similarity(image, found, asked, head=head), out)
