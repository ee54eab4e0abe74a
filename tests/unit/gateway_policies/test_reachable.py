"""Rules that can never match."""

import pytest

from gateway_policies.reachable import can_match
from gateway_policies.sources import PolicySource, parse


def reachable(text: str) -> bool:
    ((policy,), mistakes) = parse([PolicySource("f", text)])
    assert mistakes == []
    return can_match(policy)


def when(condition: str) -> bool:
    return reachable(f"permit(principal, action, resource) when {{ {condition} }};")


@pytest.mark.parametrize(
    "condition",
    [
        "false",
        "resource.risk < 3 && resource.risk > 5",
        "resource.risk > 10",
        "!(resource.risk >= 0)",
        "10 < resource.risk",
        "resource is Agent",
        "context.args.a == 1 && context.args.a == 2",
        'context.args.s == "a" && context.args.s == "b"',
        '["a", "b"].contains(context.args.s) && context.args.s != "a" && context.args.s != "b"',
        "context.now.hour >= 9 && context.now.hour < 9",
        "context.args.f && !context.args.f",
        "context.args.f == true && context.args.f == false",
        "9223372036854775807 + 1 > 0",
        "context.args.n < 0 && context.args.n > 0",
        "if resource.read_only then false else (false || false)",
        "{a: false}.a",
        "[true].contains(false)",
    ],
)
def test_a_contradiction_can_never_match(condition: str) -> None:
    assert not when(condition)


@pytest.mark.parametrize(
    "condition",
    [
        "true",
        "resource.risk > 9",
        '["a", "b"].contains(context.args.s) && context.args.s != "a"',
        '[context.args.t, "b"].contains(context.args.s)',
        'context.args.s like "a*" && context.args.s like "b*"',  # more than we prove
        "context.args.n * 2 == 6 && resource.risk == 3",
        "context.args.n < context.args.m",
        'principal == Agent::"a" || principal in Team::"x"',
        'Tool::"unknown".risk > 3 && Tool::"unknown" in Toolset::"x" && Tool::"unknown" has risk',
        "if context.args has f then resource.read_only else -context.args.n > 3",
        "resource has risk && principal is User",
        "{a: resource.risk}.a > 3",
        "[resource.risk].contains(4)",
        'resource.tags.contains("x") && [principal.issuer].contains("y")',
        "principal.trust > 3 && principal.trust < 5",
        " && ".join(f"context.args.n{n} != {n}" for n in range(12)),  # too many trials to try
    ],
)
def test_what_may_hold_may_match(condition: str) -> None:
    assert when(condition)


@pytest.mark.parametrize(
    ("scope", "condition", "expected"),
    [
        ("principal is User", "principal is Agent", False),
        ('principal == Agent::"a"', "principal is User", False),
        ('principal is Agent in Team::"x"', "principal is Workload", False),
        ('principal in Team::"x"', "principal is Workload", True),
    ],
)
def test_the_scope_limits_who_it_may_be(scope: str, condition: str, expected: bool) -> None:
    assert reachable(f"permit({scope}, action, resource) unless {{ !({condition}) }};") is expected
