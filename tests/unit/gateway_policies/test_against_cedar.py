"""A differential fuzz test: random policies and calls, decided here and by Cedar itself."""

from dataclasses import replace
from itertools import product

import cedarpy
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from msgspec import structs

from gateway_policies.bundle import PolicyBundle
from gateway_policies.call import Call
from gateway_policies.principal import Principal
from support.policy_worlds import EVERYONE, MONDAY_NOON, WORLD, ask_cedar, bundle, call, cedar_allows, mistakes

FUZZ = settings(
    max_examples=90,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.filter_too_much),
)

ABOUT_CALLER = (
    'principal in Team::"acme/research"',
    'principal in Tenant::"rival"',
    'principal in [Team::"rival/spies", Team::"acme/platform"]',
    "principal is User",
    'principal is Agent in Tenant::"acme"',
    'principal == Agent::"planner"',
    'principal == User::"https://idp.example#ana"',
    'principal.tenant == Tenant::"acme"',
    'principal.scopes.contains("code")',
    "principal.scopes.isEmpty()",
    "principal.trust * 2 > 9",
    "principal has trust",
    'principal.issuer like "https://*"',
    'context.route == "mcp"',
    "context.chain_depth < 1",
    'User::"https://idp.example#ana".trust > 0',
)
ABOUT_TOOL = (
    'resource in Upstream::"git"',
    'resource in Toolset::"reading"',
    'resource in [Toolset::"reading", Toolset::"empty"]',
    'resource in [Tool::"git__push", Tool::"git__log"]',
    'resource == Tool::"git__log"',
    'resource.upstream.tags.contains("vcs")',
    'resource.upstream == Upstream::"git"',
    "resource.read_only",
    'resource.tags.containsAll(["code", "write"])',
    'resource.name like "git*_*g"',
    'resource.native == "push"',
    "resource.price_micros * 9223372036854775807 > 7",
    'Tool::"git__wipe".risk > resource.risk',
    "resource.risk <= principal.trust",
    "resource.tags.containsAny(principal.scopes)",
    "resource is Tool",
    "[1, 2, 9].contains(resource.risk) && {a: resource.risk}.a > 1",
    'resource is Resource && resource.uri like "*{name}"',
    'resource has uri && resource.uri == "git://head"',
    'resource is Prompt in Upstream::"git"',
    'resource in Prompt::"git__log" || resource == Skill::"helper__translate"',
    'action == Action::"get"',
    'action in [Action::"read", Action::"call"]',
    'action in Action::"use"',
    'RemoteAgent::"helper".risk < resource.risk',
)
ABOUT_CALL = (
    'context.args has path && context.args.path like "/repo/*"',
    'context.args has path && ["/x", "/repo/a"].contains(context.args.path)',
    "context.args has n && context.args.n > 10",
    "context.args has n && context.args.n + 9223372036854775800 > 0",
    "context.args has flag && context.args.flag",
    'context.args has labels && context.args.labels.contains("x")',
    'context.args has labels && context.args.labels == ["x", "y"]',
    "context.args has opts.deep && context.args.opts.deep",
    "context.args has opts",
    "context.args has only",
    "context.now.hour >= 9 && context.now.hour < 17",
    "context.now.weekday > 5",
    'context.operation == "tools/call"',
    'context.operation like "*/*"',
)


def _conditions(atoms: tuple[str, ...]) -> st.SearchStrategy[str]:
    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.builds("({} && {})".format, inner, inner),
            st.builds("({} || {})".format, inner, inner),
            st.builds("!({})".format, inner),
            st.builds("(({}) == ({}))".format, inner, inner),
            st.builds("(if {} then {} else {})".format, inner, inner, inner),
            st.builds("[{}].contains({})".format, inner, inner),
        )

    return st.recursive(st.sampled_from(atoms), grow, max_leaves=4)


PRINCIPALS = st.sampled_from(
    (
        "principal",
        "principal",
        'principal in Team::"acme/research"',
        'principal == Agent::"robot"',
        "principal is Agent",
        'principal is User in Tenant::"acme"',
        'principal in Tenant::"rival"',
    )
)
ACTIONS = st.sampled_from(
    (
        "action",
        "action",
        'action in Action::"use"',
        'action == Action::"call"',
        'action in [Action::"get", Action::"read"]',
        'action in [Action::"message", Action::"call"]',
    )
)
RESOURCES = st.sampled_from(
    (
        "resource",
        "resource",
        'resource in Upstream::"git"',
        'resource in Toolset::"reading"',
        'resource == Tool::"git__push"',
        'resource is Tool in Upstream::"time"',
        'resource in Tool::"git__log"',
        'resource == Prompt::"git__log"',
        "resource is Resource",
        'resource is Skill in Upstream::"helper"',
    )
)


def _policies(atoms: tuple[str, ...]) -> st.SearchStrategy[str]:
    clauses = st.lists(
        st.builds("{} {{ {} }}".format, st.sampled_from(("when", "unless")), _conditions(atoms)), max_size=2
    )
    policy = st.builds(
        "{}({}, {}, {}) {};".format,
        st.sampled_from(("permit", "permit", "forbid")),
        PRINCIPALS,
        ACTIONS,
        RESOURCES,
        clauses.map(" ".join),
    )
    return st.lists(policy, min_size=1, max_size=6).map("\n".join)


POOLS: dict[str, tuple[object, ...]] = {
    "path": (None, "/repo/a", "/x", "/repo"),
    "n": (None, 0, 7, 8, 11, -(2**63), 2**63 - 1),
    "labels": (None, list[str](), ["x"], ["y", "x"]),
    "opts": (None, dict[str, bool](), {"deep": True}, {"deep": False}),
    "flag": (None, True, False),
    "only": (None, True, False),
}
TIMES = (MONDAY_NOON, MONDAY_NOON + 5 * 86400 + 8 * 3600)


def _arguments(*values: object) -> dict[str, object]:
    return {name: value for name, value in zip(POOLS, values, strict=True) if value is not None}


ARGUMENT_SETS = [_arguments(*values) for n, values in enumerate(product(*POOLS.values())) if n % 151 == 0]
ARGUMENTS = st.builds(_arguments, *(st.sampled_from(pool) for pool in POOLS.values()))
FUZZ_WORLD = replace(WORLD, arguments={})  # which arguments tools have is another test's matter
EVERYTHING = tuple(WORLD.capabilities.values())


def _compiled(text: str) -> PolicyBundle:
    """Compile `text`; the example is dropped when a rule in it never matches, or is on what its action is not on."""
    wrong = {mistake.message for mistake in mistakes(text, world=FUZZ_WORLD)}
    assert wrong <= {
        "this policy can never match",
        "unable to find an applicable action given the policy scope constraints",
    }
    assume(not wrong)
    return bundle(text, world=FUZZ_WORLD)


def _as_cedar_sees_it(made: PolicyBundle, attempt: Call) -> Call:
    """Leave only the arguments that the schema has: Cedar refuses others."""
    kinds = made.rules.kinds
    kept = {name: value for name, value in attempt.arguments.items() if (name,) in kinds}
    if kinds.get(("opts",)) == "Bool" and "opts" in kept:
        kept["opts"] = True  # policies only ask whether it is there
    return structs.replace(attempt, arguments=kept)


@FUZZ
@given(
    text=_policies(ABOUT_CALLER + ABOUT_TOOL + ABOUT_CALL),
    attempts=st.lists(
        st.builds(
            call,
            st.sampled_from(EVERYONE),
            st.sampled_from(EVERYTHING),
            ARGUMENTS,
            st.sampled_from(TIMES),
            st.sampled_from(("mcp", "reading")),
            st.sampled_from(("tools/call", "prompts/get", "SendMessage")),
        ),
        min_size=4,
        max_size=8,
    ),
)
def test_a_call_is_permitted_exactly_when_cedar_allows_it_without_an_error(text: str, attempts: list[Call]) -> None:
    made = _compiled(text)
    for attempt in attempts:
        decision = made.decide(attempt)
        said = ask_cedar(text, made.rules.schema, _as_cedar_sees_it(made, attempt))
        is_allowed = said.decision is cedarpy.Decision.Allow and not said.diagnostics.errors
        assert decision.is_permit == is_allowed, (attempt, decision)
        if not said.diagnostics.errors and decision.code != "argument_type":
            determining = [made.policies[int(name.removeprefix("policy"))].id for name in said.diagnostics.reasons]
            assert decision.policies == tuple(sorted(determining)), (attempt, decision)
        assert decision == made.decide(attempt)
        assert decision.is_visible or not decision.is_permit


@FUZZ
@given(
    text=_policies(ABOUT_CALLER + ABOUT_TOOL), principal=st.sampled_from(EVERYONE), route=st.sampled_from(("mcp", "x"))
)
def test_without_arguments_and_time_it_is_listed_exactly_when_cedar_allows_it(
    text: str, principal: Principal, route: str
) -> None:
    made = _compiled(text)
    listed = made.visible(principal, EVERYTHING, route=route)
    assert listed == [
        item for item in EVERYTHING if cedar_allows(text, made.rules.schema, call(principal, item, route=route))
    ]
    anywhere = made.visible(principal, EVERYTHING)
    assert all(item in anywhere for item in listed)


@settings(FUZZ, max_examples=25)
@given(text=_policies(ABOUT_CALLER + ABOUT_TOOL + ABOUT_CALL), principal=st.sampled_from(EVERYONE))
def test_whatever_cedar_allows_for_some_arguments_is_listed(text: str, principal: Principal) -> None:
    made = _compiled(text)
    listed = made.visible(principal, EVERYTHING, route="mcp")
    for item in EVERYTHING:
        attempts = [
            call(principal, item, arguments, at, operation="tools/call")
            for arguments in ARGUMENT_SETS[:10]
            for at in TIMES
        ]
        hidden_but_allowed = item not in listed and any(
            cedar_allows(text, made.rules.schema, _as_cedar_sees_it(made, attempt)) for attempt in attempts
        )
        assert not hidden_but_allowed
        assert made.decide(attempts[0]).is_visible == (item in listed)
