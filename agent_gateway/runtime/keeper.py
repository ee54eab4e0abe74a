"""Keeping a worker's snapshot up to date: start, reload, refresh, drain.

A bad new configuration never replaces a good running one: it is refused with
every mistake, and what runs keeps running. Upstreams that a reload lets go are
closed once the calls that still use them have ended.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from agent_gateway.config.load import Loaded, load
from agent_gateway.config.problems import ConfigErrors
from agent_gateway.runtime.api_watch import ApiWatch
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.runtime.pinning import Pinning
from agent_gateway.runtime.provision import BadConfiguration, Provisioner, Seen, look_at, look_back
from agent_gateway.runtime.upstream_set import Kept
from agent_gateway.runtime.watch import Watch
from agent_gateway.snapshot import Snapshot
from agent_gateway.telemetry.logs import log
from gateway_policies.refusal import NotFound

RETRY_MISSING_EVERY_S = 2.0
LOOK_AGAIN_EVERY_S = 30.0
NUDGED_AFTER_S = 0.1  # a server that changes often is looked at ten times a second at most


class Keeper:
    """Knows where the configuration is and what it became."""

    def __init__(
        self,
        path: Path,
        provisioner: Provisioner,
        workers: int | None = None,
        pinning: Pinning | None = None,
        apis: ApiWatch | None = None,
    ) -> None:
        self.path = path
        self._apis = apis
        self._workers = workers
        self.last_problem = ""  # why the last reload was refused; empty when it was not
        self._provisioner = provisioner
        self._pinning = pinning
        self._loaded: Loaded | None = None
        self._kept: dict[str, Kept] = {}
        self._seen: dict[str, Seen] = {}
        self._lock = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        self._nudged: set[str] = set()
        self._nudge = asyncio.Event()

    @property
    def loaded(self) -> Loaded:
        """The configuration that is served."""
        assert self._loaded is not None
        return self._loaded

    async def start(self) -> Snapshot:
        """Return the first snapshot. Raises `ConfigErrors` or `BadConfiguration`."""
        loaded = await asyncio.to_thread(load_for, self.path, self._workers)
        kept = self._provisioner.upstreams(loaded, {})
        try:
            seen = await _look_at_all(loaded, kept, {}, self._pinning)
            snapshot = await self._provisioner.provision(loaded, kept, seen)
        except BaseException:
            await _close(kept, {}, 0)
            raise
        self._loaded, self._kept, self._seen = loaded, kept, seen
        return snapshot

    async def reload(self, gateway: Gateway) -> bool:
        """Serve what the file says now; return whether that was possible. What is wrong is logged and kept."""
        async with self._lock:
            try:
                snapshot = await self._reloaded()
            except (ConfigErrors, BadConfiguration) as errors:
                self.last_problem = str(errors)
                gateway.services.metrics.reloads.labels("refused").inc()
                log(logging.ERROR, "the new configuration is refused; the old one stays", mistakes=str(errors))
                return False
            self.last_problem = ""
            gateway.services.metrics.reloads.labels("served").inc()
            if snapshot is not None:
                gateway.swap(snapshot)
                log(logging.INFO, "serving the new configuration", snapshot=snapshot.id)
            return True

    async def _reloaded(self) -> Snapshot | None:
        loaded = await asyncio.to_thread(load_for, self.path, self._workers)
        if loaded.digest == self.loaded.digest:
            return None
        before = self._kept
        kept = self._provisioner.upstreams(loaded, before)
        fresh = {name: one for name, one in kept.items() if before.get(name) is not one}
        try:
            same = kept.keys() - fresh.keys()  # not asked again: a slow one must not hold up a change
            seen = {
                name: await look_back(loaded, name, self._seen[name], self._pinning) for name in kept if name in same
            }
            seen |= await _look_at_all(loaded, fresh, self._seen, self._pinning)
            snapshot = await self._provisioner.provision(loaded, kept, seen)
        except BaseException:
            await _close(fresh, {}, 0)
            raise
        self._loaded, self._kept, self._seen = loaded, kept, seen
        self._retire(before, kept, loaded.config.limits.drain_timeout_s)
        return snapshot

    def _retire(self, before: Mapping[str, Kept], kept: Mapping[str, Kept], drain_s: float) -> None:
        task = asyncio.ensure_future(_close(before, kept, drain_s))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def nudge(self, name: str) -> None:
        """Have one upstream looked at again soon: it says that a list of it changed. Many nudges are one look."""
        self._nudged.add(name)
        self._nudge.set()

    async def refresh(
        self, gateway: Gateway, *, only_missing: bool = False, only: frozenset[str] | None = None
    ) -> None:
        """Look at the upstreams again and serve what changed. A reload need not wait for this.

        only  the names of those to look at; None: of all
        """
        loaded, kept = self.loaded, self._kept
        asked = {name: one for name, one in kept.items() if not only_missing or self._is_away(name)}
        if only is not None:
            asked = {name: one for name, one in asked.items() if name in only}
        looked = await _look_at_all(loaded, asked, self._seen, self._pinning)
        async with self._lock:
            fresh = {name: one for name, one in looked.items() if self._kept.get(name) is kept[name]}
            if self.loaded is not loaded:
                fresh = {name: await look_back(self.loaded, name, one, self._pinning) for name, one in fresh.items()}
            if all(_is_same(self._seen[name], one) for name, one in fresh.items()):
                return
            self._seen = {**self._seen, **fresh}
            snapshot = await self._provisioner.provision(self.loaded, self._kept, self._seen)
            gateway.swap(snapshot)
            log(logging.INFO, "the catalogue changed", snapshot=snapshot.id, tools=len(snapshot.catalog.entries))

    async def reconsider(self, gateway: Gateway, upstream: str) -> None:
        """Serve an upstream's lists by what is approved now, without asking it again."""
        async with self._lock:
            if upstream not in self._seen:
                return
            again = await look_back(self.loaded, upstream, self._seen[upstream], self._pinning)
            self._seen = {**self._seen, upstream: again}
            gateway.swap(await self._provisioner.provision(self.loaded, self._kept, self._seen))

    async def release(self, gateway: Gateway, upstream: str, operation: str, pin: str) -> None:
        """Serve a held operation of an API as it is now; raises `NotFound` for what does not wait."""
        if self._apis is None:
            raise NotFound("no API is looked after here")
        await self._apis.release(self.loaded, upstream, operation, pin)
        await self.reload(gateway)

    def _is_away(self, name: str) -> bool:
        """Say whether an upstream is missing from the catalogue, or in it and down: only calls would try it again."""
        return bool(self._seen[name].missing) or self._kept[name].upstream.health().state == "down"

    async def keep(self, gateway: Gateway, watch: Watch) -> None:
        """Reload when files change or someone nudges, look at upstreams now and then, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reload_forever(gateway, watch))
            group.create_task(self._refresh_forever(gateway, RETRY_MISSING_EVERY_S, only_missing=True))
            group.create_task(self._refresh_forever(gateway, LOOK_AGAIN_EVERY_S, only_missing=False))
            group.create_task(self._refresh_nudged(gateway))

    async def _reload_forever(self, gateway: Gateway, watch: Watch) -> None:
        while True:
            await watch.changed()
            await self.reload(gateway)

    async def _refresh_forever(self, gateway: Gateway, every_s: float, *, only_missing: bool) -> None:
        while True:
            await asyncio.sleep(every_s)
            for name, one in self._kept.items():
                gateway.services.metrics.upstream_up.labels(name).set(one.upstream.health().state != "down")
            await self._refreshed(gateway, only_missing=only_missing)

    async def _refresh_nudged(self, gateway: Gateway) -> None:
        while True:
            await self._nudge.wait()
            await asyncio.sleep(NUDGED_AFTER_S)
            names, self._nudged = frozenset(self._nudged), set()
            self._nudge.clear()
            await self._refreshed(gateway, only=names)

    async def _refreshed(
        self, gateway: Gateway, *, only_missing: bool = False, only: frozenset[str] | None = None
    ) -> None:
        try:
            await self.refresh(gateway, only_missing=only_missing, only=only)
        except BadConfiguration as error:  # the catalogue moved in a way the configuration cannot bear
            log(logging.ERROR, "the changed catalogue cannot be served; the old one stays", why=str(error))

    async def aclose(self) -> None:
        """Close every upstream."""
        await _close(self._kept, {}, 0)
        for task in list(self._closing):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def load_for(path: Path, workers: int | None) -> Loaded:
    """Return the configuration at `path` for so many workers, whatever it says itself (None: as it says).

    Raises `ConfigErrors`.
    """
    loaded = load(path)
    return loaded if workers is None else replace(loaded, config=loaded.config.model_copy(update={"workers": workers}))


def _is_same(before: Seen, after: Seen) -> bool:
    # Why it is missing may change with every look; that alone is no reason for another snapshot.
    is_there_alike = bool(before.missing) == bool(after.missing)
    return is_there_alike and before.part == after.part and _shown(before) == _shown(after)


def _shown(seen: Seen) -> object:
    return (seen.card.approved, seen.card.latest, seen.info)


async def _look_at_all(
    loaded: Loaded, kept: Mapping[str, Kept], before: Mapping[str, Seen], pinning: Pinning | None
) -> dict[str, Seen]:
    looks = [look_at(loaded, name, one.upstream, before.get(name), pinning) for name, one in kept.items()]
    return dict(zip(kept, await asyncio.gather(*looks), strict=True))


async def _close(before: Mapping[str, Kept], kept: Mapping[str, Kept], drain_s: float) -> None:
    """Close what of `before` is not in `kept`, after the calls that may still use it had `drain_s` to end."""
    gone = [one for name, one in before.items() if kept.get(name) is not one]
    if not gone:
        return
    try:
        await asyncio.sleep(drain_s)
    finally:
        await asyncio.gather(*(one.upstream.aclose() for one in gone), return_exceptions=True)
