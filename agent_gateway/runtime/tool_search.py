"""Search over the tools of an endpoint: an index per snapshot and endpoint, made when it is first asked, in a thread.

Nothing here decides who may see what: whoever asks names the tools that count.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Container, Sequence
from typing import Final

import msgspec
from msgspec import Raw

from agent_gateway.snapshot import Route, Snapshot
from context_mesh.search.index import Entry, Hit, Index
from mcp_registry.catalog import View

MAX_INDEXES: Final = 8  # of endpoints, over the last snapshots
MAX_DESCRIPTION_CHARS: Final = 1_000
_Key = tuple[str, str]


class ToolSearch:
    """The indexes of one worker."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, asyncio.Task[Index]] = OrderedDict()

    async def find(
        self, snapshot: Snapshot, route: Route, query: str, limit: int, among: Container[str]
    ) -> Sequence[Hit]:
        """Return the best of the tools that count, by the names that the endpoint uses."""
        key = (snapshot.id, route.path)
        task = self._kept.get(key)
        if task is None or task.cancelled() or (task.done() and task.exception() is not None):
            task = self._kept[key] = asyncio.ensure_future(asyncio.to_thread(_index, route.view))
            while len(self._kept) > MAX_INDEXES:
                self._kept.popitem(last=False)
        index = await asyncio.shield(task)
        return index.find(query, limit, among)


def _index(view: View) -> Index:
    return Index(_entry(name, bytes(entry.modern), entry.capability.upstream) for name, entry in view.entries.items())


class _Told(msgspec.Struct):
    title: object = ""
    description: object = ""
    inputSchema: Raw = Raw(b"{}")  # noqa: N815 - the wire's word


class _Schema(msgspec.Struct):
    properties: dict[str, Raw] = {}


def _entry(name: str, definition: bytes, upstream: str) -> Entry:
    try:
        told = _TOLD.decode(definition)
    except msgspec.DecodeError:
        told = _Told()
    try:
        names = " ".join(_SCHEMA.decode(told.inputSchema).properties)
    except msgspec.DecodeError:
        names = ""
    fields = {
        "name": name.removeprefix(f"{upstream}__"),
        "title": told.title if isinstance(told.title, str) else "",
        "text": told.description[:MAX_DESCRIPTION_CHARS] if isinstance(told.description, str) else "",
        "parameters": names,
        "source": upstream,
    }
    return Entry(name, fields)


_TOLD: Final = msgspec.json.Decoder(_Told)
_SCHEMA: Final = msgspec.json.Decoder(_Schema)
