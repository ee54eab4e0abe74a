"""Pins: any change to a definition shows, and shows as what it is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_policies.pins import MAX_CHANGES, Change, diff, digest

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)


def test_a_pin_is_the_same_for_the_same_definition_in_any_order() -> None:
    assert digest("git", {"name": "a", "x": {"b": 1, "a": 2}}) == digest("git", {"x": {"a": 2, "b": 1}, "name": "a"})
    assert digest("git", {"name": "a"}) == "sha256:51bbbd5fc9fb1bc63af3aede15500fccfb47f42671cc4702497e3e4d3428bb53"


@pytest.mark.parametrize(
    "changed",
    [{"name": "b"}, {"name": "a", "description": ""}, {"name": "a", "_meta": {}}, {"name": ["a"]}, {}],
)
def test_any_other_definition_has_another_pin(changed: object) -> None:
    assert digest("git", changed) != digest("git", {"name": "a"})


def test_the_same_definition_of_another_upstream_has_another_pin() -> None:
    assert digest("a", {"name": "x"}) != digest("b", {"name": "x"})


@settings(max_examples=200)
@given(before=values, after=values)
def test_a_diff_is_empty_exactly_when_the_pins_agree(before: object, after: object) -> None:
    assert (diff(before, after) == ()) == (digest("u", before) == digest("u", after))


def test_a_diff_names_what_changed_for_people() -> None:
    before = {"name": "a", "inputSchema": {"required": ["x"], "type": "object"}, "title": "T"}
    after = {"name": "a", "inputSchema": {"required": ["x", "y"], "type": True}, "n": {"é": None}}
    assert diff(before, after) == (
        Change("inputSchema.required[1]", None, '"y"'),
        Change("inputSchema.type", '"object"', "true"),
        Change("title", '"T"', None),
        Change("n", None, '{"\\u00e9": null}'),
    )
    assert [str(change) for change in diff(before, after)][1:3] == [
        'inputSchema.type was "object" and is true',
        'title was removed: "T"',
    ]
    assert str(Change("a", None, "1")) == "a was added: 1"


def test_an_object_that_becomes_a_list_is_one_change() -> None:
    assert diff({"a": {}}, {"a": []}) == (Change("a", "{}", "[]"),)


def test_one_and_true_are_not_the_same() -> None:
    assert diff([1], [True]) == (Change("[0]", "1", "true"),)


def test_what_hides_in_a_name_or_a_value_is_shown() -> None:
    (change,) = diff({"a": {}}, {"a": {"x\u202e": "\u200b"}})
    assert (change.path, change.after) == ('a."x\\u202e"', '"\\u200b"')


def test_a_diff_is_bounded() -> None:
    assert len(diff({}, {str(n): n for n in range(500)})) == MAX_CHANGES
    (change,) = diff({"d": ""}, {"d": "x" * 1000})
    assert change.after is not None
    assert len(change.after) == 501
