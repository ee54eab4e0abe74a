"""Which arguments policies see, and what is refused."""

import pytest

from gateway_policies.arguments import MAX_SET_ITEMS, WrongArgument, as_values, seen_arguments
from gateway_policies.world import ArgumentKind

KINDS: dict[tuple[str, ...], ArgumentKind] = {
    ("n",): "Long",
    ("s",): "String",
    ("b",): "Bool",
    ("l",): "Set<String>",
    ("o",): "Record",
    ("o", "deep"): "Bool",
    ("o", "in"): "Record",
    ("o", "in", "x"): "Long",
}
ALL = frozenset(path for path, kind in KINDS.items() if kind != "Record")
NONE: frozenset[tuple[str, ...]] = frozenset()


def test_only_named_arguments_are_seen() -> None:
    arguments = {
        "n": 1,
        "s": "x",
        "b": False,
        "l": ["a"],
        "o": {"deep": True, "more": 1.5, "in": {"x": 2}},
        "other": {"__entity": 1},
    }
    seen = seen_arguments(arguments, ALL, NONE, KINDS)
    assert seen == {"n": 1, "s": "x", "b": False, "l": ["a"], "o": {"deep": True, "in": {"x": 2}}}


def test_missing_arguments_are_missing_and_their_records_stay() -> None:
    assert seen_arguments({}, ALL, NONE, KINDS) == {}
    assert seen_arguments({"o": {}}, ALL, NONE, KINDS) == {"o": {}}


@pytest.mark.parametrize("value", [1.5, 1e300, None, True, 2**63, -(2**63) - 1, "1", [1], {}])
def test_what_is_no_64_bit_integer_is_refused_by_name(value: object) -> None:
    assert seen_arguments({"n": value}, ALL, NONE, KINDS) == WrongArgument(
        ("n",), "argument `n` must be a whole number of at most 64 bits"
    )


@pytest.mark.parametrize(
    ("name", "value", "should"),
    [
        ("s", 1, "text"),
        ("s", "\ud800", "text"),
        ("s", None, "text"),
        ("b", 1, "true or false"),
        ("l", "a", "a list of at most 10000 texts"),
        ("l", ["a", 1], "a list of at most 10000 texts"),
        ("l", ["\udfff"], "a list of at most 10000 texts"),
        ("l", ["a"] * (MAX_SET_ITEMS + 1), "a list of at most 10000 texts"),
        ("o", 3, "an object"),
        ("o", None, "an object"),
    ],
)
def test_another_kind_is_refused_by_name(name: str, value: object, should: str) -> None:
    assert seen_arguments({name: value}, ALL, NONE, KINDS) == WrongArgument(
        (name,), f"argument `{name}` must be {should}"
    )


def test_text_outside_ascii_is_text() -> None:
    assert seen_arguments({"s": "é𝄞"}, ALL, NONE, KINDS) == {"s": "é𝄞"}


@pytest.mark.parametrize("escape", ["__entity", "__extn", "__expr"])
def test_cedars_own_json_escapes_are_refused_wherever_policies_look(escape: str) -> None:
    at_top = seen_arguments({escape: {"type": "Agent", "id": "admin"}, "s": "x"}, ALL, NONE, KINDS)
    inside = seen_arguments({"o": {escape: {}, "deep": True}}, ALL, NONE, KINDS)
    as_text = seen_arguments({"s": {escape: {"type": "Agent", "id": "admin"}}}, ALL, NONE, KINDS)
    assert isinstance(at_top, WrongArgument)
    assert at_top.text.startswith("the arguments must not hold members named `__entity`, `__expr`, `__extn`")
    assert isinstance(inside, WrongArgument)
    assert inside.text.startswith("argument `o` must not hold")
    assert isinstance(as_text, WrongArgument)


def test_an_argument_that_is_only_tested_for_presence_may_hold_anything_but_null() -> None:
    presence: frozenset[tuple[str, ...]] = frozenset({("n",), ("s",), ("b",), ("l",), ("o",)})
    arguments: dict[str, object] = {"n": 1.5, "s": 3, "b": [1], "l": {"x": 1}, "o": {"x": 1}}
    assert seen_arguments(arguments, NONE, presence, KINDS) == {"n": 0, "s": "", "b": True, "l": [], "o": {}}
    assert isinstance(seen_arguments({"n": None}, NONE, presence, KINDS), WrongArgument)


def test_seen_arguments_become_values() -> None:
    assert as_values({"l": ["a", "a"], "o": {"deep": True}}) == {"l": frozenset({"a"}), "o": {"deep": True}}
