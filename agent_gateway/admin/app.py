"""The admin listener: probes for everyone who reaches it, the admin API for operators.

Every request passes the same door: Host and Origin from this listener's own
lists, then, but for the three probes, the operator's token, then a bounded body.
Operators are of the whole gateway: they see every tenant.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.responses import Response

from agent_gateway.admin.probes import PROBES
from agent_gateway.admin.reading import Streams
from agent_gateway.admin.refusing import refused
from agent_gateway.audit.records import Origin
from agent_gateway.errors import wire_form
from agent_gateway.identity.ring import RingBroken
from agent_gateway.listeners.body import ClientGone, Message, Receive, Scope, Send, read_body
from agent_gateway.listeners.guard import HeadRules, check_head, check_json_post, hosts_of, origin_of
from agent_gateway.runtime.books import DataDir
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.runtime.keeper import Keeper
from agent_gateway.snapshot import Snapshot
from gateway_policies.principal import Principal
from gateway_policies.refusal import BadRequest, Refusal, Unavailable

MAX_BODY_BYTES: Final = 256 * 1024

Api = Callable[[Scope, Receive, Send], Awaitable[None]]


class AdminApp:
    """The ASGI app of the admin listener."""

    def __init__(self, gateway: Gateway, keeper: Keeper, data: DataDir) -> None:
        self._gateway, self._keeper, self._data = gateway, keeper, data
        self._rules: tuple[Snapshot, HeadRules] | None = None
        self._api: asyncio.Future[Api] | None = None
        self.streams = Streams()

    def close(self) -> None:
        """End the streams, so that the listener can drain."""
        self.streams.closing.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        operator: Principal | None = None
        try:
            headers = check_head(scope["headers"], self._head_rules())
            if scope["path"] not in PROBES:
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
            await refused(refusal)(scope, receive, send)
            return
        if operator is None:
            await self._probe(scope)(scope, receive, send)
            return
        scope.setdefault("state", {})["operator"] = operator
        if self._api is None or (self._api.done() and self._api.exception() is not None):  # it may go well next time
            self._api = asyncio.ensure_future(asyncio.to_thread(self._build))  # not on the loop: calls go on
        api = await asyncio.shield(self._api)  # who leaves takes it from nobody else
        await api(scope, _again(body, receive), send)

    def _build(self) -> Api:
        from agent_gateway.admin.api import admin_api  # its own docstring says why not earlier

        return admin_api(self._gateway, self._keeper, self._data, self.streams)

    def _probe(self, scope: Scope) -> Response:
        try:
            if scope["method"] != "GET":
                raise BadRequest("this method is not served here", code="method_not_allowed")
            return PROBES[scope["path"]](self._gateway)
        except Refusal as refusal:
            return refused(refusal)

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
