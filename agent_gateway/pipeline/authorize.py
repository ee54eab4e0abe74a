"""Phase 4: may it be? The only place where a Permit is made."""

from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.snapshot import Snapshot
from gateway_policies.call import Call
from gateway_policies.decision import Decision, Permit
from gateway_policies.kinds import Kind
from gateway_policies.refusal import Forbidden, NotFound, Refusal


def authorize(snapshot: Snapshot, exchange: Exchange, call: Call) -> Permit:
    """Return the permit, or raise `Forbidden` with the policies and what would satisfy them.

    A capability that the caller may not even see is `NotFound`, in the words of an unknown name.
    """
    decision = snapshot.bundle.decide(call)
    exchange.decision = decision
    if decision.is_permit:
        return Permit.of(call, decision)
    raise refusal_of(decision, exchange.asked or call.capability.name, call.capability.kind)


def unknown(name: str, kind: Kind = "tool") -> NotFound:
    """Return the one answer for a name that is unknown, and for one that is hidden."""
    facts = {"uri": name} if kind == "resource" else {}
    hint = f"list the {kind}s first; names are case-sensitive"
    return NotFound(f"no {kind} `{name[:128]}` here", hint=hint, details=facts)


def refusal_of(decision: Decision, name: str, kind: Kind) -> Refusal:
    """Return a forbid as the caller is told it."""
    if not decision.is_visible:
        return unknown(name, kind)
    reasons = [reason.text for reason in decision.reasons if reason.text]
    hints = [reason.hint for reason in decision.reasons if reason.hint]
    because = "; ".join(reasons) if reasons else "no policy permits it"
    details: dict[str, object] = {
        "reason": decision.code or "forbidden",
        "policies": list(decision.policies),
        "bundle": decision.bundle,
    }
    if decision.denied_to:
        details["denied_to"] = decision.denied_to
    return Forbidden(f"`{name}` is denied: {because}", hint="; ".join(hints), details=details)
