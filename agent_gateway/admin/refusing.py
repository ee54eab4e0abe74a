"""A refusal as the admin listener answers it: problem details (RFC 9457)."""

from typing import Final

from starlette.responses import JSONResponse, Response

from agent_gateway.errors import problem, wire_form
from agent_gateway.identity import challenge
from gateway_policies.refusal import Refusal, Unauthenticated

NO_STORE: Final = {"cache-control": "no-store"}


def refused(refusal: Refusal) -> Response:
    """Return the answer that says `refusal`, with the headers that go with its code."""
    headers = dict(NO_STORE)
    if isinstance(refusal, Unauthenticated):
        headers["www-authenticate"] = challenge.unauthorized(refusal, "").strip()
    if refusal.retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(refusal.retry_after_s)))
    if refusal.code == "too_large":
        headers["connection"] = "close"  # what is left of the body is not read
    status = wire_form(refusal).http_status
    return JSONResponse(problem(refusal), status, headers, media_type="application/problem+json")
