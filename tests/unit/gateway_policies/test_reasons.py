"""What a caller is told."""

import pytest
from cedarpy import policies_to_pst

from gateway_policies.entities import Entity, Uid
from gateway_policies.partial import Scene
from gateway_policies.reasons import MAX_TEXT_CHARS, forbid_reason, nearest_reason
from gateway_policies.sources import Policy

SCENE = Scene(
    Entity(Uid("Agent", "a"), {"trust": 1}),
    Entity(Uid("Tool", "t"), {"risk": 1}),
    {"args": {"n": 1, "s": "x"}, "now": {"hour": 3}, "route": "mcp", "chain_depth": 0},
)


def policy(condition: str, annotations: str = "") -> Policy:
    text = f"{annotations} permit(principal, action, resource) when {{ {condition} }};"
    return Policy("p", "f", 1, text, policies_to_pst(text).static_policies["policy0"])


@pytest.mark.parametrize(
    "condition",
    [
        "context.args.n > 3",
        "!(context.args has n)",
        'context.args.s like "/repo/*"',
        '["a", "b"].contains(context.args.s)',
        "context.now.hour >= 9",
        "context.args has x",
        "context.chain_depth > 1",
        "false",
    ],
)
def test_what_is_the_callers_own_is_quoted(condition: str) -> None:
    assert nearest_reason(policy(condition), SCENE).hint == f"it needs {condition}"


@pytest.mark.parametrize(
    "condition", ['principal in Tenant::"rival"', "principal.trust > 5", "if true then false else false"]
)
def test_what_may_name_others_is_not_quoted(condition: str) -> None:
    assert nearest_reason(policy(condition), SCENE).hint == ""


def test_the_hint_of_the_policy_comes_first() -> None:
    assert nearest_reason(policy("context.args.n > 3", '@hint("ask ana")'), SCENE).hint == "ask ana"


def test_a_long_reason_is_cut() -> None:
    reason = forbid_reason(policy("true", f'@reason("{"x" * 1000}")'))
    assert len(reason.text) == MAX_TEXT_CHARS
    assert reason.text.endswith("…")
