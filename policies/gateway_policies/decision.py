"""Decisions and the permit: the proof that `forward` requires."""

from dataclasses import dataclass
from typing import Literal

from gateway_policies.call import Call

Effect = Literal["permit", "forbid"]


@dataclass(frozen=True, slots=True)
class Reason:
    """One policy that took part, in words an agent and its operator can act on."""

    policy: str  # the `@id` of the policy, or `file:line` when it has none
    text: str  # its `@reason` annotation, or what it says
    hint: str = ""  # its `@hint` annotation: what would satisfy it


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of the policies for one call.

    `is_visible` says whether the caller may know that the capability exists:
    a forbid on what is not listed answers exactly like an unknown name.
    `code` narrows a forbid: `no_permit`, `forbidden`, `policy_error`, `argument_type`.
    `denied_to` names whose rights fell short, when it is not who acts but somebody it acts for.
    """

    effect: Effect
    policies: tuple[str, ...]  # determining policy ids, sorted
    bundle: str  # content hash of policies, schema and entities
    reasons: tuple[Reason, ...] = ()
    code: str = ""
    is_visible: bool = True
    denied_to: str = ""

    @property
    def is_permit(self) -> bool:
        return self.effect == "permit"


class Permit:
    """Proof that `call` was decided on and may be forwarded.

    INVARIANT: only `Permit.of` makes one, and only from a permitting decision.
    """

    __slots__ = ("call", "decision")

    def __init__(self) -> None:
        raise TypeError("a permit is made by Permit.of(call, decision)")

    call: Call
    decision: Decision

    @classmethod
    def of(cls, call: Call, decision: Decision) -> "Permit":
        """Return the proof, or raise `ValueError` when the decision is no permit."""
        if not decision.is_permit:
            raise ValueError("a forbid cannot become a permit")
        permit = object.__new__(cls)
        permit.call = call
        permit.decision = decision
        return permit
