"""Published servers: all of them, and an operator's word on each, with a record of what it was before."""

import logging
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from agent_gateway.admin.models import Shown
from agent_gateway.admin.reading import Readers
from agent_gateway.admin.recording import check_recorder
from agent_gateway.audit import records
from agent_gateway.runtime.books import DataDir
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.stores.mirror_store import MirrorStore
from agent_gateway.stores.server_store import ServerStore
from agent_gateway.telemetry.logs import log
from mcp_registry.servers import ServerEntry

MAX_SERVER_NAME = 200
MAX_VERSION = 255
MAX_MESSAGE = 500
Said = Literal["approved", "rejected", "set"]


class ServerShown(Shown):
    """One version of one server."""

    name: str
    version: str
    owner: str
    approval: Literal["pending", "approved"]
    status: Literal["active", "deprecated", "deleted"]
    status_message: str
    source: str
    """The registry that it is mirrored from; empty for one published or imported here."""


class ServerSaid(BaseModel):
    """Which version an operator speaks of."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(min_length=1, max_length=MAX_SERVER_NAME)
    version: str = Field(min_length=1, max_length=MAX_VERSION)


class ServerJudged(ServerSaid):
    """Whether others than its owner may see a version."""

    approval: Literal["pending", "approved"]


class ServerStatusSaid(ServerSaid):
    """What a version is said to be."""

    status: Literal["active", "deprecated", "deleted"]
    message: str = Field(default="", max_length=MAX_MESSAGE)


def registry_routes(gateway: Gateway, data: DataDir, readers: Readers) -> APIRouter:
    """Return the routes about published servers."""
    router = APIRouter()
    store, mirrors = ServerStore(data.registry), MirrorStore(data.registry)

    @router.get("/servers", tags=["registry"])
    async def servers() -> list[ServerShown]:
        """Every published version: owner, approval, status, and where it came from."""
        sources = await readers.read(mirrors.sources)
        return [_shown(one, sources.get((one.name, one.version), "")) for one in await readers.read(store.entries)]

    @router.post("/servers/approvals", tags=["registry"])
    async def judge(said: ServerJudged, request: Request) -> ServerShown:
        """Let a version be seen by others than its owner, or no more."""
        check_recorder(gateway)
        now = gateway.services.clock()
        before, after = await readers.read(lambda: store.set_approval(said.name, said.version, said.approval, now))
        verdict: Said = "approved" if said.approval == "approved" else "rejected"
        await _record(request, verdict, "server", said, (before.approval, after.approval))
        return await _now(after)

    @router.post("/servers/statuses", tags=["registry"])
    async def set_status(said: ServerStatusSaid, request: Request) -> ServerShown:
        """Set the status of a version. A mirrored one follows its registry again at the next look."""
        check_recorder(gateway)
        now = gateway.services.clock()
        before, after = await readers.read(
            lambda: store.set_one_status(said.name, said.version, said.status, said.message, now)
        )
        await _record(request, "set", "server-status", said, (before.status, after.status))
        return await _now(after)

    async def _now(one: ServerEntry) -> ServerShown:
        sources = await readers.read(mirrors.sources)
        return _shown(one, sources.get((one.name, one.version), ""))

    async def _record(request: Request, verdict: Said, what: str, said: ServerSaid, change: tuple[str, str]) -> None:
        operator: str = request.state.operator.id
        before, after = change
        name = f"{said.name} {said.version}"
        word = records.Verdict(operator, verdict, "", what, name, after, before)
        index = gateway.services.recorder.append(records.approval(gateway.services.clock(), word))
        await gateway.services.recorder.durable(index)
        log(logging.INFO, "a published server was judged", operator=operator, server=name, to=after)

    return router


def _shown(one: ServerEntry, source: str) -> ServerShown:
    return ServerShown(
        name=one.name,
        version=one.version,
        owner=one.owner,
        approval=one.approval,
        status=one.status,
        status_message=one.status_message,
        source=source,
    )
