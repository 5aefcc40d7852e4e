"""The plan's invariants: whole shards for each task, nothing shared, nothing forgotten."""

from hypothesis import given
from hypothesis import strategies as st

from simipu.store.extents import allot_rows, split_into_blocks

SIZES = st.lists(st.lists(st.integers(0, 100), max_size=20), max_size=6)


@given(SIZES, st.integers(1, 300))
def test_blocks_cover_every_frame_once_in_order(scenes, target):
    seen = [
        (block.scene, frame)
        for block in split_into_blocks(scenes, target)
        for frame in range(block.start, block.stop)
    ]
    assert seen == [
        (scene, frame) for scene, frames in enumerate(scenes) for frame in range(len(frames))
    ]


@given(SIZES, st.integers(1, 300))
def test_a_block_ends_with_the_frame_that_reaches_the_target(scenes, target):
    for block in split_into_blocks(scenes, target):
        sizes = scenes[block.scene][block.start : block.stop]
        assert sum(sizes[:-1]) < target
        assert sum(sizes) >= target or block.stop == len(scenes[block.scene])


@given(st.lists(st.integers(0, 100), max_size=20), st.integers(1, 40))
def test_tasks_own_whole_shards_and_share_none(bounds, shard_rows):
    rows, total = allot_rows(bounds, shard_rows)
    assert [own.start for own in rows] == [0, *(own.stop for own in rows)][: len(rows)]
    assert total == (rows[-1].stop if rows else 0)
    for own, bound in zip(rows, bounds, strict=True):
        assert own.start % shard_rows == own.stop % shard_rows == 0
        assert bound <= len(own) < bound + shard_rows
