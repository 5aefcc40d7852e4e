"""Planning: which frames a task converts, and which rows of the flat arrays belong to it alone.

Pure functions over bounds. Each task starts on a shard boundary of every flat array, so that tasks
write in parallel without sharing a file and one that was killed can be done again by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

TASK_BYTES = 128 * 1024 * 1024
"""Source bytes that a task aims for: resumes in seconds, and keeps the number of files low."""


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive frames of one scene that one task converts."""

    scene: int
    start: int
    stop: int


def split_into_blocks(
    scene_frame_bytes: Iterable[Sequence[int]], target_bytes: int
) -> Iterator[Block]:
    """Cut each scene into blocks of about ``target_bytes``, never across scenes.

    Args:
        scene_frame_bytes: for each scene, the bytes of each of its frames.
        target_bytes: a block ends with the frame that reaches it.

    Yields:
        Blocks in order; ``start`` and ``stop`` count frames within the scene.
    """
    for scene, frame_bytes in enumerate(scene_frame_bytes):
        start = 0
        filled = 0
        for index, size in enumerate(frame_bytes):
            filled += size
            if filled >= target_bytes:
                yield Block(scene, start, index + 1)
                start, filled = index + 1, 0
        if start < len(frame_bytes):
            yield Block(scene, start, len(frame_bytes))


def allot_rows(bounds: Iterable[int], shard_rows: int) -> tuple[list[range], int]:
    """Give each task whole shards.

    Args:
        bounds: upper bound of the rows of each task.
        shard_rows: rows of one shard.

    Returns:
        The rows of each task, at least as many as its bound, and the rows of the whole array.
        Rows that a task does not fill are never written and cost no disk.
    """
    allotted = []
    row = 0
    for bound in bounds:
        stop = row + -(-bound // shard_rows) * shard_rows
        allotted.append(range(row, stop))
        row = stop
    return allotted, row
