"""Visibility: which capabilities a principal may see, for a whole catalogue at once.

A capability is visible when it is callable for some arguments at some time: some
permit may hold, and no forbid holds (and no policy fails) whatever they are.
What cannot be decided without the arguments counts as callable, so a list
never hides a callable one; policies that read neither arguments nor time are
decided exactly. Two policies whose conditions on the same argument exclude
each other are not compared: such a capability is listed, and every call refused.

Sets of capabilities are bitmaps in an `int`. A condition is evaluated once per group
of capabilities that look alike to it, so a list costs as many evaluations as there
are different kinds, risks, tags and so on, not as there are capabilities.
"""

from collections.abc import Iterable

from gateway_policies.entities import Entity, Uid
from gateway_policies.kinds import KIND_OF, TYPE_OF, Kind
from gateway_policies.partial import Scene
from gateway_policies.rules import Rules
from gateway_policies.values import Failed, Unknown, Value

Group = tuple[int, Entity]  # (bitmap of capabilities, one of them)
_PERSONAL = frozenset(("name", "native", "uri"))  # different for each: policies that read it are not grouped


class Groups:
    """The capabilities of one world, grouped as each policy sees them. Groups are made on first use."""

    __slots__ = (
        "_all",
        "_by_group",
        "_by_looks",
        "_entities",
        "_groups",
        "_rules",
        "_same_for_all",
        "_types",
        "position",
    )

    def __init__(self, rules: Rules, entities: Iterable[Entity]) -> None:
        self._rules = rules
        self._entities = tuple(entities)
        self._types: dict[str, int] = {}
        self._by_group: dict[Uid, int] = {}
        self._by_looks: dict[tuple[object, ...], Group] = {}
        self._groups: dict[int, list[Group]] = {}
        self._same_for_all: dict[int, tuple[int, int]] = {}
        self.position: dict[Kind, dict[str, int]] = {kind: {} for kind in TYPE_OF}  # of a bit, by public name
        read = sorted(frozenset[str]().union(*(reads.resource for reads in rules.reads)) - _PERSONAL)
        for bit, entity in enumerate(self._entities):
            self.position[KIND_OF[entity.uid.type]][entity.uid.id] = bit
            self._types[entity.uid.type] = self._types.get(entity.uid.type, 0) | 1 << bit
            for group in entity.parents:
                self._by_group[group] = self._by_group.get(group, 0) | 1 << bit
            looks = _looks(entity, read)
            mask, first = self._by_looks.get(looks, (0, entity))
            self._by_looks[looks] = (mask | 1 << bit, first)
        self._all = (1 << len(self._entities)) - 1

    def __len__(self) -> int:
        return len(self._entities)

    def judge(self, policy: int, scene: Scene) -> tuple[int, int]:
        """Return (capabilities that the policy may permit, those that it denies whatever the arguments).

        scene  the caller; its resource is ignored
        """
        judged = self._same_for_all.get(policy)
        if judged is not None:
            return judged
        condition, may, denied = self._rules.conditions[policy], 0, 0
        for mask, entity in self._of(policy):
            value = condition(Scene(scene.principal, entity, scene.context, scene.standing))
            if helps(self._rules, policy, value):
                may |= mask
            elif denies(self._rules, policy, value):
                denied |= mask
        if not self._rules.reads[policy].caller:
            self._same_for_all[policy] = (may, denied)
        return may, denied

    def _of(self, policy: int) -> list[Group]:
        """Return the capabilities in the scope of a policy, in groups on which its condition agrees."""
        groups = self._groups.get(policy)
        if groups is None:
            scope = self._scope(policy)
            read = self._rules.reads[policy].resource
            groups = self._each(scope) if read & _PERSONAL else self._merged(scope, sorted(read))
            self._groups[policy] = groups
        return groups

    def _each(self, scope: int) -> list[Group]:
        bits = f"{scope:b}"[::-1]
        return [(1 << bit, entity) for bit, entity in enumerate(self._entities[: len(bits)]) if bits[bit] == "1"]

    def _merged(self, scope: int, read: list[str]) -> list[Group]:
        merged: dict[tuple[object, ...], Group] = {}
        for mask, entity in self._by_looks.values():
            if mask & scope:
                looks = _looks(entity, read)
                merged[looks] = (merged.get(looks, (0, entity))[0] | mask & scope, entity)
        return list(merged.values())

    def _scope(self, policy: int) -> int:
        index = self._rules.index
        typed = 0
        for name in index.types(policy):
            typed |= self._types.get(name, 0)
        _, of, uid = index.resource_key(policy)
        if of:
            typed &= self._types.get(of, 0)
        return typed & (self._all if uid is None else self._below(uid))

    def _below(self, uid: Uid) -> int:
        """Return what is `uid` or in it."""
        kind = KIND_OF.get(uid.type)
        if kind is None:
            return self._by_group.get(uid, 0)
        position = self.position[kind].get(uid.id)
        return 0 if position is None else 1 << position


def _looks(entity: Entity, read: Iterable[str]) -> tuple[object, ...]:
    facts = (entity.parents if name == "toolsets" else entity.attrs.get(name) for name in read)
    return (entity.uid.type, *facts)


def visible_mask(rules: Rules, groups: Groups, principal: Entity, scene: Scene) -> int:
    """Return the bitmap of the capabilities that `principal`, who is in `scene`, may see; its resource is ignored."""
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
    """Say for one capability what `visible_mask` says for all; `policies` are those in scope."""
    values = [(policy, rules.conditions[policy](scene)) for policy in policies]
    return any(helps(rules, policy, value) for policy, value in values) and not any(
        denies(rules, policy, value) for policy, value in values
    )
