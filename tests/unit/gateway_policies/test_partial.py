"""Conditions in three values."""

import pytest
from cedarpy import policies_to_pst, pst

from gateway_policies.entities import Entity, Uid
from gateway_policies.partial import Scene, both, compile_clauses, compile_expr, conjuncts
from gateway_policies.render import render
from gateway_policies.values import FAILED, Failed, Unknown, Value, depends_on, unknown

AGENT = Entity(
    Uid("Agent", "a"),
    {"trust": 3, "scopes": frozenset({"x"}), "tenant": Uid("Tenant", "t")},
    (Uid("Tenant", "t"),),
    frozenset({Uid("Tenant", "t")}),
)
TOOL = Entity(Uid("Tool", "u__t"), {"name": "u__t", "risk": 5, "read_only": True, "upstream": Uid("Upstream", "u")})
SCENE = Scene(AGENT, TOOL, {"args": unknown("context.args"), "known": {"n": 7}})


def parsed(condition: str) -> pst.Template:
    tree = policies_to_pst(f"permit(principal, action, resource) when {{ {condition} }};")
    return tree.static_policies["policy0"]


def value(condition: str, scene: Scene = SCENE) -> Value:
    return compile_clauses(parsed(condition))(scene)


@pytest.mark.parametrize(
    "condition",
    [
        "principal.trust == 3 && principal.trust != 4 && principal.trust < 4 && principal.trust <= 3",
        "resource.risk > 4 && resource.risk >= 5 && resource.risk + 1 - 2 == 4 && -resource.risk * 2 == -10",
        'principal in Tenant::"t" && principal in [Tenant::"t"] && principal in Agent::"a"',
        'principal is Agent && principal is Agent in Tenant::"t" && !(principal is User)',
        'principal has trust && !(principal has risk) && !(Agent::"b" has trust) && context has known',
        'principal.scopes.contains("x") && principal.scopes.containsAll(["x"])',
        'principal.scopes.containsAny(["x", "y"]) && !principal.scopes.containsAny(["y"])',
        'resource.name like "u*_t" && resource.name like "*" && resource.name like "u__t" && !(resource.name like "u")',
        'resource.name like "*_*_*" && !(resource.name like "*x*") && !(resource.name like "u__t*u__t")',
        '"a*b" like "a\\*b" && !("aXb" like "a\\*b") && "aab" like "*ab" && !("ab" like "*abc*")',
        'action == Action::"call"',
        "if resource.read_only then true else false",
        "if !resource.read_only then false else true",
        "{a: 1} == {a: 1} && context.known.n == 7 && [1, 2].contains(2) && !principal.scopes.isEmpty()",
        "true || context.args.x",
        "context.args.x || true",
        "context.args.x || 9223372036854775807 + 1 > 0",
        "if context.args.x then true else true",
        "if context.args.x then (9223372036854775807 + 1 > 0) else true",
        "if context.args.x then true else (9223372036854775807 + 1 > 0)",
        "false || true",
    ],
)
def test_it_holds(condition: str) -> None:
    assert value(condition) is True


@pytest.mark.parametrize(
    "condition",
    [
        "resource.risk > 5",
        "context.args.x && false",
        "false && context.args.x",
        "context.args.x && 9223372036854775807 + 1 > 0",
        'Agent::"b" in Tenant::"t"',
        'principal in [Tenant::"other"]',
    ],
)
def test_it_fails(condition: str) -> None:
    assert value(condition) is False


@pytest.mark.parametrize(
    "condition",
    [
        "9223372036854775807 + 1 > 0 && false",
        "9223372036854775807 + 1 > 0 || true",
        "-9223372036854775807 - 2 < 0",
        "9223372036854775807 * 2 > 0",
        'Agent::"b".trust > 3',
        "principal.absent",
        "context.known.absent == 1",
        "resource.name.x",
        "resource.name has x",
        "resource.name is Tool",
        'resource.name in Tenant::"t"',
        'principal in Agent::"b".tenant',
        'resource.risk like "x"',
        "!resource.risk",
        "-resource.name == 1",
        "resource.risk.isEmpty()",
        "resource.risk.contains(1)",
        "resource.risk.containsAll([1])",
        'resource.risk < "x"',
        "[9223372036854775807 + 1].contains(1)",
        "{a: 9223372036854775807 + 1} == {a: 1}",
        "if 9223372036854775807 + 1 > 0 then true else true",
        "context.args.x == (9223372036854775807 + 1)",
        "if context.args.x then resource.absent else resource.absent",
        "!(9223372036854775807 + 1 > 0)",
    ],
)
def test_it_cannot_be_evaluated(condition: str) -> None:
    assert isinstance(value(condition), Failed)


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("context.args.x", {"context.args.x"}),
        ("context.args has x", {"context.args.x"}),
        ("!(context.args.x > 3)", {"context.args.x"}),
        ("context.args.x && context.args.y", {"context.args.x", "context.args.y"}),
        ("context.args.x || context.args.y || false", {"context.args.x", "context.args.y"}),
        ("if context.args.x then 1 == 1 else context.args.y", {"context.args.x", "context.args.y"}),
        ("if context.args.x then true else false", {"context.args.x"}),
        ("[context.args.x].contains(1)", {"context.args.x"}),
        ("{a: context.args.x} == {a: 1}", {"context.args.x"}),
        ('context.args.x in Tenant::"t"', {"context.args.x"}),
        ("principal in context.args.x", {"context.args.x"}),
        ("context.args.x is Tool", {"context.args.x"}),
        ('context.args.x like "a"', {"context.args.x"}),
        (
            "(if context.args.x then context.args.y else context.args.z).w",
            {"context.args.x", "context.args.y", "context.args.z"},
        ),
        ("(if context.args.x then {a: 1} else {a: 2}) has a", {"context.args.x"}),
        ("[{a: 1}].contains({a: 1})", set[str]()),
    ],
)
def test_it_depends(condition: str, names: set[str]) -> None:
    found = value(condition)
    assert isinstance(found, Unknown)
    assert depends_on(found) == names


def test_members_of_an_unknown_may_be_assumed() -> None:
    scene = Scene(unknown("principal"), unknown("resource"), unknown("context"), assumed={"resource.risk": 4})
    assert value("resource.risk == 4", scene) is True
    assert isinstance(value("principal.trust == 4", scene), Unknown)


def test_the_types_of_an_unknown_entity_decide_what_it_is() -> None:
    scene = Scene(Unknown(types=frozenset({"User", "Agent"})), Unknown(types=frozenset({"Tool"})), {})
    assert value("resource is Tool && !(principal is Workload)", scene) is True
    assert isinstance(value("principal is User", scene), Unknown)


def test_in_an_open_scene_an_absent_entity_may_be_anything() -> None:
    scene = Scene(AGENT, TOOL, {}, is_open=True)
    for condition in ('Agent::"b".trust > 3', 'Agent::"b" has trust', 'Agent::"b" in Tenant::"t"'):
        assert isinstance(value(condition, scene), Unknown)


def test_entities_beside_the_call_can_be_reached() -> None:
    upstream = Entity(Uid("Upstream", "u"), {"tags": frozenset({"vcs"})})
    scene = Scene(AGENT, TOOL, {}, {upstream.uid: upstream})
    assert value('resource.upstream.tags.contains("vcs")', scene) is True


def test_unless_is_a_condition_that_must_not_hold() -> None:
    tree = policies_to_pst("permit(principal, action, resource) when { 1 == 1 && 2 == 2 } unless { 3 == 4 };")
    assert [render(expr) for expr in conjuncts(tree.static_policies["policy0"])] == ["1 == 1", "2 == 2", "!(3 == 4)"]


def test_a_failure_on_the_left_stays_a_failure() -> None:
    assert both(FAILED, lambda _: False, SCENE) is FAILED


@pytest.mark.parametrize("condition", ['ip("1.1.1.1").isLoopback()', 'principal.hasTag("x")'])
def test_what_is_not_supported_does_not_compile(condition: str) -> None:
    with pytest.raises(ValueError, match="is not supported"):
        compile_clauses(parsed(condition))


def test_slots_do_not_compile() -> None:
    with pytest.raises(ValueError, match="slots"):
        compile_expr(pst.Slot("principal"))
