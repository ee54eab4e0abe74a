"""Other registries, followed: looked at when it is time, by one worker, and what they say taken up."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from agent_gateway.config.operations import Mirror
from agent_gateway.config.section import is_loopback
from agent_gateway.egress.resolve import EgressRules
from agent_gateway.ports import Clock
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.runtime.registry_import import read_registry
from agent_gateway.stores.mirror_store import Mirrored, MirrorStore
from agent_gateway.stores.server_store import ServerStore
from agent_gateway.telemetry.logs import log
from gateway_policies.refusal import Refusal

LOOK_EVERY_S: Final = 15.0
RETRY_S: Final = 300.0  # after a registry that did not answer well


async def mirror_forever(gateway: Gateway) -> None:
    """Follow the configured registries until cancelled."""
    while True:
        mirrors = gateway.snapshot.config.registry.mirrors
        if mirrors:
            await mirror_due(mirrors, gateway.servers, gateway.services.clock)
        await asyncio.sleep(LOOK_EVERY_S)


async def mirror_due(mirrors: Mapping[str, Mirror], servers: ServerStore, clock: Clock) -> dict[str, Mirrored]:
    """Look at every registry whose time has come; return what changed, by its name. One that fails is retried."""
    store = MirrorStore(servers.path)
    found: dict[str, Mirrored] = {}
    for name, mirror in mirrors.items():
        if not await asyncio.to_thread(store.claim, name, clock(), mirror.every_s):
            continue
        try:
            found[name] = await mirror_now(name, mirror, store, clock)
        except Refusal as refusal:
            log(logging.WARNING, "a registry could not be read", registry=name, why=refusal.message)
            await asyncio.to_thread(store.due_in, name, clock(), min(RETRY_S, mirror.every_s))
            continue
        told = found[name]
        log(
            logging.INFO, "a registry was read", registry=name, taken=len(told.taken), changed=len(told.changed),
            gone=len(told.gone), left_out=len(told.left),
        )  # fmt: skip
    return found


async def mirror_now(name: str, mirror: Mirror, store: MirrorStore, clock: Clock) -> Mirrored:
    """Look at one registry; raises a `Refusal` when it cannot be read."""
    is_near = mirror.allow_private or is_loopback(urlsplit(mirror.url).hostname or "")
    rules = EgressRules(allow_private=is_near)
    read = await read_registry(mirror.url.rstrip("/"), mirror.search, rules, clock)
    taken = await asyncio.to_thread(store.take, name, read.entries, clock(), is_whole=read.is_whole)
    taken.left.extend(read.left)
    return taken
