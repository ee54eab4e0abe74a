"""What does not load, and what is said of it."""

from dataclasses import replace

import pytest

from gateway_policies.call import CapabilityKey
from gateway_policies.world import ArgumentKind
from support.policy_worlds import ARGUMENTS, WORLD, bundle, mistakes


def when(condition: str, scope: str = "principal, action, resource") -> str:
    return f"permit({scope})\nwhen {{ {condition} }};"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            when("true", 'principal in Team::"acme/reserch", action, resource'),
            "no team `acme/reserch`",
            "acme/research",
        ),
        (when("true", 'principal in Tenant::"amce", action, resource'), "no tenant `amce`", "acme"),
        (when('principal == Agent::"planer"'), "no agent `planer`", "planner"),
        (when("true", 'principal, action, resource in Upstream::"gti"'), "no upstream `gti`", "git"),
        (when('resource in [Toolset::"zzz"]'), "no toolset `zzz`", ""),
        (when('resource == Tool::"git__lgo"'), "upstream `git` has no tool `git__lgo`", "git__log"),
        (when('resource == Tool::"other__x"'), "no tool `other__x`", "{upstream}__{tool}"),
        (when('principal == User::"ana"'), '`User::"ana"` names nobody', "issuer"),
        (when('principal == Workload::"ci"'), '`Workload::"ci"` names nobody', "issuer"),
    ],
)
def test_an_unknown_name_is_a_mistake(text: str, message: str, hint: str) -> None:
    (mistake,) = mistakes(text)
    assert mistake.message == message
    assert hint in mistake.hint


def test_a_tool_of_an_upstream_not_seen_yet_may_exist() -> None:
    assert mistakes(when('resource == Tool::"git__later"'), world=replace(WORLD, known=frozenset({"time"}))) == ()


def test_an_outside_principal_is_named_with_its_issuer() -> None:
    assert mistakes(when('principal == User::"https://idp.example#ana"')) == ()


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        (when("resource.risk"), 1, "unexpected type: expected Bool but saw Long", ""),
        (when('context.args.path == "x"'), 2, "unable to guarantee safety of access to optional attribute", "has x"),
        (
            when("true", 'principal, action == Action::"cal", resource'),
            1,
            'unrecognized action `Action::"cal"`',
            "call",
        ),
        (
            when("true", "principal is Tenant, action, resource"),
            1,
            "unable to find an applicable action",
            "Agent, User",
        ),
        (when("principal.tenant == []"), 1, "empty set literals are forbidden in policies", "isEmpty"),
    ],
)
def test_a_policy_that_breaks_the_vocabulary_does_not_load(text: str, line: int, message: str, hint: str) -> None:
    (mistake,) = mistakes(text)
    assert mistake.message.startswith(message)
    assert mistake.line == line
    assert hint in mistake.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (when('ip("10.0.0.1").isLoopback()'), "`is_loopback` is not supported"),
        (when('principal.hasTag("x")'), "`has_tag` is not supported"),
        (when("context == context"), "`context` cannot be used as a whole"),
        (when('context.args == {path: "x"}'), "`context.args` cannot be used as a whole"),
        (when("context.args.a == context.args.b"), "cannot tell what kind of value argument `a` is"),
        (when("context.args.a == principal"), "argument `a` is compared with what no argument can be"),
        (when("context.args.a == [1, 2]"), "argument `a` is compared with what no argument can be"),
        (
            when("context.args has o.x && context.args.o.x == 1 && context.args.o == context.args.p"),
            "argument `o` is a record and cannot be used as a whole",
        ),
    ],
)
def test_what_the_language_here_does_not_admit_is_a_mistake(text: str, message: str) -> None:
    assert message in [mistake.message for mistake in mistakes(text)]


def test_one_argument_has_one_kind_in_all_policies() -> None:
    found = mistakes(
        when("context.args has n && context.args.n > 1"), when('context.args has n && context.args.n == "x"')
    )
    assert [(mistake.source, mistake.line, mistake.message) for mistake in found] == [
        ("b.cedar", 2, "argument `n` is read as String here and as Long elsewhere")
    ]
    (other,) = mistakes(
        when("context.args has n && context.args.n > 1"), when("context.args has n && context.args.n == principal")
    )
    assert other.message == "argument `n` is read as something else here and as Long elsewhere"


def test_an_argument_that_no_tool_in_scope_has_is_a_mistake() -> None:
    (mistake,) = mistakes(when("context.args has pth", 'principal, action, resource == Tool::"git__log"'))
    assert (mistake.message, mistake.hint) == ("no tool in scope has an argument `pth`", "did you mean `path`?")


@pytest.mark.parametrize(
    "scope",
    [
        "principal, action, resource",  # the time upstream's tool takes any name
        'principal, action, resource in Upstream::"time"',
        'principal, action, resource in Toolset::"reading"',
        'principal, action, resource in Toolset::"empty"',
        'principal, action, resource == Tool::"git__wipe"',
    ],
)
def test_an_argument_that_some_tool_may_have_is_no_mistake(scope: str) -> None:
    assert mistakes(when("context.args has pth", scope)) == ()


def test_unknown_catalogues_and_schemas_leave_arguments_unchecked() -> None:
    scope = 'principal, action, resource in Upstream::"git"'
    text = when("context.args has pth", scope)
    closed: dict[CapabilityKey, dict[str, ArgumentKind]] = {key: {"path": "String"} for key in ARGUMENTS}
    assert len(mistakes(text, world=replace(WORLD, arguments=closed))) == 1
    assert mistakes(text, world=replace(WORLD, arguments=closed, known=frozenset())) == ()
    del closed["tool", "git__wipe"]
    assert mistakes(text, world=replace(WORLD, arguments=closed)) == ()


def test_an_argument_of_another_kind_everywhere_is_a_mistake_and_somewhere_a_finding() -> None:
    text = when('context.args has n && context.args.n == "x"', 'principal, action, resource in Upstream::"git"')
    (mistake,) = mistakes(text)
    assert mistake.message == "argument `n` is Long in its schema, and String in this policy"
    mixed = replace(WORLD, arguments={**ARGUMENTS, ("tool", "git__log"): {"n": "String"}})
    (finding,) = bundle(text, world=mixed).findings
    assert (finding.message, finding.hint) == (mistake.message, "a call with another kind is refused")


def test_presence_does_not_care_for_the_kind_and_members_are_looked_up() -> None:
    git = 'principal, action, resource == Tool::"git__log"'
    deep: dict[CapabilityKey, dict[str, ArgumentKind]] = {
        ("tool", "git__log"): {"opts": "Record", "opts.a": "Bool", "any": "Other", "n": "Long"}
    }
    world = replace(WORLD, arguments=deep)
    assert mistakes(when("context.args has n || context.args has any.thing", git), world=world) == ()
    assert [mistake.message for mistake in mistakes(when("context.args has opts.b", git), world=world)] == [
        "no tool in scope has an argument `opts.b`"
    ]


def test_a_rule_that_can_never_match_does_not_load() -> None:
    (mistake,) = mistakes(when("resource.risk < 3 && resource.risk > 5"))
    assert mistake.message == "this policy can never match"


def test_one_mistake_about_a_policy_says_enough() -> None:
    assert len(mistakes(when('principal == Agent::"ghost" && resource.risk && false'))) == 1


@pytest.mark.parametrize(
    ("scope", "message", "hint"),
    [
        (
            'resource == Prompt::"git__revew"',
            "upstream `git` has no prompt `git__revew`",
            "did you mean `git__review`?",
        ),
        ('resource == Prompt::"git__push"', "upstream `git` has no prompt `git__push`", ""),
        ('resource == Skill::"nope"', "no skill `nope`", "a skill is named `{upstream}__{skill}`"),
        ('resource == Resource::"git://heat"', "no resource `git://heat`", "did you mean `git://head`?"),
        ('resource == Resource::"zz"', "no resource `zz`", "a resource is named by its URI or URI template"),
        ('resource == RemoteAgent::"helped"', "no agent `helped`", "did you mean `helper`?"),
        ('resource == RemoteAgent::"git"', "no agent `git`", ""),
    ],
)
def test_whatever_a_policy_names_must_exist_in_its_own_kind(scope: str, message: str, hint: str) -> None:
    (mistake,) = mistakes(f"permit(principal, action, {scope});")
    assert (mistake.message, mistake.hint.removesuffix("…")) == (message, hint)


def test_what_may_still_come_may_be_named() -> None:
    world = replace(WORLD, known=frozenset({"time"}), capabilities={})
    for scope in ('Resource::"git://later"', 'RemoteAgent::"helper"', 'Prompt::"git__later"'):
        assert mistakes(f"permit(principal, action, resource == {scope});", world=world) == ()


def test_arguments_are_looked_up_in_what_the_action_is_on() -> None:
    assert mistakes(when("context.args has uri", 'principal, action == Action::"read", resource')) == ()
    (mistake,) = mistakes(when("context.args has path", 'principal, action == Action::"read", resource'))
    assert mistake.message == "no resource in scope has an argument `path`"
    (mistake,) = mistakes(
        when("context.args has pth", 'principal, action in [Action::"get", Action::"read"], resource')
    )
    assert mistake.message == "no capability in scope has an argument `pth`"
    named = 'principal, action, resource == Prompt::"git__log"'
    assert [found.message for found in mistakes(when("context.args has path", named))] == [
        "no prompt in scope has an argument `path`"
    ]


def test_a_type_that_its_action_is_not_on_does_not_load() -> None:
    (mistake,) = mistakes('permit(principal, action == Action::"get", resource is Tool);')
    assert mistake.message.startswith("unable to find an applicable action")
    assert '"get" on Prompt' in mistake.hint


@pytest.mark.parametrize(("condition", "name"), [("resource.rsk < 3", "rsk"), ('resource.uri like "x"', "uri")])
def test_what_is_wrong_for_every_kind_is_said_once(condition: str, name: str) -> None:
    (mistake,) = mistakes(when(condition))
    assert mistake.message == f"attribute `{name}` on entity type `Tool` not found"
