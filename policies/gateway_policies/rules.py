"""Rules: a set of policies that has been checked whole, ready to be evaluated."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import cedarpy

from gateway_policies.entities import Uid
from gateway_policies.kinds import TYPE_OF
from gateway_policies.partial import Code, compile_clauses
from gateway_policies.reachable import can_match
from gateway_policies.reads import Path, Reading, Reads, infer_kinds, read
from gateway_policies.references import check_arguments, check_names, named_in
from gateway_policies.scopes import ScopeIndex
from gateway_policies.sources import Policy, PolicyErrors, PolicyMistake, PolicySource, parse
from gateway_policies.vocabulary import schema_json
from gateway_policies.world import ArgumentKind, World


@dataclass(frozen=True, slots=True)
class Rules:
    """Policies that load, by position in their sources.

    id     SHA-256 over the policies in canonical form, their ids, and the schema
    named  per policy, the entities that stand in it
    kinds  every argument that some policy reads
    """

    id: str
    policies: tuple[Policy, ...]
    conditions: tuple[Code, ...]
    reads: tuple[Reads, ...]
    named: tuple[tuple[Uid, ...], ...]
    kinds: Mapping[Path, ArgumentKind]
    schema: cedarpy.Schema
    index: ScopeIndex
    findings: tuple[PolicyMistake, ...]


def compile_rules(sources: Sequence[PolicySource], world: World) -> Rules:
    """Check every policy in every way; return them ready, or raise `PolicyErrors` with all mistakes."""
    policies, mistakes = parse(sources)
    readings = [read(policy) for policy in policies]
    kinds, unclear = infer_kinds(readings)
    mistakes += unclear
    findings: list[PolicyMistake] = []
    schema_source = schema_json(kinds)
    schema = cedarpy.Schema.from_json_str(schema_source)
    for reading in readings:
        policy = reading.policy
        mistakes += reading.mistakes
        mistakes += check_names(policy, world)
        wrong, odd = check_arguments(reading, kinds, world)
        mistakes += wrong
        findings += odd
    sound = _without(readings, mistakes)
    mistakes += _ill_typed(sound, schema)
    for reading in _without(sound, mistakes):
        if not can_match(reading.policy):
            mistakes.append(
                reading.policy.mistake("this policy can never match", "its conditions contradict one another")
            )
    if mistakes:
        raise PolicyErrors(mistakes)
    return Rules(
        id=_content_hash(policies, schema_source),
        policies=tuple(policies),
        conditions=tuple(compile_clauses(policy.tree) for policy in policies),
        reads=tuple(reading.done() for reading in readings),
        named=tuple(tuple(named_in(policy)) for policy in policies),
        kinds=kinds,
        schema=schema,
        index=ScopeIndex(policies),
        findings=tuple(findings),
    )


def _without(readings: Iterable[Reading], mistakes: Sequence[PolicyMistake]) -> list[Reading]:
    """Return the readings of policies that no mistake is about: one mistake says enough."""
    wrong = {mistake.policy for mistake in mistakes}
    return [reading for reading in readings if reading.policy.id not in wrong]


def _content_hash(policies: Sequence[Policy], schema_source: str) -> str:
    text = "\n".join(policy.text for policy in policies)
    canonical = json.loads(cedarpy.policies_to_json_str(text))
    ids = [policy.id for policy in policies]
    content = json.dumps([canonical, ids, json.loads(schema_source)], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(content.encode()).hexdigest()


# --- Cedar's validator ---------------------------------------------------------------------


def _ill_typed(readings: Iterable[Reading], schema: cedarpy.Schema) -> list[PolicyMistake]:
    mistakes: list[PolicyMistake] = []
    for reading in readings:
        result = cedarpy.validate_policies(reading.policy.text, schema)  # pyright: ignore[reportUnknownMemberType]
        messages = _distinct(_FOR_ONE.sub("", error.error) for error in result.errors)
        if len(messages) > 1:  # it follows from the other one
            messages = [message for message in messages if message != _NO_ACTION]
        mistakes += [reading.policy.mistake(message, _hint(message), at=_place(message)) for message in messages]
    return mistakes


def _distinct(messages: Iterable[str]) -> list[str]:
    """Return one of the messages that differ only in the type of the resource: Cedar says it for each action."""
    first: dict[str, str] = {}
    for message in sorted(messages, key=lambda message: "Tool" not in message):
        first.setdefault(_A_TYPE.sub("", message), message)
    return list(first.values())


_A_TYPE = re.compile(rf"\b({'|'.join(TYPE_OF.values())})\b")
_FOR_ONE = re.compile('^for policy `[^`]*`, |(?: in context)? for Action::"[a-z]+"$')
_NO_ACTION = "unable to find an applicable action given the policy scope constraints"
_HINTS = {
    _NO_ACTION: 'the scope is `principal` (Agent, User, Workload), `action == Action::"call"`, `resource`; '
    '"call" is on Tool, "get" on Prompt, "read" on Resource, "message" on RemoteAgent and Skill: '
    "principals are in Team or Tenant, what they use in Upstream or Toolset",
    "unable to guarantee safety of access": "test it first: `context.args has x && context.args.x …`",
    "unrecognized action": 'the actions are "call", "get", "read" and "message", in the group `Action::"use"`',
    "unrecognized entity type": "the types are Tenant, Team, Agent, User, Workload, Upstream, Toolset, "
    f"{', '.join(TYPE_OF.values())}",
    "empty set literals": "use `.isEmpty()`",
}


def _hint(message: str) -> str:
    return next((hint for start, hint in _HINTS.items() if message.startswith(start)), "")


def _place(message: str) -> str:
    """Return the last word of the last name that the message quotes, to find its line."""
    quoted = re.findall("`([^`]+)`", message)
    return re.split(r"[.:]", quoted[-1])[-1].strip('"') if quoted else ""
