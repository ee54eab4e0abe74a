"""The wire of one API: requests with its credentials, answers without them, and what does not fit kept for a while."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import anyio.to_thread

from agent_gateway import VERSION
from agent_gateway.identity.scheme_secrets import SchemeSecrets
from agent_gateway.ports import Clock, Health, HttpClient, UpstreamRequest
from agent_gateway.stores.answers import KeptAnswers
from agent_gateway.upstreams import speak
from agent_gateway.upstreams.api_exchange import ApiExchange, ExchangeLimits, Waiting, plain_headers
from agent_gateway.upstreams.breaker import Breaker
from context_mesh.openapi.model import ABSENT, Operation
from context_mesh.wire.plan import Planned, Secret
from context_mesh.wire.read import Answer, Shape, read
from context_mesh.wire.secrecy import without
from gateway_policies.principal import Principal
from gateway_policies.refusal import UpstreamFailed

Credentials = Callable[[Principal], Awaitable[Sequence[tuple[bytes, bytes]]]]
Make = Callable[[Sequence[Secret]], Planned]


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """What proves the gateway: `always` with every call, `schemes` as the operation wants.

    fields  by name, for bodies in which an API wants a credential; only where the operation has such a field
    """

    always: Credentials
    schemes: SchemeSecrets
    fields: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


class ApiWire:
    """Sends the requests of one API and reads its answers; whether it answers at all is counted here."""

    def __init__(
        self, http: HttpClient, limits: ExchangeLimits, access: ApiAccess, answers: KeptAnswers, clock: Clock
    ) -> None:
        self._http = http
        self._exchange = ApiExchange(http, limits)
        self._access = access
        self._answers = answers
        self._breaker = Breaker(clock)

    async def ask(
        self, operation: Operation, make: Make, request: UpstreamRequest, waiting: Waiting | None = None
    ) -> Answer:
        """Send the request that `make` gives, with the operation's credentials; return the answer without them.

        waiting  told of each further question while accepted work is waited for; None: it is not waited for
        Raises like `ports.HttpClient`, and whatever `make` does.
        """
        self._breaker.check()
        try:
            with speak.deadline(request.timeout_s):
                secrets = await self._secrets(operation, request.principal)
                more = [("accept-encoding", "identity"), ("user-agent", f"agent-gateway/{VERSION}")]
                more += [(key, text) for key, text in request.trace.items() if key in ("traceparent", "tracestate")]
                planned = plain_headers(make(secrets), more)
                answer = await self._exchange.send(planned, request.timeout_s, waiting)
        except UpstreamFailed as failure:
            self._breaker.failed(failure)
            raise
        if answer.status == 401:
            self._access.schemes.forget(operation)
        if answer.status in (502, 504):
            self._breaker.failed(UpstreamFailed("the API is behind a broken gateway", code="upstream_bad_gateway"))
        else:
            self._breaker.succeeded()
        return without(answer, secrets)

    async def result(self, answer: Answer, shape: Shape, principal: Principal) -> dict[str, object]:
        """Return an answer as the result of a tool; what is cut is kept for its caller."""
        reading = read(answer, shape)
        handle = ""
        if reading.whole is not ABSENT:
            handle = await anyio.to_thread.run_sync(self._answers.keep, principal.key, reading.whole)
        return reading.result(handle)

    async def kept(self, principal: Principal, handle: str) -> object:
        """Return what was kept; raises `KeyError`."""
        return await anyio.to_thread.run_sync(self._answers.find, principal.key, handle)

    def health(self) -> Health:
        """Return what is known now, without asking."""
        return self._breaker.health()

    async def aclose(self) -> None:
        """End every connection."""
        await self._http.aclose()

    async def _secrets(self, operation: Operation, principal: Principal) -> list[Secret]:
        """Return what the call carries; INVARIANT: no argument takes the place of any of it."""
        found = [*await self._access.schemes.secrets(principal, operation)]
        taken = {one.name.lower() for one in found if one.location == "header"}
        always = [(name.decode(), value.decode("latin-1")) for name, value in await self._access.always(principal)]
        found += [Secret("header", name, value) for name, value in always if name.lower() not in taken]
        wanted = operation.body.media.fields if operation.body is not None and self._access.fields else ()
        return found + [
            Secret("body", one.name, self._access.fields[one.name])
            for one in wanted
            if one.is_hidden and one.name in self._access.fields
        ]
