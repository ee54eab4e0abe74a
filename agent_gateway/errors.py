"""How a refusal looks on each wire: the one table from our codes to HTTP and JSON-RPC.

Codes -32020 to -32099 belong to the MCP specification; ours for policy, money
and upstreams lie between -32000 and -32019.
"""

from dataclasses import dataclass

from gateway_policies.refusal import Refusal

REASON_KEY = "agent-gateway/refusal"  # under `error.data`, so that it never collides with a peer's own data


@dataclass(frozen=True, slots=True)
class WireForm:
    """HTTP status outside MCP's own answers, and the JSON-RPC code inside them."""

    http_status: int
    jsonrpc_code: int


_INTERNAL = WireForm(500, -32603)
_FORMS: dict[str, WireForm] = {
    # the caller's bytes
    "bad_request": WireForm(400, -32600),
    "parse_error": WireForm(400, -32700),
    "too_large": WireForm(413, -32600),
    "headers_too_large": WireForm(431, -32600),
    "bad_host": WireForm(421, -32600),
    "bad_origin": WireForm(403, -32600),
    "bad_content_type": WireForm(415, -32600),
    "not_acceptable": WireForm(406, -32600),
    "method_not_allowed": WireForm(405, -32600),
    "body_timeout": WireForm(408, -32600),
    "invalid_params": WireForm(400, -32602),
    "invalid_arguments": WireForm(400, -32602),
    "no_session": WireForm(404, -32600),
    "unasked": WireForm(400, -32600),
    # who and whether
    "unauthenticated": WireForm(401, -32001),
    "insufficient_scope": WireForm(403, -32003),
    "not_found": WireForm(404, -32602),
    "forbidden": WireForm(403, -32003),
    # how much
    "too_much": WireForm(429, -32005),
    "over_rate": WireForm(429, -32005),
    "over_concurrency": WireForm(429, -32005),
    "over_budget": WireForm(429, -32006),
    # the other side
    "upstream_failed": WireForm(502, -32010),
    "upstream_unreachable": WireForm(502, -32011),
    "upstream_timeout": WireForm(504, -32012),
    # ourselves
    "unavailable": WireForm(503, -32013),
    "internal": _INTERNAL,
}


def wire_form(refusal: Refusal) -> WireForm:
    """Return the wire form of a refusal: by its own code, else by its class's."""
    form = _FORMS.get(refusal.code)
    if form is not None:
        return form
    for kind in type(refusal).__mro__:
        code = getattr(kind, "code", "")
        if code in _FORMS:
            return _FORMS[code]
    return _INTERNAL


def public_data(refusal: Refusal, call_id: str) -> dict[str, object]:
    """Return what a program may read of a refusal: code, whose move, hint, facts, when to retry."""
    facts: dict[str, object] = {"code": refusal.code, "move": refusal.move.value}
    if refusal.hint:
        facts["hint"] = refusal.hint
    if refusal.retry_after_s is not None:
        facts["retry_after_s"] = round(refusal.retry_after_s, 3)
    if refusal.details:
        facts["details"] = dict(refusal.details)
    if call_id:
        facts["call"] = call_id
    return {REASON_KEY: facts}


def problem(refusal: Refusal, call_id: str = "") -> dict[str, object]:
    """Return the refusal as RFC 9457 problem details, for everything that is not JSON-RPC."""
    body: dict[str, object] = {
        "type": f"urn:agent-gateway:refusal:{refusal.code}",
        "title": refusal.message,
        "status": wire_form(refusal).http_status,
        "code": refusal.code,
        "move": refusal.move.value,
    }
    if refusal.hint:
        body["detail"] = refusal.hint
    if refusal.details:
        body["details"] = dict(refusal.details)
    if call_id:
        body["call"] = call_id
    return body
