"""Results of one era in the words of the other: raw members are edited, and only where they must be.

A result that needs no change comes back as the same object. Errors are
translated by `errors`, tool definitions here because lists carry them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway_policies.refusal import UpstreamFailed
from mcp_registry.protocol import envelope
from mcp_registry.protocol.envelope import RawObject
from mcp_registry.protocol.versions import LEGACY_VERSIONS, META_SERVER_INFO, Era

MODERN_ONLY: Final = ("resultType", "ttlMs", "cacheScope")

_BEFORE_LINKS: Final = LEGACY_VERSIONS[:2]  # 2025-06-18 brought `resource_link`
_BEFORE_AUDIO: Final = LEGACY_VERSIONS[:1]  # 2025-03-26 brought `audio`


@dataclass(frozen=True, slots=True)
class Reader:
    """Who will read a result: the caller's era and version, and what we say of ourselves to it.

    takes_any  the caller declared extensions: a kind of result that we do not know may be theirs
    """

    era: Era
    version: str
    server_info: Raw
    takes_any: bool = False


def call_result(result: Raw, source: Era, reader: Reader) -> Raw:
    """Return the raw result of a `tools/call` as `reader` may read it; the same object if it may as it is.

    Modern readers get `resultType` and our `serverInfo` where the upstream gave none. Legacy readers lose
    what is modern; structured content that is no object becomes text, and so does a content block that
    their version does not know.

    Raises `UpstreamFailed` for a result that is no object (`bad_result`) and for one of a kind that the
    reader cannot know (`unsupported_result`): `input_required` is modern, others need an extension.
    """
    head = _read_head(result, source, reader)
    if reader.era == "modern":
        return _to_modern(result, head, source, reader)
    is_changed = source == "modern" or reader.version in _BEFORE_LINKS
    return _to_legacy(result, reader) if is_changed else result


def read_result(method: str, result: Raw, source: Era, reader: Reader) -> Raw:
    """Return the raw result of `prompts/get`, `resources/read` or `completion/complete` likewise.

    What a resource holds is for this caller alone, whatever the upstream says of caches: policy decided it.
    """
    head = _read_head(result, source, reader)
    if reader.era == "modern":
        made = _to_modern(result, head, source, reader)
        is_complete = head.resultType in (UNSET, "complete") or source == "legacy"
        return _for_one_caller(made, source) if is_complete and method == "resources/read" else made
    if source == "legacy" and reader.version not in _BEFORE_LINKS:
        return result
    members = envelope.read_object(result)
    changes = _without_modern(members) if source == "modern" else {}
    if method == "prompts/get":
        changes |= _message_changes(members, reader.version)
    return Raw(envelope.write(envelope.edit(members, changes))) if changes else result


def with_uri_prefix(result: Raw, prefix: str) -> Raw:
    """Return the raw result of a `resources/read` with `prefix` before each of its URIs."""
    members = envelope.read_object(result)
    try:
        contents = [envelope.read_object(one) for one in _BLOCKS.decode(members.get("contents", _NO_BLOCKS))]
        shown = [
            envelope.edit(one, {"uri": envelope.write(prefix + _TEXT.decode(one["uri"]))}) if "uri" in one else one
            for one in contents
        ]
    except msgspec.DecodeError:
        return result
    return Raw(envelope.write(envelope.edit(members, {"contents": envelope.write(shown)}))) if shown else result


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list of ours.

    items        a raw JSON array of definitions, for the member `member`
    next_cursor  None on the last page
    degraded     why something may be missing, in public words; said in `_meta`
    ttl_ms       how long a modern reader may keep it
    """

    items: bytes
    member: str = "tools"
    next_cursor: str | None = None
    degraded: str = ""
    ttl_ms: int = 0


def list_result(page: Page, reader: Reader) -> bytes:
    """Write the raw result of a list of ours."""
    result: dict[str, object] = {page.member: Raw(page.items)}
    if page.next_cursor is not None:
        result["nextCursor"] = page.next_cursor
    meta: dict[str, object] = {DEGRADED_KEY: page.degraded} if page.degraded else {}
    if reader.era == "modern":
        # Policy filters per caller: no cache may hand this to another.
        result |= {"resultType": "complete", "ttlMs": page.ttl_ms, "cacheScope": "private"}
        meta[META_SERVER_INFO] = reader.server_info
    if meta:
        result["_meta"] = meta
    return envelope.write(result)


DEGRADED_KEY: Final = "agent-gateway/degraded"


def legacy_tool(definition: Raw) -> Raw:
    """Return a tool definition as legacy readers may read it: an `outputSchema` that is no object's is dropped.

    Raises `msgspec.DecodeError` when the definition is no object.
    """
    schema = _TOOL_HEAD.decode(definition).outputSchema
    if schema is UNSET or _is_object_schema(schema):
        return definition
    return Raw(envelope.write(envelope.edit(envelope.read_object(definition), {"outputSchema": None})))


class _Head(msgspec.Struct):
    resultType: object = UNSET  # noqa: N815 - the wire's word
    meta: Raw | UnsetType = msgspec.field(default=UNSET, name="_meta")


class _ToolHead(msgspec.Struct):
    outputSchema: Raw | UnsetType = UNSET  # noqa: N815 - the wire's word


def _read_head(result: Raw, source: Era, reader: Reader) -> _Head:
    try:
        head = _HEAD.decode(result)
    except (msgspec.DecodeError, RecursionError):
        raise UpstreamFailed("the upstream's result is no object", code="bad_result") from None
    is_known = head.resultType is UNSET or head.resultType == "complete"
    is_interim = head.resultType == "input_required" and reader.era == "modern"
    if source == "modern" and not (is_known or is_interim or reader.takes_any):
        raise UpstreamFailed(
            "the upstream asks for more than this call may give",
            hint="the tool needs a client that declares more",
            code="unsupported_result",
        )
    return head


def _to_modern(result: Raw, head: _Head, source: Era, reader: Reader) -> Raw:
    """Splice in what is missing, without a look at the rest: results may be large."""
    if head.resultType is not UNSET and head.resultType != "complete" and source == "legacy":
        # In a legacy server's mouth this is a field of its own; a modern reader would act on it.
        changed = envelope.edit(envelope.read_object(result), {"resultType": b'"complete"'})
        result = Raw(envelope.write(changed))
    added = b"" if head.resultType is not UNSET else b'"resultType":"complete"'
    if head.meta is UNSET:
        own = b'"_meta":{"%b":%b}' % (META_SERVER_INFO.encode(), bytes(reader.server_info))
        added = b"%b,%b" % (added, own) if added else own
    if not added:
        return result
    inside = bytes(result)[1:].lstrip()
    return Raw(b"{%b%b" % (added, inside) if inside == b"}" else b"{%b,%b" % (added, inside))


def _for_one_caller(result: Raw, source: Era) -> Raw:
    """Return a complete modern result of a read with the cache hints it must have: private, for as long as allowed."""
    hints = _HINTS.decode(result)
    changes: dict[str, bytes | None] = {}
    if hints.cacheScope != "private" or source == "legacy":
        changes["cacheScope"] = b'"private"'
    if source == "legacy" or not isinstance(hints.ttlMs, int) or isinstance(hints.ttlMs, bool):
        changes["ttlMs"] = b"0"
    return Raw(envelope.write(envelope.edit(envelope.read_object(result), changes))) if changes else result


def _to_legacy(result: Raw, reader: Reader) -> Raw:
    members = envelope.read_object(result)
    changes = _without_modern(members) | _content_changes(members, reader.version)
    return Raw(envelope.write(envelope.edit(members, changes))) if changes else result


def _without_modern(members: RawObject) -> dict[str, bytes | None]:
    changes: dict[str, bytes | None] = {name: None for name in MODERN_ONLY if name in members}
    if "_meta" in members:
        changes |= _without_server_info(members["_meta"])
    return changes


def _message_changes(members: RawObject, version: str) -> dict[str, bytes | None]:
    """Return the change to a prompt's `messages` that a legacy version needs."""
    try:
        messages = [envelope.read_object(one) for one in _BLOCKS.decode(members.get("messages", _NO_BLOCKS))]
    except msgspec.DecodeError:
        return {}
    shown = [
        envelope.edit(one, {"content": _as_text_if_unknown(one["content"], version)}) if "content" in one else one
        for one in messages
    ]
    is_changed = any(new.get("content") is not old.get("content") for new, old in zip(shown, messages, strict=True))
    return {"messages": envelope.write(shown)} if is_changed else {}


def _without_server_info(meta: Raw) -> dict[str, bytes | None]:
    try:
        members = envelope.read_object(meta)
    except msgspec.DecodeError:
        return {"_meta": None}
    if META_SERVER_INFO not in members:
        return {}
    left = envelope.edit(members, {META_SERVER_INFO: None})
    return {"_meta": envelope.write(left) if left else None}


def _content_changes(members: RawObject, version: str) -> dict[str, bytes | None]:
    """Return the changes to `content` and `structuredContent` that a legacy version needs."""
    try:
        blocks = _BLOCKS.decode(members.get("content", _NO_BLOCKS))
    except msgspec.DecodeError:
        return {}
    shown = [_as_text_if_unknown(block, version) for block in blocks]
    changes: dict[str, bytes | None] = {}
    structured = members.get("structuredContent")
    if structured is not None and not bytes(structured).startswith(b"{"):
        changes["structuredContent"] = None
        if bytes(structured) != b"null" and not any(_block_type(block) == "text" for block in shown):
            shown.append(_text_block(bytes(structured).decode()))
    if len(shown) != len(blocks) or any(new is not old for new, old in zip(shown, blocks, strict=False)):
        changes["content"] = envelope.write(shown)
    return changes


def _as_text_if_unknown(block: Raw, version: str) -> Raw:
    kind = _block_type(block)
    if kind == "resource_link" and version in _BEFORE_LINKS:
        link = cast("Mapping[str, object]", msgspec.json.decode(block))
        return _text_block(" ".join(str(link[name]) for name in ("title", "name", "uri") if name in link))
    if kind == "audio" and version in _BEFORE_AUDIO:
        return _text_block("(audio, which this version of the protocol cannot carry)")
    return block


def _block_type(block: Raw) -> str:
    try:
        return _BLOCK.decode(block).type
    except msgspec.DecodeError:
        return ""


def _text_block(text: str) -> Raw:
    return Raw(envelope.write({"type": "text", "text": text}))


def _is_object_schema(schema: Raw) -> bool:
    try:
        return _SCHEMA.decode(schema).type == "object"
    except msgspec.DecodeError:
        return False


class _Hints(msgspec.Struct):
    cacheScope: object = None  # noqa: N815 - the wire's word
    ttlMs: object = None  # noqa: N815 - the wire's word


class _Block(msgspec.Struct):
    type: str


class _Schema(msgspec.Struct):
    type: object = None


_HEAD: Final = msgspec.json.Decoder(_Head)
_TOOL_HEAD: Final = msgspec.json.Decoder(_ToolHead)
_BLOCKS: Final = msgspec.json.Decoder(list[Raw])
_BLOCK: Final = msgspec.json.Decoder(_Block)
_SCHEMA: Final = msgspec.json.Decoder(_Schema)
_NO_BLOCKS: Final = Raw(b"[]")
_HINTS: Final = msgspec.json.Decoder(_Hints)
_TEXT: Final = msgspec.json.Decoder(str)
