"""Faults of our own: what the operator is told of one, and what the caller."""

import logging

from agent_gateway.telemetry.logs import log
from gateway_policies.refusal import Unavailable


def fault() -> Unavailable:
    """Tell the operator of the error that is being handled; return what its caller is told, which is nothing of it."""
    log(logging.ERROR, "a call failed inside the gateway", exc_info=True)
    return Unavailable("the gateway failed on this request", code="internal")
