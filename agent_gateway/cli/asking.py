"""Asking about the catalogue and the policies: the running gateway, or, when none runs, the upstreams themselves.

Both answer in the words of the admin API, made by the same functions.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import urlencode

from pydantic import TypeAdapter, ValidationError

from agent_gateway.admin import views
from agent_gateway.admin.catalog_routes import info_of
from agent_gateway.admin.models import (
    MAX_PAGE,
    AgentAccess,
    Capabilities,
    CapabilityShown,
    ExplainAsked,
    ExplanationShown,
    UpstreamShown,
    WhoCan,
)
from agent_gateway.cli.door import Door
from agent_gateway.cli.local import operator_token
from agent_gateway.cli.session import Failure
from agent_gateway.config.load import Loaded
from agent_gateway.identity.keys import SigningKeys
from agent_gateway.identity.replay import MemoryReplay
from agent_gateway.identity.throttle import Throttle
from agent_gateway.identity.token_service import TokenGuards
from agent_gateway.runtime.identities import Keep
from agent_gateway.runtime.keeper import Keeper
from agent_gateway.runtime.provision import BadConfiguration, Provisioner
from agent_gateway.snapshot import Snapshot
from gateway_policies.kinds import Kind
from gateway_policies.refusal import Refusal, UpstreamUnreachable

T = TypeVar("T")
EVERYTHING = 1_000_000


class Source(Protocol):
    """Who answers; `is_running` tells whether it is the gateway itself. Methods raise `Failure`."""

    is_running: bool

    def upstreams(self) -> list[UpstreamShown]: ...

    def capabilities(self, agent: str | None) -> list[CapabilityShown]: ...

    def explain(self, asked: ExplainAsked) -> ExplanationShown: ...

    def who_can(self, capability: str, kind: Kind = "tool") -> list[AgentAccess]: ...


def source_of(loaded: Loaded) -> Source:
    """Return the running gateway, or this process in its place."""
    try:
        asyncio.run(Door(loaded.config.listeners.admin).send("GET", "/healthz", []))
    except UpstreamUnreachable:
        return Here(loaded)
    except Refusal as refusal:
        raise Failure(f"the admin listener does not answer well: {refusal.message}", hint="run `doctor`") from None
    return Running(loaded)


class Running:
    """The admin API of the running gateway."""

    is_running = True

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._door = Door(loaded.config.listeners.admin)

    def upstreams(self) -> list[UpstreamShown]:
        return self.ask("GET", "/v1/upstreams", TypeAdapter(list[UpstreamShown]))

    def capabilities(self, agent: str | None) -> list[CapabilityShown]:
        found: list[CapabilityShown] = []
        while True:
            query = {"offset": len(found), "limit": MAX_PAGE, **({"agent": agent} if agent else {})}
            page = self.ask("GET", f"/v1/capabilities?{urlencode(query)}", TypeAdapter(Capabilities))
            found += page.items
            if not page.items or len(found) >= page.total:
                return found

    def explain(self, asked: ExplainAsked) -> ExplanationShown:
        return self.ask("POST", "/v1/explain", TypeAdapter(ExplanationShown), asked.model_dump_json().encode())

    def who_can(self, capability: str, kind: Kind = "tool") -> list[AgentAccess]:
        found: list[AgentAccess] = []
        while True:
            query = {"capability": capability, "kind": kind, "offset": len(found), "limit": MAX_PAGE}
            page = self.ask("GET", f"/v1/who-can?{urlencode(query)}", TypeAdapter(WhoCan))
            found += page.items
            if not page.items or len(found) >= page.total:
                return found

    def ask(self, method: str, path: str, kind: TypeAdapter[T], body: bytes = b"") -> T:
        """Send one request as the local operator and return its answer; raises `Failure`."""
        headers = [("authorization", f"Bearer {operator_token(self._loaded)}"), ("content-type", "application/json")]
        try:
            response = asyncio.run(self._door.send(method, path, headers, body))
        except Refusal as refusal:
            raise Failure(f"the admin API: {refusal.message}", hint="is the gateway still running?") from None
        if response.status != 200:
            raise _refused(response.status, response.body)
        try:
            return kind.validate_json(response.body)
        except ValidationError:
            raise Failure("the admin API answers in other words", hint="is it of another version?") from None


def _refused(status: int, body: bytes) -> Failure:
    try:
        told: object = json.loads(body)
    except ValueError:
        told = None
    problem: Mapping[str, object] = (
        TypeAdapter(dict[str, object]).validate_python(told) if isinstance(told, dict) else {}
    )
    message = str(problem.get("title", f"the admin API answered with status {status}"))
    if status == 401:
        return Failure(message, hint="is another gateway, or another data directory, behind the admin port?")
    return Failure(message, hint=str(problem.get("detail", "")))


class Here:
    """This process, in place of a gateway: asks every upstream once and compiles the policies."""

    is_running = False

    def __init__(self, loaded: Loaded) -> None:
        self._snapshot, self._upstreams = asyncio.run(_look(loaded.path))

    def upstreams(self) -> list[UpstreamShown]:
        return self._upstreams

    def capabilities(self, agent: str | None) -> list[CapabilityShown]:
        try:
            principal = None if agent is None else views.principal_named(self._snapshot, agent)
        except Refusal as refusal:
            raise Failure(refusal.message, hint=refusal.hint) from None
        _, items = views.capabilities_shown(self._snapshot, principal, 0, EVERYTHING)
        return list(items)

    def explain(self, asked: ExplainAsked) -> ExplanationShown:
        try:
            return views.explained(self._snapshot, asked, time.time())
        except Refusal as refusal:
            raise Failure(refusal.message, hint=refusal.hint) from None

    def who_can(self, capability: str, kind: Kind = "tool") -> list[AgentAccess]:
        try:
            return list(views.who_can(self._snapshot, (kind, capability), 0, len(self._snapshot.config.agents)))
        except Refusal as refusal:
            raise Failure(refusal.message, hint=refusal.hint) from None


async def _look(path: Path) -> tuple[Snapshot, list[UpstreamShown]]:
    async with snapshot_here(path) as snapshot:
        shown = [views.upstream_shown(snapshot, name, await info_of(snapshot, name)) for name in snapshot.upstreams]
        return snapshot, shown


@asynccontextmanager
async def snapshot_here(path: Path) -> AsyncGenerator[Snapshot]:
    """Make the snapshot of a configuration with its upstreams running, and touch no data directory.

    Raises `ConfigErrors`, and `Failure` for a configuration that cannot be served.
    """
    with tempfile.TemporaryDirectory(prefix="agent-gateway-") as folder:
        keys = SigningKeys(Path(folder), clock=time.time)
        guards = TokenGuards(MemoryReplay(clock=time.time), Throttle(clock=time.time))
        keeper = Keeper(path, Provisioner(Keep(keys, keys, guards, time.time), time.time))
        try:
            snapshot = await keeper.start()
        except BadConfiguration as error:
            raise Failure("the configuration cannot be served:\n" + "\n".join(error.mistakes)) from None
        try:
            yield snapshot
        finally:
            await keeper.aclose()
