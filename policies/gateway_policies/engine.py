"""The reference engine: Cedar itself, on the policies in scope and the entities they can reach.

INVARIANT: `is_allowed` needs Cedar's Allow and no error. Cedar skips a policy
that fails to evaluate, which would open the gate when it is a `forbid`; and it
answers NoDecision, which is not Deny, when the request cannot be built.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import cedarpy

from gateway_policies.entities import Entity, Uid, entity_json
from gateway_policies.kinds import Action
from gateway_policies.sources import Policy

_FAILED = re.compile("^error while evaluating policy `policy([0-9]+)`")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Cedar said. Positions are those of the policies handed to `policy_set`."""

    is_allowed: bool
    determining: tuple[int, ...]
    failed: tuple[int, ...]  # policies that could not be evaluated
    is_complete: bool  # false: the request itself could not be evaluated, or some policy failed


def policy_set(policies: Sequence[Policy]) -> cedarpy.PolicySet:
    """Return Cedar's handle of `policies`; the first is `policy0`."""
    return cedarpy.PolicySet.from_str("\n".join(policy.text for policy in policies))


def reachable_entities(
    principal: Entity, resource: Entity, named: Iterable[Uid], standing: Mapping[Uid, Entity]
) -> list[Entity]:
    """Return the entities that a policy which names `named` can reach from this call."""
    found = {principal.uid: principal, resource.uid: resource}
    waiting = [*named, *principal.ancestors, *resource.ancestors]
    while waiting:
        uid = waiting.pop()
        entity = standing.get(uid)
        if uid not in found and entity is not None:
            found[uid] = entity
            waiting += entity.ancestors
    return list(found.values())


def entities_handle(entities: Iterable[Entity], schema: cedarpy.Schema) -> cedarpy.Entities:
    """Return Cedar's handle of `entities`; raises `ValueError` when they break the schema."""
    document = json.dumps([entity_json(entity) for entity in entities])
    return cedarpy.Entities.from_json_str(document, schema)  # pyright: ignore[reportUnknownMemberType]


@dataclass(frozen=True, slots=True)
class Question:
    """One request to Cedar; `context` holds JSON values only."""

    principal: Uid
    action: Action
    resource: Uid
    context: Mapping[str, object]


def evaluate(
    question: Question, policies: cedarpy.PolicySet, entities: cedarpy.Entities, schema: cedarpy.Schema
) -> Verdict:
    """Ask Cedar. Never raises for what a caller sent: what cannot be asked is not allowed."""
    request = {
        "principal": {"type": question.principal.type, "id": question.principal.id},
        "action": {"type": "Action", "id": question.action},
        "resource": {"type": question.resource.type, "id": question.resource.id},
        "context": json.dumps(question.context),
    }
    try:
        result = cedarpy.is_authorized(request, policies, entities, schema)  # pyright: ignore[reportUnknownMemberType]
    except ValueError:
        return Verdict(is_allowed=False, determining=(), failed=(), is_complete=False)
    errors = result.diagnostics.errors
    failed = {int(number) for error in errors for number in _FAILED.findall(error)}
    is_complete = not errors and result.decision is not cedarpy.Decision.NoDecision
    return Verdict(
        is_allowed=is_complete and result.decision is cedarpy.Decision.Allow,
        determining=tuple(sorted(int(name.removeprefix("policy")) for name in result.diagnostics.reasons)),
        failed=tuple(sorted(failed)),
        is_complete=is_complete,
    )
