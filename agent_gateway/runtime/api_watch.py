"""Looking at descriptions of APIs again: fetched through egress, compared, held where a person has to look.

One worker does it, the first. What it writes is the folder of the API, which all workers watch.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent_gateway.config.load import Loaded
from agent_gateway.config.upstream_openapi import OpenApiUpstream
from agent_gateway.egress.control_client import ControlClient
from agent_gateway.egress.resolve import EgressRules
from agent_gateway.mesh.folder import ApiFolder
from agent_gateway.mesh.holding import follow, mirror, release
from agent_gateway.mesh.importing import import_api
from agent_gateway.mesh.sources import FETCH_TIMEOUT_S, MAX_BYTES, Sources, from_body, from_path
from agent_gateway.ports import Clock
from agent_gateway.stores.pin_store import PinStore
from agent_gateway.telemetry.logs import log
from gateway_policies.refusal import NotFound, Refusal, UpstreamFailed

LOOK_EVERY_S: Final = 5.0  # for what is due


@dataclass(slots=True)
class _Known:
    """What was seen of one API. `mirrored` is what was approved when the store was told last."""

    due: float = 0.0
    etag: str = ""
    mirrored: bytes | None = None
    spec: str = field(default="")


class ApiWatch:
    """The descriptions of every API whose entry says how often to look."""

    def __init__(self, store: PinStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._lock = asyncio.Lock()

    async def look(self, loaded: Loaded) -> None:
        """Fetch what is due, and let the store of pins say what is approved and what waits. What fails is told."""
        async with self._lock:
            for name, config in _apis(loaded).items():
                known = self._known.setdefault(name, _Known())
                folder = ApiFolder(loaded.base_dir / config.folder_of(name))
                try:
                    if config.refetch_s and config.spec and self._clock() >= known.due:
                        known.due = self._clock() + config.refetch_s
                        await self._refetched(name, config, loaded.base_dir, folder)
                    await self._mirrored(name, folder)
                except Refusal as refusal:
                    log(logging.WARNING, "a description cannot be looked at", upstream=name, why=refusal.message)
                except OSError as error:
                    log(logging.WARNING, "a description cannot be read", upstream=name, why=str(error))

    async def release(self, loaded: Loaded, name: str, operation: str, pin: str) -> None:
        """Serve a held operation as it is now; raises `NotFound` for what does not wait."""
        config = _apis(loaded).get(name)
        if config is None:
            raise NotFound(f"no API is called `{name}`")
        folder = ApiFolder(loaded.base_dir / config.folder_of(name))
        async with self._lock:
            try:
                await asyncio.to_thread(release, folder, operation, pin)
            finally:
                self._known.setdefault(name, _Known()).mirrored = None  # whatever the store was told meanwhile
                await self._mirrored(name, folder)

    async def _refetched(self, name: str, config: OpenApiUpstream, base_dir: Path, folder: ApiFolder) -> None:
        fetched = await self._sources(name, config, base_dir)
        if fetched is None:
            return
        sources, etag = fetched
        looked = await asyncio.to_thread(lambda: follow(folder, import_api(folder, sources)))
        # only now: a host must not say of what could not be taken up that it is as it was
        self._known[name].etag, self._known[name].spec = etag, config.spec or ""
        for tool in looked.published:
            log(logging.INFO, "a tool of an API changed, and is served so", upstream=name, tool=tool)
        for tool, why in looked.held:
            log(logging.WARNING, "a changed tool of an API is held", upstream=name, tool=tool, why=why[:500])

    async def _sources(self, name: str, config: OpenApiUpstream, base_dir: Path) -> tuple[Sources, str] | None:
        """Return the description as it is now and its ETag, None when its host says that it is as it was."""
        known, spec = self._known[name], config.spec or ""
        if not spec.startswith(("http://", "https://")):
            path, _, entry = spec.partition("#")
            return await asyncio.to_thread(from_path, base_dir / path, entry), ""
        headers = [("accept", "application/json, */*;q=0.5")]
        if known.etag and known.spec == spec:
            headers.append(("if-none-match", known.etag))
        rules = EgressRules(allow_private=config.allow_private)
        async with ControlClient(rules, timeout_s=FETCH_TIMEOUT_S) as client:
            response = await client.send("GET", spec, headers=headers, max_bytes=MAX_BYTES)
        if response.status == 304:
            return None
        if response.status != 200:
            raise UpstreamFailed(f"the host answered with status {response.status}")
        return await asyncio.to_thread(from_body, spec, response.body), response.headers.get("etag", "")

    async def _mirrored(self, name: str, folder: ApiFolder) -> None:
        known = self._known.setdefault(name, _Known())
        file = folder.path / "approved.json"
        approved = await asyncio.to_thread(lambda: file.read_bytes() if file.is_file() else b"")
        if not approved or approved == known.mirrored:
            return
        await asyncio.to_thread(mirror, self._store, name, folder, self._clock())
        known.mirrored = approved


def _apis(loaded: Loaded) -> Mapping[str, OpenApiUpstream]:
    return {
        name: one for name, one in loaded.config.upstreams.items() if isinstance(one, OpenApiUpstream) and one.enabled
    }


async def watch_forever(watch: ApiWatch, loaded: Callable[[], Loaded]) -> None:
    """Look at what is due until cancelled."""
    while True:
        await watch.look(loaded())
        await asyncio.sleep(LOOK_EVERY_S)
