"""Nothing is changed for an operator whose word cannot be recorded."""

from agent_gateway.runtime.gateway import Gateway
from gateway_policies.refusal import Unavailable


def check_recorder(gateway: Gateway) -> None:
    """Raise `Unavailable` while the audit log takes no records: call it before anything is changed."""
    if gateway.services.recorder.fault:
        raise Unavailable("what an operator says cannot be recorded now", hint="`/readyz` says why")
