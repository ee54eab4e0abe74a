"""Refusals: every way the gateway says no, as one kind of exception.

A refusal knows a stable code for programs, whose move it is, a sentence for
the caller and a hint. How it looks on the wire (HTTP status, JSON-RPC code)
is the work of `agent_gateway.errors`; nothing here knows a protocol.

A message never carries a secret, another tenant's name or a Python type.

    Refusal
    ├── BadRequest        the bytes, the envelope or the arguments are wrong
    ├── Unauthenticated   no credential, or one that does not hold
    ├── Forbidden         known, and may not
    ├── NotFound          unknown, or hidden: the same answer
    ├── TooMuch           a rate, a budget or a size is used up
    │   ├── OverRate
    │   └── OverBudget
    ├── UpstreamFailed    the upstream did not do its part
    │   ├── UpstreamUnreachable   provably nothing was sent
    │   └── UpstreamTimeout
    └── Unavailable       the gateway cannot decide or record: doubt denies
"""

from collections.abc import Mapping
from enum import Enum


class Move(Enum):
    """Who can change the outcome."""

    CALLER = "caller"
    OPERATOR = "operator"
    UPSTREAM = "upstream"


class Refusal(Exception):
    """The call ends here, and this is what the caller is told.

    message  lower case, no full stop, user input in back-ticks
    hint     what to do next, or empty
    code     stable, for programs; a class has one, an instance may narrow it
    details  public facts for the caller (never secrets), JSON values only
    retry_after_s  seconds after which the same call may succeed, or None
    """

    code: str = "refused"
    move: Move = Move.CALLER

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: str = "",
        details: Mapping[str, object] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or type(self).code
        self.details: Mapping[str, object] = details or {}
        self.retry_after_s = retry_after_s


class BadRequest(Refusal):
    code = "bad_request"


class Unauthenticated(Refusal):
    code = "unauthenticated"


class Forbidden(Refusal):
    code = "forbidden"


class NotFound(Refusal):
    code = "not_found"


class TooMuch(Refusal):
    code = "too_much"


class OverRate(TooMuch):
    code = "over_rate"


class OverBudget(TooMuch):
    code = "over_budget"


class UpstreamFailed(Refusal):
    code = "upstream_failed"
    move = Move.UPSTREAM


class UpstreamUnreachable(UpstreamFailed):
    code = "upstream_unreachable"


class UpstreamTimeout(UpstreamFailed):
    code = "upstream_timeout"


class Unavailable(Refusal):
    code = "unavailable"
    move = Move.OPERATOR
