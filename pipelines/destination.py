"""The place that a conversion writes to: what may be there, and what must not be touched."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from simipu.errors import SimipuError, UsageError
from simipu.store import schema
from simipu.store.commit import canonical_json, read_root, remove_work
from simipu.store.storage import LocalStorage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from simipu.pipelines.plan import Plan

JOB = "convert"
IDENTITY = f"{schema.STAGING}/identity.json"
"""The options of a conversion that has begun."""
_CLEARING = "clearing"
"""In them while the old content is being removed: what is left of it is no work to go on with."""


def refuse_foreign(out: Path) -> None:
    """Refuse to write where something else is.

    Raises:
        UsageError: ``out`` exists and is neither a store, nor one in the making, nor empty; or
            it holds files that are not a store's, which overwriting would delete.
    """
    if not out.exists():
        return
    fix = "Give another --out, or move it away yourself."
    if not out.is_dir():
        raise UsageError("exists and is not a store", where=out, fix=fix)
    names = sorted(path.name for path in out.iterdir())
    foreign = [name for name in names if not schema.is_store_entry(name)]
    if foreign:
        raise UsageError(
            f"exists and cannot be written to: {foreign[0]} is no part of a store",
            where=out,
            fix=fix,
        )
    if names and schema.STAGING not in names:
        try:
            read_root(LocalStorage(out))
        except SimipuError as error:
            raise UsageError(
                f"exists and cannot be written to: {error.what}", where=out, fix=fix
            ) from None


def begin(storage: LocalStorage, plan: Plan, *, overwrite: bool) -> bool:
    """Make the place ready for a plan: empty, or with the work of an earlier run of it.

    Call it while holding the store for writing.

    Returns:
        Whether there is anything to do.

    Raises:
        UsageError: something else was converted or begun here, and is not to be overwritten.
    """
    if (storage.root / schema.ROOT_DOCUMENT).exists():
        if not overwrite:
            _refuse_another(storage, plan)
            end(storage)
            return False
    elif (storage.root / IDENTITY).exists():
        begun = _begun(storage)
        clearing = begun.pop(_CLEARING, False)
        other = _differing(begun, plan.identity)
        if not other and not clearing:
            return True
        if other and not overwrite:
            raise UsageError(
                f"a conversion with another {', '.join(other)} was begun here",
                where=storage.root,
                fix="Run the first command again, or add --overwrite to start over.",
            )
    # First: what is left when the clearing is interrupted could not be told from foreign files.
    storage.write(IDENTITY, canonical_json({**plan.identity, _CLEARING: True}))
    _clear(storage)
    storage.write(IDENTITY, canonical_json(plan.identity))
    return True


def _begun(storage: LocalStorage) -> dict[str, Any]:
    try:
        identity: dict[str, Any] = json.loads(storage.read(IDENTITY))
    except ValueError:
        return {}  # damaged: nothing that is known to be the same
    return identity


def _refuse_another(storage: LocalStorage, plan: Plan) -> None:
    made = read_root(storage).attributes["plan"]
    if made["sha256"] == plan.sha256:
        return
    other = _differing(made["identity"], plan.identity)
    what = f"with another {', '.join(other)}" if other else "from other files"
    raise UsageError(
        f"this store was made {what}",
        where=storage.root,
        fix="Give another --out, or add --overwrite to replace it.",
    )


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    as_json = json.loads(canonical_json(other))
    return sorted(name for name in {*one, *as_json} if one.get(name) != as_json.get(name))


def _clear(storage: LocalStorage) -> None:
    """Remove all content, the root first, so that what is left never looks like a store."""
    storage.remove([schema.ROOT_DOCUMENT])
    remove_work(storage, keep=(storage.root / IDENTITY).name)
    for path in storage.root.iterdir():
        if path.name == schema.STAGING:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def end(storage: LocalStorage) -> None:
    """Remove what a finished conversion leaves, but not the work of other jobs."""
    (storage.root / IDENTITY).unlink(missing_ok=True)
    shutil.rmtree(storage.root / schema.STAGING / JOB, ignore_errors=True)
