"""The admin listener: probes for everyone who reaches it, the admin API for operators.

Every request passes the same door: Host and Origin from this listener's own
lists, then, but for the three probes, the operator's token, then a bounded body.
Operators are of the whole gateway: they see every tenant.
"""

from typing import Any, Final

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from agent_gateway import VERSION
from agent_gateway.admin.audit_routes import Streams, audit_routes
from agent_gateway.admin.catalog_routes import catalog_routes
from agent_gateway.admin.health_routes import health_routes
from agent_gateway.admin.models import Problem
from agent_gateway.admin.pin_routes import pin_routes
from agent_gateway.admin.reading import Readers
from agent_gateway.audit.records import Origin
from agent_gateway.errors import problem, wire_form
from agent_gateway.identity import challenge
from agent_gateway.identity.ring import RingBroken
from agent_gateway.listeners.body import ClientGone, Message, Receive, Scope, Send, read_body
from agent_gateway.listeners.guard import HeadRules, check_head, check_json_post, hosts_of, origin_of
from agent_gateway.runtime.books import DataDir
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.runtime.keeper import Keeper
from agent_gateway.snapshot import Snapshot
from gateway_policies.principal import Principal
from gateway_policies.refusal import BadRequest, NotFound, Refusal, Unauthenticated, Unavailable

MAX_BODY_BYTES: Final = 256 * 1024
OPEN: Final = frozenset({"/healthz", "/readyz", "/metrics"})
_NO_STORE: Final = {"cache-control": "no-store"}
_PROBLEM_CONTENT: Final = {"application/problem+json": {"schema": Problem.model_json_schema()}}


class AdminApp:
    """The ASGI app of the admin listener."""

    def __init__(self, gateway: Gateway, keeper: Keeper, data: DataDir) -> None:
        self._gateway = gateway
        self._rules: tuple[Snapshot, HeadRules] | None = None
        self.streams = Streams()
        self._app = _api(gateway, keeper, data, self.streams)

    @property
    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, as `/openapi.json` serves it."""
        return self._app.openapi()

    def close(self) -> None:
        """End the streams, so that the listener can drain."""
        self.streams.closing.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        operator: Principal | None = None
        try:
            headers = check_head(scope["headers"], self._head_rules())
            if scope["path"] not in OPEN:
                operator = await self._operator(scope)
            body = await read_body(receive, headers, MAX_BODY_BYTES)
            if body:
                check_json_post(headers)
        except ClientGone:
            return
        except Refusal as refusal:
            peer = scope["client"][0] if scope.get("client") else ""
            origin = Origin("admin", peer)
            self._gateway.record_refusal(refusal.code, wire_form(refusal).http_status, origin, operator)
            await _answer(refusal)(scope, receive, send)
            return
        scope.setdefault("state", {})["operator"] = operator
        await self._app(scope, _again(body, receive), send)

    async def _operator(self, scope: Scope) -> Principal:
        try:
            operators = self._gateway.snapshot.identity.operators
            return await operators.authenticate(scope["headers"], scope["query_string"])
        except RingBroken as error:
            raise Unavailable("the gateway's own keys cannot be read", hint="run `doctor`") from error

    def _head_rules(self) -> HeadRules:
        snapshot = self._gateway.snapshot
        if self._rules is None or self._rules[0] is not snapshot:
            admin = snapshot.config.listeners.admin
            rules = HeadRules(
                hosts=hosts_of(admin.url, admin.host, admin.port, admin.allowed_hosts),
                origins=frozenset({origin_of(admin.url), *(one.lower() for one in admin.allowed_origins)}),
                max_headers=snapshot.config.limits.headers,
            )
            self._rules = (snapshot, rules)
        return self._rules[1]


def _api(gateway: Gateway, keeper: Keeper, data: DataDir, streams: Streams) -> FastAPI:
    app = FastAPI(
        title="Agent Gateway admin API",
        version=VERSION,
        description="For operators of the whole gateway. Send a bearer token whose audience is this listener.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses={"default": {"description": "Problem details", "content": _PROBLEM_CONTENT}},
    )
    readers = Readers()
    token = Depends(HTTPBearer(auto_error=False, description="Checked before any route is looked at."))
    app.include_router(health_routes(gateway))
    every: dict[str, Any] = {"prefix": "/v1", "dependencies": [token, Depends(_not_stored)]}
    app.include_router(catalog_routes(gateway, keeper, data, readers), **every)
    app.include_router(pin_routes(gateway, keeper, data, readers), **every)
    app.include_router(audit_routes(gateway, data, readers, streams), **every)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(Exception, _failed)
    return app


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body once more, then what comes after it."""
    is_given = False

    async def again() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _not_stored(response: Response) -> None:
    response.headers.update(_NO_STORE)


# --- what goes wrong, as problem details -------------------------------------------------------


def _answer(refusal: Refusal) -> JSONResponse:
    headers = dict(_NO_STORE)
    if isinstance(refusal, Unauthenticated):
        headers["www-authenticate"] = challenge.unauthorized(refusal, "").strip()
    if refusal.retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(refusal.retry_after_s)))
    if refusal.code == "too_large":
        headers["connection"] = "close"  # what is left of the body is not read
    status = wire_form(refusal).http_status
    return JSONResponse(problem(refusal), status, headers, media_type="application/problem+json")


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    return _answer(error)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    mistakes = [f"{'/'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:8]]
    return _answer(BadRequest("the request does not fit", code="invalid_params", details={"mistakes": mistakes}))


async def _no_route(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return _answer(BadRequest("this method is not served here", code="method_not_allowed"))
    if error.status_code == 400:
        return _answer(BadRequest("the body is no JSON", code="parse_error"))
    return _answer(NotFound("nothing is served here", hint="read /openapi.json"))


async def _failed(request: Request, error: Exception) -> JSONResponse:
    return _answer(Unavailable("the gateway failed on this request", code="internal"))
