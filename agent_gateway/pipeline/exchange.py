"""The one mutable thing: what is known so far of a call that is running."""

from typing import Literal

import msgspec

from agent_gateway.audit.lines import Lines
from agent_gateway.audit.records import Status
from agent_gateway.ports import Hold
from agent_gateway.telemetry.trace import Trace
from gateway_policies.call import Call
from gateway_policies.decision import Decision
from gateway_policies.principal import Principal


class Exchange(msgspec.Struct):
    """One call's life, filled in phase by phase.

    asked     the capability's name as the caller used it: refusals repeat that one
    goes_on   a later round of a logical call: it was paid with the first
    is_free   it asks after something that was paid for: rates hold, budgets do not
    was_sent  set by `forward` before the first byte may leave: from then on the call is charged
    lines     a short cut only: what the records say does not depend on it
    status    how it ended, for the outcome record; `open` until then
    """

    id: str
    principal: Principal
    route: str
    trace: Trace
    started_at: float  # unix seconds
    started_ns: int  # monotonic
    arguments: bytes = b"{}"  # raw JSON, exactly as it is forwarded
    asked: str = ""
    call: Call | None = None
    decision: Decision | None = None
    is_rated: bool = False  # its rates are taken; they are taken once
    hold: Hold | None = None
    decision_index: int | None = None  # set once the decision record is in the log
    goes_on: bool = False
    is_free: bool = False
    was_sent: bool = False
    status: Status | Literal["open"] = "open"
    code: str = ""
    bytes_out: int = 0
    is_settled: bool = False
    lines: Lines | None = None
