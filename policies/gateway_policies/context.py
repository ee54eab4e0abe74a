"""The context of a call as policies see it, known in part before there is a call."""

from math import isfinite

from gateway_policies.principal import Principal
from gateway_policies.values import LONG_MAX, Value, unknown


def call_context(principal: Principal, route: str | None) -> dict[str, Value]:
    """Return the context of a call whose arguments, time and operation are not known."""
    return {
        "args": unknown("context.args"),
        "now": unknown("context.now"),
        "route": unknown("context.route") if route is None else route,
        "operation": unknown("context.operation"),
        "chain_depth": len(principal.chain),
    }


def clock_parts(at: float) -> dict[str, int] | None:
    """Return the time as policies see it, in UTC; None for no time at all."""
    if not isfinite(at) or not 0 <= at <= LONG_MAX // 2:
        return None
    unix = int(at)
    return {"unix": unix, "hour": unix // 3600 % 24, "weekday": (unix // 86400 + 3) % 7 + 1}
