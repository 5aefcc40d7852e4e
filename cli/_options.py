"""Options that several commands of simipu-prep share, and what they mean together."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from pathlib import Path

    from simipu.pipelines.convert import Resources
    from simipu.pipelines.sources.base import Source

Function = TypeVar("Function", bound=Callable[..., Any])


def options(*decorators: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Several options as one decorator, in the order in which ``--help`` shows them."""

    def decorate(function: Function) -> Function:
        for option in reversed(decorators):
            function = option(function)
        return function

    return decorate


def _margin(_ctx: click.Context, _param: click.Parameter, text: str | None) -> object:
    if text is None:
        return None
    try:
        sides = [float(side) for side in text.split(",")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 4):
        raise click.BadParameter(f"{text!r} is neither one number nor four with commas between.")
    return sides if len(sides) == 4 else sides[0]


resource_options = options(
    click.option(
        "--workers",
        type=click.IntRange(min=1),
        help="Worker processes.  [default: one for each core]",
    ),
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Use the workers of this dask scheduler instead, e.g. tcp://head:8786.",
    ),
)

# Named as the fields of a policy. What the user does not give, the data set or the policy decides.
policy_options = options(
    click.option(
        "--min-depth",
        "min_depth_m",
        type=float,
        metavar="M",
        help="Leave out points nearer to the camera than this, in metres along its axis.  "
        "[default: the data set's own, else 1]",
    ),
    click.option(
        "--margin",
        "margin_px",
        callback=_margin,
        metavar="L,T,R,B|M",
        help="Leave out points in the borders of the image, left, top, right, bottom or all four, "
        "in pixels.  [default: the data set's own, else 0]",
    ),
    click.option(
        "--occlusion",
        type=click.Choice(["zbuffer", "none"]),
        help="How to find points that the camera does not see because something is before them.  "
        "[default: the data set's own, else zbuffer]",
    ),
    click.option(
        "--ego-points",
        type=click.Choice(["hide", "exclude", "keep"]),
        help="What becomes of points that the recording vehicle itself returned: marked as not "
        "visible, left out, or as any other.  [default: the data set's own, else hide]",
    ),
    click.option(
        "--projection",
        type=click.Choice(["computed", "published"]),
        help="Where pixels come from: calibration and motion, or the data set's own projection "
        "(Waymo's whole pixels).  [default: the data set's own, else computed]",
    ),
    click.option(
        "--rolling-shutter",
        type=click.Choice(["directions", "pixels", "ignore"]),
        help="When the lines of an image with a rolling shutter are exposed: evenly over the field "
        "of view, as in Waymo's own projections, over the pixels, or all at once.  "
        "[default: the data set's own, else directions]",
    ),
)


def resources(workers: int | None, scheduler: str | None) -> Resources:
    """Where the work is to run."""
    from simipu.errors import UsageError
    from simipu.pipelines.convert import Resources

    if workers is not None and scheduler is not None:
        raise UsageError(
            "it does nothing with --scheduler, which has workers of its own",
            where="--workers",
            fix="Leave one of the two out.",
        )
    return Resources(workers=workers or len(os.sched_getaffinity(0)), scheduler=scheduler)


def check_policy(policy: dict[str, Any], source: Source, *, no_correspondences: bool) -> None:
    """Refuse, before hours of conversion, what could not be met after it.

    Args:
        policy: the fields of `policy_options` that the user gave.
        source: what is to be converted.
        no_correspondences: whether it is only to be converted.

    Raises:
        UsageError: the policy is wrong, of no use, or not one for this data set.
    """
    from simipu.correspond.policy import Policy
    from simipu.errors import UsageError
    from simipu.pipelines.sources.checked import Checked

    Policy.from_dict(policy)
    if no_correspondences and policy:
        raise UsageError(
            "it does nothing with --no-correspondences",
            where=_flag(next(iter(policy))),
            fix="Leave one of the two out; `simipu-prep correspond` takes such options later.",
        )
    if policy.get("projection") == "published" and not Checked(source).info.projection_cameras:
        raise UsageError(
            "the data set has no projection of its own",
            where="--projection published",
            fix="Let it be computed: --projection computed.",
        )


def correspond(store: Path, policy: dict[str, Any], where: Resources) -> None:
    """Compute correspondences by the policy of the store's data set, changed by what was given.

    Args:
        store: a complete store.
        policy: the fields of `policy_options`, None where the user gave nothing.
        where: where to run.
    """
    from simipu import open_store
    from simipu.cli._progress import progress_bars
    from simipu.correspond.policy import Policy
    from simipu.pipelines.correspond import correspond_store

    own = open_store(store).attributes["source"].get("policy", {})
    chosen = Policy.from_dict({**own, **given(policy)})
    with progress_bars("frames") as advance:
        correspond_store(store.absolute(), chosen, resources=where, progress=advance)


def given(values: dict[str, Any]) -> dict[str, Any]:
    """Only the options that the user gave."""
    return {name: value for name, value in values.items() if value is not None}


def _flag(name: str) -> str:
    """How the user writes an option of the command that runs."""
    parameters = click.get_current_context().command.params
    return next(parameter.opts[0] for parameter in parameters if parameter.name == name)


def print_summary(store: Path) -> None:
    """Print what is in a store."""
    from simipu.store.summary import describe, summarise

    click.echo(describe(summarise(store)))
