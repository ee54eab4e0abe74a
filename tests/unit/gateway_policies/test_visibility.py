"""Lists over a whole catalogue."""

import time
from dataclasses import replace

import pytest
from msgspec import structs

from gateway_policies.call import Capability, CapabilityKey
from support.policy_worlds import (
    HELPER,
    LOG,
    NOTES,
    NOW,
    PLANNER,
    PUSH,
    ROBOT,
    SAME_NAME,
    TRANSLATE,
    WIPE,
    WORLD,
    bundle,
    call,
    listing,
    names,
)

TOOLS = (LOG, PUSH, WIPE, NOW)


@pytest.mark.parametrize(
    ("policy", "listed"),
    [
        ("permit(principal, action, resource);", ["git__log", "git__push", "git__wipe", "time__now"]),
        ('permit(principal, action, resource in Upstream::"time");', ["time__now"]),
        ('permit(principal, action, resource in Toolset::"reading");', ["git__log", "time__now"]),
        ('permit(principal, action, resource in Toolset::"empty");', []),
        ('permit(principal, action, resource == Tool::"git__log");', ["git__log"]),
        ('permit(principal, action, resource in Tool::"git__log");', ["git__log"]),
        ("permit(principal, action, resource is Tool);", ["git__log", "git__push", "git__wipe", "time__now"]),
        ('permit(principal, action, resource) when { resource.name like "*__w*" };', ["git__wipe"]),
        (
            'permit(principal, action, resource in Upstream::"git") when { resource.native != "log" };',
            ["git__push", "git__wipe"],
        ),
        ('permit(principal, action, resource) when { resource in Toolset::"reading" };', ["git__log", "time__now"]),
        ("permit(principal, action, resource) when { resource.risk > principal.trust };", ["git__push", "git__wipe"]),
        (
            "permit(principal, action, resource) when { context.args has x };",
            ["git__log", "git__push", "git__wipe", "time__now"],
        ),
        ("permit(principal, action, resource) when { context.args has x && resource.risk > 8 };", ["git__wipe"]),
        (
            "permit(principal, action, resource);"
            " forbid(principal, action, resource) when { context.args has x || resource.risk > 5 };",
            ["git__log", "time__now"],
        ),
    ],
)
def test_listed_is_what_is_callable_for_some_arguments(policy: str, listed: list[str]) -> None:
    made = bundle(policy)
    for _ in range(2):
        assert names(made.visible(PLANNER, TOOLS)) == listed


def test_a_tool_that_is_gone_from_the_world_is_in_no_scope() -> None:
    made = bundle('permit(principal, action, resource == Tool::"git__log");')
    left = made.with_world(replace(WORLD, capabilities={PUSH.key: PUSH}))
    assert left.visible(PLANNER, TOOLS) == []


def test_what_one_principal_sees_is_not_what_another_sees() -> None:
    made = bundle("permit(principal, action, resource) when { resource.risk <= principal.trust };")
    assert [names(made.visible(who, [LOG, PUSH, WIPE])) for who in (PLANNER, ROBOT)] == [
        ["git__log"],
        ["git__log", "git__push", "git__wipe"],
    ]


def test_ten_thousand_tools_and_twenty_policies_take_little_time() -> None:
    tools = [
        Capability(f"git__t{n}", f"t{n}", "git", risk=n % 11, read_only=n % 3 == 0, tags=frozenset({f"g{n % 7}"}))
        for n in range(10_000)
    ]
    world = replace(WORLD, capabilities={tool.key: tool for tool in tools}, arguments={})
    text = "".join(
        f'permit(principal, action, resource) when {{ resource.risk == {n % 11} && resource.tags.contains("g{n % 7}")'
        f" && context.args has a{n} }};\n"
        for n in range(18)
    )
    text += "forbid(principal, action, resource) when { resource.risk > 8 } unless { principal.trust > 8 };\n"
    text += "permit(principal, action, resource) when { resource.read_only };\n"
    made = bundle(text, world=world)
    began = time.process_time()
    listed = made.visible(PLANNER, tools)
    cold_s = time.process_time() - began
    began = time.process_time()
    again = made.visible(PLANNER, tools)
    warm_s = time.process_time() - began
    assert listed == again
    assert 0 < len(listed) < len(tools)
    assert cold_s < 0.2  # 0.015 on an idle machine without coverage
    assert warm_s < 0.05  # 0.001


@pytest.mark.parametrize(
    ("policy", "listed"),
    [
        ("permit(principal, action, resource);", [LOG, SAME_NAME, NOTES, HELPER, TRANSLATE]),
        ('permit(principal, action == Action::"call", resource);', [LOG]),
        ('permit(principal, action == Action::"get", resource);', [SAME_NAME]),
        ('permit(principal, action == Action::"read", resource);', [NOTES]),
        ('permit(principal, action == Action::"message", resource);', [HELPER, TRANSLATE]),
        ('permit(principal, action in [Action::"get", Action::"message"], resource is Skill);', [TRANSLATE]),
        ('permit(principal, action, resource == Prompt::"git__log");', [SAME_NAME]),
        ('permit(principal, action, resource is Prompt in Upstream::"git");', [SAME_NAME]),
        ('permit(principal, action, resource) when { resource is Resource && resource.uri like "file:*" };', [NOTES]),
        ('permit(principal, action, resource) when { action in Action::"use" && resource is Tool };', [LOG]),
        (
            'permit(principal, action, resource) when { context.operation == "x" && resource.risk > 2 };',
            [SAME_NAME, HELPER],
        ),
    ],
)
def test_every_kind_has_its_own_type_and_action(policy: str, listed: list[Capability]) -> None:
    assert bundle(policy).visible(PLANNER, (LOG, SAME_NAME, NOTES, HELPER, TRANSLATE)) == listed


def test_equal_names_of_two_kinds_are_two_things() -> None:
    made = bundle('permit(principal, action, resource == Tool::"git__log");')
    assert made.decide(call(PLANNER, LOG)).is_permit
    assert made.decide(call(PLANNER, SAME_NAME)).code == "no_permit"


def test_a_call_in_the_action_of_another_kind_is_denied() -> None:
    made = bundle("permit(principal, action, resource);")
    assert made.decide(structs.replace(call(PLANNER, SAME_NAME), action="call")).code == "policy_error"


def test_the_operation_is_part_of_the_question() -> None:
    made = bundle('permit(principal, action, resource) when { context.operation == "tasks/get" };')
    for operation, expected in (("tasks/get", True), ("tools/call", False), ("tasks/get", True)):
        assert made.decide(call(PLANNER, HELPER, operation=operation)).is_permit is expected


ALL = "permit(principal, action, resource);"


@pytest.mark.parametrize(
    ("policy", "steps", "is_there"),
    [
        (ALL, (LOG.key, PUSH.key), True),
        (ALL + 'forbid(principal, action, resource == Tool::"git__push");', (LOG.key, PUSH.key), False),
        (ALL, (LOG.key, ("tool", "gone")), False),
        (ALL, (LOG.key, ("tool", "trips__inner")), False),
        ("permit(principal, action, resource) when { resource.risk < 9 };", (LOG.key, WIPE.key), False),
        (ALL + 'forbid(principal, action, resource == Tool::"trips__book");', (LOG.key,), False),
    ],
)
def test_a_composite_is_there_for_those_who_may_take_all_of_its_steps(
    policy: str, steps: tuple[CapabilityKey, ...], *, is_there: bool
) -> None:
    whole = replace(LOG, name="trips__book", native="book", steps=steps)
    inner = replace(LOG, name="trips__inner", native="inner", steps=(LOG.key,))
    more = {one.key: one for one in (whole, inner)}
    made = bundle(policy, world=replace(WORLD, capabilities={**WORLD.capabilities, **more}))
    assert (whole in made.visible(PLANNER, [LOG, whole])) is is_there
    decision = made.decide(call(PLANNER, whole))
    assert (decision.is_permit, decision.is_visible) == (is_there, is_there)
    assert made.decide(listing(PLANNER, whole)).is_permit is is_there
