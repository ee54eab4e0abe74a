"""What another registry of the same API holds, read as entries of ours: every page, nothing believed.

Entries come without what registries say of them (`_meta`), but for the publisher's own words. What
this process does with them is for `stores` to say.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import urlencode

import msgspec

from agent_gateway.egress.control_client import ControlClient
from agent_gateway.egress.resolve import EgressRules
from agent_gateway.ports import Clock
from agent_gateway.stores.server_store import ServerStore
from gateway_policies.refusal import Refusal, UpstreamFailed
from mcp_registry.servers import OFFICIAL, PUBLISHER, STATUSES, ServerEntry, Status, problems_with

MAX_PAGES: Final = 100
MAX_PAGE_BYTES: Final = 8 * 1024 * 1024
MAX_MESSAGE_CHARS: Final = 500
MAX_WHY_CHARS: Final = 300


@dataclass(slots=True)
class Read:
    """What one registry told.

    left      why an item is left out
    is_whole  whether that was all of it: only then is what is not among it gone
    """

    entries: list[ServerEntry] = field(default_factory=list[ServerEntry])
    left: list[str] = field(default_factory=list[str])
    is_whole: bool = False


async def read_registry(url: str, search: str, rules: EgressRules, clock: Clock) -> Read:
    """Read another registry, deleted versions too; raises `UpstreamFailed` when it is none, or away.

    url  up to `/v0.1`
    """
    found = Read()
    async with ControlClient(rules) as client:
        async for page in _pages(client, url, search):
            for item in page.servers:
                entry = _entry(item, clock())
                if isinstance(entry, str):
                    found.left.append(entry)
                else:
                    found.entries.append(entry)
            found.is_whole = not page.metadata.nextCursor
    return found


async def take_over(
    store: ServerStore, url: str, search: str, rules: EgressRules, clock: Clock
) -> tuple[list[ServerEntry], list[str]]:
    """Take over what another registry holds, once; return what was taken and why the rest was left out."""
    found = await read_registry(url, search, rules, clock)
    taken: list[ServerEntry] = []
    for entry in found.entries:
        if entry.status == "deleted":
            continue
        try:
            await asyncio.to_thread(store.publish, entry)
            taken.append(entry)
        except Refusal as refusal:
            found.left.append(refusal.message)
    return taken, found.left


class _Metadata(msgspec.Struct):
    nextCursor: str | None = None  # noqa: N815 - the wire's word


class _Page(msgspec.Struct):
    servers: list[object]
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


async def _pages(client: ControlClient, url: str, search: str) -> AsyncGenerator[_Page]:
    cursor = ""
    for _ in range(MAX_PAGES):
        query = {"limit": "100", "include_deleted": "true", "search": search, "cursor": cursor}
        asked = urlencode({name: value for name, value in query.items() if value})
        response = await client.get(f"{url}/servers?{asked}", max_bytes=MAX_PAGE_BYTES)
        try:
            page = msgspec.json.decode(response.body, type=_Page)
        except msgspec.DecodeError:
            hint = "give its URL up to `/v0.1`"
            raise UpstreamFailed("this is no registry of that API", code="upstream_garbage", hint=hint) from None
        yield page
        cursor = page.metadata.nextCursor or ""
        if not cursor:
            return


def _entry(item: object, now: float) -> ServerEntry | str:
    """Return what another registry says of a version, as ours, or why it is left out."""
    members = cast("dict[str, object]", item) if isinstance(item, dict) else {}
    server = members.get("server")
    if not isinstance(server, dict):
        return "an item without a server"
    document = cast("dict[str, object]", server)
    meta = document.get("_meta")
    if isinstance(meta, dict):
        own = {PUBLISHER: cast("dict[str, object]", meta)[PUBLISHER]} if PUBLISHER in meta else {}
        document = {**document, "_meta": own}
    problems = problems_with(document)
    if problems:
        return f"{document.get('name')} {document.get('version')}: {problems[0]}"[:MAX_WHY_CHARS]
    meta = members.get("_meta")
    told = cast("dict[str, object]", meta).get(OFFICIAL) if isinstance(meta, dict) else None
    said = cast("dict[str, object]", told) if isinstance(told, dict) else {}
    status: Status = "active"
    for known in STATUSES:
        status = known if known == said.get("status") else status
    message = said.get("statusMessage")
    text = message[:MAX_MESSAGE_CHARS] if isinstance(message, str) else ""
    return ServerEntry(document, "operator", "", "pending", status, text, now, now, now)
