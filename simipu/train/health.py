"""Is something wrong with the run? Said in words, once, when it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simipu.train.runlog import Record

COLLAPSED_UNIFORMITY = -0.5
"""Random unit vectors of 128 dimensions have about -3.9, equal ones 0."""

STARVED_SHARE = 0.3
"""Of the time spent waiting for data."""

FEW_VALID_PAIRS = 0.5
"""Share of the pairs that were asked for."""

AT_CHANCE = 0.98
"""Loss relative to that of guessing."""

PATIENCE_STEPS = 100
"""A loss may stay at chance for so many steps after the warm-up."""

SURVIVING_CONTROL = 0.8
"""Share of the recall that is left with another frame's image."""


class Health:
    """Reads the records of a run.

    Args:
        warmup: steps of the warm-up.
    """

    def __init__(self, *, warmup: int) -> None:
        self._patience = warmup + PATIENCE_STEPS
        self._wrong: dict[str, set[str]] = {"training": set(), "retrieval": set()}
        self._is_first = True

    def check(self, step: int, record: Record) -> list[str]:
        """What is wrong according to ``record``, as sentences; nothing that was said before.

        What has gone in the meantime and comes back is said again.
        """
        if "loss/total" in record:
            kind, found = "training", dict(self._check_training(step, record))
            self._is_first = False
        else:
            kind, found = "retrieval", dict(_check_retrieval(record))
        new = [text for name, text in found.items() if name not in self._wrong[kind]]
        self._wrong[kind] = set(found)
        return new

    def _check_training(self, step: int, record: Record) -> Iterator[tuple[str, str]]:
        number = {name: value or 0.0 for name, value in record.items()}
        for embedding in ("pixels", "points", "clean", "augmented"):
            value = number[f"uniformity/{embedding}"]
            if value > COLLAPSED_UNIFORMITY and number["pairs/told_apart"] > 1:
                yield (
                    f"collapse {embedding}",
                    f"the embeddings of the {embedding} have collapsed: they are nearly all alike "
                    f"(uniformity {value:.2f}, 0 is one point). A lower --lr and a larger "
                    "--batch-size help; below chance nothing is learned any more.",
                )
        # At first the workers start and the first samples are on their way.
        if number["data_wait"] > STARVED_SHARE and not self._is_first:
            yield (
                "starved",
                f"{number['data_wait']:.0%} of the time is spent waiting for data: more --workers "
                "help, if the machine has the cores, and smaller images or a faster disk do.",
            )
        if number["pairs/valid"] < FEW_VALID_PAIRS:
            yield (
                "pairs",
                f"only {number['pairs/valid']:.0%} of the pairs asked for exist: fewer --pairs, a "
                "smaller sample.cell_px, or cameras with more points in view waste less.",
            )
        if step > self._patience:
            for name in ("inter", "intra"):
                value, chance = number[f"loss/{name}"], number["chance/loss"]
                if value > AT_CHANCE * chance > 0:
                    yield (
                        f"chance {name}",
                        f"the {name}-modal loss is {value:.2f} and guessing gives {chance:.2f}: "
                        "nothing is learned. Look at the pairs with simipu-viz, and at --lr.",
                    )


def _check_retrieval(record: Record) -> Iterator[tuple[str, str]]:
    recall, control = record["retrieval/recall_at_1"], record["retrieval/control_at_1"]
    chance = record["retrieval/chance_at_1"]
    if recall is None or control is None or chance is None:
        return
    if recall > 3 * chance and control > SURVIVING_CONTROL * recall:
        yield (
            "control",
            f"of recall@1 {recall:.1%}, {control:.1%} are left with another frame's image: what is "
            "matched is the place in the image, or both frames show the same street.",
        )
