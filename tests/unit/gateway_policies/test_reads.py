"""What policies read."""

import pytest

from gateway_policies.reads import Reads, infer_kinds, read
from gateway_policies.sources import PolicySource, parse
from gateway_policies.world import ArgumentKind


def reads(condition: str) -> Reads:
    ((policy,), mistakes) = parse([PolicySource("f", f"permit(principal, action, resource) when {{ {condition} }};")])
    assert mistakes == []
    reading = read(policy)
    assert reading.mistakes == []
    return reading.done()


def kinds(*conditions: str) -> tuple[dict[str, ArgumentKind], list[str]]:
    text = "\n".join(f"permit(principal, action, resource) when {{ {condition} }};" for condition in conditions)
    policies, mistakes = parse([PolicySource("f", text)])
    assert mistakes == []
    found, wrong = infer_kinds([read(policy) for policy in policies])
    return {".".join(path): kind for path, kind in found.items()}, [mistake.message for mistake in wrong]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("true", Reads()),
        ('action == Action::"call"', Reads()),
        ("context.args has a", Reads(presence=frozenset({("a",)}))),
        ("context.args has a.b", Reads(presence=frozenset({("a",), ("a", "b")}))),
        ("context.args.a.b == 1", Reads(values=frozenset({("a", "b")}))),
        ("context.now.hour < 3", Reads(now=True)),
        ('context.route == "x" || context.chain_depth > 1', Reads(caller=True)),
        ("context has args && principal has trust", Reads()),
        ("principal.trust > 1", Reads(caller=True)),
        ("resource.risk > 1", Reads(resource=frozenset({"risk"}))),
        ('resource.upstream.tags.contains("x")', Reads(resource=frozenset({"upstream"}))),
        ('resource in Upstream::"u"', Reads(resource=frozenset({"upstream"}))),
        ('resource in [Toolset::"s"]', Reads(resource=frozenset({"toolsets"}))),
        ('resource in [Tool::"t"]', Reads(resource=frozenset({"name"}))),
        ("resource in principal.tenant", Reads(caller=True, resource=frozenset({"name"}))),
        ('resource == Tool::"t"', Reads(resource=frozenset({"name"}))),
        ("resource is Tool", Reads()),
        ('principal in Team::"t" && principal is Agent in Team::"t"', Reads(caller=True)),
        (
            "{a: resource.risk}.a == [1, -resource.price_micros].contains(2)",
            Reads(resource=frozenset({"risk", "price_micros"})),
        ),
        ("{a: 1} has a && !resource.tags.isEmpty()", Reads(resource=frozenset({"tags"}))),
    ],
)
def test_what_a_condition_reads(condition: str, expected: Reads) -> None:
    assert reads(condition) == expected


def test_only_arguments_and_time_make_two_calls_differ() -> None:
    assert [
        reads(text).is_dynamic
        for text in ("context.args has a", "context.args.a == 1", "context.now.hour < 1", "principal.trust > 1")
    ] == [True, True, True, False]


@pytest.mark.parametrize(
    ("condition", "kind"),
    [
        ("context.args.a > 1", "Long"),
        ("-context.args.a == principal.trust", "Long"),
        ("context.args.a == resource.risk * 2", "Long"),
        ("context.args.a == -resource.risk", "Long"),
        ("context.args.a == context.now.hour", "Long"),
        ('context.args.a like "x"', "String"),
        ('"x" == context.args.a', "String"),
        ("context.args.a != resource.name", "String"),
        ('["x"].contains(context.args.a)', "String"),
        ('[context.args.a].contains("x")', "String"),
        ("resource.tags.contains(context.args.a)", "String"),
        ('resource.tags.containsAny([context.args.a, "x"])', "String"),
        ("context.args.a", "Bool"),
        ("!context.args.a", "Bool"),
        ("context.args.a == (resource.risk > 3)", "Bool"),
        ("context.args.a == resource.read_only", "Bool"),
        ("context.args.a == !resource.read_only", "Bool"),
        ("context.args.a == (principal is User)", "Bool"),
        ('context.args.a.contains("x")', "Set<String>"),
        ("context.args.a.isEmpty()", "Set<String>"),
        ("context.args.a.containsAll(resource.tags)", "Set<String>"),
        ('context.args.a == ["x"]', "Set<String>"),
        ("context.args.a == principal.scopes", "Set<String>"),
        ("(if resource.read_only then context.args.a else 3) == 4", "Long"),
        ("(if resource.read_only then 3 else context.args.a) == 4", "Long"),
        ("context.args.a == (if resource.read_only then 3 else 4)", "Long"),
        ('{x: context.args.a == "y"}.x', "String"),
        ("context.args has a", "Bool"),
    ],
)
def test_the_kind_of_an_argument_comes_from_its_use(condition: str, kind: str) -> None:
    assert kinds(condition) == ({"a": kind}, [])


def test_an_argument_has_the_kind_of_one_that_it_is_compared_with() -> None:
    found, wrong = kinds("context.args.a == context.args.b && context.args.c == context.args.b", "context.args.c < 3")
    assert (found, wrong) == ({"a": "Long", "b": "Long", "c": "Long"}, [])


def test_what_holds_members_is_a_record() -> None:
    assert kinds("context.args has a.b && context.args.a.b > 1") == ({"a": "Record", "a.b": "Long"}, [])


@pytest.mark.parametrize(
    "condition",
    [
        "context.args.a == context.args.b",
        'context.args.a == Agent::"x"',
        "context.args.a == resource.upstream",
        "context.args.a == {x: 1}",
        "context.args.a == [1]",
        'context.args.a in Team::"t"',
        "context.args.a.b == 1 && context.args.a == context.args.c",
    ],
)
def test_an_argument_without_a_usable_kind_is_a_mistake(condition: str) -> None:
    assert kinds(condition)[1]


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ("context == context", 2),
        ("context.args == context.args", 2),
        ('ip("1.1.1.1").isInRange(ip("1.1.1.1"))', 1),
        ("context.args has __entity", 1),
    ],
)
def test_what_the_language_does_not_admit_is_a_mistake(condition: str, count: int) -> None:
    ((policy,), _) = parse([PolicySource("f", f"permit(principal, action, resource) when {{ {condition} }};")])
    assert len(read(policy).mistakes) == count
