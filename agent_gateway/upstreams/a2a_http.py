"""An A2A agent over HTTP: its card, its credential, its breaker. Implements `ports.AgentUpstream`.

Nothing here reads a message. What is sent was made by the listener, or came from a
caller byte for byte; where it goes was settled at registration.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from agent_gateway.egress.resolve import EgressRules
from agent_gateway.identity.broker import origin_of
from agent_gateway.ports import Clock, Health, HttpClient, HttpRequest, HttpResponse
from agent_gateway.upstreams.breaker import Breaker
from agent_gateway.upstreams.settings import UpstreamLimits, UpstreamTimeouts
from gateway_policies.principal import Principal
from gateway_policies.refusal import UpstreamFailed, UpstreamUnreachable

Credentials = Callable[[Principal], Awaitable[Sequence[tuple[bytes, bytes]]]]

MAX_CARD_BYTES = 256 * 1024
CARD_TIMEOUT_S = 10.0
_PLAIN = (b"accept-encoding", b"identity")


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """One registered agent.

    url       on the only origin that messages go to
    card_url  where its card is, which may be elsewhere; the credential goes there only on the same origin
    """

    name: str
    url: str
    card_url: str
    timeouts: UpstreamTimeouts = field(default_factory=UpstreamTimeouts)
    limits: UpstreamLimits = field(default_factory=UpstreamLimits)
    rules: EgressRules = field(default_factory=EgressRules)
    longest_s: float = 3600.0  # from a request to the end of its answer


class HttpAgent:
    """One agent behind one origin.

    http         its own client, closed with it
    credentials  the headers that a principal's requests carry at this agent
    """

    def __init__(self, settings: AgentSettings, http: HttpClient, credentials: Credentials, clock: Clock) -> None:
        self.name = settings.name
        self._settings = settings
        self._http = http
        self._credentials = credentials
        self._breaker = Breaker(clock)

    async def card(self, principal: Principal) -> bytes:
        """Return the agent's card; see `ports.AgentUpstream`."""
        url = self._settings.card_url
        headers: list[tuple[bytes, bytes]] = [(b"accept", b"application/json"), _PLAIN]
        if origin_of(url) == origin_of(self._settings.url):
            headers.extend(await self._credentials(principal))
        response = await self._guarded(HttpRequest("GET", url, headers), CARD_TIMEOUT_S)
        if response.status != 200:
            response.close()
            raise UpstreamFailed(f"the agent's card is answered with HTTP status {response.status}", code="no_card")
        return await response.read(MAX_CARD_BYTES)

    async def send(self, request: HttpRequest, principal: Principal, *, timeout_s: float) -> HttpResponse:
        """Send one request; see `ports.AgentUpstream`."""
        if origin_of(request.url) != origin_of(self._settings.url):
            raise UpstreamUnreachable("a message may not go to another origin", code="upstream_misconfigured")
        headers = [*request.headers, _PLAIN, *await self._credentials(principal)]
        response = await self._guarded(HttpRequest(request.method, request.url, headers, request.body), timeout_s)
        try:
            _check(response)
        except UpstreamFailed as failure:
            response.close()
            self._breaker.failed(failure)
            raise
        return response

    def broke(self, failure: UpstreamFailed) -> None:
        """Take note that an answer broke off after its head."""
        self._breaker.failed(failure)

    def health(self) -> Health:
        """Return what is known now, without asking."""
        return self._breaker.health()

    async def aclose(self) -> None:
        """End every connection to this agent."""
        await self._http.aclose()

    async def _guarded(self, request: HttpRequest, timeout_s: float) -> HttpResponse:
        self._breaker.check()
        try:
            response = await self._http.send(request, timeout_s=timeout_s, idempotent=request.method == "GET")
        except UpstreamFailed as failure:
            self._breaker.failed(failure)
            raise
        self._breaker.succeeded()
        return response


def _check(response: HttpResponse) -> None:
    """Refuse an answer that no caller may see: it speaks of our credential, or leads elsewhere."""
    status = response.status
    if status in (401, 403, 407):
        raise UpstreamFailed(
            "the agent does not accept the gateway's credential",
            code="upstream_unauthorized",
            hint="an operator can check the credential of this agent",
        )
    if 300 <= status < 400:
        raise UpstreamFailed("the agent redirects, and redirects are not followed", code="upstream_redirect")
    if status < 200:
        raise UpstreamFailed("the agent switches protocols, and nobody asked for that", code="upstream_garbage")
    if response.headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise UpstreamFailed("the agent answers compressed, and nobody asked for that", code="upstream_garbage")
