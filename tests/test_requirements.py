"""Promises and tests, joined both ways."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from requirements import REQUIREMENTS

TESTS = Path(__file__).parent


def claims(source: str) -> Iterator[str]:
    """Yield every id that a `pytest.mark.requirement(...)` in `source` names."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "requirement"
            and isinstance(node.func.value, ast.Attribute)
            and node.func.value.attr == "mark"
        ):
            for argument in node.args:
                assert isinstance(argument, ast.Constant), "a requirement is named by a plain string"
                yield str(argument.value)


def claimed() -> dict[str, set[str]]:
    """Return the test files that claim each id."""
    found: dict[str, set[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for name in claims(path.read_text(encoding="utf-8")):
            found.setdefault(name, set()).add(path.relative_to(TESTS).as_posix())
    return found


CLAIMED = claimed()


@pytest.mark.parametrize("name", [name for name, entry in REQUIREMENTS.items() if entry.gap is None])
def test_a_promise_without_a_gap_has_a_test(name: str) -> None:
    assert name in CLAIMED, f"no test is marked `{name}`: mark one, or say in `gap` why there is none"


def test_a_test_claims_only_promises_that_exist() -> None:
    assert sorted(set(CLAIMED) - set(REQUIREMENTS)) == [], "add them to tests/promises/"


def test_a_gap_that_a_test_has_closed_is_taken_out() -> None:
    closed = {name: sorted(CLAIMED[name]) for name, entry in REQUIREMENTS.items() if entry.gap and name in CLAIMED}
    assert closed == {}, "take out their `gap`"


def test_a_gap_says_why() -> None:
    assert [name for name, entry in REQUIREMENTS.items() if entry.gap is not None and len(entry.gap) < 20] == []


def test_claims_are_found_in_decorators_and_in_module_marks() -> None:
    source = (
        'import pytest\npytestmark = [pytest.mark.requirement("a")]\n@pytest.mark.requirement("b", "c")\ndef t(): ...'
    )
    assert set(claims(source)) == {"a", "b", "c"}
