"""Changes that a server tells outside of requests: what each era calls them, and how they are asked for.

Legacy: a standing stream, and `resources/subscribe` for each resource. 2026-07-28:
one `subscriptions/listen` whose answer is the stream, each message tagged with its id.
Who listens to what is remembered by others.
Source: MCP 2026-07-28, basic/subscriptions; 2025-11-25, server/resources and basic/transports.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, cast

import msgspec
from msgspec import Raw

from mcp_registry.protocol import envelope
from mcp_registry.protocol.errors import INVALID_PARAMS, ProtocolError
from mcp_registry.protocol.versions import Era

LISTEN: Final = "subscriptions/listen"
ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
UPDATED: Final = "notifications/resources/updated"
LIST_CHANGED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "tools": "notifications/tools/list_changed",
        "prompts": "notifications/prompts/list_changed",
        "resources": "notifications/resources/list_changed",
    }
)
"""List → the notification that says it changed."""
CHANGES: Final = frozenset({UPDATED, *LIST_CHANGED.values()})
META_SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"

MAX_URIS: Final = 256  # of one subscription
MAX_URI_CHARS: Final = 4096  # of a URI, and of a task's id
MAX_TASKS: Final = 64  # of one subscription


@dataclass(frozen=True, slots=True)
class Filter:
    """What a subscription wants to hear: lists by name, resources by URI, tasks by id (None: it names no such list)."""

    lists: frozenset[str] = frozenset()
    uris: frozenset[str] = frozenset()
    tasks: frozenset[str] | None = None


def read_filter(params: Mapping[str, object]) -> Filter:
    """Return the filter of a `subscriptions/listen`; members we do not know are passed over.

    Raises `ProtocolError` (-32602) when it is none, or beyond `MAX_URIS`, `MAX_TASKS` and `MAX_URI_CHARS`.
    """
    wanted = params.get("notifications")
    if not isinstance(wanted, dict):
        raise ProtocolError(INVALID_PARAMS, "`notifications` must be an object")
    members = cast("Mapping[str, object]", wanted)
    uris: object = members.get("resourceSubscriptions", [])
    if not isinstance(uris, list) or not all(is_uri(uri) for uri in cast("list[object]", uris)):
        raise ProtocolError(INVALID_PARAMS, "`resourceSubscriptions` must be a list of URIs")
    found = frozenset(cast("list[str]", uris))
    if len(found) > MAX_URIS:
        raise ProtocolError(INVALID_PARAMS, f"one subscription holds at most {MAX_URIS} resources")
    lists = frozenset(name for name in LIST_CHANGED if members.get(f"{name}ListChanged") is True)
    return Filter(lists, found, _task_ids(members.get("taskIds")))


def _task_ids(listed: object) -> frozenset[str] | None:
    if listed is None:
        return None
    if not isinstance(listed, list) or not all(is_uri(one) for one in cast("list[object]", listed)):
        raise ProtocolError(INVALID_PARAMS, "`taskIds` must be a list of ids")
    found = frozenset(cast("list[str]", listed))
    if len(found) > MAX_TASKS:
        raise ProtocolError(INVALID_PARAMS, f"one subscription holds at most {MAX_TASKS} tasks")
    return found


def is_uri(value: object) -> bool:
    """Say whether `value` may name a resource."""
    return isinstance(value, str) and 0 < len(value) <= MAX_URI_CHARS


def write_filter(wanted: Filter) -> dict[str, object]:
    """Return the JSON value of a filter."""
    found: dict[str, object] = {f"{name}ListChanged": True for name in LIST_CHANGED if name in wanted.lists}
    if wanted.uris:
        found["resourceSubscriptions"] = sorted(wanted.uris)
    if wanted.tasks is not None:
        found["taskIds"] = sorted(wanted.tasks)
    return found


def told_lists(capabilities: Raw | None, era: Era) -> frozenset[str]:
    """Return the lists whose changes a server may tell.

    Modern: those of which it says so (`listChanged`). Legacy: all it has, for servers
    made with the Python SDK say `false` and tell all the same.
    """
    try:
        members = {} if capabilities is None else envelope.read_object(capabilities)
        has = [name for name in LIST_CHANGED if name in members]
        return frozenset(name for name in has if era == "legacy" or _TELLS.decode(members[name]).listChanged)
    except msgspec.DecodeError:
        return frozenset()


def acknowledged(subscription: bytes, honoured: Filter) -> bytes:
    """Write the first message of a modern stream; `subscription` is the raw id of the listen request."""
    params = {"notifications": Raw(envelope.write(write_filter(honoured)))}
    return envelope.notification(ACKNOWLEDGED, tagged(params, subscription))


def tagged(params: Mapping[str, Raw], subscription: bytes) -> envelope.RawObject:
    """Return the params of a message on a modern stream, with the id of its subscription in `_meta`."""
    try:
        meta = envelope.read_object(params["_meta"]) if "_meta" in params else {}
    except msgspec.DecodeError:
        meta = {}
    return envelope.edit(params, {"_meta": envelope.write(envelope.edit(meta, {META_SUBSCRIPTION: subscription}))})


def untagged(params: Mapping[str, Raw]) -> envelope.RawObject:
    """Return the params without the tag of another subscription."""
    if "_meta" not in params:
        return dict(params)
    try:
        meta = envelope.read_object(params["_meta"])
    except msgspec.DecodeError:
        return envelope.edit(params, {"_meta": None})
    kept = envelope.edit(meta, {META_SUBSCRIPTION: None})
    return envelope.edit(params, {"_meta": envelope.write(kept) if kept else None})


def subscription_of(params: Mapping[str, Raw]) -> bytes | None:
    """Return the raw id of the subscription that a message is tagged with, None when it is not."""
    try:
        tag = envelope.read_object(params["_meta"]).get(META_SUBSCRIPTION) if "_meta" in params else None
    except msgspec.DecodeError:
        return None
    return None if tag is None else bytes(tag)


def ended(subscription: bytes, server_info: Raw) -> bytes:
    """Write the raw result that ends a modern stream in good order."""
    meta = {META_SUBSCRIPTION: Raw(subscription), "io.modelcontextprotocol/serverInfo": server_info}
    return envelope.write({"resultType": "complete", "_meta": meta})


def updated_uri(params: Raw | None) -> str | None:
    """Return the URI that an update names, None when there is none to read."""
    try:
        return None if params is None else _UPDATED.decode(params).uri
    except msgspec.DecodeError:
        return None


class _Tells(msgspec.Struct):
    listChanged: bool = False  # noqa: N815 - the wire's word


class _Updated(msgspec.Struct):
    uri: str


_TELLS: Final = msgspec.json.Decoder(_Tells)
_UPDATED: Final = msgspec.json.Decoder(_Updated)
