"""Records of one caller's calls of one tool, encoded once with gaps.

The same bytes as `log.encoded(records.decision(...))` and `records.outcome(...)`, because those
two write the texts that are filled here; a test holds them together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from agent_gateway.audit import records
from agent_gateway.audit.log import encoded
from agent_gateway.gaps import NUMBER_MARKS, TEXT_MARKS, Gaps
from agent_gateway.ports import Charge
from gateway_policies.call import Call
from gateway_policies.decision import Decision

_CALL, _HMAC, _TRACE, _ = TEXT_MARKS
_AT, _SIZE, _BYTES_IN, _BYTES_OUT, _DURATION = NUMBER_MARKS


@dataclass(frozen=True, slots=True)
class Lines:
    """What the log says of calls that were decided alike and draw on the same charges.

    decision  gaps: args_bytes, args_hmac, at_ms, call, trace
    amounts   of the charges, in their order
    outcome   of a call that went well and is charged in full; gaps: at_ms, bytes_in, bytes_out, call, duration_us
    """

    decided: Decision
    charges: Sequence[Charge]
    amounts: tuple[int, ...]
    decision: Gaps
    outcome: Gaps

    def fit(self, decided: Decision, charges: Sequence[Charge]) -> bool:
        """Say whether these lines are those of this decision and these charges."""
        return decided is self.decided and charges is self.charges


def lines_of(call: Call, decided: Decision, charges: Sequence[Charge], snapshot: str) -> Lines | None:
    """Return the lines of all calls that differ from `call` in nothing but id, time and arguments.

    None when something in them cannot be told from a gap.
    """
    marked = replace(call, id=_CALL)
    decision = records.decision(marked, decided, charges, records.SealedArguments(_HMAC, _SIZE), snapshot, _TRACE)
    outcome = records.outcome(
        marked,
        0.0,
        "ok",
        "",
        records.Traffic(_BYTES_IN, _BYTES_OUT, _DURATION),
        [(charge, charge.amount) for charge in charges],
    )
    decision["at_ms"] = outcome["at_ms"] = _AT
    try:
        return Lines(
            decided,
            charges,
            tuple(charge.amount for charge in charges),
            Gaps(encoded(decision), (_SIZE, _HMAC, _AT, _CALL, _TRACE)),
            Gaps(encoded(outcome), (_AT, _BYTES_IN, _BYTES_OUT, _CALL, _DURATION)),
        )
    except ValueError:
        return None
