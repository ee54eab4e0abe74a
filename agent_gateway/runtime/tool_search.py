"""Search over the tools of an endpoint: an index per snapshot and endpoint, made when it is first asked, in a thread.

Nothing here decides who may see what: whoever asks names the tools that count.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Container, Coroutine, Sequence
from typing import Final, TypeVar

import msgspec
from msgspec import Raw

from agent_gateway.runtime.embeddings import Embedder
from agent_gateway.snapshot import Route, Snapshot
from agent_gateway.telemetry.logs import log
from context_mesh.search.index import Entry, Hit, Index, Vectors, fused
from gateway_policies.refusal import Refusal
from mcp_registry.catalog import View

MAX_INDEXES: Final = 8  # of endpoints, over the last snapshots
CANDIDATES: Final = 50  # of words and of vectors, before both are one ranking
MAX_DESCRIPTION_CHARS: Final = 1_000
_Key = tuple[str, str]
T = TypeVar("T")


class ToolSearch:
    """The indexes of one worker."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, asyncio.Task[Index]] = OrderedDict()
        self._vectors: OrderedDict[_Key, asyncio.Task[Vectors]] = OrderedDict()

    async def find(
        self, snapshot: Snapshot, route: Route, query: str, limit: int, among: Container[str]
    ) -> Sequence[Hit]:
        """Return the best of the tools that count, by the names that the endpoint uses.

        Words find; vectors, where there is a server for them and it answers, find beside them.
        """
        key = (snapshot.id, route.path)
        index = await _kept(self._kept, key, lambda: asyncio.to_thread(_index, route.view))
        if snapshot.embedder is None:
            return index.find(query, limit, among)
        near = await self._near(snapshot.embedder, key, route, query, among)
        words = index.find(query, max(limit, CANDIDATES), among)
        return fused([words, near], limit) if near else words[:limit]

    async def _near(
        self, embedder: Embedder, key: _Key, route: Route, query: str, among: Container[str]
    ) -> Sequence[Hit]:
        """Return the nearest tools; none while their vectors are being made, and when the server does not answer."""
        try:
            async with asyncio.timeout(embedder.server.timeout_s):
                asked = await embedder.query(query)
                vectors = await _kept(self._vectors, key, lambda: _embedded(embedder, route.view))
        except (Refusal, TimeoutError) as failure:
            why = failure.message if isinstance(failure, Refusal) else "it takes too long"
            log(logging.WARNING, "a search goes without vectors", route=route.name, why=why)
            return ()
        return await asyncio.to_thread(vectors.find, asked, CANDIDATES, among)


async def _kept(kept: OrderedDict[_Key, asyncio.Task[T]], key: _Key, make: Callable[[], Coroutine[None, None, T]]) -> T:
    """Return what is kept under a key, made once by whoever asks first; what failed is made again."""
    task = kept.get(key)
    if task is None or task.cancelled() or (task.done() and task.exception() is not None):
        task = kept[key] = asyncio.ensure_future(make())
        while len(kept) > MAX_INDEXES:
            kept.popitem(last=False)
    return await asyncio.shield(task)


async def _embedded(embedder: Embedder, view: View) -> Vectors:
    entries = _entries(view)
    vectors = await embedder.texts([entry.text for entry in entries])
    return Vectors({entry.key: vector for entry, vector in zip(entries, vectors, strict=True)})


def _index(view: View) -> Index:
    return Index(_entries(view))


def _entries(view: View) -> list[Entry]:
    return [_entry(name, bytes(entry.modern), entry.capability.upstream) for name, entry in view.entries.items()]


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
