"""Trees as text."""

import pytest
from cedarpy import policies_to_pst, pst

from gateway_policies.render import render


def tree(condition: str) -> pst.Expr:
    parsed = policies_to_pst(f"permit(principal, action, resource) when {{ {condition} }};")
    (clause,) = parsed.static_policies["policy0"].clauses
    return clause.expr


@pytest.mark.parametrize(
    "condition",
    [
        "(1 + 2) * 3 == -(4 - principal.trust)",
        'context.args has path && context.args.path like "/re\\*po/*"',
        'context.args["a b"] == "\\"\\\\\\u{7}é"',
        'principal is Agent in Team::"acme/x" || !(resource is Tool)',
        'resource.tags.containsAll(["a", "b"]) && resource.tags.containsAny(["c"]) && !resource.tags.isEmpty()',
        "if context.now.hour >= 9 then {a: true}.a else [false].contains(true)",
        'resource in [Upstream::"a"] && principal.trust <= 3 && 1 < 2 && 3 > 2 && 1 != 2',
        "(context.args has a) == (context.args has b)",
    ],
)
def test_text_reads_back_to_the_same_tree(condition: str) -> None:
    expr = tree(condition)
    assert tree(render(expr)) == expr


def test_an_attribute_of_any_name_is_quoted_after_has() -> None:
    expr = tree('context.args has "a b"')
    assert tree(render(expr)) == expr


def test_a_slot_has_no_text() -> None:
    assert render(pst.Slot("principal")) == "?"
