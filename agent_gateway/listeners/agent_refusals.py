"""What the listener of agents says no to, and how that looks in the caller's own dialect."""

from urllib.parse import urlsplit

from a2a_gateway import errors
from a2a_gateway.operations import Dialect
from agent_gateway.config.upstream_a2a import A2aUpstream
from agent_gateway.listeners.mcp_error import retry_header
from gateway_policies.refusal import BadRequest, NotFound, Refusal, UpstreamFailed

Answer = tuple[int, bytes, list[tuple[bytes, bytes]]]


def render(refusal: Refusal, dialect: Dialect, id_raw: bytes | None, call_id: str = "") -> Answer:
    """Return HTTP status, body and headers of a refusal.

    call_id  names the call in the audit log; left out where it would tell what is hidden from what is unknown
    """
    if refusal.code in ("not_found", "task_not_found"):
        call_id = ""
    answer = errors.answer(refusal, dialect, id_raw, call_id)
    return answer.http_status, answer.body, [(b"content-type", answer.content_type.encode()), *retry_header(refusal)]


def no_agent() -> NotFound:
    """Return the one answer for an agent or skill that is unknown, and for one that is hidden."""
    return NotFound("no such agent here", hint="the catalogue names those that you may use")


def task_not_found() -> NotFound:
    """Return the one answer for a task or context that never was, and for one of somebody else."""
    return NotFound("no such task", code="task_not_found")


def push_off() -> BadRequest:
    """Return the refusal of push notifications where they are off."""
    return BadRequest(
        "push notifications are off for this agent", code="push_not_supported", hint="stream, or ask after the task"
    )


def foreign_answer(what: str, status: int) -> UpstreamFailed:
    """Return the refusal of an answer that no caller may see."""
    return UpstreamFailed(
        f"the agent's answer is not passed on: {what}", code="invalid_agent_response", details={"status": status}
    )


def other_tenant() -> BadRequest:
    """Return the refusal of a request for a tenant of the agent that this endpoint does not stand for."""
    return BadRequest("this endpoint has no such tenant", code="invalid_params", hint="leave `tenant` out")


def is_telling(body: bytes, config: A2aUpstream) -> bool:
    """Say whether an error names a host that callers may not know of, with its port or, a full name, without."""
    places = [urlsplit(url) for url in config.urls().values()]
    hosts = {place.netloc.lower() for place in places}
    hosts |= {host for place in places if "." in (host := place.hostname or "") or ":" in host}
    told = body.lower()
    return any(host.encode() in told for host in hosts if host)
