"""Random numbers: no two things of the synthetic world are drawn from the same ones."""

import ast
from pathlib import Path

import numpy as np

from simipu.pipelines.synthetic import options

PACKAGE = Path(options.__file__).parent


def words(key: ast.expr) -> int:
    """How many whole numbers a key written as a list has; the seed of a world counts as two."""
    assert isinstance(key, ast.List), ast.unparse(key)
    return sum(2 if isinstance(part, ast.Starred) else 1 for part in key.elts)


def test_every_key_has_three_words_or_five():
    """Keys of fewer would be those of others, with zeros added."""
    found = [
        words(call.args[0])
        for path in sorted(PACKAGE.glob("*.py"))
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("default_rng")
    ]
    assert len(found) >= 15
    assert set(found) == {3, 5}


def test_keys_of_three_words_and_of_five_never_make_the_same_numbers():
    def first(*key):
        return np.random.default_rng(key).integers(2**63)

    assert first(7, 2) == first(7, 2, 0)
    assert first(7, 2, 1) == first(7, 2, 1, 0)
    assert first(7, 2, 1) != first(7, 2, 1, 0, 0)
    assert first(2**32 + 7, 2, 1) == first(7, 1, 2, 1)
    assert first(options.MOST_SEED, 2, 1) != first(options.MOST_SEED - 2**31, 2, 1)
