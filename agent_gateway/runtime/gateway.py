"""The gateway of one worker: what lasts, which snapshot is served, and the books both write to.

Listeners and the admin API get this object. It is changed only by `swap`.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from agent_gateway import VERSION
from agent_gateway.audit import records
from agent_gateway.code_mode.code_run import CodeRunner
from agent_gateway.config.listeners import Limits
from agent_gateway.identity.sealing import Sealer
from agent_gateway.listeners.body import Send
from agent_gateway.listeners.guard import accepts
from agent_gateway.listeners.reply import Reply
from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.pipeline.services import Services
from agent_gateway.runtime.asks import Asks
from agent_gateway.runtime.counting import Changes, RecentSet, Tally
from agent_gateway.runtime.event_log import EventLog
from agent_gateway.runtime.listing import Listing, Listings
from agent_gateway.runtime.parked import ParkingLot
from agent_gateway.runtime.posted_streams import PostedStreams
from agent_gateway.runtime.running import Alive, InCharge, Running
from agent_gateway.runtime.sessions import Sessions
from agent_gateway.runtime.siblings import Siblings
from agent_gateway.runtime.subscriptions import Subscriptions
from agent_gateway.runtime.task_books import TaskBooks
from agent_gateway.runtime.tool_search import ToolSearch
from agent_gateway.runtime.tool_tasks import ToolTasks
from agent_gateway.snapshot import Route, Snapshot
from agent_gateway.telemetry.logs import log
from agent_gateway.telemetry.trace import Trace, begin
from agent_gateway.upstreams.chores import Chores
from gateway_policies.call import Call, Capability
from gateway_policies.decision import Decision
from gateway_policies.principal import Principal
from gateway_policies.refusal import Unavailable
from mcp_registry.protocol import discover, envelope
from mcp_registry.protocol.lists import KINDS, ItemKind
from mcp_registry.protocol.offers import join_capabilities
from mcp_registry.protocol.versions import Era

KEEP_ALIVE_EVERY_S = 15.0
FAREWELL_S = 5.0  # that the cancelling of a task may take which nobody waits for any more
MAX_ROUNDS_REMEMBERED = 100_000
MAX_STRANGERS_PER_S = 100  # records a second for requests of nobody we know; metrics count them all
_STREAM = b"text/event-stream"
_ANYTHING = Capability(name="*", native="*", upstream="*")


@dataclass(frozen=True, slots=True)
class Chance:
    """Where randomness comes from."""

    bits: Callable[[int], int]


class Gateway:
    """One worker's gateway; `snapshot` is what new requests are served from.

    books     whose tasks of agents are whose, and who wants to hear of them
    siblings  the other workers; None: there are none
    node      this worker's slot: ids that come back through a client say where they are known
    """

    def __init__(
        self,
        services: Services,
        sealer: Sealer,
        snapshot: Snapshot,
        chance: Chance,
        books: TaskBooks,
        siblings: Siblings | None = None,
    ) -> None:
        self.services = services
        self.sealer = sealer
        self.tasks = books.tasks
        self.push = books.push
        self.snapshot = snapshot
        self.write_timeout_s = 30.0
        self.started_at = services.clock()
        self.servers = books.servers
        self.server_info = Raw(envelope.write({"name": "agent-gateway", "version": VERSION}))
        self.siblings = siblings or Siblings(None, "0")
        node = self.siblings.node
        limits = self._limits
        self.sessions = Sessions(
            services.clock, self.siblings, lambda: limits().session_idle_s, lambda: limits().sessions_per_principal
        )
        self.siblings.on("cancel", self._cancel_told)
        self.node = node
        self.asks = Asks(node)
        self.parked = ParkingLot()
        self.tool_tasks = ToolTasks(books.tasks, books.ended, services.clock, node)
        self.events = EventLog(node, services.clock)
        self.rounds = RecentSet(MAX_ROUNDS_REMEMBERED)
        self.subscriptions = Subscriptions(lambda name: self.snapshot.upstreams.get(name))
        self.streams = Tally()
        self.farewells = Chores(FAREWELL_S)
        self.posted = PostedStreams()
        self.changes = Changes()
        self.is_ending = False
        self.active = Running()
        self._chance = chance
        self._listings = Listings()
        self.search = ToolSearch()
        self.code = CodeRunner()
        self._strangers = (0, 0)  # (second, records written in it)

    def _limits(self) -> Limits:
        return self.snapshot.config.limits

    # --- snapshots -----------------------------------------------------------------------

    def swap(self, snapshot: Snapshot) -> None:
        """Serve new requests from `snapshot`; those that run keep theirs."""
        self.snapshot = snapshot
        self._listings.clear()
        self.subscriptions.renew()
        self.changes.ring()

    def end(self) -> None:
        """Let go of standing streams: the process is about to end, and they never do by themselves."""
        self.is_ending = True
        self.parked.close()
        self.subscriptions.close()
        self.changes.ring()

    def server(self, snapshot: Snapshot, principal: Principal, route: Route, era: Era) -> discover.Server:
        """Return how an endpoint presents itself to a caller: by the upstreams of which it sees something."""
        owners = {
            capability.upstream
            for kind in KINDS
            for capability in self.listing(snapshot, principal, route.path, kind).visible
        }
        infos = {name: info for name, info in snapshot.infos.items() if name in owners}
        declared = [info.capabilities for info in infos.values() if info.capabilities is not None]
        capabilities = join_capabilities(declared, era, discover.SERVED_METHODS[era])
        own = f"Tools of `{route.name}`, as far as you may call them. Denials say why and what would satisfy them."
        theirs = discover.merge_instructions([(name, info.instructions) for name, info in infos.items()])
        info = infos[route.view.name].server_info if route.view.is_native and route.view.name in infos else None
        return discover.Server(info or self.server_info, f"{own}\n\n{theirs}" if theirs else own, capabilities)

    def listing(self, snapshot: Snapshot, principal: Principal, path: str, kind: ItemKind = "tools") -> Listing:
        """Return what `principal` sees of a kind at the endpoint `path`, from cache when nothing changed."""
        return self._listings.get(snapshot, principal, path, kind)

    # --- calls ---------------------------------------------------------------------------

    def exchange(self, principal: Principal, route: str, context: Mapping[str, str]) -> Exchange:
        """Begin the record of one call. Ids sort by time: 12 hex digits of milliseconds, 20 of chance."""
        services = self.services
        now = services.clock()
        bits = self._chance.bits
        ratio = self.snapshot.config.telemetry.sample_ratio
        if context or ratio:
            trace = begin(context, bits, ratio)
            name = f"{bits(80):020x}"
        else:
            chance = f"{bits(272):068x}"
            trace = Trace(chance[:32], chance[32:48])
            name = chance[48:]
        return Exchange(f"{int(now * 1000):012x}{name}", principal, route, trace, now, services.monotonic_ns())

    def reply(self, send: Send, headers: Mapping[bytes, bytes]) -> Reply:
        """Return the answer-to-be of one request."""
        now = asyncio.get_running_loop().time()
        return Reply(send, can_stream=accepts(headers, _STREAM), now=now, write_timeout_s=self.write_timeout_s)

    def running(self, principal: Principal, key: Hashable | None, reply: Alive) -> InCharge:
        """Count a call as running until the block ends; raises `TooMuch` beyond the caller's share of this worker."""
        limit = self.snapshot.config.limits.concurrency_per_principal
        return self.active.enter(principal.key, limit, key, reply)

    def cancel(self, caller: tuple[str, ...], session_id: str, request_id: str | int) -> None:
        """Cancel a legacy call, whichever worker runs it."""
        if not self.active.cancel((caller, session_id, request_id)):
            self.siblings.tell("cancel", session_id, msgspec.json.encode([caller, request_id]).decode())

    def _cancel_told(self, session_id: str, text: str) -> None:
        caller, request_id = _CANCEL.decode(text)
        self.active.cancel((caller, session_id, request_id))

    # --- books ---------------------------------------------------------------------------

    def record_refusal(self, code: str, status: int, origin: records.Origin, principal: Principal | None) -> None:
        """Leave one record of a request that never became a call. Strangers get a bounded number a second."""
        self.services.metrics.count_refusal(code)
        now = self.services.clock()
        if principal is None:
            second, count = self._strangers
            if second != int(now):
                second, count = int(now), 0
            self._strangers = (second, count + 1)
            if count >= MAX_STRANGERS_PER_S:
                return
        try:
            self.services.recorder.append(records.refusal(now, code, status, origin, principal))
        except Unavailable as refusal:
            log(logging.ERROR, "a refusal went unrecorded", code=code, why=refusal.message)

    def record_list(
        self, method: str, principal: Principal, route: str, context: Mapping[str, str], size_bytes: int
    ) -> None:
        """Record that a list was given out, as a call that is decided on and ends at once."""
        self.record_given(method, self.exchange(principal, route, context), size_bytes)

    def record_given(self, method: str, exchange: Exchange, size_bytes: int) -> Call:
        """Record what an endpoint does itself, and return it as a call: others may be made as part of it."""
        services, principal = self.services, exchange.principal
        call = Call(exchange.id, principal, "list", _ANYTHING, {}, exchange.started_at, exchange.route, method)
        permit = Decision(effect="permit", policies=(), bundle=self.snapshot.bundle.stamp)
        arguments = services.seal.of(principal.tenant, b"{}")
        trace = exchange.trace.onward()["traceparent"]
        services.recorder.append(records.decision(call, permit, (), arguments, self.snapshot.id, trace))
        traffic = records.Traffic(2, size_bytes, 0)
        services.recorder.append(records.outcome(call, services.clock(), "ok", "", traffic))
        return call


_CANCEL = msgspec.json.Decoder(tuple[tuple[str, str, str, str], str | int])
