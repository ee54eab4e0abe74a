"""Visibility: which tools a principal may see, for a whole catalogue at once.

A tool is visible when it is callable for some arguments at some time: some
permit may hold, and no forbid holds (and no policy fails) whatever they are.
What cannot be decided without the arguments counts as callable, so a list
never hides a callable tool; policies that read neither arguments nor time are
decided exactly. Two policies whose conditions on the same argument exclude
each other are not compared: such a tool is listed, and every call refused.

Sets of tools are bitmaps in an `int`. A condition is evaluated once per group
of tools that look alike to it, so a list costs as many evaluations as there
are different risks, tags and so on, not as there are tools.
"""

from collections.abc import Iterable

from gateway_policies.entities import Entity, Uid
from gateway_policies.partial import Scene
from gateway_policies.rules import Rules
from gateway_policies.scopes import Key
from gateway_policies.values import Failed, Unknown, Value

Group = tuple[int, Entity]  # (bitmap of tools, one of them)
_PERSONAL = frozenset(("name", "native"))  # different for every tool: such policies are not grouped


class ToolGroups:
    """The tools of one world, grouped as each policy sees them. Groups are made on first use."""

    __slots__ = ("_all", "_by_group", "_by_looks", "_groups", "_rules", "_same_for_all", "_tools", "position")

    def __init__(self, rules: Rules, tools: Iterable[Entity]) -> None:
        self._rules = rules
        self._tools = tuple(tools)
        self._by_group: dict[Uid, int] = {}
        self._by_looks: dict[tuple[object, ...], Group] = {}
        self._groups: dict[int, list[Group]] = {}
        self._same_for_all: dict[int, tuple[int, int]] = {}
        self.position: dict[str, int] = {}  # of a tool's bit, by public name
        read = sorted(frozenset[str]().union(*(reads.tool for reads in rules.reads)) - _PERSONAL)
        for bit, tool in enumerate(self._tools):
            self.position[tool.uid.id] = bit
            for group in tool.parents:
                self._by_group[group] = self._by_group.get(group, 0) | 1 << bit
            looks = _looks(tool, read)
            mask, first = self._by_looks.get(looks, (0, tool))
            self._by_looks[looks] = (mask | 1 << bit, first)
        self._all = (1 << len(self._tools)) - 1

    def __len__(self) -> int:
        return len(self._tools)

    def judge(self, policy: int, scene: Scene) -> tuple[int, int]:
        """Return (tools that the policy may permit, tools that it denies whatever the arguments).

        scene  the caller; its resource is ignored
        """
        judged = self._same_for_all.get(policy)
        if judged is not None:
            return judged
        condition, may, denied = self._rules.conditions[policy], 0, 0
        for mask, tool in self._of(policy):
            value = condition(Scene(scene.principal, tool, scene.context, scene.standing))
            if helps(self._rules, policy, value):
                may |= mask
            elif denies(self._rules, policy, value):
                denied |= mask
        if not self._rules.reads[policy].caller:
            self._same_for_all[policy] = (may, denied)
        return may, denied

    def _of(self, policy: int) -> list[Group]:
        """Return the tools in the scope of a policy, in groups on which its condition agrees."""
        groups = self._groups.get(policy)
        if groups is None:
            scope = self._scope(self._rules.index.resource_key(policy))
            read = self._rules.reads[policy].tool
            groups = self._each(scope) if read & _PERSONAL else self._merged(scope, sorted(read))
            self._groups[policy] = groups
        return groups

    def _each(self, scope: int) -> list[Group]:
        bits = f"{scope:b}"[::-1]
        return [(1 << bit, tool) for bit, tool in enumerate(self._tools[: len(bits)]) if bits[bit] == "1"]

    def _merged(self, scope: int, read: list[str]) -> list[Group]:
        merged: dict[tuple[object, ...], Group] = {}
        for mask, tool in self._by_looks.values():
            if mask & scope:
                looks = _looks(tool, read)
                merged[looks] = (merged.get(looks, (0, tool))[0] | mask & scope, tool)
        return list(merged.values())

    def _scope(self, key: Key) -> int:
        _, _, uid = key  # the type is Tool, or the policy would not have loaded
        if uid is None:
            return self._all
        if uid.type == "Tool":
            position = self.position.get(uid.id)
            return 0 if position is None else 1 << position
        return self._by_group.get(uid, 0)


def _looks(tool: Entity, read: Iterable[str]) -> tuple[object, ...]:
    return tuple(tool.parents if name == "toolsets" else tool.attrs.get(name) for name in read)


def visible_mask(rules: Rules, groups: ToolGroups, principal: Entity, scene: Scene) -> int:
    """Return the bitmap of the tools that `principal`, who is in `scene`, may see; its resource is ignored."""
    may, denied = 0, 0
    for policy in rules.index.for_principal(principal):
        permitted, refused = groups.judge(policy, scene)
        may |= permitted
        denied |= refused
    return may & ~denied


def helps(rules: Rules, policy: int, value: Value) -> bool:
    """Whether a policy whose condition is `value` is a permit that may hold."""
    return rules.policies[policy].effect == "permit" and (value is True or isinstance(value, Unknown))


def denies(rules: Rules, policy: int, value: Value) -> bool:
    """Whether a policy whose condition is `value` denies every call: an erring one does."""
    return isinstance(value, Failed) or (rules.policies[policy].effect == "forbid" and value is True)


def is_visible(rules: Rules, policies: Iterable[int], scene: Scene) -> bool:
    """Say for one tool what `visible_mask` says for all; `policies` are those in scope."""
    values = [(policy, rules.conditions[policy](scene)) for policy in policies]
    return any(helps(rules, policy, value) for policy, value in values) and not any(
        denies(rules, policy, value) for policy, value in values
    )
