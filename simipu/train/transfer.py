"""Batches on the training device, the next one on its way while one is computed with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from simipu.data.sample import Sample


def to_device(batches: Iterable[Sample], device: torch.device) -> Iterator[Sample]:
    """Copy each batch to ``device``.

    On a GPU the copy of the next batch, from pinned memory and on a stream of its own, begins
    before the present one is handed out.
    """
    if device.type != "cuda":
        yield from (batch.to(device) for batch in batches)
        return
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    ready: Sample | None = None
    for batch in batches:
        with torch.cuda.stream(stream):
            coming = batch.to(device)
        if ready is not None:
            yield ready
        torch.cuda.current_stream(device).wait_stream(stream)
        coming.record_stream(torch.cuda.current_stream(device))
        ready = coming
    if ready is not None:
        yield ready
