"""Scopes: which policies speak of a principal and of a capability, by an index.

A policy whose scope does not match contributes nothing to a decision, so the
others are all that an evaluator need see. A fuzz test holds this to Cedar.
"""

from collections.abc import Sequence

from cedarpy import pst

from gateway_policies.entities import Entity, Uid
from gateway_policies.kinds import ACTION_OF_TYPE, GROUP
from gateway_policies.partial import uid_of
from gateway_policies.sources import Policy

Key = tuple[str, str, Uid | None]  # (how, type or empty, entity or none)


def scope_key(constraint: pst.PrincipalOrResourceConstraint) -> Key:
    """Return the key under which `entity_keys` of every matching entity finds this constraint."""
    match constraint:
        case pst.ScopeEq(pst.EntityUid() as uid):
            return ("eq", "", uid_of(uid))
        case pst.ScopeIn(pst.EntityUid() as uid):
            return ("in", "", uid_of(uid))
        case pst.ScopeIs(entity_type):
            return ("is", str(entity_type), None)
        case pst.ScopeIsIn(entity_type, pst.EntityUid() as uid):
            return ("in", str(entity_type), uid_of(uid))
        case pst.ScopeAny():
            return ("any", "", None)
        case _:
            raise ValueError("templates are not supported")


def entity_keys(entity: Entity) -> frozenset[Key]:
    """Return the keys of every constraint that `entity` satisfies."""
    keys: set[Key] = {("any", "", None), ("eq", "", entity.uid), ("is", entity.uid.type, None)}
    for uid in (entity.uid, *entity.ancestors):
        keys |= {("in", "", uid), ("in", entity.uid.type, uid)}
    return frozenset(keys)


def types_in(constraint: pst.ActionConstraint) -> frozenset[str]:
    """Return the types of resources on which the actions of a policy's scope can be."""
    match constraint:
        case pst.ActionEq(entity):
            names = {entity.id}  # Cedar admits no group here
        case pst.ActionIn(entities):
            names = {entity.id for entity in entities}
        case _:
            names = {GROUP}
    return frozenset(of for of, action in ACTION_OF_TYPE.items() if action in names or GROUP in names)


class ScopeIndex:
    """Policies by position, found by principal and then by capability."""

    __slots__ = ("_by_principal", "_resource", "_types")

    def __init__(self, policies: Sequence[Policy]) -> None:
        self._by_principal: dict[Key, list[int]] = {}
        self._resource = [scope_key(policy.tree.resource) for policy in policies]
        self._types = [types_in(policy.tree.action) for policy in policies]
        for position, policy in enumerate(policies):
            self._by_principal.setdefault(scope_key(policy.tree.principal), []).append(position)

    def for_principal(self, principal: Entity) -> list[int]:
        """Return the policies whose principal matches, in order."""
        keys = entity_keys(principal)
        return sorted(position for key in keys for position in self._by_principal.get(key, ()))

    def for_both(self, principal: Entity, resource: Entity) -> tuple[int, ...]:
        """Return the policies whose principal, action and resource match, in order."""
        keys, of = entity_keys(resource), resource.uid.type
        return tuple(
            position
            for position in self.for_principal(principal)
            if self._resource[position] in keys and of in self._types[position]
        )

    def resource_key(self, position: int) -> Key:
        """Return the key that a capability must have for the policy to speak of it."""
        return self._resource[position]

    def types(self, position: int) -> frozenset[str]:
        """Return the types of capabilities that the policy's action can be on."""
        return self._types[position]
