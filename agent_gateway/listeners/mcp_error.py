"""How a refusal looks as a JSON-RPC error, in either era."""

from msgspec import Raw

from agent_gateway import errors
from agent_gateway.upstreams.speak import error_code
from gateway_policies.refusal import Refusal
from mcp_registry.protocol import envelope
from mcp_registry.protocol.errors import RESOURCE_NOT_FOUND, ProtocolError, http_status
from mcp_registry.protocol.versions import Era

Headers = tuple[tuple[bytes, bytes], ...]


def render(id_raw: bytes | None, refusal: Refusal, era: Era, call_id: str = "") -> tuple[int, bytes, Headers]:
    """Return HTTP status, body and headers of a refusal of the message `id_raw`.

    call_id  names the call in the audit log, when it got so far
    """
    data: object
    if refusal.code == "not_found":
        call_id = ""  # a hidden tool made a call, an unknown one did not: the answers must not differ
    if isinstance(refusal, ProtocolError):
        code, status, data = refusal.rpc_code, refusal.http_status, refusal.data
        if data is None and refusal.hint:
            data = errors.public_data(refusal, call_id)
    else:
        code = errors.wire_form(refusal).jsonrpc_code
        known = errors.public_data(refusal, call_id)
        if refusal.code == "not_found" and "uri" in refusal.details:  # a resource, whose absence has a form of its own
            known["uri"] = refusal.details["uri"]
            code = RESOURCE_NOT_FOUND if era == "legacy" else code
        # A fault of our own is one of HTTP too: whoever watches the gateway from outside counts it by its status.
        status = errors.wire_form(refusal).http_status if refusal.code == "internal" else http_status(code, era)
        data = known
    return status, envelope.error(id_raw, code, refusal.message, data), retry_header(refusal)


def retry_header(refusal: Refusal) -> Headers:
    """Return `retry-after` when waiting helps."""
    if refusal.retry_after_s is None:
        return ()
    return ((b"retry-after", b"%d" % max(1, round(refusal.retry_after_s))),)


def status_of(id_raw: bytes, body: bytes, era: Era) -> int:
    """Return the HTTP status of our answer to the message `id_raw`: an upstream's error has one in 2026-07-28."""
    head = envelope.failure(id_raw, b"")[:-1]
    if era == "legacy" or not body.startswith(head):
        return 200
    return http_status(error_code(Raw(body[len(head) : -1])) or 0, era)
