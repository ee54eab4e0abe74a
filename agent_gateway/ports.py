"""The seams of the gateway: what the pipeline needs of the world, as protocols.

Each port has one contract suite in `tests/`, run over every adapter.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec

from gateway_policies.budgets import Charge as Charge
from gateway_policies.principal import Principal
from gateway_policies.refusal import Unavailable, UpstreamFailed
from mcp_registry.protocol.lists import ItemKind

Clock = Callable[[], float]  # unix seconds
Told = Callable[[Unavailable | None], None]
RawObject = dict[str, msgspec.Raw]  # a JSON object whose members are kept byte for byte


# --- audit ---------------------------------------------------------------------------------


class Recorder(Protocol):
    """The audit log of this worker: append now, know later that it is durable."""

    def append(self, record: Mapping[str, object]) -> int:
        """Take one record and return its index in this worker's log.

        Synchronous and cheap. Raises `Unavailable` when the log cannot take more.
        """
        ...

    def append_line(self, line: bytes, kind: object) -> int:
        """Like `append`, for a record that is encoded already; `kind` is its member of that name."""
        ...

    def when_durable(self, index: int, told: "Told") -> None:
        """Call `told` with None where `durable` would return, else with what it would raise; it must not raise."""
        ...

    async def durable(self, index: int) -> None:
        """Return once the record at `index` survives a power cut; raise `Unavailable` if it cannot."""
        ...

    @property
    def durable_count(self) -> int:
        """How many records, from the first, are durable."""
        ...

    @property
    def fault(self) -> str:
        """Why new calls cannot be recorded now, in words for operators; empty while they can."""
        ...


# --- budgets -------------------------------------------------------------------------------


class Hold(msgspec.Struct, frozen=True):
    """Set aside for one call; to be settled exactly once."""

    id: str
    charges: tuple[Charge, ...]


class Ledger(Protocol):
    """What may still be spent, as this worker knows it, and durably."""

    def hold(self, call_id: str, charges: Sequence[Charge]) -> Hold | None:
        """Set every charge aside or none, from what this worker has leased.

        Synchronous. None: a lease must be fetched first (`await lease(charges)`, then try again).
        Raises `OverBudget` naming the budget, and `Unavailable` when the store does not answer.
        """
        ...

    async def lease(self, charges: Sequence[Charge]) -> None:
        """Fetch what `hold` lacked from the store; raises `OverBudget` or `Unavailable`."""
        ...

    def book(self, hold: Hold, record_index: int) -> None:
        """Tie a hold to the decision record that carries its charges."""
        ...

    def settle(self, hold: Hold, actual: Sequence[int], record_index: int) -> None:
        """Charge `actual` (one amount per charge, 0 ≤ actual ≤ held) and free the rest; idempotent."""
        ...

    def release(self, hold: Hold) -> None:
        """Give back a hold that was never booked; idempotent."""
        ...


# --- upstreams -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """One request on its way to an MCP upstream, free of either era's metadata.

    params  the JSON-RPC params as raw members; `_meta` holds only what the upstream should
            see of the caller's own (no protocol keys, no progress token)
    client_capabilities  what this caller declared, raw; the upstream is told exactly that. None: nothing
    client_info          what the caller says of itself, raw; unverified, for display only
    log_level            the least severe log message the caller wants; None: none
    caller_era           which era the request came in, when an upstream of both may be asked in it
    let_go               hears that the upstream let go of its stream, to be asked for the rest later; None: no matter
    """

    method: str
    params: RawObject
    principal: Principal
    timeout_s: float
    wants_progress: bool = False
    trace: Mapping[str, str] = field(default_factory=dict[str, str])  # traceparent, tracestate, baggage
    name_header: str = ""  # what `Mcp-Name` must say, when the method bears a name
    input_schema: msgspec.Raw | None = None  # for `Mcp-Param-*`
    is_idempotent: bool = False
    client_capabilities: msgspec.Raw | None = None
    client_info: msgspec.Raw | None = None
    log_level: str | None = None
    caller_era: Literal["legacy", "modern"] = "modern"
    let_go: Callable[[], Awaitable[None]] | None = field(default=None, compare=False)
    steps: "Steps | None" = None  # for an upstream whose tools are composed of calls of others


@dataclass(frozen=True, slots=True)
class HttpSeen:
    """The HTTP behind an answer, for who composes calls; without any secret.

    headers  names in lower case
    """

    method: str
    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """How an upstream answered: exactly one of `result` and `error`, raw.

    era   which era the upstream spoke, for the translation of results
    seen  of an API that was called; never shown to callers
    """

    era: Literal["legacy", "modern"]
    result: msgspec.Raw | None = None
    error: msgspec.Raw | None = None
    size_bytes: int = 0
    seen: HttpSeen | None = None


class Steps(Protocol):
    """The way in which a composite calls: in its caller's name, each step decided, paid and recorded for itself."""

    async def call(self, upstream: str, tool: str, arguments: Mapping[str, object], timeout_s: float) -> UpstreamAnswer:
        """Call a tool by its upstream's own name for it; raises any `Refusal` that a call may meet."""
        ...


class AskRefused(Exception):
    """The caller answered a question with an error, or could not be asked; `error` is the raw JSON-RPC error."""

    def __init__(self, error: msgspec.Raw) -> None:
        super().__init__("the question has no answer")
        self.error = error


Progressed = Callable[[msgspec.Raw], None]  # raw params of a caller's `notifications/progress`; must not block


class Sink(Protocol):
    """Where messages of an upstream go while a request runs; awaiting is back-pressure."""

    async def notify(self, method: str, params: msgspec.Raw | None) -> None:
        """Take one notification that belongs to the running request (progress, log)."""
        ...

    async def ask(self, method: str, params: msgspec.Raw | None, progressed: "Progressed | None" = None) -> msgspec.Raw:
        """Put a question of the upstream (sampling, elicitation, roots) to the caller; return the raw result.

        progressed  hears how the caller gets on with it, when the upstream wants to know

        May take as long as a person does. Raises `AskRefused`. Cancelling it withdraws the question.
        """
        ...


@dataclass(frozen=True, slots=True)
class Listen:
    """What to hear of an upstream outside of requests.

    lists  of tools, prompts and resources, whose changes to hear
    uris   the resources whose changes to hear
    tasks  the tasks whose changes to hear, by the upstream's own ids
    """

    principal: Principal
    lists: frozenset[str] = frozenset()
    uris: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()


Heard = Callable[[str, msgspec.Raw | None], None]  # a notification: method and raw params; must not block


class McpUpstream(Protocol):
    """One registered MCP upstream behind its transport, its era found out and kept."""

    name: str

    @property
    def era(self) -> Literal["legacy", "modern"] | None:
        """Return the era it speaks, None while that is not known."""
        ...

    async def request(self, request: UpstreamRequest, sink: Sink) -> UpstreamAnswer:
        """Send one request and return its answer.

        Raises `UpstreamUnreachable` (provably nothing was sent), `UpstreamTimeout`, or
        `UpstreamFailed` (garbage, death mid-answer, too large). Cancelling the task cancels the
        request at the upstream in its own way (close of the stream, or `notifications/cancelled`).
        """
        ...

    async def list_items(self, kind: ItemKind, principal: Principal) -> "Listed":
        """Return every definition of a kind, all pages, as raw JSON; none when the upstream has no such list.

        Raises like `request`.
        """
        ...

    async def listen(self, wanted: Listen, heard: Heard) -> None:
        """Hear `notifications/…/list_changed` and `notifications/resources/updated` until cancelled.

        What breaks is opened again. Returns when the upstream has nothing of the kind.
        """
        ...

    async def server_info(self, principal: Principal) -> "ServerInfo":
        """Return what the upstream says of itself, from cache when it is known."""
        ...

    def health(self) -> "Health":
        """Return what is known now, without asking."""
        ...

    async def aclose(self) -> None:
        """End every session, connection and child of this upstream."""
        ...


class AgentUpstream(Protocol):
    """One registered A2A agent behind its transport; what goes to it is made elsewhere, byte for byte."""

    name: str

    async def card(self, principal: Principal) -> bytes:
        """Return the card as the agent serves it to `principal` now; raises like `send`."""
        ...

    async def send(self, request: "HttpRequest", principal: Principal, *, timeout_s: float) -> "HttpResponse":
        """Send one request with the credential that `principal`'s requests carry; return once the head is there.

        request    its `url` is on the registered origin
        timeout_s  until the head

        Raises `UpstreamUnreachable` (provably nothing was sent), `UpstreamTimeout` or `UpstreamFailed`.
        An answer of any status is an answer, but one that refuses the credential.
        """
        ...

    def broke(self, failure: UpstreamFailed) -> None:
        """Take note that an answer broke off after its head."""
        ...

    def health(self) -> "Health":
        """Return what is known now, without asking."""
        ...

    async def aclose(self) -> None:
        """End every connection to this agent."""
        ...


@dataclass(frozen=True, slots=True)
class Listed:
    """A whole list of an upstream.

    items   raw JSON objects, in its order
    ttl_ms  how long it may be taken to hold, by the upstream's own word; 0 without one
    """

    items: Sequence[msgspec.Raw] = ()
    ttl_ms: int = 0


@dataclass(frozen=True, slots=True)
class ServerInfo:
    era: Literal["legacy", "modern"]
    version: str
    server_info: msgspec.Raw | None
    capabilities: msgspec.Raw | None
    instructions: str | None


@dataclass(frozen=True, slots=True)
class Health:
    state: Literal["unknown", "up", "down"]
    since: float = 0.0  # unix seconds
    detail: str = ""  # public: no URL, no secret
    restarts: int = 0


# --- HTTP out ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One outbound HTTP/1.1 request on the data path. `url` is absolute, already encoded."""

    method: str
    url: str
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes = b""


class HttpResponse(Protocol):
    """Head read, body not yet. Close it, or read it to its end, on every path."""

    status: int
    headers: Mapping[bytes, bytes]  # names in lower case; the last of equal names

    async def read(self, max_bytes: int) -> bytes:
        """Return the whole body; raises `UpstreamFailed` beyond `max_bytes`."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; not reading pauses the upstream."""
        ...

    def close(self) -> None:
        """Drop the connection unless the body was read to its end."""
        ...

    def linger(self) -> None:
        """Read no more: what is left goes by unread, and the connection is kept if that ends soon."""
        ...


class HttpClient(Protocol):
    """The data path's HTTP client; every connection passes egress."""

    async def send(self, request: HttpRequest, *, timeout_s: float, idempotent: bool = False) -> HttpResponse:
        """Send and return once the head is there.

        timeout_s  until the head. Raises `UpstreamUnreachable`, `UpstreamTimeout`, `UpstreamFailed`.
        """
        ...

    async def aclose(self) -> None: ...
