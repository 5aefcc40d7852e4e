"""Writing a data set: unit by unit, over worker processes, from where an earlier run stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from threading import Event, Thread
from typing import TYPE_CHECKING, NamedTuple, Protocol

from simipu.pipelines.convert import stopping
from simipu.store import lock

from . import destination
from . import workers as processes
from .layouts import make_writer

if TYPE_CHECKING:
    from pathlib import Path

    from .caster import Caster
    from .look import Look
    from .options import Options
    from .world import World

Progress = Callable[[str, int, int], object]
"""Called with (what is done, frames done now or 0 to begin, frames in all)."""

_LOOK_S = 0.3
"""How often to look how many units are done."""


@dataclass(frozen=True, order=True, slots=True)
class Unit:
    """What a worker writes at a time: a frame (of nuScenes, a keyframe and its sweeps)."""

    scene: int
    frame: int


class Scenery(NamedTuple):
    """A world, and what is needed to look at it."""

    world: World
    caster: Caster
    look: Look


class Stage:
    """The worlds of one process: the last two are kept, because making one takes a while."""

    def __init__(self) -> None:
        self._scenery = lru_cache(2)(_make_scenery)

    def __call__(self, seed: int, scene: int, duration_s: float) -> Scenery:
        """Return the world of a scene that lasts ``duration_s``."""
        return self._scenery(seed, scene, duration_s)


def _make_scenery(seed: int, scene: int, duration_s: float) -> Scenery:
    from .caster import Caster
    from .look import Look
    from .world import make_world

    world = make_world(seed, scene, duration_s=duration_s)
    caster = Caster(world)
    return Scenery(world, caster, Look(world, caster))


class Writer(Protocol):
    """Writes one on-disk format. Constructed with ``(root, options)``; picklable.

    Attributes:
        units: everything to write, in order.
    """

    units: Sequence[Unit]

    def write(self, unit: Unit, stage: Stage) -> None:
        """Write all files of a unit, each with `files.write_file` or as safely.

        Called in any order, in any process, and again for a unit whose writing was killed.
        """

    def finish(self) -> None:
        """Write what is made of all units, and remove what was kept only for it.

        Called after all units; called again if it was killed, at any point.
        """


def generate(
    root: Path,
    options: Options,
    *,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress = lambda *_: None,
) -> None:
    """Write a data set, or go on with one. Nothing happens where it is complete.

    Args:
        root: its folder.
        options: what to write.
        workers: local processes. With more than one, a script that calls this needs the usual
            ``if __name__ == "__main__":``.
        overwrite: replace a data set that was generated before, whatever its options.
        progress: told how far it is.

    Raises:
        UsageError: the options cannot be met, ``root`` holds something else, or another process
            is writing there.
        IncompleteError: stopped half-way; the same call goes on.
    """
    writer = make_writer(root, options)
    destination.refuse_foreign(root)
    total = len(writer.units)

    def done_so_far() -> int:
        return destination.count_done(root)

    with lock.writing(root) as run, stopping(done_so_far, total, root):
        if not destination.begin(root, options, overwrite=overwrite):
            return
        pending = destination.pending(root, writer.units)
        function = partial(_write_units, writer, root, run)
        with _watching(done_so_far, total, progress):
            processes.run(function, _in_parts(pending, workers), workers=workers)
        writer.finish()
        destination.end(root, options)


@contextmanager
def _watching(done: Callable[[], int], total: int, progress: Progress) -> Iterator[None]:
    """Tell the progress: a thread counts, because a task is a whole scene."""
    told = done()
    progress("generate", told, total)
    ended = Event()

    def tell() -> None:
        nonlocal told
        now = done()
        if now > told:
            progress("generate", now - told, total)
            told = now

    def watch() -> None:
        while not ended.wait(_LOOK_S):
            tell()

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        tell()


def _in_parts(units: Sequence[Unit], workers: int) -> list[tuple[Unit, ...]]:
    """Cut the units into tasks: scenes, so that each world is made once.

    The scenes left over, which would leave workers idle at the end, are cut into parts, as many
    of each as it takes to have one for every worker.
    """
    scenes = [
        tuple(unit for unit in units if unit.scene == scene)
        for scene in sorted({unit.scene for unit in units})
    ]
    whole = len(scenes) - len(scenes) % workers
    parts = scenes[:whole]
    left = scenes[whole:]
    for own in left:
        size = -(-len(own) // -(-workers // len(left)))
        parts += [own[start : start + size] for start in range(0, len(own), size)]
    return parts


@lru_cache(1)
def _stage() -> Stage:
    return Stage()


def _write_units(writer: Writer, root: Path, run: str, units: Sequence[Unit]) -> None:
    """Write some units. Runs in a worker."""
    for unit in units:
        with lock.working(root, run):  # one at a time: a worker that outlives its run stops soon
            writer.write(unit, _stage())
            destination.mark_done(root, unit)
