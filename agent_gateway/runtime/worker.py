"""One worker process: opens its books, builds the gateway, serves, and ends in order.

The order of ending is the reverse of the order of beginning: stop accepting,
let calls end, close upstreams, make the log durable, give leases back.
"""

import asyncio
import contextlib
import gc
import logging
import os
import random
import secrets
import signal
import socket
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

from agent_gateway.admin.app import AdminApp
from agent_gateway.audit.records import Origin
from agent_gateway.config.load import Loaded
from agent_gateway.identity.keys import SigningKeys
from agent_gateway.identity.replay import FileReplay
from agent_gateway.identity.sealing import Sealer
from agent_gateway.identity.throttle import Throttle
from agent_gateway.identity.token_service import TokenGuards
from agent_gateway.listeners.data import DataApp
from agent_gateway.listeners.deadlines import EdgeLimits, Refused
from agent_gateway.listeners.serve import Listener, serving
from agent_gateway.pipeline.services import Services
from agent_gateway.ports import Clock
from agent_gateway.runtime.api_watch import ApiWatch, watch_forever
from agent_gateway.runtime.books import Books, DataDir, open_books
from agent_gateway.runtime.chores import Chores
from agent_gateway.runtime.gateway import KEEP_ALIVE_EVERY_S, Chance, Gateway
from agent_gateway.runtime.grpc_beside import grpc_beside
from agent_gateway.runtime.identities import Keep
from agent_gateway.runtime.keeper import Keeper, load_for
from agent_gateway.runtime.list_changes import hear_list_changes
from agent_gateway.runtime.mirroring import mirror_forever
from agent_gateway.runtime.pinning import Pinning
from agent_gateway.runtime.provision import Provisioner
from agent_gateway.runtime.siblings import RUN_DIR, Siblings
from agent_gateway.runtime.task_books import open_task_books
from agent_gateway.runtime.watch import Watch, fingerprint
from agent_gateway.stores.pin_store import PinStore
from agent_gateway.telemetry.logs import log
from agent_gateway.telemetry.metrics import Metrics

_ROTATE_EVERY_S = 3600.0
_DAY_S = 86_400.0
_OBSERVE_EVERY_S = 1.0
_GC_THRESHOLDS = (20_000, 20, 20)


@dataclass(frozen=True, slots=True)
class Worker:
    """A running gateway and what it is made of."""

    gateway: Gateway
    keeper: Keeper
    books: Books
    data: DataDir
    watch: Watch
    apis: ApiWatch


@contextlib.asynccontextmanager
async def working(path: Path, clock: Clock = time.time, workers: int | None = None) -> AsyncGenerator[Worker]:
    """Build the gateway that `path` describes and keep it up to date while the block runs.

    workers  how many share budgets and rates, when that is not what the file says

    Raises `ConfigErrors`, `BadConfiguration`, or `Unavailable` when the data directory is not usable.
    """
    loaded = await asyncio.to_thread(load_for, path, workers)
    data = DataDir(loaded.data_dir)
    async with (
        open_books(data, loaded.config.audit, loaded.config.workers, clock) as books,
        _replay(data, clock) as used,
        open_task_books(data, clock) as task_books,
    ):
        keys, operator_keys = SigningKeys(data.keys, clock=clock), SigningKeys(data.operator_keys, clock=clock)
        guards = TokenGuards(used, Throttle(clock=clock))
        pinning = Pinning(PinStore(data.pins), clock)
        apis = ApiWatch(PinStore(data.pins), clock)
        keeper = Keeper(path, Provisioner(Keep(keys, operator_keys, guards, clock), clock), workers, pinning, apis)
        before = await asyncio.to_thread(fingerprint, loaded.watched)  # to start takes as long as upstreams are slow
        snapshot = await keeper.start()
        # Ids of calls and spans name things and guard nothing: fast chance, seeded from the system, is enough.
        chance = random.Random(secrets.randbits(256))  # noqa: S311
        services = Services(clock, time.monotonic_ns, books.log, books.ledger, books.seal, Metrics())
        stop_spans = _spans(services, loaded.config.telemetry.otlp_endpoint)
        sealer = Sealer(data.keys, clock=clock)
        gateway = Gateway(services, sealer, snapshot, Chance(chance.getrandbits), task_books, _siblings(books.slot))
        watch, key_life_s = Watch(lambda: keeper.loaded.watched, seen=before), _key_life_s(loaded)
        gateway.siblings.on("reload", watch.nudge)
        chores = Chores()
        chores.start("configuration and catalogue", lambda: keeper.keep(gateway, watch))
        chores.start("changes of lists", lambda: hear_list_changes(gateway, keeper.nudge))
        if books.slot == "0" or loaded.config.workers == 1:  # one of them looks, for all
            chores.start("descriptions of APIs", lambda: watch_forever(apis, lambda: keeper.loaded))
        chores.start("signs of life", lambda: gateway.active.keep_alive(KEEP_ALIVE_EVERY_S))
        chores.start("gauges", lambda: _observe(gateway))
        chores.start("other registries", lambda: mirror_forever(gateway))
        chores.start("key rotation", lambda: _rotate_keys(keys, sealer, key_life_s))
        try:
            yield Worker(gateway, keeper, books, data, watch, apis)
        finally:
            await chores.aclose()
            await gateway.tool_tasks.aclose()
            await keeper.aclose()
            await asyncio.to_thread(stop_spans)


async def serve(
    path: Path,
    data_socket: socket.socket,
    admin_socket: socket.socket,
    started: Callable[[Worker], None],
    workers: int | None = None,
) -> None:
    """Serve both listeners until SIGTERM or SIGINT; SIGHUP reloads.

    started  called once everything answers
    workers  how many serve on these sockets, when that is not what the file says
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with working(path, workers=workers) as worker:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, worker.watch.nudge)
        limits = worker.gateway.snapshot.config.limits
        edge = EdgeLimits(limits.header_timeout_s, limits.body_timeout_s, header_bytes=limits.header_bytes)
        common = (edge, int(limits.idle_timeout_s), int(limits.drain_timeout_s), limits.connections)
        admin = AdminApp(worker.gateway, worker.keeper, worker.data)
        data = DataApp(worker.gateway)
        listeners = [
            Listener("data", data, data_socket, *common, refused=_recorded(worker, ""), fast_for=_fast_for(worker)),
            Listener("admin", admin, admin_socket, *common, refused=_recorded(worker, "admin")),
        ]
        config = worker.gateway.snapshot.config
        async with serving(listeners), worker.gateway.siblings.serving(data), grpc_beside(config, data):
            log(logging.INFO, "serving", pid=os.getpid(), slot=worker.books.slot, snapshot=worker.gateway.snapshot.id)
            gc.collect()
            gc.freeze()  # what is there now stays: the collector need not look at it again
            gc.set_threshold(*_GC_THRESHOLDS)
            started(worker)
            await stop.wait()
            admin.close()
            log(logging.INFO, "draining", running=worker.gateway.active.count)
            worker.gateway.end()


def _recorded(worker: Worker, route: str) -> Refused:
    """Return what leaves one record of a request that was refused at the edge."""

    def refused(code: str, status: int, peer: str) -> None:
        worker.gateway.record_refusal(code, status, Origin(route, peer), None)

    return refused


def _fast_for(worker: Worker) -> Gateway | None:
    return worker.gateway if worker.gateway.snapshot.config.listeners.data.fast_path else None


@contextlib.asynccontextmanager
async def _replay(data: DataDir, clock: Clock) -> AsyncGenerator[FileReplay]:
    used = FileReplay(data.root, clock=clock)
    try:
        yield used
    finally:
        used.close()


def _siblings(slot: str) -> Siblings:
    directory = os.environ.get(RUN_DIR)
    return Siblings(Path(directory) if directory else None, slot)


async def _observe(gateway: Gateway) -> None:
    """Keep the gauges of this worker current, and forget what nobody uses."""
    while True:
        gateway.sessions.expire()
        gateway.events.expire()
        gateway.services.metrics.in_flight.set(gateway.active.count)
        gateway.services.metrics.settle()
        await asyncio.sleep(_OBSERVE_EVERY_S)


async def _rotate_keys(keys: SigningKeys, sealer: Sealer, age_s: float) -> None:
    while True:
        await asyncio.sleep(_ROTATE_EVERY_S)
        await asyncio.to_thread(keys.rotate_if_due, age_s)
        await asyncio.to_thread(sealer.rotate_if_due)


def _key_life_s(loaded: Loaded) -> float:
    return loaded.config.token_service.key_rotation_days * _DAY_S


def _spans(services: Services, endpoint: str | None) -> Callable[[], None]:
    """Have spans sent where a collector is configured; return what stops that."""
    if endpoint is None:
        return lambda: None
    from agent_gateway.runtime.tracing import send_spans  # what is imported with it is for those who want it

    return send_spans(services, endpoint)
