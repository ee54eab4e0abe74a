"""The bundle: checked policies and the world they speak of, ready to decide calls.

    bundle = compile_bundle(sources, world)      # or PolicyErrors, with every mistake
    bundle.decide(call)                          # deny by default, and on any doubt
    bundle.visible(principal, capabilities)      # those callable for some arguments

Decisions are Cedar's, on the policies in scope: worked out by the compiled engine, which a fuzz
test holds to Cedar, and asked of Cedar itself wherever that engine is not sure. What does not
depend on arguments, time or operation is remembered, under the whole principal and capability.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import cedarpy
from msgspec import structs

from gateway_policies.acting import denied_to, everyone_behind
from gateway_policies.arguments import WrongArgument, as_values, seen_arguments
from gateway_policies.call import Call, Capability, CapabilityKey
from gateway_policies.compiled import judge
from gateway_policies.context import call_context, clock_parts
from gateway_policies.decision import Decision, Reason
from gateway_policies.engine import (
    Question,
    Verdict,
    entities_handle,
    evaluate,
    policy_set,
    reachable_entities,
)
from gateway_policies.entities import Entity, Uid, capability_entity, entity_json, principal_entity, standing_entities
from gateway_policies.kinds import ACTION_OF
from gateway_policies.lru import Lru
from gateway_policies.partial import Scene
from gateway_policies.principal import Principal
from gateway_policies.reads import Reads
from gateway_policies.reasons import MAX_NEAREST, failed_reason, forbid_reason, nearest_reason
from gateway_policies.rules import Rules, compile_rules
from gateway_policies.sources import Policy, PolicyMistake, PolicySource
from gateway_policies.values import unknown
from gateway_policies.visibility import Groups, is_visible, visible_mask
from gateway_policies.world import World

MAX_PLANS = 20_000
MAX_HANDLES = 2_048
MAX_LISTS = 1_024
MAX_NEAR = 10_000
MAX_MEMO = 64  # decisions remembered per plan, by the arguments that its policies read

_NOBODY = Entity(Uid("Nobody", ""))  # in place of what the world does not know; nothing is decided with it
_ANY_RESOURCE = unknown("resource")
_UNSURE = Reason("", "the gateway cannot decide on this call, so it is refused", "tell the operator")


def compile_bundle(sources: Sequence[PolicySource], world: World) -> "PolicyBundle":
    """Check every policy in every way and return the bundle.

    Raises `PolicyErrors` with all mistakes: syntax, types, unknown names, arguments
    that no tool has, duplicate ids, rules that can never match.
    """
    return PolicyBundle(compile_rules(sources, world), world)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known of a principal, a capability and a route before a call.

    policies  those in scope, by position
    reads     what they read together
    fixed     the decision, when no call can change it
    permits   by the policies that determine them: equal ones are the same object
    memo      decisions by all that a call adds: the arguments that policies in scope read, when none reads the time
    """

    principal: Entity
    resource: Entity
    policies: tuple[int, ...]
    reads: Reads
    is_visible: bool
    fixed: Decision | None = None
    memo: dict[str, Decision] = field(default_factory=dict[str, Decision], compare=False)
    permits: dict[tuple[int, ...], Decision] = field(default_factory=dict[tuple[int, ...], Decision], compare=False)

    @property
    def is_known(self) -> bool:
        """Whether the world knows the principal and the capability."""
        return self.principal is not _NOBODY


class PolicyBundle:
    """Policies in a world. Immutable to its users; what it has worked out is cached within limits.

    id           SHA-256 of the policies in canonical form and the schema
    entities_id  SHA-256 of the world as Cedar sees it
    stamp        what decisions carry: `{id}.{first 16 digits of entities_id}`
    findings     what is odd but loads
    """

    def __init__(self, rules: Rules, world: World) -> None:
        self.rules = rules
        self.world = world
        self.id = rules.id
        self.findings: tuple[PolicyMistake, ...] = rules.findings
        self.standing: Mapping[Uid, Entity] = standing_entities(world, (uid for uids in rules.named for uid in uids))
        pairs = [(item, capability_entity(world, item)) for item in world.capabilities.values()]
        self._items = [item for item, entity in pairs if entity]  # by position in the bitmaps
        known = [entity for _, entity in pairs if entity]
        self.entities_id = _entities_hash(world, [*self.standing.values(), *known])
        self.stamp = f"{self.id}.{self.entities_id[:16]}"
        self._groups = Groups(rules, known)
        self._composites = [(bit, self._bits_of(item.steps)) for bit, item in enumerate(self._items) if item.steps]
        self._plans: Lru[tuple[Principal, Capability, str], Plan] = Lru(MAX_PLANS)
        self._near: dict[tuple[int, int, str], tuple[Principal, Capability, Plan]] = {}
        self._policy_sets: Lru[tuple[int, ...], cedarpy.PolicySet] = Lru(MAX_HANDLES)
        self._entities: Lru[tuple[Principal, Capability], cedarpy.Entities] = Lru(MAX_HANDLES)
        self._narrows = world.chains == "everyone"
        self._behind: Lru[Principal, tuple[Principal, ...]] = Lru(MAX_LISTS)
        self._lists: Lru[tuple[Principal, str | None], str] = Lru(MAX_LISTS)

    @property
    def policies(self) -> tuple[Policy, ...]:
        return self.rules.policies

    def with_world(self, world: World) -> "PolicyBundle":
        """Return these policies in another world, unchecked against it: a catalogue that changes
        under running policies must not stop them."""
        return PolicyBundle(self.rules, world)

    # --- one call --------------------------------------------------------------------------

    def decide(self, call: Call) -> Decision:
        """Decide `call`. A `list` of a capability is permitted when it is visible; to `complete` its arguments,
        when it may be used for some of them here and now.

        Never raises for what a caller sent. Codes of a forbid: `forbidden` (a forbid
        holds), `no_permit` (nothing allows it), `argument_type` (a policy must read an
        argument and cannot), `policy_error` (anything else that is in doubt).
        """
        if call.principal.chain and self._narrows:
            return self._decide_for_all(call)
        return self.decide_for(call)

    def _decide_for_all(self, call: Call) -> Decision:
        """Permit only what each of the chain may do by itself; the first who may not is named."""
        decided = self.decide_for(call)
        policies = set(decided.policies)
        for one in self.behind(call.principal):
            if not decided.is_permit:
                return decided
            decided = self.decide_for(structs.replace(call, principal=one))
            policies |= set(decided.policies)
            if not decided.is_permit:
                return denied_to(one, decided)
        return replace(decided, policies=tuple(sorted(policies)))

    def behind(self, principal: Principal) -> tuple[Principal, ...]:
        """Return for whom `principal` acts, where their rights count too: the first of the chain first."""
        if not (principal.chain and self._narrows):
            return ()
        found = self._behind.get(principal)
        if found is None:
            found = everyone_behind(principal)
            self._behind.put(principal, found)
        return found

    def decide_for(self, call: Call) -> Decision:
        """Decide a call by the rights of who makes it alone."""
        plan = self.plan(call.principal, call.capability, call.route)
        if call.action == "list":
            return self._listing(plan)
        if call.action == "complete":
            return self._usable(plan, call)
        if call.action != ACTION_OF[call.capability.kind]:
            return self._refuse("policy_error", (_UNSURE,))
        return plan.fixed or self._decide(plan, call)

    def plan(self, principal: Principal, capability: Capability, route: str) -> Plan:
        """Return what is known before a call; remembered."""
        # The same objects come again and again, and hashing two whole values costs more than a decision.
        at = (id(principal), id(capability), route)
        near = self._near.get(at)
        if near is not None and near[0] is principal and near[1] is capability:
            return near[2]
        key = (principal, capability, route)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._make_plan(principal, capability, route)
            self._plans.put(key, plan)
        if len(self._near) >= MAX_NEAR:
            self._near.clear()
        # INVARIANT: an entry keeps its two values alive, so while it is here their ids name nothing else.
        self._near[at] = (principal, capability, plan)
        return plan

    def _make_plan(self, principal: Principal, capability: Capability, route: str) -> Plan:
        subject, resource = principal_entity(self.world, principal), capability_entity(self.world, capability)
        if subject is None or resource is None:
            return Plan(_NOBODY, _NOBODY, (), Reads(), is_visible=False, fixed=self._refuse("policy_error", (_UNSURE,)))
        policies = self.rules.index.for_both(subject, resource)
        reads = _together(self.rules.reads[position] for position in policies)
        scene = Scene(subject, resource, call_context(principal, route), self.standing)
        if not all(self._is_step_visible(key, principal, route) for key in capability.steps):
            # What cannot be done as a whole is not there: nothing of it may begin.
            return Plan(subject, resource, (), Reads(), is_visible=False, fixed=self._refuse("no_permit", ()))
        plan = Plan(subject, resource, policies, reads, is_visible(self.rules, policies, scene))
        try:
            self._reachable(plan, (principal, capability))
        except ValueError:  # Cedar cannot be told of one of them
            return replace(plan, fixed=self._refuse("policy_error", (_UNSURE,), is_visible=plan.is_visible))
        if reads.is_dynamic:
            return plan
        call = Call("", principal, ACTION_OF[capability.kind], capability, {}, 0.0, route)
        return replace(plan, fixed=self._decide(plan, call))

    def _is_step_visible(self, key: CapabilityKey, principal: Principal, route: str) -> bool:
        step = self.world.capabilities.get(key)
        return step is not None and not step.steps and self.plan(principal, step, route).is_visible

    def _decide(self, plan: Plan, call: Call) -> Decision:
        seen = seen_arguments(call.arguments, plan.reads.values, plan.reads.presence, self.rules.kinds)
        if isinstance(seen, WrongArgument):
            return self._refuse("argument_type", (self._wrong(plan, seen),), is_visible=plan.is_visible)
        if plan.reads.now:
            return self._decide_seen(plan, call, seen)
        key = repr(seen)  # built in one order, of JSON values only: equal text, equal question
        if plan.reads.operation:
            key = f"{call.operation} {key}"
        decision = plan.memo.get(key)
        if decision is None:
            if len(plan.memo) >= MAX_MEMO:
                plan.memo.clear()
            decision = plan.memo[key] = self._decide_seen(plan, call, seen)
        return decision

    def _decide_seen(self, plan: Plan, call: Call, seen: dict[str, object]) -> Decision:
        now = clock_parts(call.at)
        if now is None:
            return self._refuse("policy_error", (_UNSURE,), is_visible=plan.is_visible)
        known = {**call_context(call.principal, call.route), "operation": call.operation, "now": now}
        scene = Scene(plan.principal, plan.resource, {**known, "args": as_values(seen)}, self.standing)
        verdict = judge(self.rules, plan.policies, scene)
        if verdict is None:
            verdict = self._ask(plan, call, {**known, "args": seen})
        if not verdict.is_allowed:
            return self._forbid(plan, verdict, scene)
        permit = plan.permits.get(verdict.determining)
        if permit is None:
            if len(plan.permits) >= MAX_MEMO:
                plan.permits.clear()
            permit = Decision("permit", self._ids(plan, verdict.determining), self.stamp)
            plan.permits[verdict.determining] = permit
        return permit

    def _ask(self, plan: Plan, call: Call, context: Mapping[str, object]) -> Verdict:
        """Put the call to Cedar itself, on the policies in scope."""
        policies = self._policy_sets.get(plan.policies)
        if policies is None:
            policies = policy_set([self.policies[position] for position in plan.policies])
            self._policy_sets.put(plan.policies, policies)
        entities = self._reachable(plan, (call.principal, call.capability))
        question = Question(plan.principal.uid, ACTION_OF[call.capability.kind], plan.resource.uid, context)
        return evaluate(question, policies, entities, self.rules.schema)

    def _reachable(self, plan: Plan, key: tuple[Principal, Capability]) -> cedarpy.Entities:
        """Return Cedar's handle of what the policies in scope can reach; raises `ValueError` when it takes them not."""
        entities = self._entities.get(key)
        if entities is None:
            named = [uid for position in plan.policies for uid in self.rules.named[position]]
            reachable = reachable_entities(plan.principal, plan.resource, named, self.standing)
            entities = entities_handle(reachable, self.rules.schema)
            self._entities.put(key, entities)
        return entities

    def _forbid(self, plan: Plan, verdict: Verdict, scene: Scene) -> Decision:
        in_scope = [self.policies[position] for position in plan.policies]
        if not verdict.is_complete:
            reasons = tuple(failed_reason(in_scope[number]) for number in verdict.failed) or (_UNSURE,)
            return self._refuse("policy_error", reasons, self._ids(plan, verdict.failed), is_visible=plan.is_visible)
        if verdict.determining:
            forbids = sorted((in_scope[number] for number in verdict.determining), key=lambda policy: policy.id)
            reasons = tuple(forbid_reason(policy) for policy in forbids)
            ids = tuple(policy.id for policy in forbids)
            return self._refuse("forbidden", reasons, ids, is_visible=plan.is_visible)
        permits = [policy for policy in in_scope if policy.effect == "permit"][:MAX_NEAREST]
        reasons = tuple(nearest_reason(policy, scene) for policy in permits)
        return self._refuse("no_permit", reasons, is_visible=plan.is_visible)

    def _wrong(self, plan: Plan, wrong: WrongArgument) -> Reason:
        reads = self.rules.reads
        readers = [
            self.policies[position]
            for position in plan.policies
            if any(path[: len(wrong.path)] == wrong.path for path in reads[position].values | reads[position].presence)
        ]
        return Reason(readers[0].id, wrong.text, "a policy reads it")

    def _usable(self, plan: Plan, call: Call) -> Decision:
        now = clock_parts(call.at)
        if not plan.is_known or now is None:
            return self._refuse("policy_error", (_UNSURE,), is_visible=plan.is_visible)
        known = {**call_context(call.principal, call.route), "operation": call.operation, "now": now}
        if is_visible(self.rules, plan.policies, Scene(plan.principal, plan.resource, known, self.standing)):
            return Decision("permit", (), self.stamp)
        return self._refuse("no_permit", (), is_visible=plan.is_visible)

    def _listing(self, plan: Plan) -> Decision:
        if plan.is_visible:
            return Decision("permit", (), self.stamp)
        return self._refuse("no_permit", ())

    def _refuse(
        self, code: str, reasons: tuple[Reason, ...], policies: tuple[str, ...] = (), *, is_visible: bool = False
    ) -> Decision:
        return Decision("forbid", policies, self.stamp, reasons, code, is_visible)

    def _ids(self, plan: Plan, numbers: Iterable[int]) -> tuple[str, ...]:
        return tuple(sorted(self.policies[plan.policies[number]].id for number in numbers))

    # --- lists -----------------------------------------------------------------------------

    def visible(
        self, principal: Principal, capabilities: Sequence[Capability], *, route: str | None = None
    ) -> list[Capability]:
        """Return those of `capabilities` that are callable for some arguments at some time, in order.

        route  the endpoint of the list; None when policies that read it should be taken either way

        Who acts for others sees what all of them see, where their rights count.
        """
        seen = self._visible_to(principal, capabilities, route)
        for one in self.behind(principal):
            seen = self._visible_to(one, seen, route)
        return seen

    def _visible_to(
        self, principal: Principal, capabilities: Sequence[Capability], route: str | None
    ) -> list[Capability]:
        key = (principal, route)
        flags = self._lists.get(key)
        if flags is None:
            flags = self._flags(principal, route)
            self._lists.put(key, flags)
        position, known = self._groups.position, self._items
        return [
            item
            for item in capabilities
            if flags[at := position[item.kind].get(item.name, -1)] == "1" and (known[at] is item or known[at] == item)
        ]

    def _flags(self, principal: Principal, route: str | None) -> str:
        """Return a digit per capability, by its position, and a `0` at the end for unknown ones."""
        subject = principal_entity(self.world, principal)
        mask = 0
        if subject is not None:
            scene = Scene(subject, _ANY_RESOURCE, call_context(principal, route), self.standing)
            mask = self._whole(visible_mask(self.rules, self._groups, subject, scene))
        return f"{mask:0{max(len(self._groups), 1)}b}"[::-1] + "0"

    def _bits_of(self, steps: Iterable[CapabilityKey]) -> tuple[int, ...]:
        """Return the position of each step; -1 for what is no step: unknown, or a composite itself."""
        known = self.world.capabilities
        return tuple(
            -1 if key not in known or known[key].steps else self._groups.position[key[0]].get(key[1], -1)
            for key in steps
        )

    def _whole(self, mask: int) -> int:
        """Return a bitmap without the composites of which a step is not in it."""
        for bit, steps in self._composites:
            if any(at < 0 or not mask >> at & 1 for at in steps):
                mask &= ~(1 << bit)
        return mask


def _together(reads: Iterable[Reads]) -> Reads:
    reads = list(reads)
    return Reads(
        values=frozenset(path for one in reads for path in one.values),
        presence=frozenset(path for one in reads for path in one.presence),
        now=any(one.now for one in reads),
        operation=any(one.operation for one in reads),
    )


def _entities_hash(world: World, entities: Iterable[Entity]) -> str:
    agents = sorted([agent.id, agent.tenant, *sorted(agent.teams), str(agent.trust)] for agent in world.agents.values())
    lines = sorted(json.dumps(entity_json(entity), sort_keys=True) for entity in entities)
    return hashlib.sha256(json.dumps([agents, lines]).encode()).hexdigest()
