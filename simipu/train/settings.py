"""Settings from YAML and the command line, and back."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from simipu.errors import UsageError
from simipu.methods.config import Switches
from simipu.train.config import FREE_ON_RESUME, TrainConfig

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")
Plain = dict[str, Any]
_KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML 1.2's plain values, and no name twice.

    In PyYAML's 1.1 a range of frames, 0:16, is the number 16; no is false; 1e-3 is text; and of a
    name given twice the last one wins.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # as PyYAML has it

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if name in seen:
                raise yaml.YAMLError(f"{name!r} is there twice,{key.start_mark}")
            seen.add(name)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Quotes what is no text to a reader of YAML 1.1 or 1.2."""


for _tag, _pattern, _first in (
    ("null", "|~|null", ["", "~", "n", "N"]),
    ("bool", "true|false", "tTfF"),
    ("int", "[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?([0-9]+\.?|[0-9]*\.[0-9]+)(e[-+]?[0-9]+)?|[-+]?\.inf", "-+0123456789."),
):
    for _kind in (_Loader, _Dumper):
        _kind.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}", re.compile(f"^({_pattern})$", re.IGNORECASE), list(_first)
        )


def read_yaml(text: str, *, where: str | Path) -> Any:
    """What a YAML text says, as plain values.

    Raises:
        UsageError: it is no YAML.
    """
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(
            f"this is not YAML: {reason}", where=where, fix="Mend it there, then start again."
        ) from error


def read_config(path: Path) -> Plain:
    """The settings in a file: any of those of `TrainConfig`, by section."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the settings cannot be read: {error}", where=path, fix="Give another --config."
        ) from error
    content = read_yaml(text, where=path) or {}
    if not isinstance(content, dict):
        raise UsageError("these are no settings", where=path, fix="Write `section: {name: value}`.")
    return content


def write_yaml(config: TrainConfig) -> str:
    """All settings as YAML, which `read_config` reads."""
    text: str = yaml.dump(config.to_dict(), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def parse_assignments(texts: Iterable[str]) -> Plain:
    """The settings of ``a.b=value``, each value as in YAML."""
    settings: Plain = {}
    for text in texts:
        name, equals, value = text.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot):
            raise UsageError(f"{text!r} sets nothing", fix="Write --set section.name=value.")
        settings.setdefault(section, {})[key] = read_yaml(value, where=f"--set {name}")
    return settings


def merge(base: Mapping[str, Any], layer: Mapping[str, Any]) -> Plain:
    """``base`` with the settings of ``layer`` in place of its own."""
    merged = {
        name: dict(part) if isinstance(part, Mapping) else part for name, part in base.items()
    }
    for section, part in layer.items():
        if isinstance(part, Mapping) and isinstance(merged.get(section), dict):
            if section == "run" and {"steps", "epochs"} & part.keys():
                merged[section] |= {"steps": None, "epochs": None}  # one stands for the other
            if section == "model" and "preset" in part:
                merged[section] |= dict.fromkeys(_names(Switches))  # it gives all of them
            merged[section].update(part)
        else:
            merged[section] = part
    return merged


def build_config(settings: Mapping[str, Any]) -> TrainConfig:
    """The configuration that plain values describe; what is left out keeps its default.

    Raises:
        UsageError: a name is unknown, or a value of another type or out of bounds.
    """
    return _build(TrainConfig, settings, "")


def _build(kind: type[T], values: Any, where: str) -> T:
    """An instance of the dataclass ``kind``."""
    if not isinstance(values, Mapping):
        raise UsageError(
            f"{where or 'the file'} is {values!r}", fix=f"Give settings: {_list(_names(kind))}."
        )
    hints = get_type_hints(kind)
    given = {}
    for name, value in values.items():
        full = f"{where}.{name}" if where else str(name)
        if name not in hints:
            raise _unknown(kind, full, str(name))
        given[name] = _convert(hints[name], value, full)
    try:
        return kind(**given)
    except TypeError as error:  # Selection has a field without a default
        raise UsageError(f"{where}: {error}", fix="Give what is missing.") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    """``value`` as the type that a field is declared with."""
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return None
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    if is_dataclass(hint):
        return _build(hint, value, where)  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        items = value if isinstance(value, list | tuple) else [value]
        inner = get_args(hint)[0]
        if inner is not str and not isinstance(value, list | tuple):
            raise _wrong(where, value, "a list")
        return tuple(_convert(inner, item, f"{where}[{i}]") for i, item in enumerate(items))
    if get_origin(hint) is dict:
        if not isinstance(value, Mapping):
            raise _wrong(where, value, "settings by name")
        return dict(value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise _wrong(where, value, _KINDS[hint])
    return value


def _wrong(where: str, value: object, expected: str) -> UsageError:
    return UsageError(f"{where} is {value!r}, not {expected}", fix=f"Give {expected}.")


def _unknown(kind: Any, full: str, name: str) -> UsageError:
    """A name that ``kind`` does not have: one of another section, or the nearest of its own."""
    hints = get_type_hints(TrainConfig)
    near = [f"{section}.{name}" for section, part in hints.items() if name in _names(part)]
    if not near:
        prefix = full.removesuffix(name)
        near = [prefix + known for known in get_close_matches(name, _names(kind), n=1)]
    return UsageError(
        f"there is no setting {full}",
        fix=f"Did you mean {near[0]}?" if near else f"There are: {_list(_names(kind))}.",
    )


def _names(kind: Any) -> list[str]:
    return [part.name for part in fields(kind)]


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def changed_settings(ours: TrainConfig, begun: Mapping[str, Any]) -> list[str]:
    """What of ``ours`` would change the result of a run, beside the settings it was begun with.

    Runs of earlier versions left switches to the preset, and strides to the backbone.
    """
    try:
        theirs = build_config(begun)
    except UsageError as error:
        return [error.what]
    strides = ours.model.switches.strides, theirs.model.switches.strides
    return differences(
        ours.complete(strides[1] or ()).to_dict(), theirs.complete(strides[0] or ()).to_dict()
    )


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """What would change the result of a run: "name: theirs -> ours" of each such setting."""
    mine, others = _flatten(ours), _flatten(theirs)
    return [
        f"{name}: {others.get(name)} -> {mine.get(name)}"
        for name in sorted(mine.keys() | others.keys())
        if not _is_free(name) and _content(name, mine) != _content(name, others)
    ]


def _content(name: str, settings: Plain) -> Any:
    """The value, of a path only the file's name: it may lie somewhere else by now."""
    value = settings.get(name)
    return PurePath(value).name if value and name == "model.image_weights" else value


def _is_free(name: str) -> bool:
    return name.split(".")[0] in FREE_ON_RESUME or bool(re.fullmatch(r"data\.\w+\.\d+\.path", name))


def _flatten(values: Any, prefix: str = "") -> Plain:
    if isinstance(values, list | tuple):
        values = {str(index): value for index, value in enumerate(values)}
    if not isinstance(values, Mapping):
        return {prefix: values}
    flat: Plain = {}
    for name, value in values.items():
        flat |= _flatten(value, f"{prefix}.{name}" if prefix else str(name))
    return flat
