"""What exists, who may call it, how much is left, and what is configured."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Query, Request

from agent_gateway.admin import views
from agent_gateway.admin.models import (
    MAX_CAPABILITY,
    MAX_NAME,
    MAX_PAGE,
    BudgetShown,
    Capabilities,
    ConfigShown,
    ExplainAsked,
    ExplanationShown,
    Findings,
    Reloaded,
    ToolsetShown,
    UpstreamShown,
    WhoCan,
)
from agent_gateway.admin.reading import Readers
from agent_gateway.config.load import dump
from agent_gateway.config.root import Config
from agent_gateway.ports import ServerInfo
from agent_gateway.runtime.books import DataDir
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.runtime.keeper import Keeper
from agent_gateway.runtime.provision import service_principal
from agent_gateway.snapshot import Snapshot
from agent_gateway.stores.sqlite_ledger import read_usage
from agent_gateway.telemetry.logs import log
from gateway_policies.kinds import Kind
from gateway_policies.refusal import NotFound, Refusal

INFO_TIMEOUT_S = 1.0
Name = Annotated[str, Query(min_length=1, max_length=MAX_NAME)]
CapabilityName = Annotated[str, Query(min_length=1, max_length=MAX_CAPABILITY)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
T = TypeVar("T")


def catalog_routes(gateway: Gateway, keeper: Keeper, data: DataDir, readers: Readers) -> APIRouter:
    """Return the routes about the snapshot that is served, and about budgets."""
    router = APIRouter()
    _what_exists(router, gateway)
    _who_may(router, gateway)
    _how_much(router, gateway, data, readers)
    _configuration(router, gateway, keeper)
    return router


def _what_exists(router: APIRouter, gateway: Gateway) -> None:
    @router.get("/upstreams", tags=["catalogue"])
    async def upstreams() -> list[UpstreamShown]:
        """Every upstream: health, era, tools, and why something is missing."""
        snapshot = gateway.snapshot
        infos = await asyncio.gather(*(info_of(snapshot, name) for name in snapshot.upstreams))
        return [
            views.upstream_shown(snapshot, name, info) for name, info in zip(snapshot.upstreams, infos, strict=True)
        ]

    @router.get("/upstreams/{name}", tags=["catalogue"])
    async def upstream(name: Annotated[str, Path(max_length=MAX_NAME)]) -> UpstreamShown:
        """One upstream."""
        snapshot = gateway.snapshot
        if name not in snapshot.upstreams:
            raise NotFound(f"no upstream is called `{name}`")
        return views.upstream_shown(snapshot, name, await info_of(snapshot, name))

    @router.get("/capabilities", tags=["catalogue"])
    async def capabilities(agent: Name | None = None, offset: Offset = 0, limit: Limit = MAX_PAGE) -> Capabilities:
        """Everything to use; with `agent`, what it sees, and whether always or for some arguments."""
        snapshot = gateway.snapshot
        principal = None if agent is None else views.principal_named(snapshot, agent)
        total, page = views.capabilities_shown(snapshot, principal, offset, limit)
        return Capabilities(total=total, items=await patiently(page))

    @router.get("/toolsets", tags=["catalogue"])
    async def toolsets() -> list[ToolsetShown]:
        """Every bundle of tools with a URL of its own; `/mcp` is the first."""
        return views.toolsets_shown(gateway.snapshot)


def _who_may(router: APIRouter, gateway: Gateway) -> None:
    @router.post("/explain", tags=["policy"])
    async def explain(asked: ExplainAsked) -> ExplanationShown:
        """Why an agent may or may not use a capability, and what would change it."""
        return views.explained(gateway.snapshot, asked, gateway.services.clock())

    @router.get("/who-can", tags=["policy"])
    async def who_can(
        capability: CapabilityName, kind: Kind = "tool", offset: Offset = 0, limit: Limit = MAX_PAGE
    ) -> WhoCan:
        """What each agent may do with a capability: use it, never use it, or use it for some arguments."""
        snapshot = gateway.snapshot
        items = await patiently(views.who_can(snapshot, (kind, capability), offset, limit))
        return WhoCan(capability=capability, total=len(snapshot.config.agents), items=items)


def _how_much(router: APIRouter, gateway: Gateway, data: DataDir, readers: Readers) -> None:
    @router.get("/budgets", tags=["budgets"])
    async def budgets() -> list[BudgetShown]:
        """How every budget stands, current windows first. Calls of the last second may not be in it yet."""
        usages = await readers.read(lambda: read_usage(data.ledger))
        return views.budgets_shown(gateway.snapshot.config.budgets, usages, gateway.services.clock())


def _configuration(router: APIRouter, gateway: Gateway, keeper: Keeper) -> None:
    @router.get("/config", tags=["configuration"])
    async def config() -> ConfigShown:
        """The configuration that is served, with defaults; secrets stay references."""
        snapshot = gateway.snapshot
        return ConfigShown(
            path=str(keeper.loaded.path),
            digest=keeper.loaded.digest,
            snapshot=snapshot.id,
            config=redacted(snapshot.config),
        )

    @router.get("/findings", tags=["configuration"])
    async def findings() -> Findings:
        """What is odd about the configuration, its policies and the definitions of upstreams."""
        return Findings(items=list(gateway.snapshot.findings), last_problem=keeper.last_problem)

    @router.post("/reload", tags=["configuration"])
    async def reload(request: Request) -> Reloaded:
        """Serve what the file says now. A file that does not load changes nothing: `problem` says why."""
        log(logging.INFO, "an operator asked for a reload", operator=request.state.operator.id)
        gateway.siblings.tell("reload")
        is_served = await keeper.reload(gateway)
        return Reloaded(served=is_served, snapshot=gateway.snapshot.id, problem=keeper.last_problem)


def redacted(config: Config) -> dict[str, Any]:
    """Return the configuration as JSON values that hold no secret and no hash of one."""
    shown = dump(config)
    for agent in shown.get("agents", {}).values():
        for credential in agent.get("credentials", ()):
            credential.pop("sha256", None)
    return shown


async def info_of(snapshot: Snapshot, name: str) -> ServerInfo | None:
    """Return what an upstream says of itself; None while it is not up, or does not say so at once."""
    upstream = snapshot.upstreams[name]
    if upstream.health().state != "up":
        return None
    try:
        async with asyncio.timeout(INFO_TIMEOUT_S):
            return await upstream.server_info(service_principal(snapshot.config))
    except (TimeoutError, Refusal):
        return None


async def patiently(items: Iterator[T]) -> list[T]:
    """Return all of `items`, letting calls pass between one and the next: each may take a millisecond."""
    found: list[T] = []
    for item in items:
        found.append(item)
        await asyncio.sleep(0)
    return found
