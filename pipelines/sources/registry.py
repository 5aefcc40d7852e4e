"""Sources by name: those that installed packages offer, and any class that can be imported."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
import typing
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from simipu.errors import SimipuError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import EntryPoint
    from pathlib import Path

    from .base import Source

GROUP = "simipu.sources"
PARTS = ("root", "info", "scan", "read")
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_PARSED = (str, bool, int, float)
_UNION = re.compile(r"(?:typing\.)?(?:Optional|Union)\[(.*)\]")

Factory = typing.Callable[..., typing.Any]


def find_source(name: str) -> Factory:
    """Import what makes a source.

    Args:
        name: an entry point of the group ``simipu.sources``, or "module:Class". Modules are looked
            for in the current folder too, as ``python -m`` does it.

    Returns:
        The class, or a function that returns an instance.

    Raises:
        UsageError: there is no such entry point, module or class, or it cannot be imported.
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        entry = _entry_point(name)
        module, attribute = entry.module, entry.attr
    # Local workers are given this list of folders as well.
    elif not sys.flags.safe_path and (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    found: Any = _import(module, name)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UsageError(
                f"the module {module} has no {attribute!r}",
                where=name,
                fix=f"It has the classes {_listed(_classes(found))}.",
            )
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(
            f"{attribute} is a {type(found).__name__}, not a class", where=name, fix=_HOW_TO_NAME
        )
    factory: Factory = found
    return factory


def make_source(name: str, root: Path, options: Mapping[str, str]) -> Source:
    """Make a source from texts.

    Args:
        name: see `find_source`.
        root: the folder of the data set, the class's first argument.
        options: further arguments by name. Where the class annotates one as bool, int or float
            (or one of these or None), its text is parsed; other texts are passed as they are.

    Returns:
        The source; nothing of the data set was scanned for it.

    Raises:
        UsageError: there is no such source, it has no such option, or a value cannot be parsed.
        SimipuError: the class raised an error, or makes something that is no source.
    """
    factory = find_source(name)
    arguments = _arguments(name, factory, options)
    try:
        source = factory(root, **arguments)
    except SimipuError:
        raise
    except Exception as error:
        raise SimipuError(
            f"making the source failed: {type(error).__name__}: {error}",
            where=name,
            fix="--debug shows the traceback.",
        ) from error
    if missing := missing_parts(source):
        raise UsageError(
            f"{type(source).__name__} is no source: it has no {', '.join(missing)}",
            where=name,
            fix=f"A source has {', '.join(PARTS)}; see simipu.pipelines.sources.base.Source.",
        )
    checked: Source = source
    return checked


def missing_parts(source: object) -> list[str]:
    """Return what an object lacks to be a source; nothing of it is run."""
    absent = object()
    found = {part: inspect.getattr_static(source, part, absent) for part in PARTS}
    # `info` and `root` may be properties, which are not to be computed here.
    return [
        part
        for part, value in found.items()
        if value is absent or (part in ("scan", "read") and not callable(getattr(source, part)))
    ]


_HOW_TO_NAME = "Name a source as module:Class, e.g. my_rig:MyRig."


def _entry_point(name: str) -> EntryPoint:
    offered = entry_points(group=GROUP)
    values = {entry.value: entry for entry in offered if entry.name == name}
    if len(values) == 1:
        return next(iter(values.values()))
    if values:
        raise UsageError(
            f"several packages offer a source of this name: {_listed(values)}",
            where=name,
            fix="Give one of these instead of the name.",
        )
    names = sorted({entry.name for entry in offered})
    have = f"Installed packages offer {_listed(names)}." if names else "No package offers a source."
    raise UsageError("no installed source has this name", where=name, fix=f"{have} {_HOW_TO_NAME}")


def _import(module: str, name: str) -> Any:
    if not module or not all(part.isidentifier() for part in module.split(".")):
        raise UsageError(f"{module!r} is not the name of a module", where=name, fix=_HOW_TO_NAME)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise _import_failed(name, error) from error
        raise UsageError(
            f"there is no module {error.name}",
            where=name,
            fix="Run the command in the folder that holds it, set PYTHONPATH, or install it.",
        ) from None
    except Exception as error:
        raise _import_failed(name, error) from error


def _import_failed(name: str, error: Exception) -> UsageError:
    return UsageError(
        f"it cannot be imported: {type(error).__name__}: {error}",
        where=name,
        fix="--debug shows the traceback.",
    )


def _arguments(name: str, factory: Factory, texts: Mapping[str, str]) -> dict[str, object]:
    """Parse the texts by the annotations of what makes the source."""
    try:
        _, *parameters = inspect.signature(factory).parameters.values()
    except ValueError:  # no argument at all, or a signature that cannot be told
        raise UsageError(
            "it takes no root", where=name, fix="It is called as Class(root, **options)."
        ) from None
    options = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    unknown = [] if takes_any else sorted(set(texts) - set(options))
    needed = [n for n, p in options.items() if p.default is p.empty and n not in texts]
    faults = [f"there is no option {n}" for n in unknown]
    faults += [f"option {n} is missing" for n in needed]
    if faults:
        raise UsageError("; ".join(faults), where=name, fix=_describe(options.values()))
    kinds = {key: _kind(option.annotation) for key, option in options.items()}
    return {key: _parse(name, key, text, kinds.get(key, str)) for key, text in texts.items()}


def _kind(annotation: object) -> type:
    """The type to parse a text as; read from the text of the annotation.

    Annotations are not evaluated: they may name what only a type checker imports.
    """
    text = _text(annotation)
    if union := _UNION.fullmatch(text):
        text = union[1].replace(",", "|")
    names = {part.strip() for part in text.split("|")}
    return next((kind for kind in _PARSED if kind.__name__ in names), str)


def _text(annotation: object) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _parse(name: str, key: str, text: str, kind: type) -> object:
    try:
        return _TRUTHS[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise UsageError(
            f"the option {key} is {text!r}, which is no {kind.__name__}",
            where=name,
            fix=f"e.g. --option {key}={'true' if kind is bool else kind(1)}",
        ) from None


def _describe(options: typing.Iterable[inspect.Parameter]) -> str:
    texts = [
        option.name
        + ("" if option.annotation is option.empty else f": {_text(option.annotation)}")
        + ("" if option.default is option.empty else f" = {option.default!r}")
        for option in options
    ]
    return f"Its options are: {'; '.join(texts)}." if texts else "It has no options."


def _classes(module: object) -> list[str]:
    own = getattr(module, "__name__", None)
    return sorted(n for n, v in vars(module).items() if inspect.isclass(v) and v.__module__ == own)


def _listed(names: typing.Iterable[str]) -> str:
    return ", ".join(names) or "none"
