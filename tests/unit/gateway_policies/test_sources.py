"""Cutting and parsing policy files, and where their mistakes are."""

import pytest

from gateway_policies import sources
from gateway_policies.sources import Policy, PolicyErrors, PolicyMistake, PolicySource, parse

ALL = "permit(principal, action, resource)"


def wrong(text: str) -> list[PolicyMistake]:
    return parse([PolicySource("f.cedar", text)])[1]


def ids(text: str) -> list[str]:
    policies, mistakes = parse([PolicySource("f.cedar", text)])
    assert mistakes == []
    return [policy.id for policy in policies]


def test_a_policy_without_an_id_is_named_by_its_place() -> None:
    assert ids(f'// one; two\n\n{ALL};\n@id("b") {ALL};') == ["f.cedar:3", "b"]


def test_policies_that_share_a_line_are_told_apart() -> None:
    assert ids(f"{ALL}; {ALL};\n{ALL};") == ["f.cedar:1", "f.cedar:1#2", "f.cedar:2"]


def test_semicolons_and_slashes_in_strings_and_comments_do_not_end_a_policy() -> None:
    text = f'{ALL} when {{ "a\n//;\\"" == "" }} // ; "\n;\n{ALL};'
    assert ids(text) == ["f.cedar:1", "f.cedar:4"]


def test_an_empty_source_holds_no_policies() -> None:
    assert ids("// nothing\n") == []


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (f"{ALL}\nwhen {{\n 1 + }};", 3, "unexpected token `}`"),
        (f"{ALL}\nwhen {{\n foo(1) }};", 3, "`foo` is not a valid function"),
        (f"{ALL}\nwhen {{\n\n1 == 9223372036854775808 }};", 4, "integer literal `9223372036854775808` is too large"),
        (f'{ALL}\nwhen {{\n "abc }};', 3, "invalid token"),
        ("\npermit(principa, action, resource);", 2, "found an invalid variable in the policy scope: principa"),
        (f"{ALL};\n{ALL}", 2, "the policy does not end"),
        (";", 1, "unexpected token `;`"),
        (
            f"{ALL} when {{ {'true && ' * 150} true }};",
            1,
            "cedarpy: expression nesting exceeds the supported limit of 100 levels",
        ),
        ("permit(principal == ?principal, action, resource);", 1, "templates are not supported"),
        (f'@id("a b") {ALL};', 1, "an @id has at most 128 letters, digits and `. _ : / -`"),
        (f'@id("{"a" * 129}") {ALL};', 1, "an @id has at most 128 letters, digits and `. _ : / -`"),
    ],
)
def test_a_mistake_is_found_at_its_line(text: str, line: int, message: str) -> None:
    (mistake,) = wrong(text)
    assert (mistake.source, mistake.line, mistake.message) == ("f.cedar", line, message)


def test_every_mistake_of_every_source_is_found() -> None:
    _, mistakes = parse([PolicySource("a", f"{ALL} when {{ ; foo;"), PolicySource("b", f"\n{ALL} unless;")])
    assert [(mistake.source, mistake.line) for mistake in mistakes] == [("a", 1), ("a", 1), ("b", 2)]


def test_an_id_is_used_once() -> None:
    (mistake,) = wrong(f'@id("x") {ALL};\n@id("x") {ALL};')
    assert str(mistake) == "f.cedar:2: policy `x`: the id `x` is already used at f.cedar:1 (ids are unique)"


def test_an_id_cannot_take_the_place_of_another_policy() -> None:
    (mistake,) = wrong(f'{ALL};\n@id("f.cedar:1") {ALL};')
    assert mistake.line == 2


def test_a_source_that_is_too_long_is_refused_unread() -> None:
    (mistake,) = wrong(" " * (sources.MAX_SOURCE_CHARS + 1))
    assert mistake.message == "longer than 4194304 characters"


def test_more_policies_than_the_limit_are_a_mistake() -> None:
    (mistake,) = wrong(f"{ALL};\n" * (sources.MAX_POLICIES + 1))
    assert (mistake.line, mistake.message) == (20_001, "more than 20000 policies")


def test_errors_are_sorted_by_place_and_say_all() -> None:
    errors = PolicyErrors([PolicyMistake("b", 1, "", "second"), PolicyMistake("a", 9, "p", "first", "do it")])
    assert str(errors) == "a:9: policy `p`: first (do it)\nb:1: second"


def test_a_mistake_is_placed_at_the_word_it_is_about() -> None:
    policy = parse([PolicySource("f", f"\n{ALL}\nwhen {{\n context.args has act }};")])[0][0]
    assert isinstance(policy, Policy)
    assert [policy.mistake("m", at=at).line for at in ("act", "absent", "")] == [4, 2, 2]
    assert (policy.place, policy.effect, policy.annotation("hint")) == ("f:2", "permit", "")
